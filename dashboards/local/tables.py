"""Tables and large figures, as HTML that says what it is: captions, headings of columns and of rows, lists of terms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from dashboards.local import cells
from dashboards.local.drawn import Drawn, LinkTo
from dashboards.local.markup import element, heading, table, text
from dashboards.local.units import formatted
from dashboards.panels import Column, Figures, Grid
from schemas.counted import counted

_PLAIN = Column()
_DENSE, _PROSE = 8, 25
"""Columns from which on a table is set closer, and letters beyond which words are a sentence."""

_NAMED = 3
"""Rows that a summary names."""


def grid(panel: Grid, rows: pl.DataFrame, link_to: LinkTo) -> Drawn:
    """A row per row, in the query's order; hidden columns only narrow links."""
    names = [name for name in rows.columns if not panel.columns.get(name, _PLAIN).is_hidden]
    numbers = {name for name in names if rows[name].dtype.is_numeric()}
    prose = {name for name in names if _is_prose(rows[name])}
    head = (_heading(name, panel.columns.get(name, _PLAIN), name in numbers, name in prose) for name in names)
    body = (_row(row, names, numbers, prose, panel.columns, link_to) for row in rows.iter_rows(named=True))
    kind = "grid dense" if len(names) >= _DENSE else "grid"
    return Drawn(_summary(rows, names), table(panel.title, head, body, kind))


def _heading(name: str, column: Column, is_number: bool, is_prose: bool) -> str:
    """A column's name, without the unit that its figures have beside them; one of sentences has room for them."""
    shown = name.removesuffix(f"_{column.unit}") if column.unit in ("s", "ms") else name
    return heading(shown.replace("_", " "), "number" if is_number else "prose" if is_prose else "")


def _is_prose(column: pl.Series) -> bool:
    """Whether it has sentences, and not only names, however long."""
    if column.dtype != pl.String:
        return False
    return bool(((column.str.len_chars() > _PROSE) & (column.str.count_matches(" ") > 2)).any())


def _row(
    row: Mapping[str, object], names: list[str], numbers: set[str], prose: set[str], columns: Mapping[str, Column], link_to: LinkTo
) -> str:  # fmt: skip
    return element("tr", "".join(_cells(row, names, numbers, prose, columns, link_to)))


def _cells(
    row: Mapping[str, object], names: list[str], numbers: set[str], prose: set[str], columns: Mapping[str, Column], link_to: LinkTo
) -> Iterator[str]:  # fmt: skip
    """The column that links names the row; where none does, the first one."""
    naming = next((name for name in names if columns.get(name, _PLAIN).link is not None), names[0])
    for name in names:
        column = columns.get(name, _PLAIN)
        said = cells.content(row[name], column, row, link_to)
        kind = cells.kind_of(row[name], column, name in numbers, name in prose)
        if name == naming:
            yield element("th", said, scope="row", class_=kind)
        else:
            yield element("td", said, class_=kind)


def _summary(rows: pl.DataFrame, names: list[str]) -> str:
    return f"A table of {counted(rows.height, 'row')}, by {', '.join(name.replace('_', ' ') for name in names[:_NAMED])} and more."


def figures(panel: Figures, rows: pl.DataFrame, link_to: LinkTo) -> Drawn:
    """Terms and their values, of the first row."""
    row = rows.row(0, named=True)
    shown = {name: panel.columns.get(name, _PLAIN) for name in rows.columns}
    shown = {name: column for name, column in shown.items() if not column.is_hidden}
    body = "".join(_figure(name, row, column, link_to) for name, column in shown.items())
    said = (f"{name} {_said(row[name], column)}" for name, column in shown.items())
    return Drawn("; ".join(said) + ".", element("dl", body, class_="figures"))


def _figure(name: str, row: Mapping[str, object], column: Column, link_to: LinkTo) -> str:
    value = row[name]
    said = "no data" if value is None else cells.content(value, column, row, link_to)
    kind = cells.kind_of(value, column, is_number=False)
    return element("div", f"<dt>{text(name)}</dt><dd>{said}</dd>", class_=kind)


def _said(value: object, column: Column) -> str:
    return "no data" if value is None else formatted(value, column.unit, column.decimals)
