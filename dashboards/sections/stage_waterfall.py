"""Panels about a turn's stages in their order: the waterfall, bundle by bundle and route by route, and tails."""

from __future__ import annotations

from dashboards.panels import OKABE_ITO, TIMES, UNSEEN, Bars, Chart, Column, Grid, Place
from dashboards.queries import stage_latency, stage_waterfall
from dashboards.variables import RELEASES_UID, drill_down
from schemas.families import PARTS

_SHADES = (*OKABE_ITO, "#F0E442", "#7B5EA7", "#B8B8B8")
"""As many as a turn has parts; a part is told apart by its place in the bar as well."""


def waterfall() -> Bars:
    parts = {"begins after": UNSEEN, "on average": OKABE_ITO[0], "up to p95": OKABE_ITO[4]}
    meaning = (
        "A turn from the end of the user's speech on: each stage begins where those before it ended on average, the dark bar is "
        "what it adds to the mean turn, the light one how far its slowest 5 % go beyond. The longest dark bar is where time "
        "goes, the longest light one what a tail comes from. 'first_audio', 'heard' and 'turn' are wholes, as long as on average; "
        "their tails are in the table of tails."
    )
    return Bars(
        stage_waterfall.WATERFALL,
        "Where a turn's time goes",
        meaning,
        "ms",
        Place(24, 13),
        "stage",
        parts,
        axis="since the end of speech",
    )


def parts_by(dimension: str) -> Bars:
    colours = dict(zip(PARTS, _SHADES, strict=True))
    meaning = (
        f"What each part of the turn adds to the mean turn of each {dimension}, in the turn's order, the slowest {dimension} first. "
        "Where two bars differ, the part that is longer is what differs; a part that not every turn has counts with its share."
    )
    query = stage_waterfall.parts_by(dimension)
    title, label = f"The mean turn, by {dimension}", stage_waterfall.label(dimension)
    return Bars(query, title, meaning, "ms", Place(12, 11), label, colours, axis="since the end of speech")


def growth_by(dimension: str) -> Grid:
    milliseconds = Column("ms", 1)
    columns: dict[str, Column] = {
        "pool": Column(width=80),
        dimension: Column(link=drill_down("pool", dimension, to=RELEASES_UID), width=140),
        "stage": Column(width=140),
        "p99_added_ms": Column("ms", 1, 110),
        "p99_growth": Column(TIMES, 2),
        **{f"{name}_{when}": milliseconds for name in ("p99_ms", "p50_ms", "mean_ms") for when in ("before", "now")},
    }
    meaning = (
        f"The last quarter of the range ('now') against its first half ('before'), stage by stage of each {dimension}; what added "
        f"most to its p99 first. One {dimension} at the top names the cause, all of them together what they share. Empty: "
        "nothing was seen then."
    )
    return Grid(stage_latency.growth_by(dimension), f"What grew, by {dimension}", meaning, Place(24, 10), columns)


def tails() -> Grid:
    columns: dict[str, Column] = {
        "stage": Column(width=150),
        "observed": Column("short"),
        **{name: Column("ms", 1) for name in ("mean", "p50", "p90", "p95", "p99", "p999", "slowest")},
        "p99 to p50": Column(TIMES, 1),
    }
    meaning = (
        "Quantiles of each stage over the whole range, in the turn's order; 'slowest' is the highest bucket that was seen. A p99 "
        "of many times the p50 is a tail of its own (retries, queues, cold caches), not a slow stage."
    )
    return Grid(stage_waterfall.TAILS, "Tails", meaning, Place(24, 11), columns)


def tail_over_time() -> Chart:
    meaning = (
        "p50, p95 and p99 of the chosen stage. All three up: everything is slower; p99 alone: a tail; a step at a release's mark: "
        "the release."
    )
    return Chart(
        stage_waterfall.TAIL_OVER_TIME,
        "Quantiles of ${stage}",
        meaning,
        "ms",
        Place(12, 9),
        axis="latency",
        series=("p50", "p95", "p99"),
    )


def p95_by(dimension: str) -> Chart:
    meaning = f"p95 of the chosen stage, {dimension} beside {dimension}; the eight with the highest peak. One that leaves the others is the cause."
    query = stage_waterfall.p95_by(dimension)
    return Chart(query, "p95 of ${stage}, by " + dimension, meaning, "ms", Place(12, 9), axis="latency")
