"""Panels about the data itself: what is shown, how complete and how old it is, what was dropped on the way."""

from __future__ import annotations

from dashboards.panels import Chart, Column, Grid, Place
from dashboards.queries import pipeline
from dashboards.queries.selection import OF_TURNS, Sliced
from schemas.families import OPERATIONAL


def shown(of: Sliced = OF_TURNS, width: int = 10) -> Grid:
    meaning = (
        "What the charts below are grouped by, and which part of the selection no cut of the contract can apply "
        "together with the rest. Rows of the tables about burn also contain the slices that a selection lies "
        "within."
    )
    return Grid(pipeline.shown(of), "What is shown", meaning, Place(width, 4), {"not applied": Column(is_marked=True)})


def completeness() -> Chart:
    meaning = (
        "Share of recent volume whose producers had reported when a decision was made, per SLO: the least complete"
        " decision of each step."
    )
    return Chart(
        pipeline.COMPLETENESS,
        "Completeness of decisions",
        meaning,
        "percentunit",
        Place(12, 8),
        axis="share of recent volume",
        low=0,
        high=1,
    )


def age() -> Grid:
    columns: dict[str, Column] = {"newest": Column("dateTimeAsIso"), "age_s": Column("s", 0)}
    meaning = (
        "The newest bucket or decision that landed in each table within the range, and how old it was at the "
        "range's end (or is now). Empty: silence."
    )
    return Grid(pipeline.AGE, "How old is the newest", meaning, Place(12, 8), columns)


def producers() -> Grid:
    columns: dict[str, Column] = {
        "newest_heartbeat": Column("dateTimeAsIso"),
        "age_s": Column("s", 0),
        "dropped_share": Column("percentunit", 2),
        **{name: Column("short") for name in ("seen", "dropped", "held_now")},
    }
    meaning = (
        "What producers of each region saw, dropped and still hold back below k, by family; the region that is silent "
        f"longest first. Cells of the {OPERATIONAL.name} partition are never held."
    )
    return Grid(pipeline.PRODUCERS, "Producers", meaning, Place(12, 8), columns)


def dropped() -> Chart:
    meaning = (
        "Observations per second that producers dropped (full buffer, failed check) or held back below k, by region."
    )
    return Chart(
        pipeline.DROPPED,
        "Dropped and held at the edge",
        meaning,
        "count:observations/s",
        Place(12, 8),
        axis="observations per second",
    )
