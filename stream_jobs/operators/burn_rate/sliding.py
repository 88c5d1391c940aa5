"""Error rates in a window of minutes that slides over counted points: the simplest of burn alerts, for figures at hand."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from schemas.arrays import Integers
from stream_jobs.operators.burn_rate.arithmetic import exceeds


@dataclass(frozen=True, slots=True)
class Violations:
    """Windows in which too much was bad, as columns: the last minute of each, and its counts."""

    ending_minute: Integers
    bad: Integers
    total: Integers


def sliding_violations(
    minute: Integers, bad: Integers, total: Integers, window: int, budget_rate: Decimal
) -> Violations:
    """The windows of `window` minutes whose bad share is strictly above `budget_rate`, in order.

    `minute` ascends without repeats. Minutes absent between the first and the last count as zero traffic; the first
    window ends at the `window`-th minute, and one without traffic violates nothing. Shares are compared exactly.
    """
    ends = _ends(minute, window)
    sums = [np.concatenate([[0], np.cumsum(counts)]) for counts in (bad, total)]
    first, last = np.searchsorted(minute, ends - window, side="right"), np.searchsorted(minute, ends, side="right")
    counts = np.stack([each[last] - each[first] for each in sums], axis=1)
    is_above = exceeds(counts, budget_rate)
    return Violations(ends[is_above], counts[is_above, 0], counts[is_above, 1])


def _ends(minute: Integers, window: int) -> Integers:
    """The minutes at which a window ends that holds a point; every other window is without traffic."""
    if len(minute) == 0 or minute[-1] - minute[0] < window - 1:
        return np.zeros(0, dtype=np.int64)
    first, last = int(minute[0]) + window - 1, int(minute[-1])
    starts, stops = np.maximum(minute, first), np.minimum(minute + window - 1, last)
    # A point is in the windows that end from its own minute on, up to where the next point takes over.
    stops[:-1] = np.minimum(stops[:-1], np.maximum(minute[1:], first) - 1)
    lengths = np.maximum(stops - starts + 1, 0)
    offsets = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.asarray(np.repeat(starts, lengths) + offsets)
