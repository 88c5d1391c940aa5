"""What a statement answers Grafana besides its rows, so that it draws series as the local board does.

The plugin turns rows of a `time_series` into a field per series, sorted by their labels in the order of the columns, with
nulls where others have a value. Grafana's line then crosses a null, up to a fixed length, but not a silence that nobody
told of: where all are silent no row says so. So charts tell it, and rows of a heat map say their rank first.
"""

from __future__ import annotations

from dataclasses import replace

from dashboards.panels import GAP_S, STEPS_MISSED, Chart, HeatMap, Panel
from dashboards.queries import Query

_RANK_DIGITS = 4
"""Ranks are compared as text."""


def query_in_grafana(panel: Panel) -> Query:
    """The panel's query as Grafana is to ask it."""
    match panel:
        case Chart():
            return replace(panel.query, sql=with_silence(panel.query.sql))
        case HeatMap():
            return replace(panel.query, sql=with_ranks(panel.query.sql))
        case _:
            return panel.query


def with_silence(sql: str) -> str:
    """The rows of a time series, and one without a value a second after the last instant before each total silence.

    Silence is what is longer than `GAP_S`, than `STEPS_MISSED` steps, and than as many usual distances of its instants.
    """
    return f"""SELECT told.1 AS time, series, told.2 AS value, * EXCEPT (time, series, value, told)
FROM (
  SELECT * EXCEPT (next_s, usual_s), arrayJoin(if(next_s > greatest({GAP_S}, {STEPS_MISSED} * greatest($__interval_s, usual_s)),
    [(time, toNullable(value)), (time + INTERVAL 1 SECOND, NULL)], [(time, toNullable(value))])) AS told
  FROM (
    SELECT *, quantileExactIf(0.5)(next_s, next_s > 0) OVER () AS usual_s FROM (
      SELECT *, dateDiff('second', time, leadInFrame(time) OVER (ORDER BY time ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING)) AS next_s
      FROM (
{sql}))))
ORDER BY time, series"""


def with_ranks(sql: str) -> str:
    """The rows of a time series with `rank` as their first label: the series with the highest value is the first."""
    return f"""SELECT time, leftPad(toString(dense_rank() OVER (ORDER BY highest DESC, series)), {_RANK_DIGITS}, '0') AS rank,
  * EXCEPT (time, highest)
FROM (
  SELECT *, max(value) OVER (PARTITION BY series) AS highest FROM (
{sql}))
ORDER BY time, rank"""
