"""Cells over time, a row for each series, as a specification of Vega-Lite.

Where the panel has limits a cell has the colour of the one it reaches; otherwise cells run from pale blue to deep purple,
so that more is darker (on dark paper: brighter), whoever looks.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from dashboards.local import specs
from dashboards.local.drawn import Drawn, LinkTo, Spec
from dashboards.local.legends import legend, parts_legend, peaks, summary
from dashboards.local.themes import SHADES, cell_shades, token
from dashboards.local.units import expression, formatted
from dashboards.panels import PAGE, TICKET, HeatMap
from dashboards.substitution import Range

ROW_MIN_PX = 14
LABELS_PX = 19
"""What names of rows may take of each of the 24 columns of the board."""

_MEANINGS = {TICKET: ", worth a ticket", PAGE: ", worth a page"}


def heat_map(panel: HeatMap, rows: pl.DataFrame, during: Range, marks: pl.DataFrame, link_to: LinkTo) -> Drawn:
    """The cells, and below them what colours mean and each series in figures."""
    finite = rows.filter(pl.col("value").is_finite())
    told = peaks(finite)
    said = summary(told, panel.unit)
    bounds, colours = _colours(panel, finite)
    first = {row["series"]: row for row in finite.unique("series", keep="first", maintain_order=True).to_dicts()}
    below = parts_legend(_meanings(panel, bounds, colours))
    below += legend(panel.title, told, panel.unit, {}, panel.link, first, link_to, during)
    chart = _spec(panel, finite, told["series"].to_list(), during, marks, bounds, colours, said)
    return Drawn(said, below, chart, is_empty=finite.is_empty())


def _colours(panel: HeatMap, rows: pl.DataFrame) -> tuple[list[float], list[str]]:
    """Bounds between colours, and colours, one more than bounds."""
    if panel.steps is not None:
        limits = panel.steps.limits
        return [limit for limit, _ in limits], [token(panel.steps.lowest), *(token(colour) for _, colour in limits)]
    highest = rows["value"].max()
    high = panel.high if panel.high is not None else float(highest) if isinstance(highest, int | float) else 1.0
    high = high if high > panel.low else panel.low + 1.0
    return [panel.low + (high - panel.low) * place / SHADES for place in range(1, SHADES)], cell_shades()


def _meanings(panel: HeatMap, bounds: list[float], colours: list[str]) -> list[tuple[str, str]]:
    known = [panel.steps.lowest, *(colour for _, colour in panel.steps.limits)] if panel.steps else [""] * len(colours)
    words = [f"below {_short(bounds[0], panel)}", *(f"from {_short(bound, panel)}" for bound in bounds)]
    return [
        (word + _MEANINGS.get(colour, ""), shade) for word, colour, shade in zip(words, known, colours, strict=True)
    ]


def _short(value: float, panel: HeatMap) -> str:
    return formatted(value, panel.unit, panel.decimals)


def cells(rows: pl.DataFrame, names: list[str]) -> list[dict[str, Any]]:
    """`t` in ms, `s` the series' place and `v` the value."""
    places = pl.DataFrame({"series": names, "s": range(len(names))}, schema={"series": pl.String, "s": pl.Int64})
    placed = rows.join(places, on="series", maintain_order="left")
    return placed.select(specs.ms("time").alias("t"), "s", v=specs.drawn_value()).to_dicts()


def _step_ms(rows: pl.DataFrame, during: Range) -> int:
    """How long a cell is: the shortest time between two instants."""
    step = rows["time"].unique().sort().diff().drop_nulls().dt.total_milliseconds().min()
    return step if isinstance(step, int) else during.interval_s * 1_000


def _spec(
    panel: HeatMap, rows: pl.DataFrame, names: list[str], during: Range, marks: pl.DataFrame, bounds: list[float],
    colours: list[str], said: str,
) -> Spec:  # fmt: skip
    """`names` are those of the rows, the highest first: what began to burn last may be what burns most."""
    placed = specs.mark_rows(marks, during)
    datasets = {
        "rows": cells(rows, names),
        "series": [{"s": place, "series": name} for place, name in enumerate(names)],
        "marks": placed,
    }
    made = specs.spec(
        panel.place,
        said,
        datasets,
        [_cells(panel, names, during, bounds, colours, _step_ms(rows, during)), *specs.mark_layers(placed, during)[1:]],
    )
    return {**made, "height": max(made["height"], ROW_MIN_PX * len(names))}


def _cells(
    panel: HeatMap, names: list[str], during: Range, bounds: list[float], colours: list[str], step_ms: int
) -> Spec:
    colour = {
        "field": "v",
        "type": "quantitative",
        "scale": {"type": "threshold", "domain": bounds, "range": colours},
        "legend": None,
    }
    series = {"from": {"data": {"name": "series"}, "key": "s", "fields": ["series"]}, "lookup": "s"}
    y = {
        "field": "series",
        "type": "nominal",
        "sort": names,
        "axis": {"title": None, "labelLimit": panel.place.width * LABELS_PX, "domain": False, "ticks": False},
        "scale": {"paddingInner": 0.08},
    }
    tooltip = [specs.told_at("t", "from (UTC)"), specs.told("series", "series"), specs.told("told", panel.title)]
    return {
        "name": "cells",
        "params": [specs.brush()],
        "data": {"name": "rows"},
        "transform": [
            series,
            {"calculate": f"datum.t + {step_ms}", "as": "t2"},
            {"calculate": expression(panel.unit, panel.decimals, "datum.v"), "as": "told"},
        ],
        "mark": {"type": "rect", "clip": True},
        "encoding": {"x": specs.time_axis(during), "x2": {"field": "t2"}, "y": y, "color": colour, "tooltip": tooltip},
    }
