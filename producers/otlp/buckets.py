"""Buckets of any histogram as ours: sparse, base 2, in milliseconds; and thresholds, where they are edges of buckets.

**One rule.** A bucket is counted in the one of ours that holds its geometric middle, at the finest scale whose buckets are
not narrower than it, and not finer than the stage's own. So:

- exponential, in ms: each bucket lies within ours. A finer histogram is downscaled exactly, a coarser keeps its scale.
- exponential, in another unit: 1,000 is no power of two, so no bucket of seconds lies within one of milliseconds, at any
  scale. A value is counted in the bucket that holds it, or beside it by less than half a bucket of its source: at most
  half of 2^(2^-scale) - 1 off, 0.14 % at scale 8, 1.1 % at 5, 4.4 % at 3. Every bucket of one scale moves equally.
- explicit bounds: the same, each bucket under the scale that its own width has (500 to 1,000 ms is scale 0). That scale
  marks it: no histogram of ours is coarser than 5. Of the lowest bucket the lower edge is unknown, of the last the upper:
  they are the extremes where the point tells them, else 16 times below or above the other edge, which is scale -2.

Values that are told as a sum are kept: parts of it by bucket, in the proportion of their middles, add up to it exactly.

**Thresholds** are never interpolated. What is good is known only where the threshold is an edge: a bound, or for an
exponential histogram a power of two in its own unit (250 ms, 500 ms and 4 s in seconds). A value that is equal to an edge
lies below it: it counts as good, also where an objective says "below".
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from producers.otlp.points import SCALE_MIN, Counts, Histogram
from schemas.arrays import Floats
from schemas.histograms import ZERO_INDEX, downscaled

UNITS: dict[str, Fraction] = {
    "min": Fraction(60_000),
    "s": Fraction(1_000),
    "ms": Fraction(1),
    "us": Fraction(1, 1_000),
    "ns": Fraction(1, 1_000_000),
}
"""Milliseconds of a unit, by its UCUM code."""

OPEN_RATIO = 16.0
"""What is taken for the ratio of a bucket's edges where one of them is unknown."""

_EXPONENT_MAX, _LARGEST = 60.0, 2.0**52


@dataclass(frozen=True, slots=True)
class Placed:
    """Buckets of ours, one entry each; an index may come twice. `middles_ms` is what a value in it is taken to be."""

    scales: NDArray[np.int32]
    indexes: NDArray[np.int64]
    counts: Counts
    middles_ms: Floats


@dataclass(frozen=True, slots=True)
class Judged:
    total: int
    bad: int


def placed(histogram: Histogram, unit: str, scale: int) -> Placed:
    """The histogram's non-empty buckets as ours, no finer than `scale`."""
    buckets = (
        _placed_explicit(histogram, unit, scale) if histogram.bounds else _placed_exponential(histogram, unit, scale)
    )
    some = buckets.counts > 0
    return Placed(buckets.scales[some], buckets.indexes[some], buckets.counts[some], buckets.middles_ms[some])


def sums_ms(buckets: Placed, total_ms: float | None) -> tuple[Counts, Counts]:
    """Sum and sum of squares of the values of each bucket, in whole ms; the sums add up to `total_ms` where it is known.

    The squares are those of equal values in each bucket: less than the true sum by what they vary within one. What is
    larger than any row holds is told as 2^52.
    """
    estimate = buckets.counts * buckets.middles_ms
    expected = float(estimate.sum())
    total = expected if total_ms is None else min(total_ms, _LARGEST)
    sums = estimate * (total / expected) if expected > 0 else estimate
    squares = np.divide(sums * sums, buckets.counts, out=np.zeros_like(sums), where=buckets.counts > 0)
    return _whole(sums), _whole(squares)


def judged(histogram: Histogram, unit: str, threshold_ms: int) -> Judged | None:
    """How many values there are and how many lie above the threshold; None where it is no edge of the histogram."""
    edge = Fraction(threshold_ms) / UNITS[unit]
    good = _below_bound(histogram, edge) if histogram.bounds else _below_power(histogram, edge)
    return None if good is None else Judged(histogram.count, histogram.count - good)


def _below_bound(histogram: Histogram, edge: Fraction) -> int | None:
    place = next((place for place, bound in enumerate(histogram.bounds) if bound == float(edge)), None)
    return None if place is None else int(histogram.counts[: place + 1].sum())


def _below_power(histogram: Histogram, edge: Fraction) -> int | None:
    """Edges of exponential buckets are rational only where they are whole powers of two."""
    power = edge.numerator.bit_length() - edge.denominator.bit_length()
    steps = Fraction(power) * Fraction(2) ** histogram.scale
    if Fraction(2) ** power != edge or steps.denominator != 1:
        return None
    below = int(steps) - histogram.offset
    return histogram.zeros + int(histogram.counts[: max(0, below)].sum())


def _placed_exponential(histogram: Histogram, unit: str, scale: int) -> Placed:
    index = np.arange(histogram.offset, histogram.offset + len(histogram.counts), dtype=np.int64)
    kept = min(scale, histogram.scale)
    middles = np.ldexp(index + 0.5, -histogram.scale) + float(np.log2(float(UNITS[unit])))  # Base-2 logarithms of ms.
    if UNITS[unit] == 1:
        ours = downscaled(index, histogram.scale - kept)
    else:
        ours = np.ceil(np.ldexp(middles, kept)).astype(np.int64) - 1
    return Placed(
        np.full(len(index) + 1, kept, dtype=np.int32),
        np.append(ours, ZERO_INDEX),
        np.append(histogram.counts, histogram.zeros),
        np.append(np.exp2(np.minimum(middles, _EXPONENT_MAX)), 0.0),
    )


def _placed_explicit(histogram: Histogram, unit: str, scale: int) -> Placed:
    low, high = _edges_ms(histogram, float(UNITS[unit]))
    is_zero = high <= 0
    safe_low, safe_high = np.where(is_zero, 1.0, low), np.where(is_zero, 2.0, high)
    width = np.log2(safe_high / safe_low)
    scales = np.clip(np.floor(-np.log2(width)), SCALE_MIN, scale).astype(np.int32)
    middle = (np.log2(safe_low) + np.log2(safe_high)) / 2
    index = np.ceil(np.ldexp(middle, scales)).astype(np.int64) - 1
    return Placed(
        np.where(is_zero, scale, scales).astype(np.int32),
        np.where(is_zero, ZERO_INDEX, index),
        histogram.counts,
        np.where(is_zero, 0.0, np.exp2(middle)),
    )


def _edges_ms(histogram: Histogram, unit_ms: float) -> tuple[Floats, Floats]:
    """The edges of each bucket in ms, those that are unknown included."""
    bounds = np.array(histogram.bounds) * unit_ms
    low, high = np.append(-np.inf, bounds), np.append(bounds, np.inf)
    least = histogram.low * unit_ms if histogram.low else 0.0
    most = histogram.high * unit_ms if histogram.high else 0.0
    is_first = (low <= 0) & (high > 0)
    low = np.where(is_first, np.where((least > 0) & (least < high), least, high / OPEN_RATIO), low)
    high = np.where(np.isinf(high), np.where(most > low, most, low * OPEN_RATIO), high)
    return low, np.where(np.isinf(low) | (high > low), high, low)


def _whole(values: Floats) -> Counts:
    """Whole numbers whose sum is that of the values, rounded; each is less than one off."""
    steps: Counts = np.rint(np.cumsum(np.minimum(values, _LARGEST))).astype(np.int64)
    whole: Counts = steps.copy()
    whole[1:] -= steps[:-1]
    return whole
