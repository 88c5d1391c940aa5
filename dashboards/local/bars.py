"""Horizontal bars as a specification of Vega-Lite; stacked, a part that is unseen only says where the next one begins."""

from __future__ import annotations

from typing import Any

import polars as pl

from dashboards.local import specs
from dashboards.local.drawn import Drawn, Spec
from dashboards.local.legends import parts_legend
from dashboards.local.themes import token
from dashboards.local.units import axis_expression, formatted
from dashboards.panels import UNSEEN, Bars
from schemas.counted import counted

BAR_PX, BAR_MAX_PX, AXIS_PX = 22, 44, 60
LABELS_PX = 240
_NAMED = 3


def bars(panel: Bars, rows: pl.DataFrame) -> Drawn:
    """The bars, and below them what their colours mean."""
    seen = [name for name, colour in panel.parts.items() if colour != UNSEEN]
    named = _named(rows, panel.label)
    drawn = pieces(panel, named)
    said = _summary(panel, named, seen)
    below = parts_legend([(name, token(panel.parts[name])) for name in seen])
    return Drawn(said, below, _spec(panel, named, drawn, seen, said), is_empty=not drawn)


def _named(rows: pl.DataFrame, label: str) -> pl.DataFrame:
    """Rows with a `bar` that is theirs alone: labels that repeat are numbered."""
    name = pl.col(label).cast(pl.String).fill_null("–")
    number = name.cum_count().over(name)
    return rows.with_columns(bar=pl.when(number > 1).then(pl.format("{} ({})", name, number)).otherwise(name))


def pieces(panel: Bars, rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Each seen part of each bar: from `from` to `to`, `value` long; parts without a value are not there."""
    parts = list(panel.parts)
    long = rows.select("bar", *(pl.col(name).cast(pl.Float64) for name in parts)).unpivot(
        index="bar", on=parts, variable_name="part", value_name="value"
    )
    size = pl.when(pl.col("value").is_finite()).then(pl.col("value")).otherwise(0.0).fill_null(0.0)
    ends = size.cum_sum().over("bar") if panel.is_stacked else size
    placed = long.with_columns(to=ends).with_columns((pl.col("to") - size).alias("from"))
    unseen = [name for name, colour in panel.parts.items() if colour == UNSEEN]
    return placed.filter(pl.col("value").is_finite() & ~pl.col("part").is_in(unseen)).with_columns(
        pl.col("value").map_elements(lambda value: formatted(value, panel.unit), pl.String).alias("told")
    ).to_dicts()  # fmt: skip


def _summary(panel: Bars, rows: pl.DataFrame, seen: list[str]) -> str:
    def told(row: dict[str, Any]) -> str:
        figures = (f"{name} {formatted(row[name], panel.unit) or 'unknown'}" for name in seen)
        return f"{row['bar']}: {', '.join(figures)}"

    more = f"; and {rows.height - _NAMED} more" if rows.height > _NAMED else ""
    return f"{counted(rows.height, 'bar')}. {'; '.join(map(told, rows.head(_NAMED).to_dicts()))}{more}."


def _spec(panel: Bars, rows: pl.DataFrame, drawn: list[dict[str, Any]], seen: list[str], said: str) -> Spec:
    names = rows["bar"].to_list()
    y = {
        "field": "bar",
        "type": "nominal",
        "sort": names,
        "scale": {"domain": names, "paddingInner": 0.25},
        "axis": {"title": None, "labelLimit": LABELS_PX, "domain": False, "ticks": False},
    }
    x = {
        "field": "from",
        "type": "quantitative",
        "scale": {"zero": True},
        "axis": {"title": panel.axis or None, "labelExpr": axis_expression(panel.unit), "tickCount": 6},
    }
    colour = {
        "field": "part",
        "type": "nominal",
        "scale": {"domain": seen, "range": [token(panel.parts[name]) for name in seen]},
        "legend": None,
    }
    tooltip = [
        specs.told("bar", panel.label.replace("_", " ")),
        specs.told("part", "part"),
        specs.told("told", "value"),
    ]
    offset = {} if panel.is_stacked else {"yOffset": {"field": "part", "type": "nominal", "sort": seen}}
    encoding = {"x": x, "x2": {"field": "to"}, "y": y, "color": colour, "tooltip": tooltip, **offset}
    body: Spec = {
        "name": "bars",
        "data": {"name": "rows"},
        "mark": {"type": "bar", "stroke": "var(--surface)", "strokeWidth": 1},
        "encoding": encoding,
    }
    made = specs.spec(panel.place, said, {"rows": drawn}, [body, *_labels(panel, seen, y, offset)])
    per_bar = BAR_PX * (1 if panel.is_stacked else max(1, len(seen)))
    height = min(made["height"], BAR_MAX_PX * max(1, per_bar // BAR_PX) * len(names) + AXIS_PX)
    return {**made, "height": max(height, per_bar * len(names) + AXIS_PX)}


def _labels(panel: Bars, seen: list[str], y: Spec, offset: Spec) -> list[Spec]:
    """The value at the end of each bar, where a bar has one."""
    if panel.is_stacked and len(seen) > 1:
        return []
    text = {"type": "text", "align": "left", "baseline": "middle", "dx": 4}
    encoding = {"x": {"field": "to", "type": "quantitative"}, "y": y, "text": {"field": "told"}, **offset}
    return [{"data": {"name": "rows"}, "mark": text, "encoding": encoding}]
