"""How many calls and turns there are to be: the recorded day curve in each region, and bursts of a Cox process.

The rate of turns in a region varies around its expectation as the recorded arrivals did: a lognormal multiplier with
mean 1 whose logarithm is a first-order autoregression over steps of 10 s.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, log, sqrt

import numpy as np

from producers.fleet.calibration import Bursts, DayCurve
from schemas.instants import DAY_MS, HOUR_MS

_THURSDAY = 3
"""The weekday of the epoch's day, Monday 0."""


def day_factor(curve: DayCurve, at_ms: int, shift_h: float) -> float:
    """Demand at an instant relative to the day's mean: the hours' values, joined by straight lines.

    >>> flat = DayCurve(meaning="", source="", licence="", working_day=(1.0,) * 24, weekend=(1.0,) * 24)
    >>> day_factor(flat, 1_700_000_000_000, shift_h=-6)
    1.0
    """
    there_ms = at_ms - round(shift_h * HOUR_MS)
    is_weekend = (there_ms // DAY_MS + _THURSDAY) % 7 >= 5
    hours = curve.weekend if is_weekend else curve.working_day
    hour = there_ms % DAY_MS / HOUR_MS
    before, part = int(hour), hour % 1
    return hours[before] * (1 - part) + hours[(before + 1) % 24] * part


def burst_factors(bursts: Bursts, seed: int, region: int) -> Iterator[float]:
    """The multiplier of the turn rate in each step of 10 s from the first on; its mean is 1."""
    rng = np.random.default_rng((seed, region, 0xB0))
    deviation, kept = sqrt(log(1 + bursts.rate_cv2)), bursts.correlation_10s
    level = rng.standard_normal()
    while True:
        yield exp(deviation * level - deviation**2 / 2)
        level = kept * level + sqrt(1 - kept**2) * rng.standard_normal()
