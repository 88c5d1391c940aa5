"""Panels about where and when budgets burn: heat maps by slice, and the slices that explain it."""

from __future__ import annotations

from dashboards.panels import HIDDEN, OKABE_ITO, TIMES, Column, Grid, HeatMap, Place, Steps
from dashboards.queries import burn_by_slice
from dashboards.queries.burn_rate import Watched
from dashboards.queries.selection import SLICE_VARIABLES
from dashboards.sections.burn_rate import NARROWED
from dashboards.variables import STAGES_UID, drill_down
from schemas.slos import Severity

_NEXT = drill_down("slo", *SLICE_VARIABLES, to=STAGES_UID)
_STEPS: dict[Severity, Steps] = {"page": Steps(page=1), "ticket": Steps(ticket=1)}


def severities(watched: Watched) -> tuple[Severity, ...]:
    """Those that some row of the policies has."""
    known: tuple[Severity, ...] = ("page", "ticket")
    return tuple(each for each in known if any(row.severity == each for one in watched for row in one.rows))


def nearness(watched: Watched, severity: Severity) -> HeatMap:
    meaning = (
        f"How near each slice came to its nearest policy row that is worth a {severity}: the smaller burn of the row's two windows "
        "over its factor. From 1 on, where cells change colour, both windows exceed the row. The thirty slices that came "
        "nearest; of each window the highest burn of a step, so over long ranges a cell may be too high, never too low."
    )
    query = burn_by_slice.nearness_by_slice(watched, severity)
    return HeatMap(
        query,
        f"How near to a {severity}, slice by slice",
        meaning,
        TIMES,
        Place(24, 14),
        steps=_STEPS[severity],
        decimals=2,
        link=_NEXT,
    )


def breakdown(watched: Watched) -> HeatMap:
    meaning = (
        "Bad share over what the objective allows, as counted in each step, of every slice of the chosen breakdown; the thirty "
        "with the highest peak. 1 spends the budget as fast as it comes; cells change at the lowest factors that ticket and page. "
        f"{NARROWED}"
    )
    return HeatMap(
        burn_by_slice.burn_by_breakdown(watched),
        "Burn by ${by}, step by step",
        meaning,
        TIMES,
        Place(24, 12),
        steps=_lowest(watched),
        decimals=1,
        link=_NEXT,
    )


def _lowest(watched: Watched) -> Steps:
    """The lowest factors of any row that tickets or pages."""
    lowest = {
        severity: min(
            (float(row.factor) for each in watched for row in each.rows if row.severity == severity and row.factor > 0),
            default=None,
        )
        for severity in ("ticket", "page")
    }
    return Steps(ticket=lowest["ticket"], page=lowest["page"])


def explaining(watched: Watched) -> Grid:
    columns: dict[str, Column] = {
        "slo": Column(width=210),
        "slice": Column(link=_NEXT, width=320),
        "bad": Column("short"),
        "total": Column("short"),
        "bad_share": Column("percentunit", 2),
        "burn": Column("none", 2),
        "excess_bad": Column("short"),
        "share_of_bad": Column(bar=OKABE_ITO[1]),
        "share_of_turns": Column(bar=OKABE_ITO[0]),
        "lift": Column(TIMES, 2),
        **dict.fromkeys(SLICE_VARIABLES, HIDDEN),
    }
    meaning = (
        "Slices of every cut inside of what is selected, by the budget that their excess takes, the most first: bad turns beyond "
        "those that the objective allows on their traffic. One explains the burn where its orange bar is much longer than its "
        "blue one ('lift' well above 1). Slices of different cuts lie within one another and do not add up."
    )
    query = burn_by_slice.explaining(watched)
    return Grid(query, "Slices that explain it, worst first", meaning, Place(24, 14), columns)
