"""Rates that wander for hours: how much of an excess the hours before it did not foretell.

What a slice strays by is taken as a sum of two parts: one is drawn anew with each comparison, and a share of the variance lasts,
as an autoregression of order one. A Kalman filter foretells each excess from those before it (Harvey, "Forecasting,
structural time series models and the Kalman filter", 1989, section 3.2). What it did not foretell, in standard deviations of
its own, has nothing to do with the hours before, which is what a detector that multiplies likelihood ratios asks of its hours
(Basseville and Nikiforov, "Detection of abrupt changes", 1993, section 7.2). A lasting change is a large surprise in its first hours and a smaller
one in all that follow.

How much lasts, and for how long, is told by the slice's own hours: regressions of its deviations on those one and two comparisons
before. Choosing hours by what came before them, as "not while evidence grows" does, leans neither of them to a side. The share is the
slice's own as far as it is known, else that of all slices of the figure; how long it lasts is one number for a figure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from schemas.arrays import Flags, Floats
from stream_jobs.operators.drift.change_points import Z_MAX

NAMES = (
    "wander", "wander_variance", "before_1", "before_2", "squares_1", "products_1", "squares_2", "products_2",
)  # fmt: skip
"""What is kept of a series: the lasting part and its variance, the deviations of the last two comparisons, and for one and two
comparisons before: the sum of their squares, and of their products with what came then."""
LEARNT = slice(4, 8)
_REMEMBERED = 168.0
"""Squares that count in full: of about as many comparisons."""
_OF_ALL = 24.0
"""As so many comparisons of its own, a slice is taken to be like all slices of its figure."""
_SUPPOSED, _SUPPOSED_CORRELATION, _SUPPOSED_LASTING = 48.0, 0.3, 0.9
"""What is supposed of a figure, as if so many comparisons said so: how deviations follow those before, and how long that lasts."""
_LASTING_MIN, _LASTING_MAX, _SHARE_MAX = 0.3, 0.97, 0.98
_DEVIATION_MAX = 3.0
_NO_ERRORS = 1e-9
"""A deviation of exactly 0, of hours without any errors: no sign that anything lasts. It is told from none so far, which is 0."""
_BELOW_MAX = -3.0
"""What lies further below what is tolerated foretells no more than this: to rise from there to what is tolerated is no change."""


@dataclass(frozen=True, slots=True)
class Wander:
    """How series stray: the part of their variance that lasts, and what is left of it at the next comparison."""

    share: Floats
    lasting: Floats

    @property
    def inflation(self) -> Floats:
        """How many times the variance of a long sum is that of one whose terms have nothing to do with each other."""
        return np.asarray(1 + 2 * self.share * self.lasting / (1 - self.lasting), dtype=np.float64)

    @property
    def of_squares(self) -> Floats:
        """The same of a sum of squares (Isserlis, 1918): so many times fewer comparisons is a spread known by."""
        return np.asarray(1 + 2 * self.share**2 * self.lasting**2 / (1 - self.lasting**2), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Excess:
    """An hour of series: how far they lie above what is allowed, and what of it was not foretold; both in standard deviations.

    `inflation`: how many times more a long sum of the first strays than its terms by themselves say.
    """

    whole: Floats
    surprise: Floats
    inflation: Floats

    @classmethod
    def independent(cls, whole: Floats) -> Excess:
        """Of hours that have nothing to do with each other."""
        return cls(whole, whole, np.ones_like(whole))

    def where(self, condition: Flags) -> Excess:
        """The same, with nothing to say elsewhere."""
        whole, surprise = (np.where(condition, each, np.nan) for each in (self.whole, self.surprise))
        return Excess(whole, surprise, self.inflation)


def surprising(values: Floats, excess: Floats, standard: Floats, weight: Floats, is_learning: Flags) -> Excess:
    """What of an excess was not foretold. Both are noted in `values`, of shape (`NAMES`, measures, slices), which change.

    `excess` and `standard`, the deviation from the reference itself, are in standard deviations, and no numbers where there is
    nothing to say. `weight`: by how many comparisons those are known. Where hours are alike they are fewer, so the excess is less by
    what they may be wrong by (`drift_ratios.learn` reckons with that of independent ones).
    """
    of = wander_of(values)
    known = np.maximum(weight, 1.0)
    unsure = (1 + np.sqrt(2 * of.of_squares / known)) / (1 + np.sqrt(2 / known))
    whole = excess / np.sqrt(unsure)
    surprise = _filtered(values, whole, of)
    _learn(values, standard, is_learning)
    return Excess(whole, surprise, of.inflation)


def wander_of(values: Floats) -> Wander:
    """By what was noted of series, of shape (`NAMES`, measures, slices)."""
    squares_1, products_1, squares_2, products_2 = values[LEARNT]
    first = _of_all(squares_1, products_1, _SUPPOSED_CORRELATION)
    second = _of_all(squares_2, products_2, _SUPPOSED_CORRELATION * _SUPPOSED_LASTING)
    lasting = np.clip(second / np.maximum(first, 0.01), _LASTING_MIN, _LASTING_MAX)
    correlation = (products_1 + _OF_ALL * first) / (squares_1 + _OF_ALL)
    return Wander(np.clip(correlation / lasting, 0.0, _SHARE_MAX), lasting)


def _filtered(values: Floats, whole: Floats, of: Wander) -> Floats:
    """What the filter did not foretell, in standard deviations of that.

    Nothing below 0 is foretold: to lie below what is tolerated is how most figures are without any change (shapes lie far below), and to
    come up from there to what is tolerated is no evidence. So the mean of a surprise, given all hours before, is 0 or less, as the detector needs it.
    """
    wander, variance = values[0], values[1]
    foretold = of.lasting * wander
    lasts = of.lasting**2 * variance + of.share * (1 - of.lasting**2)
    deviation = np.sqrt(lasts + 1 - of.share)
    surprise = (whole - np.maximum(foretold, 0.0)) / deviation
    gain = lasts / deviation**2
    is_seen = np.isfinite(surprise)
    learnt = np.clip(np.maximum(whole, _BELOW_MAX) - foretold, -Z_MAX * deviation, Z_MAX * deviation)
    values[0] = np.where(is_seen, foretold + gain * learnt, wander)
    values[1] = np.where(is_seen, lasts * (1 - gain), variance)
    return np.asarray(surprise, dtype=np.float64)


def _learn(values: Floats, standard: Floats, is_learning: Flags) -> None:
    """Notes one more deviation."""
    is_seen = np.isfinite(standard)
    now = np.where(is_seen, np.clip(standard, -_DEVIATION_MAX, _DEVIATION_MAX), 0.0)
    is_noted = is_seen & is_learning
    values[LEARNT] *= np.where(is_noted & (values[LEARNT.start] >= _REMEMBERED), 1 - 1 / _REMEMBERED, 1.0)
    for place, before in zip((4, 6), values[2:4], strict=True):
        values[place] += np.where(is_noted, np.where(before == _NO_ERRORS, 1.0, before**2), 0.0)
        values[place + 1] += np.where(is_noted, before * now, 0.0)
    values[3] = np.where(is_seen, values[2], values[3])
    values[2] = np.where(is_seen, np.where(now == 0, _NO_ERRORS, now), values[2])


def _of_all(squares: Floats, products: Floats, supposed: float) -> Floats:
    """The regression of all slices of each figure, with what is supposed of it; of shape (measures, 1)."""
    of_all = products.sum(axis=-1, keepdims=True) + _SUPPOSED * supposed
    return np.asarray(np.maximum(of_all / (squares.sum(axis=-1, keepdims=True) + _SUPPOSED), 0.0), dtype=np.float64)
