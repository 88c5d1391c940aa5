"""Grafana draws series as the local board does: broken where all were silent, and rows of heat maps in the same order."""

from __future__ import annotations

import polars as pl
import pytest

from dashboards.local.charts import points
from dashboards.local.legends import peaks
from dashboards.panels import Chart, HeatMap
from dashboards.series_in_grafana import query_in_grafana, with_ranks, with_silence
from dashboards.substitution import Range
from tests.board.conftest import BOARDS, Boards

FROM_S = 1_790_000_000

TOLD = {
    "silent for twenty minutes": (10, [*range(0, 600, 10), *range(1_800, 2_400, 10)]),
    "silent for nine": (10, [*range(0, 600, 10), *range(1_130, 1_500, 10)]),
    "told hourly": (30, [3_600 * hour for hour in range(6)]),
    "told hourly, and silent for three": (30, [3_600 * hour for hour in (0, 1, 2, 5, 6)]),
    "told by steps that are hours": (3_600, [3_600 * hour for hour in (0, 1, 2, 4, 5, 9)]),
    "told once": (10, [0]),
    "never told": (10, []),
}
"""The step in seconds, and when something was told."""


def _sql(at_s: list[int], series: str = "'one'") -> str:
    seconds = ", ".join(map(str, at_s))
    return f"""SELECT toDateTime64({FROM_S} + at, 3, 'UTC') AS time, {series} AS series, toFloat64(at) AS value, 'a' AS slo
FROM (SELECT toInt64(arrayJoin(CAST([{seconds}], 'Array(Int64)'))) AS at) ORDER BY time, series"""


def _in_wide(rows: pl.DataFrame) -> list[str]:
    """Series in the order of Grafana's fields: the plugin sorts them by their labels, in the order of the columns."""
    labels = [name for name, kind in rows.schema.items() if kind == pl.String]
    return rows.select(labels).unique().sort(labels)["series"].to_list()


@pytest.mark.parametrize("told", TOLD)
def test_a_line_breaks_where_the_local_board_breaks_it(boards: Boards, told: str) -> None:
    step_s, at_s = TOLD[told]
    during = Range(FROM_S, FROM_S + 12 * 3_600, step_s)
    rows = boards.rows(with_silence(_sql(at_s)), during)
    assert rows.columns == ["time", "series", "value", "slo"]
    broken = rows.filter(pl.col("value").is_null())["time"].dt.epoch("ms").to_list()
    drawn = points(boards.rows(_sql(at_s), during), ["one"], during)
    ends = [point["t"] // 1_000 for point in drawn if point["v"] is None]
    assert [at // 1_000 - 1 for at in broken] == ends
    assert bool(ends) == ("silent for t" in told or "silent for three" in told or "steps" in told)


def test_a_series_that_is_told_bridges_the_silence_of_another(boards: Boards) -> None:
    """Grafana itself breaks the other one: it has nulls where the first has values."""
    both = _sql(list(range(0, 7_200, 60)), "if(at % 3600 = 0, 'rare', 'often')")
    assert not boards.rows(with_silence(both), Range(FROM_S, FROM_S + 7_200, 10))["value"].has_nulls()


@pytest.mark.parametrize("uid", BOARDS)
def test_every_chart_keeps_its_rows(boards: Boards, uid: str) -> None:
    for panel in (each for panels in BOARDS[uid].sections.values() for each in panels if isinstance(each, Chart)):
        own = boards.opened(uid, panel.query.sql)
        sent = boards.opened(uid, query_in_grafana(panel).sql)
        said = sent.drop_nulls("value").with_columns(pl.col("value").cast(own.schema["value"]))
        by = ["time", "series"]
        assert said.columns == own.columns, panel.title
        assert said.sort(by).equals(own.sort(by)), panel.title
        assert sent["time"].is_sorted(), panel.title


@pytest.mark.parametrize("uid", BOARDS)
def test_rows_of_a_heat_map_stand_in_the_local_board_s_order(boards: Boards, uid: str) -> None:
    for panel in (each for panels in BOARDS[uid].sections.values() for each in panels if isinstance(each, HeatMap)):
        sent = boards.opened(uid, query_in_grafana(panel).sql)
        own = boards.opened(uid, panel.query.sql)
        assert sent.columns[:2] == ["time", "rank"] and sent.drop("rank").columns == own.columns, panel.title
        assert _in_wide(sent) == peaks(own)["series"].to_list(), panel.title


def test_equally_high_rows_stand_by_name_whichever_began_first(boards: Boards) -> None:
    """Ranks are text where they are sorted: the tenth is not the second."""
    sql = """SELECT toDateTime64(at * 60, 3, 'UTC') AS time, concat('row ', toString(12 - at)) AS series, if(at = 5, 9., 1.) AS value
FROM (SELECT arrayJoin(range(1, 13)) AS at) ORDER BY time, series"""
    sent = _in_wide(boards.rows(with_ranks(sql)))
    assert sent == peaks(boards.rows(sql))["series"].to_list()
    assert sent[:3] == ["row 7", "row 0", "row 1"] and len(sent) == 12
