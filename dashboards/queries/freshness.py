"""How old the newest row of each table is, what came too late for its table, and how long it took until somebody was told.

Kafka's lag itself is in no table. What tables tell of it: how old their newest bucket is, rows of a source partition that
lagged behind the others, and the time between an alert's instant and the moment that it began to fire.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dashboards.queries import Query
from dashboards.queries.constants import listed
from dashboards.queries.pipeline import REPORTED, newest_of
from dashboards.queries.privacy import TOLD
from dashboards.queries.selection import given, matches, selected, step_of
from schemas.families import COSTS, FAMILIES, OUTCOMES, TURNS
from schemas.rollup_tables import FAMILY_TABLES, late_table, rollups_of, widest

_LANDS_S = 60
"""Seconds that a decided row may take until it has landed."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A table whose newest row should be no older than `late_after_s`: what its data may be late by, and two buckets."""

    table: str
    column: str
    late_after_s: int


def _watched() -> Iterator[Watched]:
    for name, family in FAMILIES.items():
        width_s = rollups_of(family)[-1].width_s
        for base in FAMILY_TABLES[name]:
            yield Watched(widest(base).name, "bucket_start", family.lateness_s + 2 * width_s + _LANDS_S)
    yield Watched("burn_windows", "decided_at", TURNS.lateness_s + 2 * 60 + _LANDS_S)
    yield Watched("spend_10m", "bucket_start", COSTS.lateness_s + 2 * 600 + _LANDS_S)
    yield Watched("drift_1h", "bucket_start", OUTCOMES.lateness_s + 2 * 3_600 + _LANDS_S)


WATCHED = tuple({each.table: each for each in _watched()}.values())
LATE_AFTER_S = {each.table: each.late_after_s for each in WATCHED}
STATES = ("behind", "nothing", "in time")


def _newest(each: Watched) -> str:
    newest = newest_of(each.table, each.column, "$__fromTime - INTERVAL 1 DAY")
    return f"SELECT '{each.table}' AS table, {newest} AS newest, {each.late_after_s} AS late_after_s"


_FRESHNESS = f"""SELECT multiIf(newest IS NULL, 'nothing', age_s > late_after_s, 'behind', 'in time') AS state, table, newest,
  dateDiff('second', newest, toDateTime64(least(now(), $__toTime), 3, 'UTC')) AS age_s, late_after_s
FROM (
  {" UNION ALL ".join(map(_newest, WATCHED))})"""

FRESHNESS = Query(
    "freshness", f"{_FRESHNESS}\nORDER BY indexOf({list(STATES)}, state), age_s / late_after_s DESC, table"
)
"""The newest row of each table, of the range and the day before it."""

_EDGE = f"""(SELECT (sumIf(told, fate = 'generalised') / nullIf(sumIf(told, fate IN ('kept', 'generalised')), 0), sumIf(told, fate = 'refused'))
    FROM (SELECT fate, sum(observations) AS told FROM {TOLD} GROUP BY fate)) AS edge"""

TRUST = Query(
    "trust",
    f"""{given(selected("slo"), _EDGE)}
SELECT (SELECT countIf(state = 'behind') FROM ({_FRESHNESS})) AS `tables behind`,
  (SELECT min(completeness) FROM burn_windows
    WHERE decided_at >= $__fromTime AND decided_at <= $__toTime AND {matches("slo")}) AS `least completeness`,
  (SELECT sum(observations_dropped) / nullIf(sum(observations_seen), 0) FROM {REPORTED}) AS `dropped`,
  edge.1 AS `generalised`, edge.2 AS `refused`""",
)

_LATE = "\n  UNION ALL\n  ".join(
    f"SELECT '{name}' AS family, {family.lateness_s} AS lateness_s, producer, origin_topic, origin_partition, origin_offset, "
    f"bucket_start FROM {late_table(family)} WHERE bucket_start >= range_from AND bucket_start < $__toTime"
    for name, family in FAMILIES.items()
)
_FRAMES = "uniqExactIf((origin_topic, origin_partition, origin_offset), producer != '')"
_LAGGED = "uniqExactIf((origin_topic, origin_partition, bucket_start), producer = '')"

