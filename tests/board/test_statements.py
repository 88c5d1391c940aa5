"""Every statement of every board, of panels, marks and choices: it answers whatever is chosen, and reads no more than it has to.

Statements are asked board by board, so that one that fails is named beside the others that do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import polars as pl
import pytest

from dashboards.queries import Query
from dashboards.substitution import Range, Value, substituted
from schemas.hourly_tables import HOURLY
from schemas.tables import TABLES
from schemas.views import VIEWS
from tests.board.conftest import BOARDS, DAY_S, HOSTILE, NOTHING, Boards, as_opened
from tests.board.world import BUNDLES, REGIONS, ROUTES

ONE_SLICE: dict[str, Value] = {
    "slo": ["turn-4000ms-realtime"],
    "pool": ["realtime"],
    "region": [REGIONS[0]],
    "bundle": [BUNDLES[1]],
    "by": "language",
    "window": "5m",
}
SEVERAL: dict[str, Value] = {
    "pool": ["realtime", "batch"],
    "route": list(ROUTES),
    "region": list(REGIONS),
    "by": "region",
}

each_board = pytest.mark.parametrize("uid", BOARDS)


def _statements() -> Iterator[tuple[str, str, Query]]:
    """Board, title and query, each text once: marks and choices are the same on many boards."""
    seen = set()
    for uid, board in BOARDS.items():
        told = [(panel.title, panel.query) for panels in board.sections.values() for panel in panels]
        told += [(marks.name, marks.query) for marks in board.marks]
        told += [(f"options of {each.name}", each.options) for each in board.choices if isinstance(each.options, Query)]
        for title, query in told:
            if query.sql not in seen:
                seen.add(query.sql)
                yield uid, title, query


STATEMENTS = list(_statements())


def _of(uid: str) -> list[tuple[str, Query]]:
    return [(title, query) for board, title, query in STATEMENTS if board == uid]


@each_board
def test_every_statement_has_rows_as_the_board_opens(boards: Boards, uid: str) -> None:
    """Over a day. A time series has one finite value for each step of a series, in order of time."""
    empty = []
    for title, query in _of(uid):
        told = boards.opened(uid, query.sql)
        empty += [title] if told.is_empty() else []
        if query.shape == "time_series":
            assert told.columns[:3] == ["time", "series", "value"], title
            assert told["time"].is_sorted() and told.select("time", "series").is_unique().all(), title
            assert told["value"].cast(pl.Float64).is_finite().all(), title
    assert not empty


@each_board
def test_every_statement_answers_for_one_slice_in_10_s(boards: Boards, uid: str) -> None:
    for title, query in _of(uid):
        assert boards.rows(query.sql, selection=ONE_SLICE).schema == boards.opened(uid, query.sql).schema, title


@each_board
def test_a_range_without_data_keeps_its_columns(boards: Boards, uid: str) -> None:
    """Several of each chosen as well, which no cut names together."""
    begin_s = boards.world.start_ms // 1000
    long_ago = Range(begin_s - 400 * DAY_S, begin_s - 399 * DAY_S)
    for title, query in _of(uid):
        assert boards.rows(query.sql, long_ago, SEVERAL).schema == boards.opened(uid, query.sql).schema, title


@each_board
def test_no_value_leaves_its_string(boards: Boards, uid: str) -> None:
    """In lists and in single choices: it selects what any other unknown value does."""
    choices = BOARDS[uid].choices
    unknown: dict[str, Value] = {each.name: ["nobody"] if each.is_multi else "nobody" for each in choices}
    hostile: dict[str, Value] = {each.name: list(HOSTILE) if each.is_multi else HOSTILE[0] for each in choices}
    for title, query in _of(uid):
        nobody, told = boards.rows(query.sql, selection=unknown), boards.rows(query.sql, selection=hostile)
        if title == "What is shown":
            assert told.shape == nobody.shape, "it repeats what is selected"
        else:
            assert told.equals(nobody), title


@each_board
def test_a_month_has_rows_and_reads_each_table_as_often_as_it_is_named(boards: Boards, uid: str) -> None:
    """Rows read, as the server counts them, against a plain read of what the statement names; no rollup of 10 s is."""
    stored = dict(
        boards.client.query(
            "SELECT name, toUInt64(ifNull(total_rows, 0)) FROM system.tables WHERE database = 'boards'"
        ).result_rows
    )
    empty, too_many = [], {}
    for title, query in _of(uid):
        sql = substituted(query.sql, boards.last(30 * DAY_S), {**NOTHING, **as_opened(uid)})
        answer = boards.client.query(sql)
        most = sum(stored[table] for table in _named(query.sql) if not table.endswith("_10s"))
        most += _EDGE_ROWS if re.search(r"\bFINAL\b", query.sql) else 0
        empty += [] if answer.result_rows else [title]
        if (read := int(answer.summary["read_rows"])) > most + _CONSTANT_ROWS:
            too_many[title] = (read, most)
    assert not empty and not too_many


_CONSTANT_ROWS = 1_000
"""Rows of constants: objectives, policy rows, series of limits."""

_EDGE_ROWS = 4 * 8_192
"""FINAL over parts that overlap is read in layers of the primary key, whose granules at the borders are read by both. How many
depends on where a Monday, and so a partition, begins in the week of the world."""


def _named(sql: str) -> Iterator[str]:
    """Tables that a statement reads, as often as it names them, by way of views as well."""
    for name in re.findall(r"\b(?:FROM|JOIN)\s+(\w+)", sql):
        if name in VIEWS:
            yield from _named(VIEWS[name].select)
        elif name in TABLES or name in HOURLY:
            yield name
