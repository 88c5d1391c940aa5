"""The board of Monday and of the manager who opens one link: which objectives were kept, and how long budgets last.

From what is left, through how it went and what each day took, to what one more failure costs and what is not charged.
Everything is of the slices that the choices above it select; nothing chosen is each objective's whole pool.
"""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.boards import Board
from dashboards.marks import marks
from dashboards.panels import Panel
from dashboards.queries.burn_rate import Watched
from dashboards.sections import budget_history, budgets, burn_rate
from dashboards.variables import BUDGETS_UID, BURN_UID, slices, slo

TITLE = "SLOs and budgets"
_DESCRIPTION = "Which objectives were kept, how much of each budget is left and until when, and what took the rest."
_PERIOD_S, _REFRESH_S = 30 * 86_400, 300


def slos_and_budgets(watched: Watched) -> Board:
    """The board for these objectives and their policy rows."""
    choices = [slo(watched), *slices()]
    return Board(BUDGETS_UID, TITLE, _DESCRIPTION, _sections(watched), choices, marks(choices), _PERIOD_S, _REFRESH_S)


def _sections(watched: Watched) -> dict[str, Sequence[Panel]]:
    return {
        "1 · Were they kept": [budget_history.at_a_glance(), budget_history.kept(watched)],
        "2 · How much is left, and until when": [burn_rate.budget(), burn_rate.exhaustion(watched, BURN_UID)],
        "3 · What took it": [budget_history.spent_by_day(watched)],
        "4 · What one failure costs": [budget_history.one_failure()],
        "5 · What is not charged": [budgets.budgets(BURN_UID), budget_history.corrected(), budget_history.excluded()],
    }
