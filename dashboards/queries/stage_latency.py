"""Where a turn's time goes: quantiles of each stage, out of the exponential histograms.

A quantile is the weighted quantile over buckets, each standing where `schemas.views` puts it, which keeps the relative
error within 0.55 % at scale 6 and 1.1 % at scale 5. Histograms of different scales mix, because each bucket brings its
own bounds.

What is told of every bundle reads hundreds of millions of rows in a month. It is grouped by one column, the slice without
the dimensions that are not told (`rollup_by`), because ClickHouse is quick with a single LowCardinality key and several times slower
with more. Everything else that distinguishes rows is a place in arrays, and what a bucket stands for is computed of
those that are quantiles, not of every row.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from dashboards.queries import Query
from dashboards.queries.numbered import NOT_LISTED
from dashboards.queries.selection import SLICE_VARIABLES, STEP, dimensions_of, given, rollup
from schemas.families import PARTS, WHOLES
from schemas.histograms import ZERO_INDEX
from schemas.sql_text import quoted
from schemas.views import LATENCY_MS

IN_ORDER = (*PARTS, *WHOLES)

_ROWS_MAX = 30
_HISTOGRAMS = rollup("stage_latency", "stage, scale, bucket_index, bucket_start, observations, latency_ms_sum")


def quantile_over_time(quantile: float) -> Query:
    """A quantile of each stage's latency in ms, step by step."""
    return Query(
        f"stage_p{quantile * 100:g}_over_time",
        f"""{given()}
SELECT {STEP} AS time, toString(stage) AS series, quantileExactWeighted({quantile})({LATENCY_MS}, observations) AS value
FROM {_HISTOGRAMS}
GROUP BY time, series
ORDER BY time, series""",
        "time_series",
    )


def _measured(half: str, when: str) -> str:
    """Figures of one part of the range; empty, not zero, where nothing was seen in it."""
    seen = f"sumIf(observations, {when})"

    def figure(name: str, value: str) -> str:
        return f"if({seen} = 0, NULL, {value}) AS {name}_ms_{half}"

    return ",\n    ".join(
        (
            figure("p50", f"quantileExactWeightedIf(0.5)(latency_ms, observations, {when})"),
            figure("p99", f"quantileExactWeightedIf(0.99)(latency_ms, observations, {when})"),
            figure("mean", f"sumIf(latency_ms_sum, {when}) / {seen}"),
        )
    )


_HALVES = (
    "dateDiff('second', $__fromTime, $__toTime) AS range_s",
    "$__fromTime + intDiv(range_s, 2) AS middle",
    "$__toTime - intDiv(range_s, 4) AS last_quarter",
)


LISTED = (*IN_ORDER, NOT_LISTED)
"""Stages in the order of a turn, and whatever stage a newer version tells."""


def stages(names: tuple[str, ...] = LISTED) -> str:
    """Names of stages as an array of SQL."""
    return f"[{', '.join(map(quoted, names))}]"


def place_of_stage(names: tuple[str, ...] = IN_ORDER) -> str:
    """The place of a row's stage among `names`, from 0; behind all of them where it is none of them."""
    return f"transform(stage, {stages(names)}, {list(range(len(names)))}, {len(names)})"


_SCALES = range(-10, 21)
"""Of every exponential histogram: the finest of OpenTelemetry is 20."""


def _of_scale(values: Iterable[float]) -> str:
    return f"transform(scale, {list(_SCALES)}, {[float(each) for each in values]}, 0.)"


_WIDTH = _of_scale(np.exp2(-scale) for scale in map(float, _SCALES))
_BELOW = _of_scale(1 - np.logaddexp2(0, np.exp2(-scale)) for scale in map(float, _SCALES))

BUCKET = f"if(bucket_index = {ZERO_INDEX}, -inf, (bucket_index + 1) * {_WIDTH} + {_BELOW})"
"""log2 of the latency in ms that a bucket stands for, so that rows need no powers.

`LATENCY_MS`, the harmonic middle 2 l h / (l + h) of the bounds l = 2^(i w) and h = 2^((i + 1) w) with w = 2^-scale, is
2^((i + 1) w + 1 - log2(1 + 2^w)).
"""


