"""Saturation of a queue: it grows fast and is slow at the same time, minute by minute.

Either alone is no alarm: a burst that is served quickly grows, and a slow model that keeps up is slow. Growth over
missing minutes is spread over them and marked, so that a gap in the data is never a jump.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

ACTION = "shed_batch_or_add_capacity"


@dataclass(frozen=True, slots=True)
class Growth:
    """How a queue grew into each minute, as columns: by `change` over `elapsed` minutes. The first minute has 0 of both."""

    change: NDArray[np.int64]
    elapsed: NDArray[np.int64]

    @property
    def per_minute(self) -> NDArray[np.float64]:
        return self.change / np.maximum(self.elapsed, 1)

    @property
    def is_interpolated(self) -> NDArray[np.bool_]:
        """Whether minutes are missing before this one."""
        return self.elapsed > 1

    def is_at_least(self, per_minute: Decimal) -> NDArray[np.bool_]:
        """Whether the growth per elapsed minute reaches this, exactly; never in the first minute."""
        least = Fraction(per_minute)
        reaches = self.change.astype(object) * least.denominator >= self.elapsed.astype(object) * least.numerator
        return np.asarray(reaches, dtype=bool) & (self.elapsed > 0)


def growth(minute: NDArray[np.int64], queue_depth: NDArray[np.int64]) -> Growth:
    """The growth of one queue; `minute` ascends without repeats."""
    change, elapsed = np.zeros_like(queue_depth), np.zeros_like(minute)
    change[1:], elapsed[1:] = np.diff(queue_depth), np.diff(minute)
    return Growth(change, elapsed)


def saturated(grown: Growth, is_slow: NDArray[np.bool_], per_minute: Decimal) -> NDArray[np.int64]:
    """The places of the minutes in which the queue grew by `per_minute` at least and was slow, together."""
    return np.flatnonzero(grown.is_at_least(per_minute) & is_slow)
