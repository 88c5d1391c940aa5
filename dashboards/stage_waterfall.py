"""The board of an incident's third question: where a turn's time goes, what of it grew, and for whom."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.boards import Board
from dashboards.marks import marks
from dashboards.panels import Panel
from dashboards.queries.burn_rate import Watched
from dashboards.sections import pipeline, stage_latency, stage_waterfall
from dashboards.variables import STAGES_UID, slices, slo, stage

TITLE = "Stage waterfall"
_DESCRIPTION = "Where a turn's time goes, stage by stage, by bundle and by route; the next question is which release."
_RANGE_S, _REFRESH_S = 6 * 3_600, 60
DIMENSIONS = ("bundle", "route")
"""What the mean turn is drawn by."""


def stage_waterfall_board(watched: Watched) -> Board:
    """The board; objectives are only chosen to be kept from one board to the next, and for the marks."""
    choices = [slo(watched), *slices(), stage()]
    return Board(STAGES_UID, TITLE, _DESCRIPTION, _sections(), choices, marks(choices), _RANGE_S, _REFRESH_S)


def _sections() -> dict[str, Sequence[Panel]]:
    return {
        "1 · Where the time goes": [
            pipeline.shown(width=24),
            stage_waterfall.waterfall(),
            *(stage_waterfall.parts_by(each) for each in DIMENSIONS),
        ],
        "2 · What grew": [stage_latency.growth(), *(stage_waterfall.growth_by(each) for each in DIMENSIONS)],
        "3 · Tails": [
            stage_waterfall.tails(),
            stage_waterfall.tail_over_time(),
            *(stage_waterfall.p95_by(each) for each in (*DIMENSIONS, "region")),
        ],
    }
