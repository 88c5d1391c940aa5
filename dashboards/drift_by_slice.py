"""The board of drift: which figure got worse where, since when, against which reference, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.boards import Board, Choice
from dashboards.marks import marks
from dashboards.panels import Panel
from dashboards.queries import Query
from dashboards.queries.drift import DIMENSIONS_OF_DRIFT, MEASURE, option_query
from dashboards.queries.labelled_quality import BREAKDOWNS
from dashboards.sections import drift, labelled_quality
from dashboards.variables import DRIFT_UID
from schemas.dimensions import DIMENSIONS
from schemas.drift_policies import STANDARD, DriftPolicy

TITLE = "Drift by slice"
_DESCRIPTION = (
    "Which figure of which slice got worse, since when, against which reference, and of how much that is known."
)
_WEEK_S = 7 * 86_400


def drift_by_slice(policy: DriftPolicy = STANDARD) -> Board:
    """The board for what this policy tolerates. It opens on a week: drift is judged hour by hour against the one before."""
    choices = [_choice(name, DIMENSIONS[name].meaning) for name in DIMENSIONS_OF_DRIFT]
    choices += [
        Choice(MEASURE, "figure", "the figures looked at for drift", tuple(each.name for each in policy.measures)),
        Choice("by", "break down by", "the dimension that labelled calls are cut by", BREAKDOWNS, False, BREAKDOWNS[0]),
    ]
    return Board(DRIFT_UID, TITLE, _DESCRIPTION, _sections(policy), choices, marks(choices), _WEEK_S, refresh_s=300)


def _choice(name: str, meaning: str) -> Choice:
    return Choice(name, name, meaning, Query(f"values_of_{name}", option_query(name)))


def _sections(policy: DriftPolicy) -> dict[str, Sequence[Panel]]:
    return {
        "1 · What drifts": [drift.worst(policy), drift.drifting(policy), drift.tickets()],
        "2 · Since when": [drift.times_tolerated(policy), drift.evidence(policy), drift.excess(policy)],
        "3 · How well labelled calls are understood": [labelled_quality.over_time(), labelled_quality.by_slice(policy)],
        "4 · What is known at all": [drift.states()],
    }
