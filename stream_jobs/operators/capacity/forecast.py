"""Next week, hour by hour, with an interval: the week's profile and its level, each smoothed exponentially.

A week is its mean level times a profile of 168 hours. Both are averages of the weeks before with weights that fall by a
constant factor, of the profile slowly and of the level faster: multiplicative exponential smoothing without a trend
(Hyndman and Athanasopoulos, "Forecasting: principles and practice", chapter 8). The interval is split conformal (Vovk and
others, 2005) over rolling origins: the errors that the same forecast made of weeks that were known later, in units of
sqrt(forecast x level), as counts of arrivals vary; so it needs no model of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from schemas.arrays import Floats
from schemas.counted import counted

HOURS = 168
WEEKS_MIN = 2
"""Whole weeks that a forecast needs; an interval needs `ORIGINS_MIN` more."""
ORIGINS_MIN = 3
WEEKS_MAX = 12
"""Of the past that a forecast looks at."""
_ORIGINS_MAX = 10
_PROFILE_KEEPS, _LEVEL_KEEPS = 0.8, 0.5


@dataclass(frozen=True, slots=True)
class Forecast:
    """The next 168 hours, in the unit of the series. `low` and `high` are not a number where too few weeks are known."""

    expected: Floats
    low: Floats
    high: Floats
    weeks: int


def next_week(series: Floats, coverage: float = 0.9) -> Forecast:
    """From hourly values, oldest first, to the 168 hours after the last one; what is before whole weeks is left out.

    Raises `ValueError` where there are fewer than `WEEKS_MIN` whole weeks, or a value is negative or not finite.
    """
    by_week = _by_week(series)
    weeks, expected = len(by_week), _expected(by_week)
    errors = _errors(by_week)
    if len(errors) < ORIGINS_MIN:
        unknown = np.full(HOURS, np.nan)
        return Forecast(expected, unknown, unknown, weeks)
    below, above = np.quantile(errors, [(1 - coverage) / 2, (1 + coverage) / 2])
    scale = _scale(expected)
    return Forecast(expected, np.maximum(expected + below * scale, 0), expected + above * scale, weeks)


def _by_week(series: Floats) -> Floats:
    if not np.isfinite(series).all() or (series < 0).any():
        raise ValueError("A value of the series is negative, or no number.")
    weeks = len(series) // HOURS
    if weeks < WEEKS_MIN:
        found = counted(weeks, "whole week") if weeks else "no whole week"
        raise ValueError(f"The series has {found} of {HOURS} hours: a forecast needs {WEEKS_MIN}.")
    return series[len(series) - weeks * HOURS :].reshape(weeks, HOURS)


@dataclass(frozen=True, slots=True)
class PeakAhead:
    """The largest hour of next week, in the unit of the series: as expected, and what it stays below in `coverage` of weeks.

    `high` and `coverage` are not a number where too few weeks are known.
    """

    expected: float
    high: float
    coverage: float


def next_peak(series: Floats, coverage: float = 0.9) -> PeakAhead:
    """The peak of the 168 hours after the last one. It is more often above an interval of each hour than an hour is.

    Conformal too, over weeks instead of hours: by how much peaks exceeded the largest hour that was forecast, if they did. From n weeks
    no more than n ÷ (n + 1) can be said, so that is told where it is less than `coverage`. Raises as `next_week` does.
    """
    by_week = _by_week(series)
    expected = float(_expected(by_week).max())
    forecasts = [(float(_expected(by_week[:origin]).max()), by_week[origin].max()) for origin in _origins(len(by_week))]
    exceeded = sorted(came / forecast for forecast, came in forecasts if forecast > 0)
    if len(exceeded) < ORIGINS_MIN:
        return PeakAhead(expected, np.nan, np.nan)
    rank = min(ceil((len(exceeded) + 1) * coverage - 1e-9), len(exceeded))
    return PeakAhead(expected, expected * max(float(exceeded[rank - 1]), 1.0), rank / (len(exceeded) + 1))


def _expected(by_week: Floats) -> Floats:
    recent = by_week[-WEEKS_MAX:]
    level = recent.mean(axis=1)
    served = level > 0
    if not served.any():
        return np.zeros(HOURS)
    profile = np.average(
        recent[served] / level[served, None], axis=0, weights=_weights(_PROFILE_KEEPS, int(served.sum()))
    )
    return np.asarray(profile * np.average(level, weights=_weights(_LEVEL_KEEPS, len(level))), dtype=np.float64)


def _errors(by_week: Floats) -> Floats:
    """How far the forecast of each of the newest weeks was off, of shape (weeks, 168), from what was known before it."""
    forecasts = [(_expected(by_week[:origin]), by_week[origin]) for origin in _origins(len(by_week))]
    return np.array([(came - expected) / _scale(expected) for expected, came in forecasts]).reshape(-1, HOURS)


def _origins(weeks: int) -> range:
    """The newest weeks, each of which is forecast from those before it."""
    return range(max(WEEKS_MIN, weeks - _ORIGINS_MAX), weeks)


def _scale(expected: Floats) -> Floats:
    """What errors grow with; never 0, or an hour that never had traffic could not have any."""
    level = float(expected.mean())
    return np.sqrt(np.maximum(expected, 0.01 * level) * level) + np.finfo(np.float64).tiny


def _weights(keeps: float, count: int) -> Floats:
    return np.asarray(keeps ** np.arange(count)[::-1], dtype=np.float64)
