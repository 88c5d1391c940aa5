"""The panel of budgets: what is left and spent today, as counted and without what was excluded."""

from __future__ import annotations

from dashboards.panels import HIDDEN, Column, Grid, Place, Steps
from dashboards.queries.budgets import BUDGETS
from dashboards.queries.selection import SLICE_VARIABLES
from dashboards.variables import BUDGETS_UID, drill_down

_SPENT = Steps(calm=0.0)
"""A budget below nothing is overspent."""


def budgets(to: str = BUDGETS_UID) -> Grid:
    columns: dict[str, Column] = {
        "slo": Column(width=210),
        "slice": Column(link=drill_down("slo", *SLICE_VARIABLES, to=to), width=260),
        "budget_left": Column("percentunit", 1, steps=_SPENT),
        "corrected_budget_left": Column("percentunit", 1, steps=_SPENT),
        "spent_today": Column("percentunit", 2),
        "corrected_spent_today": Column("percentunit", 2),
        "one_failure_costs": Column("percentunit", 3),
        "excluded_bad": Column("short"),
        "excluded_total": Column("short"),
        "decided_at": Column("dateTimeAsIso"),
        **dict.fromkeys(SLICE_VARIABLES, HIDDEN),
    }
    meaning = (
        "From stored minutes, late ones included, at the end of the newest day in the range (UTC): what is left of the "
        "period's budget, what the day spent of it and what one failure costs; 'corrected' is without excluded minutes, "
        "and empty where nothing stored tells how much those are. Alerts are judged on everything."
    )
    return Grid(BUDGETS, "Budgets, as counted and corrected", meaning, Place(24, 8), columns)
