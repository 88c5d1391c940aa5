"""What panels are told without Grafana: the same answers, with times that are times, in steps that Grafana would take."""

from __future__ import annotations

import polars as pl
import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from dashboards import render
from dashboards.boards import Choice
from dashboards.local import asking
from dashboards.local.asking import NO_MARKS, ask, ask_marks, ask_options, chosen, interval_s, ranged, statement
from dashboards.panels import HeatMap, Place
from dashboards.queries import Query
from dashboards.queries.pages import PAGES_HISTORY
from dashboards.queries.selection import EVERYTHING
from dashboards.queries.traffic import TURNS_PER_SECOND
from dashboards.substitution import Range
from dashboards.variables import OVERVIEW_UID
from tests.board.conftest import NOTHING, Boards
from tests.board.world import REGIONS


def test_every_panel_is_told_what_arrow_says(boards: Boards) -> None:
    """With the same values and in order, whatever is not chosen; times, which Arrow has as numbers, are times."""
    board = render.all_boards(boards.watched)[OVERVIEW_UID]
    selection = chosen(board.choices, {"pool": ["realtime"]})
    for panel in (panel for panels in board.sections.values() for panel in panels):
        told = ask(boards.client, panel, boards.range, selection)
        arrow = boards.rows(panel.query.sql, selection=selection)
        if panel.query.shape == "time_series":
            assert told["time"].is_sorted(), panel.title
            told, arrow = told.sort("time", "series"), arrow.sort("time", "series")
        assert told.columns == arrow.columns and told.height == arrow.height > 0, panel.title
        for name in told.columns:
            if told[name].dtype == pl.Datetime("ms", "UTC"):
                seconds = arrow[name].dt.epoch("s") if arrow[name].dtype.is_temporal() else arrow[name].cast(pl.Int64)
                assert told[name].dt.epoch("s").to_list() == seconds.to_list(), (panel.title, name)
            else:
                assert told[name].to_list() == arrow[name].to_list(), (panel.title, name)


def test_what_nobody_chose_is_no_condition_of_a_statement(boards: Boards) -> None:
    """On no board; what is chosen is one as often as before."""
    for board in render.all_boards(boards.watched).values():
        nothing, (first, *others) = chosen(board.choices, {}), [each.name for each in board.choices if each.is_multi]
        narrowed = chosen(board.choices, {name: ["x"] for name in others})
        for panel in (panel for panels in board.sections.values() for panel in panels):
            sent = statement(panel.query, boards.range, nothing)
            cuts = [line for line in sent.splitlines() if line.endswith("_cut,")]
            assert "OR empty(selected_" not in sent and "notEmpty" not in "".join(cuts), panel.title
            sent = statement(panel.query, boards.range, narrowed)
            assert f"OR empty(selected_{first})" not in sent, panel.title
            for name in others:
                condition = f"empty(selected_{name})"
                assert sent.count(condition) == panel.query.sql.count(condition), panel.title


def test_an_empty_time_series_has_the_columns_and_types_of_a_full_one(boards: Boards) -> None:
    full = ask(boards.client, TURNS_PER_SECOND, boards.range, NOTHING)
    long_ago = Range(boards.range.from_s - 400 * 86_400, boards.range.from_s - 399 * 86_400)
    empty = ask(boards.client, TURNS_PER_SECOND, long_ago, NOTHING)
    assert (empty.height, empty.schema) == (0, full.schema)
    assert ask(boards.client, PAGES_HISTORY, long_ago, NOTHING).is_empty()
    assert full.schema == {"time": pl.Datetime("ms", "UTC"), "series": pl.String, "value": pl.Float64}


def test_types_of_clickhouse_are_read_for_what_they_are(boards: Boards) -> None:
    sql = """SELECT toDateTime64('1969-12-31 23:59:59.250', 3, 'UTC') AS before, toDateTime('2026-01-02 03:04:05', 'UTC') AS second,
    toNullable(toDate('2026-01-02')) AS day, CAST('b', 'Enum8(\\'a\\' = 1, \\'b\\' = 2)') AS state, toDecimal64(1.5, 2) AS money,
    toLowCardinality(toNullable('x')) AS low, NULL AS nothing, true AS yes, toUInt64(18446744073709551615) AS most, [1, 2] AS list"""
    row = ask(boards.client, Query("types", sql), boards.range, {}).row(0, named=True)
    assert row["before"].timestamp() == -0.75
    assert row["second"].isoformat() == "2026-01-02T03:04:05+00:00"
    assert row["day"].isoformat() == "2026-01-02"
    assert [row[name] for name in ("state", "money", "low", "nothing", "yes", "most", "list")] == [
        "b", 1.5, "x", None, True, 2**64 - 1, "[1, 2]",
    ]  # fmt: skip


def test_a_statement_is_bounded(boards: Boards) -> None:
    many = Query("many", f"SELECT number FROM numbers({asking.ROWS_MAX + 1})")
    with pytest.raises(ClickHouseError, match="396"):
        ask(boards.client, many, boards.range, {})


def test_marks_say_of_what_kind_they_are(boards: Boards) -> None:
    board = render.all_boards(boards.watched)[OVERVIEW_UID]
    selection = chosen(board.choices, {})
    marks = ask_marks(boards.client, board, boards.range, selection)
    assert marks.schema == NO_MARKS.schema
    told = {each: ask(boards.client, each.query, boards.range, selection).height for each in board.marks}
    expected = {(each.name, each.colour): count for each, count in told.items() if count}
    assert len(expected) > 1
    assert {(name, colour): count for name, colour, count in marks.group_by("name", "colour").len().rows()} == expected


def test_choices_offer_what_the_range_has(boards: Boards) -> None:
    offered = {
        choice.name: ask_options(boards.client, choice, boards.range, NOTHING)
        for choice in render.all_boards(boards.watched)[OVERVIEW_UID].choices
    }
    assert offered["region"] == sorted(REGIONS)
    assert offered["slo"] == [each.slo.name for each in boards.watched]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"region": EVERYTHING, "by": "bundle"}),
        ({"region": [], "by": []}, {"region": EVERYTHING, "by": "bundle"}),
        ({"region": ["", "a,b"], "by": ["route", "pool"]}, {"region": ["a,b"], "by": "route"}),
        ({"nobody": ["knows"]}, {"region": EVERYTHING, "by": "bundle"}),
    ],
)
def test_every_choice_has_a_value(given: dict[str, list[str]], expected: dict[str, object]) -> None:
    choices = [
        Choice("region", "region", "where", ("a", "b")),
        Choice("by", "by", "cut", ("bundle", "route"), is_multi=False, chosen="bundle"),
    ]
    assert chosen(choices, given) == expected


@pytest.mark.parametrize(
    ("hours", "step_s"), [(0.01, 10), (1, 10), (2, 10), (6, 30), (24, 120), (7 * 24, 900), (400 * 24, 43_200)]
)
def test_steps_are_those_of_grafana(hours: float, step_s: int) -> None:
    assert interval_s(0, int(hours * 3_600)) == step_s


def test_a_heat_map_has_fewer_steps_than_a_chart(boards: Boards) -> None:
    heat_map = HeatMap(TURNS_PER_SECOND, "t", "d", "none", Place(12, 8))
    assert ranged(0, 86_400, heat_map).interval_s == 600 > ranged(0, 86_400).interval_s
