"""How a rate changed from one period to another, slice by slice, and how sure that is.

What happens within one window, or within one call, hangs together: the words of a call are not independent, and neither are
the turns of a bad minute. So the variance of a rate is the largest of three: linearised over the slice's own windows, over its
calls where their squares were told (`RatioSums`), and that of independent counts. Changes are compared by Welch's test, with
the degrees of freedom of the windows: one look at two finished periods, and no rule for looking again each minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from schemas.arrays import Flags, Floats
from schemas.rates import Kind
from stream_jobs.operators.release.anytime import RatioSums

State = Literal["worse", "better", "flat", "not_enough"]
SURE = 0.95
"""Of the intervals that are told."""


@dataclass(frozen=True, slots=True)
class RateSums:
    """What n slices told of one rate in a period: sums over windows, over calls where they have squares, and samples."""

    windows: RatioSums
    calls: RatioSums | None
    samples: Floats
    kind: Kind


@dataclass(frozen=True, slots=True)
class Changes:
    """Of n slices, in the rate's own unit: what it was and is, and bounds of the change at `SURE`.

    `p_worse`: how likely a slice that got worse by no more than is allowed looks as bad as this one; `p_better` the same of
    getting better; `evidence`: by how many standard deviations it got worse beyond the allowed. Not a number where there was
    too little in either period.
    """

    old: Floats
    new: Floats
    low: Floats
    high: Floats
    p_worse: Floats
    p_better: Floats
    evidence: Floats

    @property
    def is_enough(self) -> Flags:
        return np.isfinite(self.p_worse)

    def states(self, chance: float) -> NDArray[np.str_]:
        """`worse`, `better`, `flat` or `not_enough`, where each is named by chance with this probability at most."""
        with np.errstate(invalid="ignore"):
            chosen = [~self.is_enough, self.p_worse <= chance, self.p_better <= chance]
        return np.select(chosen, ["not_enough", "worse", "better"], "flat")


def changes(old: RateSums, new: RateSums, least: float, samples_min: int) -> Changes:
    """Of the same n slices in two periods, where to rise is to get worse; a change of `least` times the old rate, either way, counts as none."""
    before, after = _rates(old), _rates(new)
    enough = (old.samples >= samples_min) & (new.samples >= samples_min)
    of_old, of_new = _common(_uncertainty(old, enough), _uncertainty(new, enough), old, new)
    both = of_old.plus(of_new)
    half = np.sqrt(both.variance) * stdtrit(both.freedom, (1 + SURE) / 2)
    worse, better = (
        _Excess(way * (after - (1 + way * least) * before), of_old.times(1 + way * least).plus(of_new))
        for way in (1, -1)
    )
    low, high = after - before - half, after - before + half
    return Changes(before, after, low, high, worse.chance, better.chance, worse.deviations)


def _rates(sums: RateSums) -> Floats:
    """Not a number where there is nothing to divide by, whatever was counted."""
    return np.where(sums.windows.denominator > 0, sums.windows.ratio, np.nan)


def onset(numerator: Floats, denominator: Floats, starts_ms: NDArray[np.int64]) -> int | None:
    """The window with which a rate most likely rose, in ms: of windows in order of time; `None` where it never did.

    The split into before and after that leaves the least squares of the windows' rates, weighted by their denominators:
    Hinkley, "Inference about the change-point in a sequence of random variables" (1970).
    """
    told = denominator > 0
    above, below, starts_ms = numerator[told].cumsum(), denominator[told].cumsum(), starts_ms[told]
    if len(below) < 2:
        return None
    rise = (above[-1] - above[:-1]) / (below[-1] - below[:-1]) - above[:-1] / below[:-1]
    gain = np.where(rise > 0, rise**2 * below[:-1] * (below[-1] - below[:-1]), 0.0)
    place = int(np.argmax(gain))
    return int(starts_ms[place + 1]) if gain[place] > 0 else None


_FREEDOM_MAX = 1e9


@dataclass(frozen=True, slots=True)
class _Uncertainty:
    """Variances of estimates, and the degrees of freedom that they were estimated with."""

    variance: Floats
    freedom: Floats

    def times(self, factor: float) -> _Uncertainty:
        return _Uncertainty(self.variance * factor**2, self.freedom)

    def plus(self, other: _Uncertainty) -> _Uncertainty:
        """Of the sum or difference: Welch (1947) and Satterthwaite (1946)."""
        variance = self.variance + other.variance
        with np.errstate(divide="ignore", invalid="ignore"):
            freedom = variance**2 / (self.variance**2 / self.freedom + other.variance**2 / other.freedom)
        return _Uncertainty(variance, np.where(variance > 0, np.minimum(freedom, _FREEDOM_MAX), _FREEDOM_MAX))


def _uncertainty(sums: RateSums, is_enough: Flags) -> _Uncertainty:
    """The largest of the variances that are known; nothing is known of a mean of one window, or where samples are few."""
    windows = sums.windows.variance
    calls = sums.calls.variance if sums.calls is not None else np.full_like(windows, np.nan)
    variance = np.fmax(np.fmax(windows, calls), _independent(sums))
    of_windows = np.where(sums.windows.clusters > 1, sums.windows.clusters - 1, sums.samples - 1)
    with np.errstate(invalid="ignore"):
        is_of_calls = calls >= np.fmax(windows, 0.0)
    freedom = np.maximum(np.where(is_of_calls, sums.samples - 1, of_windows), 1.0)
    return _Uncertainty(np.where(is_enough, np.maximum(variance, 0.0), np.nan), freedom)


def _common(
    old: _Uncertainty, new: _Uncertainty, of_old: RateSums, of_new: RateSums
) -> tuple[_Uncertainty, _Uncertainty]:
    """Neither period is surer than both together are, per unit of their denominators.

    A short period that happens to have few failures happens to vary little, too, and would seem sure of its low rate.
    """
    sizes = of_old.windows.denominator, of_new.windows.denominator
    with np.errstate(divide="ignore", invalid="ignore"):
        residual = (old.variance * sizes[0] ** 2 + new.variance * sizes[1] ** 2) / (sizes[0] + sizes[1])
        pooled = [residual / size for size in sizes]
    freedom = old.freedom + new.freedom
    before, after = (
        _Uncertainty(np.maximum(own.variance, common), np.where(common > own.variance, freedom, own.freedom))
        for own, common in zip((old, new), pooled, strict=True)
    )
    return before, after


def _independent(sums: RateSums) -> Floats:
    """The variance if all were independent: of a share binomial, of counts as Poisson's; half a count is added to none."""
    counted, of = sums.windows.numerator, sums.windows.denominator
    with np.errstate(divide="ignore", invalid="ignore"):
        match sums.kind:
            case "share":
                share = (counted + 0.5) / (of + 1)
                return np.asarray(share * (1 - share) / of, dtype=np.float64)
            case "count":
                return np.asarray((counted + 0.5) / of**2, dtype=np.float64)
            case "mean":
                return np.full_like(of, np.nan)


@dataclass(frozen=True, slots=True)
class _Excess:
    """By how much changes are beyond what is allowed."""

    size: Floats
    of: _Uncertainty

    @property
    def deviations(self) -> Floats:
        """In standard deviations; infinite, either way, without any."""
        with np.errstate(divide="ignore", invalid="ignore"):
            certain = np.where(self.size > 0, np.inf, -np.inf)
            return np.where(self.of.variance == 0, certain, self.size / np.sqrt(self.of.variance))

    @property
    def chance(self) -> Floats:
        """How likely chance alone exceeds it: Student's distribution."""
        return np.asarray(stdtr(self.of.freedom, -self.deviations), dtype=np.float64)
