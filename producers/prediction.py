"""When a page has to come, by arithmetic: the expected bad share of both windows, bucket by bucket.

This knows nothing of how the product decides; it is what the product is held against. A window holds what exists of it:
before the scenario began there was no traffic. Windows start where their state buckets start, rounded outward: buckets
of 10 s for up to 10 min, 1 min for up to 6 h, 10 min for up to 3 d. A row fires at the first bucket whose end sees both
shares strictly above its threshold, and in the long one enough bad turns that low traffic does not hold the page: ten
times the fewest that count, and a Clopper-Pearson lower bound that is above the threshold, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from producers.scenarios import Truth
from schemas.arrays import Floats
from schemas.slos import LowTraffic, PolicyRow

BUCKET_MS = 10_000
_STATE_BUCKETS_MS = ((600_000, 10_000), (21_600_000, 60_000), (259_200_000, 600_000))
"""(age up to which, width) of the buckets that state is kept in."""

_LOW_TRAFFIC = LowTraffic()


@dataclass(frozen=True, slots=True)
class Prediction:
    """The row that pages first, and the bucket end, in event time, at which it is decided."""

    row: PolicyRow
    page_ms: int


def predict_page(
    truth: Truth, rows: Sequence[PolicyRow], until_ms: int, low_traffic: LowTraffic = _LOW_TRAFFIC
) -> Prediction | None:
    """The earliest page for the truth's slice before `until_ms`; nothing if none is to be expected."""
    found = [row_prediction(truth, row, until_ms, low_traffic) for row in rows if row.severity == "page"]
    return min((one for one in found if one), key=lambda one: (one.page_ms, -one.row.factor), default=None)


def row_prediction(truth: Truth, row: PolicyRow, until_ms: int, low_traffic: LowTraffic) -> Prediction | None:
    """When this row first fires before `until_ms`, if it does."""
    ends_ms = np.arange(truth.begins_ms + BUCKET_MS, until_ms + 1, BUCKET_MS)
    long_bad, long_total = _window(truth, ends_ms, row.long_s)
    short_bad, short_total = _window(truth, ends_ms, row.short_s)
    threshold = float(row.threshold)
    fires = (long_bad > threshold * long_total) & (short_bad > threshold * short_total)
    fires &= long_bad >= 10 * low_traffic.bad_events_min
    fires &= betaincinv(long_bad, long_total - long_bad + 1, 1 - low_traffic.confidence) > threshold
    if not fires.any():
        return None
    first = int(np.argmax(fires))
    return Prediction(row, int(ends_ms[first]))


def _window(truth: Truth, ends_ms: NDArray[np.int64], length_s: int) -> tuple[Floats, Floats]:
    """Expected bad and total turns of the windows that end at `ends_ms`."""
    width_ms = next(width for age, width in _STATE_BUCKETS_MS if length_s * 1_000 <= age)
    starts_ms = (ends_ms - length_s * 1_000) // width_ms * width_ms
    starts_ms = np.maximum(starts_ms, truth.begins_ms)
    slow_ms = ends_ms - np.clip(truth.incident_ms, starts_ms, ends_ms)
    total = (ends_ms - starts_ms) * truth.turns_per_s / 1_000
    slow = slow_ms * truth.turns_per_s / 1_000
    return slow * truth.bad_share_after + (total - slow) * truth.bad_share_before, total
