"""The panel of budgets: what is left and spent today, as counted and without what was excluded."""

from __future__ import annotations

from dashboards.panels import Panel, Place, Properties, Steps, by_steps, grid, hidden, in_unit, wide
from dashboards.queries.budgets import BUDGETS
from dashboards.queries.selection import SLICE_VARIABLES
from dashboards.variables import drill_down

_SPENT = Steps(calm=0.0)
"""A budget below nothing is overspent."""


def budgets() -> Panel:
    columns: dict[str, Properties] = {
        "slo": wide(210),
        "slice": [*drill_down("slo", *SLICE_VARIABLES), *wide(260)],
        "budget_left": [*in_unit("percentunit", 1), *by_steps(_SPENT)],
        "corrected_budget_left": [*in_unit("percentunit", 1), *by_steps(_SPENT)],
        "spent_today": in_unit("percentunit", 2),
        "corrected_spent_today": in_unit("percentunit", 2),
        "one_failure_costs": in_unit("percentunit", 3),
        "excluded_bad": in_unit("short"),
        "excluded_total": in_unit("short"),
        "decided_at": in_unit("dateTimeAsIso"),
        **{name: hidden() for name in SLICE_VARIABLES},
    }
    meaning = (
        "From stored minutes, late ones included, at the end of the newest day in the range (UTC): what is left of the "
        "period's budget, what the day spent of it and what one failure costs; 'corrected' is without excluded minutes, "
        "and empty where nothing stored tells how much those are. Alerts are judged on everything."
    )
    return grid(BUDGETS, "Budgets, as counted and corrected", meaning, Place(24, 8), columns)
