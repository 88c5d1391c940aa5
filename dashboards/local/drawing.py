"""Panels drawn from their rows: `drawn` is what the local board's page and the report ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import polars as pl

from dashboards.local.asking import NO_MARKS
from dashboards.local.bars import bars
from dashboards.local.charts import chart
from dashboards.local.drawn import Drawn, LinkTo, no_link
from dashboards.local.heat_maps import heat_map
from dashboards.local.markup import element, heading, instant, nothing, table, text
from dashboards.local.tables import figures, grid
from dashboards.local.units import MISSING, formatted
from dashboards.nothing_to_show import why_nothing
from dashboards.panels import Bars, Chart, Figures, Grid, HeatMap, Panel
from dashboards.substitution import Range, Value

EMPTY = "Nothing in this range."


def drawn(
    panel: Panel, rows: pl.DataFrame, during: Range, marks: pl.DataFrame = NO_MARKS, *, link_to: LinkTo = no_link
) -> Drawn:
    """The panel, from the `rows` that `asking.ask` gave for `during`; `marks` are those of `asking.ask_marks`."""
    made = _drawn(panel, rows, during, marks, link_to) if rows.height else Drawn(EMPTY, "", is_empty=True)
    if made.is_empty:
        said = f"{EMPTY} {why_nothing(panel)}".rstrip()
        return Drawn(said, nothing(said), is_empty=True)
    if rows.height == panel.query.rows_max:
        more = f"These are the first {rows.height} rows, and there may be more: narrow the range or the filters."
        return replace(made, summary=f"{made.summary} {more}", html=made.html + element("p", text(more), class_="more"))
    return made


def _drawn(panel: Panel, rows: pl.DataFrame, during: Range, marks: pl.DataFrame, link_to: LinkTo) -> Drawn:
    match panel:
        case Chart():
            return chart(panel, rows, during, marks, link_to)
        case HeatMap():
            return heat_map(panel, rows, during, marks, link_to)
        case Bars():
            return bars(panel, rows)
        case Grid():
            return grid(panel, rows, link_to)
        case Figures():
            return figures(panel, rows, link_to)


def titled(panel: Panel, selection: Mapping[str, Value]) -> Panel:
    """The panel with what is chosen in place of `${choice}` in its title."""
    title = panel.title
    for name, value in selection.items():
        title = title.replace(f"${{{name}}}", value if isinstance(value, str) else ", ".join(value))
    return replace(panel, title=title)


def tabled(panel: Chart | HeatMap | Bars, rows: pl.DataFrame) -> str:
    """All that a chart is drawn from, as a table: an instant a row and a series a column, or the bars' own rows."""
    if isinstance(panel, Bars):
        return _table(panel.title, rows.select(panel.label, *panel.parts), panel.unit)
    wide = rows.pivot("series", index="time", values="value", aggregate_function="last", maintain_order=True)
    return _table(panel.title, wide.sort("time").rename({"time": "time (UTC)"}), panel.unit)


def _table(caption: str, rows: pl.DataFrame, unit: str) -> str:
    head = (heading(name, "number" if place else "") for place, name in enumerate(rows.columns))

    def row(values: tuple[object, ...]) -> str:
        at, *figures_ = values
        name = instant(at, formatted(at)) if isinstance(at, datetime) else text(formatted(at)) or MISSING
        said = (element("td", text(formatted(value, unit)) or MISSING, class_="number") for value in figures_)
        return element("tr", element("th", name, scope="row") + "".join(said))

    return table(caption, head, map(row, rows.iter_rows()), "figures-of-chart")
