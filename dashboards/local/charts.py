"""Lines over time as a specification of Vega-Lite.

Lines differ in dashes as well as in colour. Where nothing was told for longer than `GAP_S`, and for longer than a series'
own rhythm lets expect, its line is broken, for silence is not a straight line; a value with silence on both sides is a dot.
What is no finite number is not drawn, and counted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import cycle, islice
from textwrap import wrap
from typing import Any

import polars as pl

from dashboards.local import specs
from dashboards.local.drawn import Drawn, LinkTo, Spec
from dashboards.local.legends import Stroke, legend, peaks, summary
from dashboards.local.themes import line_shade, token
from dashboards.local.units import axis_expression, expression
from dashboards.panels import GAP_S, OKABE_ITO, STEPS_MISSED, Chart, Steps
from dashboards.substitution import Range
from schemas.counted import counted

_DASHES: tuple[tuple[int, ...], ...] = ((), (8, 3), (3, 3), (10, 3, 2, 3), (1, 3))
_NAMED_DASHES: tuple[tuple[int, ...], ...] = ((), (10, 6))
_LIMIT_DASH = (4, 6)

_LETTER_PX = 7
"""About what a letter of an axis's title takes of its height."""


def chart(panel: Chart, rows: pl.DataFrame, during: Range, marks: pl.DataFrame, link_to: LinkTo) -> Drawn:
    """The chart, and its legend as a table."""
    finite = rows.filter(pl.col("value").is_finite())
    told = peaks(finite)
    lines = told.filter(~pl.col("series").is_in(_limits_of(panel, told["series"])))
    strokes = _strokes(panel, told)
    said = summary(lines, panel.unit) + _uncounted(rows.height - finite.height, rows["value"].null_count())
    first = {row["series"]: row for row in finite.unique("series", keep="first", maintain_order=True).to_dicts()}
    below = legend(panel.title, told, panel.unit, strokes, panel.link, first, link_to, during)
    return Drawn(said, below, _spec(panel, finite, during, marks, strokes, said), is_empty=lines.is_empty())


def _uncounted(dropped: int, empty: int) -> str:
    """Values that cannot be drawn, unless they only say that there is none."""
    wrong = dropped - empty
    return f" {counted(wrong, 'value is', 'values are')} no finite number and not drawn." if wrong else ""


def _limits_of(panel: Chart, names: Iterable[str]) -> list[str]:
    return [name for name in names if any(name.startswith(prefix) for prefix in panel.limits)]


def _strokes(panel: Chart, told: pl.DataFrame) -> dict[str, Stroke]:
    """How every series is drawn, in the order of the legend."""
    limits = _limits_of(panel, told["series"])
    others = [name for name in told["series"] if name not in panel.series and name not in limits]
    strokes = {
        name: Stroke(token(OKABE_ITO[place % len(OKABE_ITO)]), _NAMED_DASHES[place % 2])
        for place, name in enumerate(panel.series)
    }
    for place, (name, dash) in enumerate(zip(others, islice(cycle(_DASHES), len(others)), strict=True)):
        strokes[name] = Stroke(line_shade(len(others) - 1 - place, len(others)), dash)
    for name in limits:
        colour = next(colour for prefix, colour in panel.limits.items() if name.startswith(prefix))
        strokes[name] = Stroke(token(colour), _LIMIT_DASH, 1.5)
    return {name: strokes[name] for name in told["series"]}


def _spec(
    panel: Chart, rows: pl.DataFrame, during: Range, marks: pl.DataFrame, strokes: dict[str, Stroke], said: str
) -> Spec:
    names = list(strokes)
    placed = specs.mark_rows(marks, during)
    datasets = {
        "rows": points(rows, names, during, unbroken=_limits_of(panel, names)),
        "series": [{"s": place, "series": name} for place, name in enumerate(names)],
        "marks": placed,
    }
    x, y = specs.time_axis(during), _values(panel)
    return specs.spec(
        panel.place, said, datasets,
        [
            *specs.mark_layers(placed, during),
            _lines(x, y, strokes),
            _dots(x, y, strokes),
            *threshold_layers(panel.steps, panel.unit),
            _pointed(x, names, panel),
        ],
    )  # fmt: skip


def points(rows: pl.DataFrame, names: list[str], during: Range, unbroken: Collection[str] = ()) -> list[dict[str, Any]]:
    """`t` in ms, `s` the series' place and `v` the value; `v` is null where a line is broken, `d` marks a lone value."""
    least_ms = max(GAP_S, STEPS_MISSED * during.interval_s) * 1_000
    whole = pl.col("s").is_in([place for place, name in enumerate(names) if name in unbroken])
    places = pl.DataFrame({"series": names, "s": range(len(names))}, schema={"series": pl.String, "s": pl.Int64})
    placed = rows.join(places, on="series").select(specs.ms("time").alias("t"), "s", v=specs.drawn_value())
    placed = placed.sort("s", "t")
    before, after = (pl.col("t").diff().over("s"), pl.col("t").shift(-1).over("s") - pl.col("t"))
    gap_ms = pl.max_horizontal(pl.lit(least_ms), STEPS_MISSED * before.median().over("s"))
    placed = placed.with_columns(
        breaks=(after > gap_ms) & ~whole,
        d=(before > gap_ms).fill_null(True) & (after > gap_ms).fill_null(True) & ~whole,
    )
    broken = placed.filter("breaks").with_columns(t=pl.col("t") + 1, v=pl.lit(None, pl.Float64), d=pl.lit(False))
    every = pl.concat([placed, broken]).sort("s", "t").drop("breaks")
    alone = every.filter("d").to_dicts()
    return every.filter(~pl.col("d")).drop("d").to_dicts() + alone