def latencies_ms(buckets: str) -> str:
    """The latencies in ms that an array of `BUCKET` stands for."""
    return f"arrayMap(bucket -> exp2(bucket), {buckets})"


def rollup_by(dimension: str, columns: str) -> str:
    """`columns` of the histograms inside range and selection, and `slice`, which names the pool and `dimension` alone."""
    others = "|".join(name for name in SLICE_VARIABLES if name not in ("pool", dimension))
    return rollup("stage_latency", f"replaceRegexpAll(slice, '(?:^|,)(?:{others})=[^,]+', '') AS slice, {columns}")


def pool_and(dimension: str) -> str:
    """Columns of the pool and `dimension` that a `slice` of `rollup_by` names."""
    return dimensions_of(("pool", dimension))


_GROWN = """p99_ms_before, p99_ms_now, p99_ms_now - p99_ms_before AS p99_added_ms,
  p99_ms_now / nullIf(p99_ms_before, 0) AS p99_growth, p50_ms_before, p50_ms_now, mean_ms_before, mean_ms_now"""

GROWTH = Query(
    "stage_growth",
    f"""{given(*_HALVES)}
SELECT stage, {_GROWN}
FROM (
  SELECT stage,
    {_measured("before", "bucket_start < middle")},
    {_measured("now", "bucket_start >= last_quarter")}
  FROM (SELECT stage, bucket_start, {LATENCY_MS} AS latency_ms, observations, latency_ms_sum FROM {_HISTOGRAMS})
  GROUP BY stage)
ORDER BY p99_added_ms DESC NULLS LAST, stage
LIMIT {_ROWS_MAX}""",
)
"""Each stage in the last quarter of the range against its first half."""

_TIMES = 3
"""Before the middle, between that and the last quarter, and in that."""


def _measured_at(half: str, time: int) -> str:
    """Figures of one of `_TIMES` out of arrays that have each stage's three one after the other, `place` being the first."""
    place = f"place + {time + 1}"

    def figure(name: str, value: str) -> str:
        return f"if(seen[{place}] = 0, NULL, {value}) AS {name}_ms_{half}"

    return ",\n    ".join(
        (
            f"{latencies_ms(f'buckets[{place}]')} AS latencies_{half}",
            figure("p50", f"latencies_{half}[1]"),
            figure("p99", f"latencies_{half}[2]"),
            figure("mean", f"spent[{place}] / seen[{place}]"),
        )
    )


def growth_by(dimension: str) -> Query:
    """Each stage of each value of a dimension in the last quarter of the range against its first half."""
    places = f"0, {_TIMES * len(LISTED)}, 1"
    place = f"{_TIMES} * {place_of_stage()} + (bucket_start >= middle) + (bucket_start >= last_quarter)"
    histograms = rollup_by(dimension, f"stage, {BUCKET} AS bucket, bucket_start, observations, latency_ms_sum")
    return Query(
        f"stage_growth_by_{dimension}",
        f"""{given(*_HALVES, required=(dimension,))}
SELECT pool, {dimension}, stage, {_GROWN}
FROM (
  SELECT {pool_and(dimension)}, {stages()}[intDiv(place, {_TIMES}) + 1] AS stage,
    {_measured_at("before", 0)},
    {_measured_at("now", 2)}
  FROM (
    SELECT slice, sumResample({places})(observations, place) AS seen, sumResample({places})(latency_ms_sum, place) AS spent,
      quantilesExactWeightedResample(0.5, 0.99, {places})(bucket, observations, place) AS buckets
    FROM (SELECT slice, {place} AS place, bucket, observations, latency_ms_sum FROM {histograms})
    GROUP BY slice)
  ARRAY JOIN range(0, {_TIMES * len(LISTED)}, {_TIMES}) AS place
  WHERE seen[place + 1] + seen[place + 2] + seen[place + 3] > 0)
ORDER BY p99_added_ms DESC NULLS LAST, pool, {dimension}, stage
LIMIT {_ROWS_MAX}""",
    )
