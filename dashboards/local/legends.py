"""What a chart's lines and cells stand for, as tables: for readers the legend, for screen readers what there is to see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from dashboards.local.drawn import LinkTo
from dashboards.local.markup import element, heading, instant, linked, table, text
from dashboards.local.units import formatted
from dashboards.panels import Link
from dashboards.substitution import Range

_NAMED = 3
"""Series that a summary names."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """How a line is drawn: its colour in CSS, its dashes in pixels, its width."""

    colour: str
    dash: tuple[int, ...] = ()
    width: float = 2.0


def peaks(rows: pl.DataFrame) -> pl.DataFrame:
    """Of each series of finite `value`s the newest, the highest and when, the highest first, equal ones by name."""
    series = rows.drop_nulls("value").group_by("series")
    told = series.agg(
        pl.col("value").sort_by("time").last().alias("newest"),
        pl.col("value").max().alias("highest"),
        pl.col("time").sort_by("value", descending=True).first().alias("at"),
    )
    return told.sort("highest", "series", descending=[True, False])


def legend(
    title: str,
    told: pl.DataFrame,
    unit: str,
    strokes: Mapping[str, Stroke],
    link: Link | None,
    rows: Mapping[str, Mapping[str, object]],
    link_to: LinkTo,
    during: Range,
) -> str:
    """A row per series: its line, its name, newest, highest and when; `rows` are what its link is narrowed to."""
    head = (heading("series"), heading("newest", "number"), heading("highest", "number"), heading("at (UTC)"))

    def row(each: Mapping[str, object]) -> str:
        name = str(each["series"])
        said = text(name)
        if link is not None:
            said = linked(said, link_to(link, rows[name]), link.title)
        swatch = _swatch(strokes[name]) if name in strokes else ""
        at = each["at"]
        when = instant(at, at.strftime(_at_format(during))) if isinstance(at, datetime) else ""
        figures = (
            element("td", text(formatted(each[which], unit)), class_="number") for which in ("newest", "highest")
        )
        return element("tr", element("th", swatch + said, scope="row") + "".join(figures) + element("td", when))

    return table(f"{title}: newest and highest of each series", head, map(row, told.iter_rows(named=True)), "legend")


def _at_format(during: Range) -> str:
    return "%H:%M:%S" if during.to_s - during.from_s <= 86_400 else "%m-%d %H:%M"


def parts_legend(parts: Sequence[tuple[str, str]]) -> str:
    """Names of coloured parts, with their colours in CSS."""
    items = (element("li", _block(colour) + text(name)) for name, colour in parts)
    return element("ul", "".join(items), class_="parts")


def summary(told: pl.DataFrame, unit: str) -> str:
    """What is to be seen, in words: which series are highest, when, and where they ended."""
    if told.is_empty():
        return "Nothing in this range."
    count = f"{told.height} series" if told.height > 1 else "One series"
    named = (
        f"{each['series']}: highest {formatted(each['highest'], unit)} at {formatted(each['at'])} UTC, "
        f"newest {formatted(each['newest'], unit)}"
        for each in told.head(_NAMED).iter_rows(named=True)
    )
    more = f"; and {told.height - _NAMED} lower" if told.height > _NAMED else ""
    return f"{count}. {'; '.join(named)}{more}."


def _swatch(stroke: Stroke) -> str:
    line = element(
        "line", "", x1="0", y1="6", x2="28", y2="6",
        stroke=stroke.colour, stroke_width=f"{stroke.width:g}", stroke_dasharray=" ".join(map(str, stroke.dash)) or None,
    )  # fmt: skip
    return element("svg", line, class_="swatch", viewBox="0 0 28 12", width="28", height="12", aria_hidden="true")


def _block(colour: str) -> str:
    part = element("rect", "", width="12", height="12", rx="2", fill=colour)
    return element("svg", part, class_="swatch", viewBox="0 0 12 12", width="12", height="12", aria_hidden="true")
