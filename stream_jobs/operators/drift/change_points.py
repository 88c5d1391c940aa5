"""Change points of many series at once: since when a rate is above what it may be, with false alarms bounded.

Each window of a series comes as a standardised excess z: how many standard deviations its rate lies above what is allowed.
Under no change its mean is 0 or less. A Shiryaev-Roberts e-detector adds up, over every instant at which the change may have
begun, the likelihood ratios of the windows since then; of a mixture of effect sizes, as nobody knows how large the change
is. It stays below c for at least c windows on average, whoever looks and however often: Shin, Ramdas and Rinaldo,
"E-detectors: a nonparametric framework for sequential change detection" (2022); Shiryaev (1963), Roberts (1966). So n series
with a threshold of n x windows ÷ f raise f false alarms in that many windows at most.

When the change began is told by the largest of the cumulated sums beside it (Page, 1954): it starts anew whenever it has
fallen to 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from schemas.arrays import Floats

EFFECTS = np.array([0.5, 1.0, 2.0, 4.0])
"""Standard deviations of a window by which its rate may have moved, in the alternatives."""
assert (EFFECTS[1:] == 2 * EFFECTS[:-1]).all()
Z_MAX = 4.0
"""One window is no more evidence than this: beyond it nothing is normal, and a single odd window would be a change."""
_VALUE_MAX = 1e200


@dataclass(frozen=True, slots=True)
class Detectors:
    """State of series: detectors of each effect, of shape (effects, …), sums of Page, and when those began, in ms."""

    values: Floats
    page: Floats
    since_ms: Floats

    @classmethod
    def quiet(cls, series: int) -> Detectors:
        """Before the first window."""
        return cls(np.zeros((len(EFFECTS), series)), np.zeros(series), np.zeros(series))

    @property
    def value(self) -> Floats:
        """The mixture of each series, to be held against a threshold."""
        return np.asarray(self.values.mean(axis=0), dtype=np.float64)


def updated(state: Detectors, z: Floats, window_start_ms: int) -> Detectors:
    """After one more window; a series that was not observed in it, of which z is not a number, stays as it was."""
    is_seen = np.isfinite(z)
    bounded = np.clip(np.where(is_seen, z, 0.0), -Z_MAX, Z_MAX)
    values = np.empty_like(state.values)
    for place, ratio in enumerate(_ratios(bounded)):
        detector = np.minimum((state.values[place] + 1.0) * ratio, _VALUE_MAX)
        values[place] = np.where(is_seen, detector, state.values[place])
    page = np.where(is_seen, np.maximum(state.page + bounded - EFFECTS[0] / 2, 0.0), state.page)
    begins = is_seen & (state.page == 0) & (page > 0)
    return Detectors(values, page, np.where(begins, window_start_ms, state.since_ms))


def _ratios(z: Floats) -> Iterator[Floats]:
    """Likelihood ratios of a window for each effect. Each effect is twice the one before, so its power is a square."""
    power = np.exp(EFFECTS[0] * z)
    for effect in EFFECTS:
        yield power * np.exp(-(effect**2) / 2)
        power = power * power


def threshold(series: int, windows: int, false_alarms: float) -> float:
    """What n detectors are held against for this many false alarms, at most, in that many windows.

    >>> threshold(series=100, windows=168, false_alarms=1.0)
    16800.0
    """
    assert series > 0 and windows > 0 and false_alarms > 0
    return series * windows / false_alarms
