"""Queues in front of each stage: how deep, how slow, how fast they grow, and how full what serves them is.

Gauges are summed over slices at one instant, so a step shows the largest of its instants; counters are summed over the
step. What has begun to be served is what came, less what the queue grew by.
"""

from __future__ import annotations

from dashboards.queries import Query
from dashboards.queries.selection import (
    SLICE_VARIABLES,
    STEP,
    Sliced,
    given,
    operational_cuts,
    rollup,
    selected,
)
from schemas.families import QUEUES
from schemas.saturation import TARGET_UTILISATION
from schemas.views import LATENCY_MS

OF_QUEUES = Sliced(SLICE_VARIABLES, operational_cuts(QUEUES))
QUEUE = "queue"
QUEUE_NAMES = QUEUES.keys[0].vocabulary
_CHOSEN = f"(empty(selected_{QUEUE}) OR has(selected_{QUEUE}, {QUEUE}))"
BEGUN = "(sum(arrivals) + sum(depth_from) - sum(depth_to))"
"""Requests that began to be served."""
_MINUTES = "(uniqExact(bucket_start) * bucket_s / 60)"


def _rows(columns: str) -> str:
    return f"(SELECT * FROM {rollup('queues', f'queue, bucket_start, {columns}', of=OF_QUEUES)} WHERE {_CHOSEN})"


def _over_time(name: str, value: str, columns: str) -> Query:
    """`value` of each queue, step by step, out of sums of `columns`; no point where it is null."""
    return Query(
        name,
        f"""{given(selected(QUEUE), of=OF_QUEUES)}
SELECT {STEP} AS time, toString(queue) AS series, {value} AS value
FROM {_rows(columns)}
GROUP BY time, series
HAVING value IS NOT NULL
ORDER BY time, series""",
        "time_series",
    )


def _gauge_over_time(name: str, value: str, columns: str) -> Query:
    """The largest `value` of each step, over slices that are summed at each instant."""
    return Query(
        name,
        f"""{given(selected(QUEUE), of=OF_QUEUES)}
SELECT time, toString(queue) AS series, max(told) AS value FROM (
  SELECT {STEP} AS time, queue, bucket_start, {value} AS told
  FROM {_rows(columns)}
  GROUP BY time, queue, bucket_start)
GROUP BY time, series
HAVING value IS NOT NULL
ORDER BY time, series""",
        "time_series",
    )


DEPTH = _gauge_over_time("queue_depth", "toFloat64(sum(depth))", "depth")
MEAN_WAIT = _over_time(
    "queue_wait_mean",
    f"if({BEGUN} > 0, sum(waited_ms_sum) / {BEGUN}, NULL)",
    "waited_ms_sum, arrivals, depth_from, depth_to",
)
GROWTH = _over_time(
    "queue_growth",
    f"(toFloat64(sum(depth_to)) - sum(depth_from)) / {_MINUTES}",
    "depth_from, depth_to",
)
UTILISATION = _over_time("queue_utilisation", "sum(busy_ms) / nullIf(sum(available_ms), 0)", "busy_ms, available_ms")
BATCH_OCCUPANCY = _over_time(
    "batch_occupancy", "sum(batch_slots_filled) / nullIf(sum(batch_slots), 0)", "batch_slots, batch_slots_filled"
)
KV_CACHE = _gauge_over_time("kv_cache", "sum(kv_blocks_used) / nullIf(sum(kv_blocks), 0)", "kv_blocks, kv_blocks_used")
BATCH_SHARE = _over_time("batch_share", "sum(batch_arrivals) / nullIf(sum(arrivals), 0)", "batch_arrivals, arrivals")

_BEGUN_NOW = "(sum(came) + sum(deep_from) - sum(deep_to))"
STAGE_P95 = Query(
    "queue_stage_p95",
    f"""{given(of=OF_QUEUES)}
SELECT {STEP} AS time, toString(stage) AS series, quantileExactWeighted(0.95)({LATENCY_MS}, observations) AS value
FROM {rollup("stage_latency", "stage, scale, bucket_index, bucket_start, observations", of=OF_QUEUES)}
WHERE stage IN {QUEUE_NAMES}
GROUP BY time, series
ORDER BY time, series""",
    "time_series",
)
"""Of the stages that are waited for."""

NOW_MIN = 5
"""Minutes at the range's end that figures of now are of."""

_QUEUES_NOW = f"""{given(selected(QUEUE), of=OF_QUEUES)}
SELECT queue, pool, region, bundle,
  argMax(waiting, bucket_start) AS depth,
  (toFloat64(sum(deep_to)) - sum(deep_from)) / {_MINUTES} AS growth_min,
  if({_BEGUN_NOW} > 0, sum(waited) / {_BEGUN_NOW}, NULL) AS wait_ms,
  sum(came) / {_MINUTES} AS arrivals_min, sum(done) / {_MINUTES} AS served_min,
  argMax(replicas, bucket_start) AS servers, sum(busy) / nullIf(sum(available), 0) AS utilisation,
  sum(filled) / nullIf(sum(slots), 0) AS batch_occupancy,
  argMax(used, bucket_start) / nullIf(argMax(blocks, bucket_start), 0) AS kv_share,
  sum(put_back) / {_MINUTES} AS preemptions_min, sum(of_batch) / nullIf(sum(came), 0) AS batch_share,
  sum(accepted) / nullIf(sum(proposed), 0) AS drafts_accepted_share
FROM (
  SELECT queue, pool, region, bundle, bucket_start, sum(depth) AS waiting, sum(servers) AS replicas,
    sum(depth_from) AS deep_from, sum(depth_to) AS deep_to, sum(arrivals) AS came, sum(served) AS done,
    sum(waited_ms_sum) AS waited, sum(busy_ms) AS busy, sum(available_ms) AS available,
    sum(batch_slots) AS slots, sum(batch_slots_filled) AS filled, sum(kv_blocks) AS blocks, sum(kv_blocks_used) AS used,
    sum(preemptions) AS put_back, sum(batch_arrivals) AS of_batch,
    sum(drafts_proposed) AS proposed, sum(drafts_accepted) AS accepted
  FROM {_rows("region, pool, bundle, " + ", ".join(QUEUES.measure_names))}
  GROUP BY queue, pool, region, bundle, bucket_start
  QUALIFY bucket_start > max(bucket_start) OVER () - INTERVAL {NOW_MIN} MINUTE)
GROUP BY queue, pool, region, bundle"""

QUEUES_NOW = Query(
    "queues_now", f"{_QUEUES_NOW}\nORDER BY wait_ms DESC NULLS LAST, queue, pool, region, bundle\nLIMIT 100"
)
"""Each queue of each slice of the shown cut, slowest first."""

WORST_NOW = Query(
    "queues_worst_now",
    f"""SELECT maxOrNull(depth) AS `deepest queue`, max(wait_ms) AS `longest mean wait`, max(utilisation) AS `busiest`,
  if(count() = 0, NULL, countIf(utilisation > {TARGET_UTILISATION})) AS `queues above target utilisation`
FROM ({_QUEUES_NOW})""",
)
