"""What all charts have in common: the frame of a specification, the axis of time, and marks of what happened."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from dashboards.local.drawn import Spec
from dashboards.local.themes import token, vega_config
from dashboards.panels import Place
from dashboards.substitution import Range

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
"""The version of Vega-Lite that charts are written for; nothing is loaded from there."""

VEGA_LITE = "6.4"

BRUSH = "brush"
"""The parameter that holds what a reader dragged over: a range of `t`, in ms."""

ROW_PX, AROUND_PX, HEIGHT_MIN_PX = 30, 60, 170
"""A row of the board's grid; what the title takes of it; what a chart has at least."""

DIGITS = 7
"""Significant digits of drawn values."""

BAND_TITLES = 3
"""So many titles of what lasts at once are told; of others how many there are."""

TIME_FORMAT = "%Y-%m-%d %H:%M:%S"


def spec(place: Place, summary: str, datasets: dict[str, list[dict[str, Any]]], layer: list[Spec]) -> Spec:
    """A chart as wide as what holds it; `datasets` are the named rows of its layers."""
    return {
        "$schema": SCHEMA,
        "description": summary,
        "width": "container",
        "height": height(place),
        "autosize": {"type": "fit", "contains": "padding", "resize": True},
        "config": vega_config(),
        "datasets": datasets,
        "layer": _stated_once(layer),
        "resolve": {"scale": {"color": "independent"}},
    }


def height(place: Place) -> int:
    """What a chart has of it, in px."""
    return max(place.height * ROW_PX - AROUND_PX, HEIGHT_MIN_PX)


def _stated_once(layers: list[Spec]) -> list[Spec]:
    """Layers share their axis of time: the first one that has it says from when to when, for Vega-Lite would unite what each says."""
    said = False
    made = []
    for layer in layers:
        x = layer.get("encoding", {}).get("x", {})
        if "domain" in x.get("scale", {}):
            if said:
                scale = {name: value for name, value in x["scale"].items() if name != "domain"}
                layer = {**layer, "encoding": {**layer["encoding"], "x": {**x, "scale": scale}}}
            said = True
        made.append(layer)
    return made


def on_paper(chart: Spec, width: int) -> Spec:
    """The chart in a fixed width in px, without what is dragged over or pointed at, and with room for any common font.

    Texts are measured where the chart is drawn and shown where it is read: `WIDE_FONT` is among the widest.
    """
    layers = [{name: part for name, part in layer.items() if name != "params"} for layer in chart["layer"]]
    kept = [layer for layer in layers if layer.get("name") != POINTED]
    return {**chart, "width": width, "layer": kept, "config": {**chart["config"], "font": WIDE_FONT}}


WIDE_FONT = "DejaVu Sans"

POINTED = "pointed"
"""The layer that follows the pointer."""


def told(field: str, title: str) -> Spec:
    """A line of a tooltip. Its title becomes part of an expression, where Vega-Lite escapes quotes and nothing else."""
    escaped = json.dumps(title or "–")[1:-1].replace('\\"', '"')
    return {"field": field, "type": "nominal", "title": escaped}


def told_at(field: str, title: str) -> Spec:
    return {"field": field, "type": "temporal", "title": title, "format": TIME_FORMAT, "scale": {"type": "utc"}}


def brush() -> Spec:
    """What lets a reader drag over a range of time."""
    look = {"fill": "var(--accent)", "fillOpacity": 0.15, "stroke": "var(--accent)"}
    return {"name": BRUSH, "select": {"type": "interval", "encodings": ["x"], "mark": look}}


def time_axis(during: Range, field: str = "t") -> dict[str, Any]:
    """The range as a whole, whatever part of it has data; in UTC."""
    return {
        "field": field,
        "type": "temporal",
        "scale": {"type": "utc", "domain": [during.from_s * 1_000, during.to_s * 1_000], "nice": False},
        "axis": {"title": None, "grid": False, "labelOverlap": True, "labelSeparation": 8, **_ticks(during)},
    }


