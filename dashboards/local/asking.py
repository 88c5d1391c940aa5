"""What a panel, its board's marks and its choices are told by ClickHouse, in a range and for what is chosen.

Answers are frames whose times are times: ClickHouse's own names of types decide. Every statement is bounded, in time and
in rows; one that exceeds a bound fails, and is not cut. Statements are ours and only read; what a reader chooses cannot
leave its string.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import polars as pl
from clickhouse_connect.driver.client import Client

from dashboards.boards import Board, Choice
from dashboards.panels import HeatMap, Panel
from dashboards.queries import Query
from dashboards.queries.selection import EVERYTHING, without_choices
from dashboards.substitution import Range, Value, substituted

Selection = Mapping[str, Value]
"""What is chosen: a choice's name, and its values; nothing, or no entry, is everything."""

POINTS, CELLS = 600, 120
"""Steps of a range in a chart, and in a heat map, about: as many as can be told apart."""

ROWS_MAX = 50_000
TIMEOUT_S = 30.0
TOO_MUCH = {159, 160, 241}
"""ClickHouse's codes of what takes too long, or too much memory: asked again it takes as much again, while others wait."""
INTERVAL_MIN_S = 10

_NICE_S = (10, 15, 20, 30, 60, 120, 300, 600, 900, 1_200, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 604_800)
_BETWEEN_S = [(finer + coarser) / 2 for finer, coarser in pairwise(_NICE_S)]

_WRAPPED = re.compile(r"^(?:Nullable|LowCardinality|SimpleAggregateFunction)\((?:\w+, )?(.*)\)$")


def interval_s(from_s: int, to_s: int, points: int = POINTS) -> int:
    """The step of a chart in seconds, rounded as Grafana rounds it (`roundInterval`), and not below a bucket.

    >>> [interval_s(0, hours * 3_600) for hours in (1, 3, 24, 30 * 24)]
    [10, 20, 120, 3600]
    """
    return max(_NICE_S[bisect(_BETWEEN_S, (to_s - from_s) / points)], INTERVAL_MIN_S)


def ranged(from_s: int, to_s: int, panel: Panel | None = None) -> Range:
    """The range with the step that suits the panel."""
    return Range(from_s, to_s, interval_s(from_s, to_s, CELLS if isinstance(panel, HeatMap) else POINTS))


def ask(client: Client, asked: Panel | Query, during: Range, selection: Selection) -> pl.DataFrame:
    """The answer, in the range and at its step; `selection` has every choice of the board (`chosen` makes it so).

    Times are UTC in ms; a time series is in their order, and otherwise in the query's. An empty time series has its columns, an empty table has none: ClickHouse names none of it.
    Raises ClickHouseError, and KeyError for a variable that `selection` does not have.
    """
    query = asked if isinstance(asked, Query) else asked.query
    rows = _frame(client, statement(query, during, selection))
    if query.shape == "table":
        return rows
    return rows.sort("time", maintain_order=True) if rows.columns else NO_POINTS


def statement(query: Query, during: Range, selection: Selection) -> str:
    """What is sent: the query with its range and choices in place, without conditions of choices that nobody made."""
    unchosen = [name for name, value in selection.items() if value in ("", EVERYTHING, [])]
    return substituted(without_choices(query.sql, unchosen), during, selection)


def ask_marks(client: Client, board: Board, during: Range, selection: Selection) -> pl.DataFrame:
    """What is marked on the board's charts: `time`, `timeEnd`, `title`, `text`, `tags`, and `name` and `colour` of the kind."""
    told = []
    for marks in board.marks:
        rows = ask(client, marks.query, during, selection)
        if rows.is_empty():
            continue
        rows = rows.with_columns(pl.col("time", "timeEnd").cast(_TIME), pl.col("title", "text", "tags").cast(pl.String))
        told.append(rows.select(*_MARKED, pl.lit(marks.name).alias("name"), pl.lit(marks.colour).alias("colour")))
    return pl.concat([NO_MARKS, *told])


def ask_options(client: Client, choice: Choice, during: Range, selection: Selection) -> list[str]:
    """Values that can be chosen: those declared, or those found in the range."""
    if not isinstance(choice.options, Query):
        return list(choice.options)
    found = ask(client, choice.options, during, selection)
    return found.to_series().cast(pl.String).to_list() if found.columns else []


def chosen(choices: Sequence[Choice], given: Mapping[str, Sequence[str]]) -> dict[str, Value]:
    """A value for every choice: what is given of it, and otherwise everything or what stands there first."""
    return {choice.name: _chosen(choice, given.get(choice.name, ())) for choice in choices}


def _chosen(choice: Choice, given: Sequence[str]) -> Value:
    values = [value for value in given if value]
    if choice.is_multi:
        return values or EVERYTHING
    return values[0] if values else choice.chosen


def _frame(client: Client, sql: str) -> pl.DataFrame:
    settings = {"max_execution_time": TIMEOUT_S, "max_result_rows": ROWS_MAX}
    answer = client.query(
        sql, settings=settings, query_formats={"DateTime*": "int", "Date*": "int"}, column_oriented=True
    )
    columns = answer.result_columns or [[] for _ in answer.column_names]
    named = zip(answer.column_names, answer.column_types, columns, strict=True)
    return pl.DataFrame([_column(name, kind.name, values) for name, kind, values in named])


def _column(name: str, kind: str, values: Sequence[Any]) -> pl.Series:
    """A column of ClickHouse's type `kind`; numbers of exact decimals become floats, for they are only shown."""
    while wrapped := _WRAPPED.match(kind):
        kind = wrapped[1]
    if kind.startswith("DateTime"):
        per_second = 10 ** int(scale[1]) if (scale := re.match(r"DateTime64\((\d)", kind)) else 1
        ticks = pl.Series(name, values, pl.Int64)
        return (ticks * 1_000 // per_second).cast(_TIME)
    if kind.startswith("Date"):
        return pl.Series(name, values, pl.Int32).cast(pl.Date)
    if kind.startswith(("String", "FixedString", "Enum")):
        return pl.Series(name, [None if value is None else str(value) for value in values], pl.String)
    if kind.startswith(("Float", "Decimal")):
        return pl.Series(name, [None if value is None else float(value) for value in values], pl.Float64)
    if kind.startswith(("Int", "UInt")):
        return pl.Series(name, values, pl.UInt64 if kind == "UInt64" else pl.Int64)
    if kind == "Bool":
        return pl.Series(name, values, pl.Boolean)
    return pl.Series(name, [None if value is None else str(value) for value in values], pl.String)


_TIME = pl.Datetime("ms", "UTC")
_MARKED = ("time", "timeEnd", "title", "text", "tags")
NO_MARKS = pl.DataFrame(
    schema={
        "time": _TIME, "timeEnd": _TIME, "title": pl.String, "text": pl.String, "tags": pl.String,
        "name": pl.String, "colour": pl.String,
    }
)  # fmt: skip
"""Marks of a chart that has none."""

NO_POINTS = pl.DataFrame(schema={"time": _TIME, "series": pl.String, "value": pl.Float64})
"""A time series without a point."""
