"""Panels about how budgets went: what was kept, what each day spent, what one failure costs, what is excluded."""

from __future__ import annotations

from dashboards.panels import CALM, HIDDEN, PAGE, TICKET, Chart, Column, Figures, Grid, HeatMap, Place, Steps
from dashboards.queries import budget_history
from dashboards.queries.burn_rate import Watched
from dashboards.queries.selection import SLICE_VARIABLES
from dashboards.variables import BURN_UID, drill_down

_SPENT = Steps(calm=0.0)
"""A budget below nothing is overspent."""
_DAY_S = 86_400


def at_a_glance() -> Figures:
    columns: dict[str, Column] = {
        "objectives watched": Column("none", 0),
        "budgets spent": Column("none", 0, steps=Steps(page=1)),
        "nearly spent": Column("none", 0, steps=Steps(ticket=1)),
        "least budget left": Column("percentunit", 1, steps=_SPENT),
        "most spent today": Column("percentunit", 2),
    }
    meaning = (
        "Of the slices shown, as decided last in the range: how many objectives there are, how many budgets are spent, how "
        f"many have less than {budget_history.LOW_SHARE:.0%} left, the least that is left, and the most that one has spent "
        "since midnight UTC."
    )
    return Figures(budget_history.AT_A_GLANCE, "Budgets at a glance", meaning, Place(24, 4), columns)


def kept(watched: Watched) -> Grid:
    columns: dict[str, Column] = {
        "in this range": Column(words={"kept": CALM, "missed": PAGE}, width=110),
        "slo": Column(link=drill_down("slo", to=BURN_UID), width=230),
        "pool": Column(width=80),
        "objective": Column("percentunit", 2),
        "good_share": Column("percentunit", 3),
        "bad": Column("short"),
        "total": Column("short"),
        "burn": Column("none", 2),
    }
    meaning = (
        "Every objective over this range alone, the worst first: was the share of good turns what is wanted? Above a burn of 1 "
        "the range spent more than its part of the budget. Over 30 days this is the budget itself; over a day it only says "
        "how the day went."
    )
    return Grid(budget_history.kept(watched), "Kept or missed in this range", meaning, Place(24, 10), columns)


def spent_by_day(watched: Watched) -> HeatMap:
    meaning = (
        "What part of its whole period's budget each slice spent on each day (UTC), the twenty that spent most. Spending evenly "
        "takes 1/30 a day of a budget of 30 days; a cell changes where a day takes what the policy's row of a day tickets."
    )
    return HeatMap(
        budget_history.SPENT_BY_DAY,
        "Spent, day by day",
        meaning,
        "percentunit",
        Place(24, 10),
        steps=_of_a_day(watched),
        decimals=1,
        link=drill_down("slo", *SLICE_VARIABLES, to=BURN_UID),
    )


def _of_a_day(watched: Watched) -> Steps:
    """The least share of a budget that a policy row of a day takes as worth a ticket or a page."""
    shares = {
        severity: min(
            (
                float(row.factor) * row.long_s / each.slo.period_s
                for each in watched
                for row in each.rows
                if row.severity == severity and row.long_s == _DAY_S and row.factor > 0
            ),
            default=None,
        )
        for severity in ("ticket", "page")
    }
    return Steps(ticket=shares["ticket"], page=shares["page"])


def corrected() -> Chart:
    meaning = (
        "What was left at the end of each day (UTC), reckoned anew from stored minutes, late ones included: as counted, and "
        "without what is excluded. Where the two part, a declared window took the difference. Zero, dashed, is a spent budget."
    )
    return Chart(
        budget_history.CORRECTED_BY_DAY,
        "Left at the end of each day, as counted and corrected",
        meaning,
        "percentunit",
        Place(12, 10),
        axis="share of the budget",
        steps=_SPENT,
    )


def excluded() -> Grid:
    columns: dict[str, Column] = {
        "state": Column(words={"in force": TICKET, "withdrawn": CALM}, width=100),
        "slo": Column(width=180),
        "slice": Column(width=240),
        "from_at": Column("dateTimeAsIso"),
        "to_at": Column("dateTimeAsIso"),
        "lasts_s": Column("s", 0),
        "at": Column("dateTimeAsIso"),
    }
    meaning = (
        "Windows that corrected budgets are not charged for and that reach into the range, with who declared or withdrew them "
        "last and why. Alerts are judged on everything, excluded or not."
    )
    return Grid(budget_history.EXCLUDED, "What is excluded", meaning, Place(12, 10), columns)


def one_failure() -> Grid:
    columns: dict[str, Column] = {
        "slo": Column(width=230),
        "slice": Column(link=drill_down("slo", *SLICE_VARIABLES, to=BURN_UID), width=260),
        "one_failure_costs": Column("percentunit", 4),
        "failures_left": Column("none", 0, steps=Steps(calm=1)),
        "budget_left": Column("percentunit", 1, steps=_SPENT),
        "spent_today": Column("percentunit", 2),
        "decided_at": Column("dateTimeAsIso"),
        **dict.fromkeys(SLICE_VARIABLES, HIDDEN),
    }
    meaning = (
        "What one bad turn takes of the period's budget at its expected traffic, and how many more fit into what is left; the "
        "fewest first. Where one failure costs a percent, a handful of calls is the budget: widen the slice or lower the "
        "objective before paging on it. Empty before an hour of history."
    )
    return Grid(budget_history.ONE_FAILURE, "What one failure costs", meaning, Place(24, 9), columns)
