"""Panels about burn: what burns now, what budget is left and until when, which slice spends it, what paged."""

from __future__ import annotations

from dashboards.panels import CALM, HIDDEN, OKABE_ITO, PAGE, TICKET, TIMES, Chart, Column, Figures, Grid, Place, Steps
from dashboards.queries import burn_rate
from dashboards.queries.burn_rate import Watched, window_text, windows
from dashboards.queries.freshness import LATE_AFTER_S
from dashboards.queries.pages import PAGES_HISTORY
from dashboards.queries.selection import SLICE_VARIABLES
from dashboards.variables import BUDGETS_UID, BURN_UID, RELEASES_UID, drill_down

_WORDS = {"above page": PAGE, "above ticket": TICKET, "below": CALM}
_SEVERITIES = {"page": PAGE, "page, ticket": PAGE, "ticket": TICKET}
_STATES = {"firing": PAGE, "frozen": TICKET, "resolved": CALM}

NARROWED = "What is chosen applies as far as some cut names it together with the breakdown: each series says its slice."

_NEXT_OF = {"bundle": RELEASES_UID}
"""Where a dimension's values are looked at next; elsewhere burn by slice."""

_SPENT = Steps(calm=0.0)
"""A budget below nothing is overspent."""


def worst(watched: Watched) -> Figures:
    columns: dict[str, Column] = {
        "slices alerting": Column("none", steps=Steps(page=1)),
        "nearest to a threshold": Column(TIMES, 2, steps=Steps(page=1)),
        "least budget left": Column("percentunit", 1, steps=_SPENT),
        "completeness": Column("percentunit", 1),
        "decided ago": Column("s", 0, steps=Steps(ticket=LATE_AFTER_S["burn_windows"])),
    }
    meaning = (
        "Slices with a firing alert; how near the worst slice is to its nearest policy row, 1 being the threshold (once a row that "
        "pages is reached, to that one, however far tickets are exceeded); the least error budget left; and the share of recent volume that had reported when this was decided, and how long "
        "before the range's end (or now) that was. Old figures say nothing of now: look whether the pipeline is silent."
    )
    return Figures(burn_rate.worst_now(watched), "Now", meaning, Place(24, 4), columns)


def burning(watched: Watched) -> Grid:
    burns = {
        f"burn {window_text(seconds)}": Column("none", 2, 76, steps=_factors(watched, seconds))
        for seconds in windows(watched)
    }
    columns: dict[str, Column] = {
        "alert": Column(words=_SEVERITIES, width=80),
        "threshold": Column(words=_WORDS, width=110),
        "slo": Column(width=200, link=drill_down("slo", to=BUDGETS_UID)),
        "slice": Column(link=drill_down("slo", *SLICE_VARIABLES, to=BURN_UID), width=300),
        "nearness": Column(TIMES, 2, 80),
        "row": Column(width=130),
        **burns,
        "budget_left": Column("percentunit", 1, steps=_SPENT),
        "spent in": Column("s", 0),
        "completeness": Column("percentunit", 1),
        "decided_at": Column("dateTimeAsIso"),
        **dict.fromkeys(SLICE_VARIABLES, HIDDEN),
    }
    meaning = (
        "Worst first. Burn is how many times faster than allowed the error budget is spent, window by window; a "
        "cell changes where its window reaches the lowest factor of a policy row. 'threshold' and 'nearness' judge"
        " both windows of a row by the SLO's own factor: above 1, both exceed it; a row that pages comes before any that tickets. 'alert' "
        "is what fires. 'spent "
        "in' is the time until the budget is gone at the burn of the last hour."
    )
    return Grid(burn_rate.burning_now(watched), "Burning now, worst first", meaning, Place(24, 11), columns)


def _factors(watched: Watched, seconds: int) -> Steps:
    """The lowest factors at which a row that looks at this window tickets or pages; without one it does so on any event."""
    rows = [row for each in watched for row in each.rows if row.factor > 0 and seconds in (row.long_s, row.short_s)]
    lowest = {
        severity: min((float(row.factor) for row in rows if row.severity == severity), default=None)
        for severity in ("ticket", "page")
    }
    return Steps(ticket=lowest["ticket"], page=lowest["page"])


def nearness(watched: Watched) -> Chart:
    meaning = (
        "For each slice, the smaller burn of a policy row's two windows over the row's factor, for its nearest "
        "row, be it of a page or a ticket; the eight slices that came nearest. Above the dashed line at 1 both windows exceed the row. Of each window the "
        "highest burn of a step, so over long ranges a point may be too high, never too low."
    )
    query = burn_rate.nearness_over_time(watched)
    return Chart(
        query,
        "How near to a threshold",
        meaning,
        TIMES,
        Place(12, 9),
        axis="burn ÷ factor of the nearest row",
        steps=Steps(page=1),
        link=drill_down(to=BURN_UID),
    )


