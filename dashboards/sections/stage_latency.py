"""Panels about time: which stage of the turn grew."""

from __future__ import annotations

from dashboards.panels import TIMES, Chart, Column, Grid, Place
from dashboards.queries import stage_latency
from dashboards.variables import STAGES_UID, drill_down
from schemas.families import STAGES


def growth() -> Grid:
    milliseconds = Column("ms", 1)
    columns: dict[str, Column] = {
        "stage": Column(width=140, link=drill_down("stage", to=STAGES_UID)),
        "p99_added_ms": Column("ms", 1, 110),
        "p99_growth": Column(TIMES, 2),
        **{f"{name}_{when}": milliseconds for name in ("p99_ms", "p50_ms", "mean_ms") for when in ("before", "now")},
    }
    meaning = (
        "The last quarter of the range ('now') against its first half ('before'), the stage that added most to its"
        " p99 first. 'first_audio' and 'turn' are wholes, the others parts of them. Quantiles come from "
        "exponential histograms: off by 0.55 % at most for wholes, 1.1 % for parts."
    )
    return Grid(stage_latency.GROWTH, "What grew", meaning, Place(24, 8), columns)


def stages(quantile: float) -> Chart:
    name = f"p{quantile * 100:g}"
    meaning = f"{name} of each stage's latency, out of its exponential histogram, for what is selected."
    query = stage_latency.quantile_over_time(quantile)
    return Chart(query, f"{name} by stage", meaning, "ms", Place(12, 9), axis="latency", series=STAGES)
