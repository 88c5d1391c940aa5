"""Can the board be trusted: what it shows, how complete and how old that is, and what producers dropped or held."""

from __future__ import annotations

from dashboards.queries import Query
from dashboards.queries.selection import (
    IN_RANGE,
    OF_TURNS,
    STEP_COVERED_S,
    Sliced,
    given,
    matches,
    selected,
    step_of,
)
from dashboards.queries.worst_slices import decisions


def shown(of: Sliced = OF_TURNS) -> Query:
    """What tables with these cuts are grouped by, and which part of the selection that leaves out."""
    applied = ", ".join(
        f"if(empty(selected_{name}), '', concat('{name} = ', arrayStringConcat(selected_{name}, ' or ')))"
        for name in of.variables
    )
    return Query(
        "shown",
        f"""{given(of=of)},
  arrayFilter(s -> s.2 != '', arrayZip({list(of.variables)}, [{applied}])) AS selections,
  splitByChar(',', shown_cut) AS named
SELECT shown_cut AS `grouped by`,
  arrayStringConcat(arrayFilter((said, name) -> has(named, name), selections.2, selections.1), ', ') AS applied,
  arrayStringConcat(
    arrayFilter((said, name) -> NOT has(named, name), selections.2, selections.1), ', ') AS `not applied`,
  multiIf(is_short, '10 s', is_long, '1 min, of burn windows 1 h', '1 min') AS `rollup`, step_s AS `seconds a point`""",
    )


SHOWN = shown()

COMPLETENESS = Query(
    "completeness",
    f"""{given(selected("slo"), has_hours=True)}
SELECT {step_of("decided_at")} AS time, toString(slo) AS series, min(least_of_instant) AS value
FROM (SELECT decided_at, slo, min(completeness) AS least_of_instant FROM {decisions("slo, completeness")} GROUP BY decided_at, slo)
GROUP BY time, series
ORDER BY time, series""",
    "time_series",
)
"""Instant by instant first: a step and a text for each of thousands of slices' decisions took half of the time."""

_TABLES = ("traffic_1m", "burn_rate_1m", "stage_latency_1m", "concurrency_1m", "heartbeats_1m")


def newest_of(table: str, column: str, from_time: str = "$__fromTime") -> str:
    """The newest instant of a table from `from_time` to the range's end, NULL where there is none: an aggregate over its rows.

    Of all its rows the newest is known without reading any; only a range that ended before it has to look for its own.
    """
    in_range = f"{column} >= {from_time} AND {column} <= $__toTime"
    of_all = f"(SELECT max({column}) FROM {table})"
    return (
        f"if({of_all} <= $__toTime, if({of_all} >= {from_time}, {of_all}, NULL), "
        f"(SELECT maxOrNull({column}) FROM {table} WHERE {of_all} > $__toTime AND {in_range}))"
    )


def _newest(table: str, column: str) -> str:
    return f"SELECT '{table}' AS table, {newest_of(table, column)} AS newest"


def _age_s(time: str) -> str:
    """Seconds from `time` to the range's end, or to now where that is earlier."""
    return f"dateDiff('second', {time}, toDateTime64(least(now(), $__toTime), 3, 'UTC'))"


AGE = Query(
    "age",
    f"""SELECT table, newest, {_age_s("newest")} AS age_s FROM (
  {" UNION ALL ".join(_newest(table, "bucket_start") for table in _TABLES)}
  UNION ALL {_newest("burn_windows", "decided_at")})
ORDER BY newest IS NOT NULL, age_s DESC, table""",
)


def _heartbeats(suffix: str, when: str) -> str:
    return f"""SELECT region, reported_family, bucket_start, observations_seen, observations_dropped, observations_held
    FROM heartbeats_{suffix} FINAL WHERE {when} AND {IN_RANGE} AND {matches("region")}"""


REPORTED = f"({_heartbeats('10s', 'is_short')}\n  UNION ALL\n  {_heartbeats('1m', 'NOT is_short')})"

PRODUCERS = Query(
    "producers",
    f"""{given()}
SELECT region, reported_family AS family, max(bucket_start) AS newest_heartbeat,
  {_age_s("newest_heartbeat")} AS age_s, sum(observations_seen) AS seen, sum(observations_dropped) AS dropped,
  dropped / nullIf(seen, 0) AS dropped_share, argMax(held, bucket_start) AS held_now
FROM (
  SELECT region, reported_family, bucket_start, sum(observations_seen) AS observations_seen,
    sum(observations_dropped) AS observations_dropped, sum(observations_held) AS held
  FROM {REPORTED} GROUP BY region, reported_family, bucket_start)
GROUP BY region, family
ORDER BY age_s DESC, dropped_share DESC, region, family
LIMIT 100""",
)

DROPPED = Query(
    "dropped",
    f"""{given()}
SELECT time, concat(region, ' ', fate.1) AS series, fate.2 / covered_s AS value FROM (
  SELECT {step_of("bucket_start")} AS time, region, {STEP_COVERED_S} AS covered_s,
    arrayJoin([('dropped', toFloat64(sum(observations_dropped))), ('held', toFloat64(sum(observations_held)))]) AS fate
  FROM {REPORTED}
  GROUP BY time, region)
ORDER BY time, series""",
    "time_series",
)
