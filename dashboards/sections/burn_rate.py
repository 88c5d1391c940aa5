"""Panels about burn: what burns now, what budget is left and until when, which slice spends it, what paged."""

from __future__ import annotations

from dashboards.panels import (
    CALM,
    OKABE_ITO,
    PAGE,
    TICKET,
    TIMES,
    Panel,
    Place,
    Properties,
    Steps,
    as_bar,
    by_steps,
    by_word,
    chart,
    figures,
    grid,
    hidden,
    in_unit,
    limit_lines,
    wide,
)
from dashboards.queries import burn_rate
from dashboards.queries.burn_rate import PAGES_HISTORY, Watched, window_text, windows
from dashboards.queries.selection import SLICE_VARIABLES
from dashboards.variables import drill_down

_WORDS = {"above page": PAGE, "above ticket": TICKET, "below": CALM}
_SEVERITIES = {"page": PAGE, "page, ticket": PAGE, "ticket": TICKET}
_STATES = {"firing": PAGE, "frozen": TICKET, "resolved": CALM}

_SPENT = Steps(calm=0.0)
"""A budget below nothing is overspent."""


def worst(watched: Watched) -> Panel:
    columns: dict[str, Properties] = {
        "slices alerting": [*in_unit("none"), *by_steps(Steps(page=1))],
        "nearest to a threshold": [*in_unit(f"{TIMES} threshold", 2), *by_steps(Steps(page=1))],
        "least budget left": [*in_unit("percentunit", 1), *by_steps(_SPENT)],
        "completeness": in_unit("percentunit", 1),
    }
    meaning = (
        "Slices with a firing alert; how near the worst slice is to its nearest policy row, 1 being the threshold;"
        " the least error budget left; and the share of recent volume that had reported when this was decided."
    )
    return figures(burn_rate.worst_now(watched), "Now", meaning, Place(14, 4), columns)


def burning(watched: Watched) -> Panel:
    burns = {
        f"burn {window_text(seconds)}": [*in_unit("none", 2), *by_steps(_factors(watched, seconds)), *wide(76)]
        for seconds in windows(watched)
    }
    columns: dict[str, Properties] = {
        "alert": [*by_word(_SEVERITIES), *wide(80)],
        "threshold": [*by_word(_WORDS), *wide(110)],
        "slo": wide(200),
        "slice": [*drill_down("slo", *SLICE_VARIABLES), *wide(300)],
        "nearness": [*in_unit(TIMES, 2), *wide(80)],
        "row": wide(130),
        **burns,
        "budget_left": [*in_unit("percentunit", 1), *by_steps(_SPENT)],
        "spent in": in_unit("s", 0),
        "completeness": in_unit("percentunit", 1),
        "decided_at": in_unit("dateTimeAsIso"),
        **{name: hidden() for name in SLICE_VARIABLES},
    }
    meaning = (
        "Worst first. Burn is how many times faster than allowed the error budget is spent, window by window; a "
        "cell changes where its window reaches the lowest factor of a policy row. 'threshold' and 'nearness' judge"
        " both windows of a row by the SLO's own factor: above 1, both exceed it. 'alert' is what fires. 'spent "
        "in' is the time until the budget is gone at the burn of the last hour."
    )
    return grid(burn_rate.burning_now(watched), "Burning now, worst first", meaning, Place(24, 11), columns)


def _factors(watched: Watched, seconds: int) -> Steps:
    """The lowest factors at which a row that looks at this window tickets or pages."""
    rows = [row for each in watched for row in each.rows if seconds in (row.long_s, row.short_s)]
    lowest = {
        severity: min((float(row.factor) for row in rows if row.severity == severity), default=None)
        for severity in ("ticket", "page")
    }
    return Steps(ticket=lowest["ticket"], page=lowest["page"])


def nearness(watched: Watched) -> Panel:
    meaning = (
        "For each slice, the smaller burn of a policy row's two windows over the row's factor, for its nearest "
        "row; the eight slices that came nearest. Above the dashed line at 1 both windows exceed the row."
    )
    query = burn_rate.nearness_over_time(watched)
    return chart(
        query,
        "How near to a threshold",
        meaning,
        TIMES,
        Place(12, 9),
        axis="burn ÷ factor of the nearest row",
        steps=Steps(page=1),
    )


