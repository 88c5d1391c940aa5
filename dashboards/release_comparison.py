"""The board of an incident's fourth question, and of every rollout: two or more bundles side by side, and the way back."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.boards import Board
from dashboards.marks import marks
from dashboards.panels import Panel
from dashboards.queries.burn_rate import Watched
from dashboards.sections import releases, stage_waterfall
from dashboards.variables import RELEASES_UID, slices, slo, stage

TITLE = "Release comparison"
_DESCRIPTION = "Bundles side by side: errors, objectives, stages, cost, what gates said of them, and the way back."
_RANGE_S, _REFRESH_S = 86_400, 60


def release_comparison(watched: Watched) -> Board:
    """The board for these objectives; with no bundle chosen it compares all that served in the range."""
    choices = [slo(watched), *slices(), stage()]
    return Board(RELEASES_UID, TITLE, _DESCRIPTION, _sections(watched), choices, marks(choices), _RANGE_S, _REFRESH_S)


def _sections(watched: Watched) -> dict[str, Sequence[Panel]]:
    return {
        "1 · What gates said": [releases.verdicts(), releases.judged()],
        "2 · Side by side": [releases.bundles(), releases.objectives(watched), releases.stages(), releases.cost()],
        "3 · Since when": [
            releases.turns(),
            releases.burn(watched),
            stage_waterfall.p95_by("bundle"),
            stage_waterfall.tail_over_time(),
        ],
        "4 · What is in them, and the way back": [releases.released(), releases.looks()],
    }
