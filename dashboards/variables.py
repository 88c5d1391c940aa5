"""What a board's reader chooses from: SLOs, the contract's dimensions, a breakdown and a burn window.

"All" and nothing chosen are the same; a link that names a value outside of a list works as well.
"""

from __future__ import annotations

from dashboards.boards import Choice
from dashboards.panels import Link
from dashboards.queries import Query
from dashboards.queries.burn_rate import BREAKDOWNS, NAMED_WINDOW_S, Watched, window_text, windows
from dashboards.queries.selection import SLICE_VARIABLES, option_query
from dashboards.queries.stage_latency import IN_ORDER
from schemas.boards import (
    BUDGETS_UID as BUDGETS_UID,
)
from schemas.boards import (
    BURN_UID as BURN_UID,
)
from schemas.boards import (
    COST_UID as COST_UID,
)
from schemas.boards import (
    DRIFT_UID as DRIFT_UID,
)
from schemas.boards import (
    DUPLEX_UID as DUPLEX_UID,
)
from schemas.boards import (
    OVERVIEW_UID as OVERVIEW_UID,
)
from schemas.boards import (
    PIPELINE_UID as PIPELINE_UID,
)
from schemas.boards import (
    QUEUES_UID as QUEUES_UID,
)
from schemas.boards import (
    RELEASES_UID as RELEASES_UID,
)
from schemas.boards import (
    STAGES_UID as STAGES_UID,
)
from schemas.dimensions import DIMENSIONS

_BREAKDOWN = "bundle"
"""Broken down by release first: what changed most recently is asked about first."""


def choices(watched: Watched) -> list[Choice]:
    """All choices of a board about burn."""
    return [slo(watched), *slices(), breakdown(), window(watched)]


def slices() -> list[Choice]:
    """One per dimension that identifies nobody."""
    return [
        Choice(name, name, DIMENSIONS[name].meaning, Query(f"values_of_{name}", option_query(name)))
        for name in SLICE_VARIABLES
    ]


def stage() -> Choice:
    return Choice("stage", "stage", "the stage whose quantiles are drawn", IN_ORDER, is_multi=False, chosen="turn")


def slo(watched: Watched) -> Choice:
    return Choice("slo", "SLO", "the objectives shown", tuple(each.slo.name for each in watched))


def breakdown() -> Choice:
    meaning = "the dimension that the chart of bad shares is cut by"
    return Choice("by", "break down by", meaning, BREAKDOWNS, is_multi=False, chosen=_BREAKDOWN)


def window(watched: Watched) -> Choice:
    names = tuple(window_text(seconds) for seconds in windows(watched))
    chosen = window_text(NAMED_WINDOW_S)
    return Choice("window", "burn window", "the window of the burn chart", names, is_multi=False, chosen=chosen)


_ASKED_NEXT = {
    OVERVIEW_UID: "Only this slice, same time range",
    BUDGETS_UID: "Its budget: what is left, what it is charged for",
    BURN_UID: "Where and when it burns, and which slices explain it",
    STAGES_UID: "Where the time of its turns goes",
    RELEASES_UID: "Its bundles side by side",
    QUEUES_UID: "Its queues, and how much room there is",
    DUPLEX_UID: "Its conversations, only this slice",
    DRIFT_UID: "Which of its figures drift",
    COST_UID: "What its successes cost, only this slice",
    PIPELINE_UID: "What is known of it, and how old that is",
}
"""What a link to each board is for."""


def drill_down(*columns: str, to: str = OVERVIEW_UID) -> Link:
    """A link to a board that keeps range and choices, narrowed to the row by the `columns` that select."""
    return Link(to, columns, _ASKED_NEXT[to])