LATE = Query(
    "late",
    f"""{given()}
SELECT family, {_FRAMES} AS late_frames, uniqExactIf(producer, producer != '') AS late_producers,
  arrayStringConcat(arraySlice(arraySort(groupUniqArrayIf(producer, producer != '')), 1, 5), ', ') AS such_as,
  {_LAGGED} AS lagged_buckets,
  arrayStringConcat(arraySort(groupUniqArrayIf(concat(origin_topic, '/', toString(origin_partition)), producer = '')), ', ')
    AS lagging_partitions,
  min(bucket_start) AS oldest, max(bucket_start) AS newest, any(lateness_s) AS may_be_late_s
FROM (
  {_LATE})
GROUP BY family
ORDER BY late_frames + lagged_buckets DESC, family""",
)
"""By family the frames that came after its lateness, and the buckets of source partitions that lagged."""

LATE_OVER_TIME = Query(
    "late_over_time",
    f"""{given()}
SELECT time, concat(family, kind.1) AS series, kind.2 AS value FROM (
  SELECT {step_of("bucket_start")} AS time, family,
    arrayJoin([(' late frames', toFloat64({_FRAMES})), (' lagged buckets', toFloat64({_LAGGED}))]) AS kind
  FROM (
  {_LATE})
  GROUP BY time, family)
WHERE value > 0
ORDER BY time, series""",
    "time_series",
)

TOLD_AFTER = Query(
    "told_after",
    """SELECT question, count() AS alerts, quantileExact(0.5)(waited_s) AS waited_s_p50, max(waited_s) AS waited_s_max,
  min(completeness) AS least_complete
FROM (
  SELECT 'burns' AS question, dateDiff('second', starts_event, min(starts)) AS waited_s, min(completeness) AS completeness
  FROM pages WHERE state != 'pending' AND starts_event >= $__fromTime AND starts_event <= $__toTime
  GROUP BY alert, starts_event
  UNION ALL
  SELECT question, dateDiff('second', starts_event, min(starts)) AS waited_s, min(completeness) AS completeness
  FROM findings WHERE starts_event >= $__fromTime AND starts_event <= $__toTime
  GROUP BY question, finding, starts_event)
GROUP BY question
ORDER BY waited_s_max DESC, question""",
)
"""Seconds from the decided instant, in event time, until an alert began to fire, by the clock."""

COUNTED_ELSEWHERE = (
    (
        "dead letters",
        "turnwatch_frames_refused_total",
        "frames that could not be read, by reason: docs/runbooks/dead-letters.md",
    ),
    (
        "dead letters",
        "turnwatch_records_diverted_total",
        "records of any topic that were diverted, by topic and reason",
    ),
    ("duplicates", "turnwatch_frames_repeated_total", "frames that had been taken in before, which change nothing"),
    ("gaps", "turnwatch_frames_missing_total", "sequence numbers that had not come when many later ones had"),
    ("late", "turnwatch_frames_late_total", "frames after their lateness, as they come; the tables below have them"),
    ("late", "turnwatch_rows_too_late_total", "rows that came after their bucket was folded, by question"),
    ("lag", "turnwatch_watermark_timestamp_seconds", "newest decided instant; what it is behind the clock is the lag"),
    ("lag", "turnwatch_kafka_waiting_seconds", "how long Kafka has not answered: docs/runbooks/outages.md"),
    ("lag", "turnwatch_sink_waiting_seconds", "how long rows have been waiting for ClickHouse to take them"),
    (
        "silence",
        "turnwatch_producers_silent",
        "producers that have stopped reporting: docs/runbooks/telemetry-silent.md",
    ),
)
"""What workers count and no table has: of what, the metric, and what it says."""

ELSEWHERE = Query(
    "counted_elsewhere",
    f"SELECT what, metric, meaning FROM {listed(('what', 'metric', 'meaning'), COUNTED_ELSEWHERE, ('', '', ''))}",
)