def _values(panel: Chart) -> dict[str, Any]:
    """The axis of values, down to zero at least; its title says of what, its labels in which unit."""
    bounds = {"domainMin": panel.low, "domainMax": panel.high}
    scale = {"zero": True, "nice": panel.high is None, **{name: at for name, at in bounds.items() if at is not None}}
    axis = {
        "title": _in_lines(panel.axis, specs.height(panel.place)),
        "labelExpr": axis_expression(panel.unit),
        "tickCount": 5,
        "titleLimit": 400,
    }
    return {"field": "v", "type": "quantitative", "scale": scale, "axis": axis}


def _in_lines(title: str, height: int) -> list[str] | str | None:
    """An axis's title; lines of it where it is longer than the axis, at whose ends it would be cut."""
    written = wrap(title, height // _LETTER_PX)
    return written if len(written) > 1 else title or None


def _lines(x: Spec, y: Spec, strokes: dict[str, Stroke]) -> Spec:
    styles = list(strokes.values())
    encoding = {
        "x": x,
        "y": y,
        "color": _by_series(len(styles), [style.colour for style in styles]),
        "strokeDash": _by_series(len(styles), [list(style.dash) or [1, 0] for style in styles]),
        "strokeWidth": {**_by_series(len(styles), [style.width for style in styles]), "type": "ordinal"},
        "detail": {"field": "s", "type": "nominal"},
    }
    return {
        "name": "lines",
        "params": [specs.brush()],
        "data": {"name": "rows"},
        "mark": {"type": "line", "clip": True, "strokeJoin": "round"},
        "encoding": encoding,
    }


def _by_series(count: int, range_: list[Any]) -> Spec:
    return {"field": "s", "type": "nominal", "scale": {"domain": list(range(count)), "range": range_}, "legend": None}


def _dots(x: Spec, y: Spec, strokes: dict[str, Stroke]) -> Spec:
    """Values with silence on both sides."""
    colours = [style.colour for style in strokes.values()]
    return {
        "data": {"name": "rows"},
        "transform": [{"filter": "datum.d === true"}],
        "mark": {"type": "point", "filled": True, "size": 30, "clip": True},
        "encoding": {"x": x, "y": y, "color": _by_series(len(colours), colours)},
    }


def threshold_layers(steps: Steps | None, unit: str) -> list[Spec]:
    """A dashed line at every limit, in its colour and with its value at its end."""
    layers: list[Spec] = []
    for limit, colour in () if steps is None else steps.limits:
        y = {"datum": limit, "type": "quantitative"}
        line = {"type": "rule", "strokeDash": [6, 4], "strokeWidth": 1.5, "color": token(colour)}
        name = {"type": "text", "align": "right", "baseline": "bottom", "dx": -2, "dy": -2, "color": "var(--ink)"}
        label = {"value": {"expr": f"'limit ' + {axis_expression(unit, repr(float(limit)))}"}}
        layers.append({"data": {"values": [{}]}, "mark": line, "encoding": {"y": y}})
        layers.append(
            {"data": {"values": [{}]}, "mark": name, "encoding": {"y": y, "x": {"value": "width"}, "text": label}}
        )
    return layers


def _pointed(x: Spec, names: list[str], panel: Chart) -> Spec:
    """A line at the instant nearest to the pointer, which tells of every series there."""
    nearest = {"type": "point", "on": "pointerover", "clear": "pointerout", "nearest": True, "encodings": ["x"]}
    texts = [
        {"calculate": f"isValid(datum['{place}']) ? {_told(panel.unit, place)} : '–'", "as": f"told{place}"}
        for place in range(len(names))
    ]
    told = [specs.told(f"told{place}", name) for place, name in enumerate(names)]
    return {
        "name": specs.POINTED,
        "data": {"name": "rows"},
        "params": [{"name": "at", "select": nearest}],
        "transform": [{"filter": "isValid(datum.v)"}, {"pivot": "s", "value": "v", "groupby": ["t"]}, *texts],
        "mark": {"type": "rule", "color": "var(--muted)", "clip": True},
        "encoding": {
            "x": x,
            "opacity": {"condition": {"param": "at", "empty": False, "value": 0.6}, "value": 0},
            "tooltip": [specs.told_at("t", "at (UTC)"), *told],
        },
    }


def _told(unit: str, place: int) -> str:
    field = f"datum['{place}']"
    return f"({expression(unit, of=field)})"
