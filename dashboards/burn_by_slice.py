"""The board of an incident's second question: where and when it burns, and which slices explain that."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.boards import Board
from dashboards.marks import marks
from dashboards.panels import Panel
from dashboards.queries.burn_rate import Watched
from dashboards.sections import burn_by_slice, burn_rate, pipeline
from dashboards.variables import BURN_UID, STAGES_UID, choices

TITLE = "Burn by slice"
_DESCRIPTION = (
    "Where and when budgets burn, slice by slice, and which slices explain it; the next question is which stage."
)
_RANGE_S, _REFRESH_S = 6 * 3_600, 60


def burn_by_slice_board(watched: Watched) -> Board:
    """The board for these objectives and their policy rows."""
    chosen = choices(watched)
    return Board(BURN_UID, TITLE, _DESCRIPTION, _sections(watched), chosen, marks(chosen), _RANGE_S, _REFRESH_S)


def _sections(watched: Watched) -> dict[str, Sequence[Panel]]:
    severities = burn_by_slice.severities(watched)
    return {
        "1 · Where and when": [burn_by_slice.nearness(watched, each) for each in severities],
        "2 · Which slices explain it": [burn_by_slice.explaining(watched)],
        "3 · Slice beside slice": [
            pipeline.shown(width=24),
            burn_by_slice.breakdown(watched),
            burn_rate.bad_over_time(watched, STAGES_UID),
            burn_rate.burn(watched, width=24),
        ],
    }
