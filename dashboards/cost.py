"""The board of money: what a successful turn costs, what moved that, where it goes, and what the month will come to."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.boards import Board, Choice
from dashboards.marks import marks
from dashboards.panels import Panel
from dashboards.queries import Query
from dashboards.queries.selection import Sliced, option_query
from dashboards.queries.spend import BREAKDOWNS, VARIABLES
from dashboards.sections import cost as panels
from dashboards.variables import COST_UID
from schemas.dimensions import DIMENSIONS
from schemas.families import COSTS
from schemas.spend_policies import STANDARD, SpendPolicy

TITLE = "Cost per successful turn"
_DESCRIPTION = (
    "What a successful turn costs, what moved that, where the money goes, and what has no price or no budget."
)
_OF_COSTS = Sliced(VARIABLES, tuple(cut for cut in COSTS.cuts if set(VARIABLES) <= set(cut.dimensions)))
_DAY_S = 86_400


def cost(policy: SpendPolicy = STANDARD) -> Board:
    """The board for what this policy says about money. It opens on a day: costs may come six hours late."""
    choices = [*map(_choice, VARIABLES)]
    choices.append(
        Choice("by", "break down by", "the dimension that costs are cut by", BREAKDOWNS, False, BREAKDOWNS[0])
    )
    return Board(COST_UID, TITLE, _DESCRIPTION, _sections(policy), choices, marks(choices), _DAY_S, refresh_s=300)


def _choice(name: str) -> Choice:
    query = Query(f"values_of_{name}", option_query(name, "spend_10m", _OF_COSTS))
    return Choice(name, name, DIMENSIONS[name].meaning, query)


def _sections(policy: SpendPolicy) -> dict[str, Sequence[Panel]]:
    return {
        "1 · What a success costs": [
            panels.worst(policy),
            panels.alerts(policy),
            panels.per_success(policy),
            panels.per_success_by(),
        ],
        "2 · What moved it": [panels.moved(), panels.rates()],
        "3 · Where it goes": [panels.by_slice(policy), panels.parts_over_time(), panels.parts_by_model()],
        "4 · What is missing": [panels.uncosted(), panels.month(policy)],
    }
