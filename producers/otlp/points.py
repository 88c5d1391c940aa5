"""Data points as values: what one says, checked, apart from what it is called and what it counts.

The data model is OpenTelemetry's: a number, or a histogram whose buckets are exponential (`scale`, `offset`) or have
explicit bounds, over (start, time]. A point that cannot be right is refused here, with the word that it is counted under.
Exemplars, descriptions and metadata are dropped unread: they may hold identifiers and text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, DataPointFlags

from schemas.arrays import Floats
from schemas.histograms import downscaled
from schemas.refusals import Refusal

Temporality = Literal["delta", "cumulative", "instant"]
Counts = NDArray[np.int64]

_TEMPORALITY: dict[int, Temporality] = {
    AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA: "delta",
    AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE: "cumulative",
}
NO_VALUE = DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
BUCKETS_MAX = 2_000
"""Of one point: the SDKs stop at 160."""
SCALE_MIN, SCALE_MAX = -10, 20
"""Scales of the data model."""
COUNT_MAX = 2**40
ROUNDING = 1e-5
"""By what part a sum may be beyond its buckets: an edge may be counted a bucket off, which is 7e-7 at the finest scale."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts by bucket. `counts[k]` of an exponential one (`bounds` is empty) is that of bucket `offset + k`; else it is of
    the bucket that ends at `bounds[k]`, and the last one has no end. `zeros` have a bucket of their own, if exponential.

    `total` is the sum of the values in the metric's unit, where it was told; so are `low` and `high`, the extremes. `is_total_dropped` says
    that a sum was told which no values in these buckets have: its process told them while it counted one, or cannot add."""

    count: int
    counts: Counts
    total: float | None
    zeros: int = 0
    scale: int = 0
    offset: int = 0
    bounds: tuple[float, ...] = ()
    low: float | None = None
    high: float | None = None
    is_total_dropped: bool = False

    def at_scale(self, scale: int) -> Histogram:
        """The same values counted at a coarser scale, exactly."""
        assert not self.bounds and scale <= self.scale
        if scale == self.scale or not len(self.counts):
            return replace(self, scale=scale)
        index = downscaled(np.arange(self.offset, self.offset + len(self.counts), dtype=np.int64), self.scale - scale)
        counts = np.zeros(int(index[-1] - index[0]) + 1, dtype=np.int64)
        np.add.at(counts, index - index[0], self.counts)
        return replace(self, scale=scale, offset=int(index[0]), counts=counts)


@dataclass(frozen=True, slots=True)
class Point:
    """What a point says of the time from `start_ns` (0: unknown) to `time_ns`."""

    temporality: Temporality
    start_ns: int
    time_ns: int
    value: float | Histogram
    is_monotonic: bool = True


def points_of(metric: Any) -> Iterator[tuple[Any, Point | Refusal | None]]:
    """Each data point of a protobuf `Metric` with what it says: a point, why it is refused, or None if it says nothing."""
    kind = metric.WhichOneof("data")
    if kind is None:
        return
    data = getattr(metric, kind)
    temporality = _TEMPORALITY.get(getattr(data, "aggregation_temporality", 0)) if kind != "gauge" else "instant"
    is_monotonic = kind != "sum" or data.is_monotonic
    for raw in data.data_points:
        yield raw, None if raw.flags & NO_VALUE else _read(raw, kind, temporality, is_monotonic)


def _read(raw: Any, kind: str, temporality: Temporality | None, is_monotonic: bool) -> Point | Refusal:
    if temporality is None or kind == "summary" or raw.time_unix_nano <= 0:
        return Refusal.MALFORMED  # A summary's quantiles cannot be added up, nor what does not say since when.
    if raw.start_time_unix_nano > raw.time_unix_nano:
        return Refusal.CLOCK_BACKWARDS
    value = _number(raw) if kind in ("sum", "gauge") else _histogram(raw, kind)
    if isinstance(value, Refusal):
        return value
    return Point(temporality, raw.start_time_unix_nano, raw.time_unix_nano, value, is_monotonic)


def _number(raw: Any) -> float | Refusal:
    field = raw.WhichOneof("value")
    if field is None:
        return Refusal.MALFORMED
    value = getattr(raw, field)
    return value if math.isfinite(value) else Refusal.NOT_FINITE


def _histogram(raw: Any, kind: str) -> Histogram | Refusal:
    extremes = [getattr(raw, name) if raw.HasField(name) else None for name in ("sum", "min", "max")]
    if not all(value is None or math.isfinite(value) for value in extremes):
        return Refusal.NOT_FINITE
    if any(value is not None and value < 0 for value in extremes):
        return Refusal.NEGATIVE
    read = _exponential(raw) if kind == "exponential_histogram" else _explicit(raw)
    if isinstance(read, Refusal):
        return read
    total, low, high = extremes
    if total is not None and not _may_be_sum(total, read, getattr(raw, "zero_threshold", 0.0)):
        return replace(read, low=low, high=high, is_total_dropped=True)
    return replace(read, total=total, low=low, high=high)


def _may_be_sum(total: float, histogram: Histogram, zero_threshold: float) -> bool:
    """Whether values that lie in these buckets can add up to it, but for rounding: that of sums, and of which bucket holds an edge."""
    if histogram.count and not len(histogram.counts) and not histogram.zeros:
        return True  # Nothing but a count is told.
    with np.errstate(over="ignore"):
        low, high = _edges(histogram)
    some = histogram.counts > 0
    least = float((histogram.counts * low)[some].sum())
    most = float((histogram.counts[some] * high[some]).sum()) + histogram.zeros * zero_threshold
    return least * (1 - ROUNDING) <= total <= most * (1 + ROUNDING)


def _edges(histogram: Histogram) -> tuple[Floats, Floats]:
    """The edges of each bucket, where no value is below zero; the last of explicit ones has no upper edge."""
    if histogram.bounds:
        bounds = np.maximum(histogram.bounds, 0.0)
        return np.append(0.0, bounds), np.append(bounds, np.inf)
    index = np.arange(histogram.offset, histogram.offset + len(histogram.counts) + 1, dtype=np.float64)
    edges = np.exp2(np.ldexp(index, -histogram.scale))
    return edges[:-1], edges[1:]


def _exponential(raw: Any) -> Histogram | Refusal:
    if any(raw.negative.bucket_counts):
        return Refusal.NEGATIVE
    counts, offset = _trimmed(raw.positive.bucket_counts), raw.positive.offset
    if isinstance(counts, Refusal):
        return counts
    first = int(np.argmax(counts > 0)) if len(counts) else 0
    if not SCALE_MIN <= raw.scale <= SCALE_MAX or raw.zero_count + int(counts.sum()) != raw.count:
        return Refusal.INCONSISTENT
    return Histogram(raw.count, counts[first:], None, raw.zero_count, raw.scale, offset + first)


def _explicit(raw: Any) -> Histogram | Refusal:
    bounds = tuple(raw.explicit_bounds)
    counts = _trimmed(raw.bucket_counts, is_whole=True)
    if isinstance(counts, Refusal):
        return counts
    if not all(map(math.isfinite, bounds)):
        return Refusal.NOT_FINITE
    if not bounds and not len(counts):
        return Histogram(raw.count, counts, None)  # Nothing but a count and perhaps a sum, which is allowed.
    is_ordered = all(low < high for low, high in pairwise(bounds))
    if not is_ordered or len(counts) != len(bounds) + 1 or int(counts.sum()) != raw.count:
        return Refusal.INCONSISTENT
    if any(bound < 0 and count for bound, count in zip(bounds, counts, strict=False)):
        return Refusal.NEGATIVE
    return Histogram(raw.count, counts if bounds else counts[:0], None, bounds=bounds)


def _trimmed(counts: Any, is_whole: bool = False) -> Counts | Refusal:
    """The counts of buckets as an array, without empty ones at the end unless each has its bound."""
    if len(counts) > BUCKETS_MAX or max(counts, default=0) > COUNT_MAX:
        return Refusal.TOO_LARGE
    array = np.fromiter(counts, dtype=np.int64, count=len(counts))
    return array if is_whole else np.trim_zeros(array, "b")