def burn(watched: Watched, width: int = 12) -> Chart:
    meaning = (
        "Burn in the chosen window, the highest of each step, for the eight slices that burnt most. Dashed: the factors at which a policy "
        "row that looks at this window tickets or pages."
    )
    return Chart(
        burn_rate.burn_over_time(watched),
        "Burn over ${window}",
        meaning,
        "none",
        Place(width, 9),
        axis="times allowed spending",
        limits={"ticket at": TICKET, "page at": PAGE},
    )


def budget() -> Chart:
    meaning = (
        "Share of the period's error budget that is left; at zero, dashed, it is spent. The eight slices with the "
        "least left."
    )
    return Chart(
        burn_rate.budget_left_over_time(),
        "Budget left",
        meaning,
        "percentunit",
        Place(10, 9),
        axis="share of the budget",
        steps=_SPENT,
    )


def exhaustion(watched: Watched, to: str = BUDGETS_UID) -> Grid:
    query = burn_rate.exhaustion(watched)
    columns: dict[str, Column] = {
        "slo": Column(width=210),
        "slice": Column(link=drill_down("slo", *SLICE_VARIABLES, to=to), width=260),
        "objective": Column("percentunit", 2),
        "budget_left": Column("percentunit", 1, steps=_SPENT),
        **{name: Column("s", 0) for name in burn_rate.exhaustion_columns(watched)},
        **dict.fromkeys(SLICE_VARIABLES, HIDDEN),
    }
    meaning = (
        "Least budget first; then the time until it is spent, were it spent as in each long window. Empty: nothing"
        " burns. 0 s: it is spent."
    )
    return Grid(query, "Time to exhaustion", meaning, Place(14, 9), columns)


def bad_by(dimension: str, watched: Watched) -> Grid:
    columns: dict[str, Column] = {
        "slo": Column(width=260),
        "pool": Column(width=90),
        dimension: Column(link=drill_down("slo", "pool", dimension, to=_NEXT_OF.get(dimension, BURN_UID))),
        "bad": Column("short"),
        "bad_share": Column("percentunit", 2),
        "burn": Column("none", 2),
        "share_of_bad": Column(bar=OKABE_ITO[1]),
        "share_of_turns": Column(bar=OKABE_ITO[0]),
    }
    meaning = (
        f"Over the whole range, by {dimension}, what takes most of the budget first: bad turns, their share, the burn that is, and which "
        f"part of the SLO's bad turns and of its turns this {dimension} has. A longer orange than blue bar explains "
        "more than its share."
    )
    return Grid(burn_rate.bad_share_by(dimension, watched), f"By {dimension}", meaning, Place(24, 6), columns)


def bad_over_time(watched: Watched, to: str = BURN_UID) -> Chart:
    meaning = f"Share of bad turns of each slice of the chosen breakdown, step by step; the eight with the highest peak. {NARROWED}"
    query = burn_rate.bad_share_over_time(watched)
    place, next_board = Place(24, 9), drill_down("slo", *SLICE_VARIABLES, to=to)
    return Chart(query, "Bad share by ${by}", meaning, "percentunit", place, axis="bad ÷ judged turns", link=next_board)


def pages() -> Grid:
    columns: dict[str, Column] = {
        "state": Column(words=_STATES, width=90),
        "severity": Column(words=_SEVERITIES, width=90),
        "summary": Column(width=480),
        "slo": Column(width=200),
        "slice": Column(width=280, link=drill_down("slo", *SLICE_VARIABLES, to=BURN_UID)),
        "starts_event": Column("dateTimeAsIso"),
        "ends_event": Column("dateTimeAsIso"),
        "lasted_s": Column("s", 0),
        "long_burn": Column(TIMES, 2),
        "short_burn": Column(TIMES, 2),
        "budget_left": Column("percentunit", 1, steps=_SPENT),
        **dict.fromkeys(SLICE_VARIABLES, HIDDEN),
    }
    meaning = (
        "Every page and ticket that was open in the range, open ones first, as it stood at its end; `frozen` is one that fired and "
        "that no data has confirmed or ended since. The summary names the slices that explain it, the stage that grew and the release "
        "before it. Times are event times, burns the highest that was stated."
    )
    return Grid(PAGES_HISTORY, "Pages and tickets", meaning, Place(24, 8), columns)
