"""How many streams came at once, how many were warm for them, and how many replicas serve beside how many it takes."""

from __future__ import annotations

from dashboards.queries import Query
from dashboards.queries.queues import OF_QUEUES
from dashboards.queries.selection import STEP, given, matches, rollup
from dashboards.queries.traffic import REPLICAS_KNOWN
from schemas.families import QUEUES, STREAMS

_SLICES_MAX = 50
_IN_VIEW = " AND ".join(matches(name) for name in OF_QUEUES.columns)
_MINUTES = f"""SELECT pool, region, bundle, bucket_start, streams_peak_upper, warm_streams, warm_headroom, warm_least_at
  FROM capacity
  WHERE cut = shown_cut AND bucket_start >= range_from AND bucket_start < $__toTime AND {_IN_VIEW}"""
_STEP_OF_MINUTES = "toUInt32(intDiv(step_s + 59, 60) * 60) AS minutes_s"

REPLICAS = Query(
    "replicas_needed_and_serving",
    f"""{given(of=OF_QUEUES)}
SELECT time, concat(pool, ' ', kind) AS series, max(replicas) AS value FROM (
  SELECT {STEP} AS time, pool, bucket_start, 'needed' AS kind, toFloat64(sum(replicas_needed)) AS replicas
  FROM {rollup("concurrency", "pool, bucket_start, peak_upper, replicas_needed", of=OF_QUEUES)}
  GROUP BY time, pool, bucket_start
  HAVING {REPLICAS_KNOWN}
  UNION ALL
  SELECT {STEP} AS time, pool, bucket_start, 'serving' AS kind, toFloat64(sum(servers)) AS replicas
  FROM {rollup("queues", "pool, bucket_start, servers", of=OF_QUEUES)}
  GROUP BY time, pool, bucket_start)
GROUP BY time, series
ORDER BY time, series""",
    "time_series",
)
"""Of the replicas of all stages together; the streams of a slice need every stage."""

WARM = Query(
    "warm_streams_and_peak",
    f"""{given(_STEP_OF_MINUTES, of=OF_QUEUES)}
SELECT toStartOfInterval(bucket_start, toIntervalSecond(minutes_s)) AS time,
  concat(pool, bound.1) AS series, if(bound.1 = ' warm', min(bound.2), max(bound.2)) AS value
FROM (
  SELECT pool, bucket_start,
    arrayJoin([(' warm', toFloat64(sum(warm_streams))), (' peak at most', toFloat64(sum(streams_peak_upper)))]) AS bound
  FROM (
    {_MINUTES})
  WHERE warm_streams IS NOT NULL
  GROUP BY pool, bucket_start)
GROUP BY time, series, bound.1
ORDER BY time, series""",
    "time_series",
)

LEAST_WARM = Query(
    "least_warm_headroom",
    f"""{given(of=OF_QUEUES)}
SELECT pool, region, bundle, min(warm_headroom) AS least_headroom, argMin(warm_least_at, warm_headroom) AS bounded_by,
  argMin(streams_peak_upper, warm_headroom) AS peak_at_most, argMin(warm_streams, warm_headroom) AS warm,
  argMin(bucket_start, warm_headroom) AS minute, countIf(warm_headroom < 0) AS minutes_short
FROM (
    {_MINUTES})
WHERE warm_headroom IS NOT NULL
GROUP BY pool, region, bundle
ORDER BY least_headroom, pool, region, bundle
LIMIT {_SLICES_MAX}""",
)
"""Of each slice of the shown cut the minute with the least warm streams beyond its peak."""

assert {"pool", "region", "bundle"} <= {name for cut in QUEUES.cuts for name in cut.dimensions}
assert {cut.name for cut in OF_QUEUES.cuts} <= {cut.name for cut in STREAMS.cuts}
