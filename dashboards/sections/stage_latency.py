"""Panels about time: which stage of the turn grew."""

from __future__ import annotations

from dashboards.panels import TIMES, Panel, Place, Properties, chart, coloured, grid, in_unit, wide
from dashboards.queries import stage_latency
from schemas.families import STAGES


def growth() -> Panel:
    milliseconds = [*in_unit("ms", 0)]
    columns: dict[str, Properties] = {
        "stage": wide(140),
        "p99_added_ms": [*milliseconds, *wide(110)],
        "p99_growth": in_unit(TIMES, 2),
        **{f"{name}_{when}": milliseconds for name in ("p99_ms", "p50_ms", "mean_ms") for when in ("before", "now")},
    }
    meaning = (
        "The last quarter of the range ('now') against its first half ('before'), the stage that added most to its"
        " p99 first. 'first_audio' and 'turn' are wholes, the others parts of them. Quantiles come from "
        "exponential histograms: off by 0.55 % at most for wholes, 1.1 % for parts."
    )
    return grid(stage_latency.GROWTH, "What grew", meaning, Place(24, 8), columns)


def stages(quantile: float) -> Panel:
    name = f"p{quantile * 100:g}"
    meaning = f"{name} of each stage's latency, out of its exponential histogram, for what is selected."
    panel = chart(
        stage_latency.quantile_over_time(quantile), f"{name} by stage", meaning, "ms", Place(12, 9), axis="latency"
    )
    return coloured(panel, STAGES)