def _ticks(during: Range) -> dict[str, Any]:
    """How ticks are written, and how far apart they are at least in ms: two of one day would read the same."""
    length_s = during.to_s - during.from_s
    if length_s <= 86_400:
        return {"format": "%H:%M" if length_s > 600 else "%H:%M:%S"}
    return {"format": "%d %b %H:%M"} if length_s <= 4 * 86_400 else {"format": "%d %b", "tickMinStep": 86_400_000}


def ms(column: str) -> pl.Expr:
    return pl.col(column).dt.epoch("ms")


def drawn_value() -> pl.Expr:
    """Values as fine as anybody could see, and no finer: digits beyond are most of what a page would have to load."""
    return pl.col("value").cast(pl.Float64).round_sig_figs(DIGITS)


def mark_rows(marks: pl.DataFrame, during: Range) -> list[dict[str, Any]]:
    """Marks that reach into the range, cut to it."""
    first, last = during.from_s * 1_000, during.to_s * 1_000
    placed = marks.select(
        ms("time").clip(first, last).alias("t"),
        pl.coalesce(ms("timeEnd"), ms("time")).clip(first, last).alias("t2"),
        pl.col("name", "title", "text"),
        colour=pl.col("colour"),
        begins=ms("time"),
        ends=pl.coalesce(ms("timeEnd"), ms("time")),
    )
    reaching = placed.filter((pl.col("begins") <= last) & (pl.col("ends") >= first))
    return reaching.drop("begins", "ends").to_dicts()


def bands(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Marks of one colour that overlap, as one: laid over each other they would hide the lines of the chart.

    >>> mark = {"name": "Pages", "text": "why", "colour": "red"}
    >>> [band] = bands([mark | {"title": "a", "t": 0, "t2": 20}, mark | {"title": "b", "t": 10, "t2": 30}])
    >>> band["t"], band["t2"], band["title"], band["text"]
    (0, 30, 'a; b', '2 that overlap')
    """
    if not rows:
        return []
    ordered = pl.DataFrame(rows, infer_schema_length=None).sort("colour", "t", "t2", "title")
    ended = pl.col("t2").cum_max().shift(1).over("colour")
    piece = (pl.col("t") > ended).fill_null(True).cum_sum().over("colour")
    first = pl.col("title").head(BAND_TITLES).str.join("; ")
    merged = ordered.group_by("colour", piece.alias("piece"), maintain_order=True).agg(
        pl.col("t").min(),
        pl.col("t2").max(),
        pl.col("name").unique(maintain_order=True).str.join(", "),
        title=first,
        text=pl.when(pl.len() > 1).then(pl.format("{} that overlap", pl.len())).otherwise(pl.col("text").first()),
        more=pl.len().cast(pl.Int64) - BAND_TITLES,
    )
    more = pl.when(pl.col("more") > 0).then(pl.format("{} and {} more", "title", "more")).otherwise("title")
    return merged.with_columns(title=more).drop("piece", "more").sort("t", "colour").to_dicts()


def mark_layers(rows: list[dict[str, Any]], during: Range) -> list[Spec]:
    """A band while any of a colour lasts, and a line where each begins; told when pointed at."""
    if not rows:
        return []
    colours = list(dict.fromkeys(row["colour"] for row in rows))
    colour = {
        "field": "colour",
        "type": "nominal",
        "scale": {"domain": colours, "range": [token(each) for each in colours]},
        "legend": None,
    }
    tooltip = [
        told("title", "what"),
        told("text", "why"),
        told("name", "kind"),
        told_at("t", "from (UTC)"),
        told_at("t2", "to (UTC)"),
    ]
    x = time_axis(during)
    lasting, data = {"values": bands(rows)}, {"name": "marks"}
    band = {"type": "rect", "opacity": 0.14, "clip": True}
    begin = {"type": "rule", "strokeWidth": 1.5, "strokeDash": [2, 2], "clip": True}
    return [
        {
            "data": lasting,
            "mark": band,
            "encoding": {"x": x, "x2": {"field": "t2"}, "color": colour, "tooltip": tooltip},
        },
        {"data": data, "mark": begin, "encoding": {"x": x, "color": colour, "tooltip": tooltip}},
    ]