def burn(watched: Watched) -> Panel:
    meaning = (
        "Burn in the chosen window, for the eight slices that burnt most. Dashed: the factors at which a policy "
        "row that looks at this window tickets or pages."
    )
    panel = chart(
        burn_rate.burn_over_time(watched),
        "Burn over ${window}",
        meaning,
        "none",
        Place(12, 9),
        axis="times allowed spending",
    )
    return limit_lines(limit_lines(panel, "ticket at", TICKET), "page at", PAGE)


def budget() -> Panel:
    meaning = (
        "Share of the period's error budget that is left; at zero, dashed, it is spent. The eight slices with the "
        "least left."
    )
    return chart(
        burn_rate.budget_left_over_time(),
        "Budget left",
        meaning,
        "percentunit",
        Place(10, 9),
        axis="share of the budget",
        steps=_SPENT,
    )


def exhaustion(watched: Watched) -> Panel:
    query = burn_rate.exhaustion(watched)
    columns: dict[str, Properties] = {
        "slo": wide(210),
        "slice": [*drill_down("slo", *SLICE_VARIABLES), *wide(260)],
        "objective": in_unit("percentunit", 2),
        "budget_left": [*in_unit("percentunit", 1), *by_steps(_SPENT)],
        **{name: in_unit("s", 0) for name in burn_rate.exhaustion_columns(watched)},
        **{name: hidden() for name in SLICE_VARIABLES},
    }
    meaning = (
        "Least budget first; then the time until it is spent, were it spent as in each long window. Empty: nothing"
        " burns. 0 s: it is spent."
    )
    return grid(query, "Time to exhaustion", meaning, Place(14, 9), columns)


def bad_by(dimension: str, watched: Watched) -> Panel:
    columns: dict[str, Properties] = {
        "slo": wide(200),
        "pool": wide(80),
        dimension: drill_down("slo", "pool", dimension),
        "bad": in_unit("short"),
        "bad_share": in_unit("percentunit", 2),
        "burn": in_unit("none", 2),
        "share_of_bad": as_bar(OKABE_ITO[1]),
        "share_of_turns": as_bar(OKABE_ITO[0]),
    }
    meaning = (
        f"Over the whole range, by {dimension} and worst first: bad turns, their share, the burn that is, and which "
        f"part of the SLO's bad turns and of its turns this {dimension} has. A longer orange than blue bar explains "
        "more than its share."
    )
    return grid(burn_rate.bad_share_by(dimension, watched), f"By {dimension}", meaning, Place(8, 9), columns)


def bad_over_time(watched: Watched) -> Panel:
    meaning = (
        "Share of bad turns of each slice of the chosen breakdown, step by step; the eight with the highest peak. "
        "Of the selection, pool and SLO and the breakdown's own values apply."
    )
    query = burn_rate.bad_share_over_time(watched)
    return chart(query, "Bad share by ${by}", meaning, "percentunit", Place(24, 9), axis="bad ÷ judged turns")


def pages() -> Panel:
    columns: dict[str, Properties] = {
        "state": [*by_word(_STATES), *wide(90)],
        "severity": [*by_word(_SEVERITIES), *wide(90)],
        "slo": wide(200),
        "slice": wide(280),
        "starts_event": in_unit("dateTimeAsIso"),
        "ends_event": in_unit("dateTimeAsIso"),
        "lasted_s": in_unit("s", 0),
        "long_burn": in_unit(TIMES, 2),
        "short_burn": in_unit(TIMES, 2),
        "budget_left": [*in_unit("percentunit", 1), *by_steps(_SPENT)],
        "summary": wide(480),
    }
    meaning = (
        "Every page and ticket that was open in the range, open ones first; `frozen` is one that fired and that no data "
        "has confirmed or ended since. Times are event times, burns the highest that was stated."
    )
    return grid(PAGES_HISTORY, "Pages and tickets", meaning, Place(24, 8), columns)
