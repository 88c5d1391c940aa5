"""How much is served: turns, concurrent streams, audio and tokens, realtime and batch pools apart."""

from __future__ import annotations

from dashboards.queries import Query
from dashboards.queries.selection import STEP, STEP_COVERED_S, given, rollup


def _rate(name: str, *amounts: tuple[str, str]) -> Query:
    """Amounts per second and pool: pairs of a label ('' for none) and a sum over buckets."""
    labels = ", ".join(f"({_label(label)}, toFloat64({amount}))" for label, amount in amounts)
    return Query(
        name,
        f"""{given()}
SELECT time, amount.1 AS series, amount.2 / covered_s AS value FROM (
  SELECT {STEP} AS time, pool, arrayJoin([{labels}]) AS amount, {STEP_COVERED_S} AS covered_s
  FROM {rollup("traffic", "pool, bucket_start, turns, audio_in_ms, audio_out_ms, tokens_in, tokens_out")}
  GROUP BY time, pool)
ORDER BY time, series""",
        "time_series",
    )


def _label(label: str) -> str:
    return f"concat(pool, ' {label}')" if label else "toString(pool)"


TURNS_PER_SECOND = _rate("turns_per_second", ("", "sum(turns)"))
TOKENS_PER_SECOND = _rate("tokens_per_second", ("prompt", "sum(tokens_in)"), ("generated", "sum(tokens_out)"))
AUDIO_PER_SECOND = _rate(
    "audio_per_second", ("heard", "sum(audio_in_ms) / 1000"), ("spoken", "sum(audio_out_ms) / 1000")
)

_CONCURRENT = rollup("concurrency", "pool, bucket_start, active_at_start, peak_lower, peak_upper, replicas_needed")

REPLICAS_KNOWN = "sum(replicas_needed) > 0 OR sum(peak_upper) = 0"
"""Streams that take no replica come from workers that know no capacity figures: what they need is unknown, and not 0."""

# Peaks of slices need not coincide. Over several slices, the sum of their upper bounds still bounds the peak from
# above; from below do the largest single one and what was active at one instant.
PEAK_STREAMS = Query(
    "peak_streams",
    f"""{given()}
SELECT time, bound.1 AS series, toFloat64(bound.2) AS value FROM (
  SELECT {STEP} AS time,
    arrayJoin([(concat(pool, ' at least'), max(at_least)), (concat(pool, ' at most'), max(at_most))]) AS bound
  FROM (
    SELECT pool, bucket_start, greatest(max(peak_lower), sum(active_at_start)) AS at_least, sum(peak_upper) AS at_most
    FROM {_CONCURRENT}
    GROUP BY pool, bucket_start)
  GROUP BY time, pool)
ORDER BY time, series""",
    "time_series",
)

REPLICAS_NEEDED = Query(
    "replicas_needed",
    f"""{given()}
SELECT time, toString(pool) AS series, max(replicas) AS value FROM (
  SELECT {STEP} AS time, pool, bucket_start, sum(replicas_needed) AS replicas
  FROM {_CONCURRENT}
  GROUP BY time, pool, bucket_start
  HAVING {REPLICAS_KNOWN})
GROUP BY time, series
ORDER BY time, series""",
    "time_series",
)
