"""Candidate and baseline beside each other, window by window, as sums that add over windows.

A window of a slice is one sample, where both served in it: what was common to both (the hour, the traffic of that minute)
cancels, and a candidate that is given more and more traffic is not compared with hours in which it served nobody. In window
t, with n and d for numerators and denominators, and factor f of the baseline:

    w = d_c d_b / (d_c + d_b)        s = (n_c d_b - f n_b d_c) / (d_c + d_b) = w (r_c - f r_b)

so that sum(s) / sum(w) is the difference of ratios, with strata weighed as Mantel and Haenszel (1959) do; a window without
denominators of the candidate (no success to divide by) still adds its numerator. A pool's windows are told region by region,
each a stratum (`canary_regions.py`). Two variances are told of the difference: by how whole windows scatter, and by units within
them, linearised (Cochran, "Sampling techniques", chapter 6).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields

import numpy as np

from schemas.arrays import Floats, Integers
from stream_jobs.operators.quotients import quotient
from stream_jobs.operators.release.anytime import RATES, event_evidence


@dataclass(frozen=True, slots=True)
class Side:
    """What one bundle did in each of m windows of slices.

    `squares`: sums over units of squared numerators, squared denominators, and their products; `None` where nobody tells.
    """

    numerator: Floats
    denominator: Floats
    units: Floats
    squares: tuple[Floats, Floats, Floats] | None = None


@dataclass(frozen=True, slots=True)
class Pairs:
    """Windows in which both served: the place of their slice, of `slices` in all, and both sides.

    `window`: which window each row is of, from 0 on, where a window is told in parts that are compared within themselves, such
    as regions; `None` where each row is one.
    """

    place: Integers
    slices: int
    baseline: Side
    candidate: Side
    window: Integers | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class SideSums:
    """Sums over the windows of n slices. Squares and products are of windows' shares in the difference (weight ÷ denominator)."""

    numerator: Floats
    denominator: Floats
    units: Floats
    numerator_sq: Floats
    denominator_sq: Floats
    product: Floats

    def __add__(self, later: SideSums) -> SideSums:
        return SideSums(*(getattr(self, each.name) + getattr(later, each.name) for each in fields(self)))

    @property
    def ratio(self) -> Floats:
        return quotient(self.numerator, self.denominator)

    @property
    def within(self) -> Floats:
        """The variance that units give to the weighed sum of this side; not a number where that is not told."""
        ratio = np.nan_to_num(self.ratio)
        return np.maximum(self.numerator_sq - 2 * ratio * self.product + ratio**2 * self.denominator_sq, 0.0)


@dataclass(frozen=True, slots=True)
class PairedSums:
    """Sums over the windows of n slices: everything that bounds are made of. Those of two stretches of time add."""

    windows: Floats
    s: Floats
    w: Floats
    s_sq: Floats
    s_w: Floats
    w_sq: Floats
    candidate: SideSums
    baseline: SideSums
    events: Floats
    """Log evidence of sparse events, (n, alternatives): `anytime.event_evidence`."""
    factor: float = 1.0

    def __add__(self, later: PairedSums) -> PairedSums:
        assert self.factor == later.factor
        summed = {each.name: getattr(self, each.name) + getattr(later, each.name) for each in fields(self)[:-1]}
        return PairedSums(**summed, factor=self.factor)

    @property
    def difference(self) -> Floats:
        """The candidate's ratio minus `factor` times the baseline's."""
        return quotient(self.s, self.w)

    @property
    def unit_variance(self) -> Floats:
        """Of the difference, by units, as if they were independent; not a number where squares are not told."""
        return quotient(self.candidate.within + self.factor**2 * self.baseline.within, self.w**2)

    @property
    def window_variance(self) -> Floats:
        """Of the difference, by how windows scatter; not a number from a single one."""
        difference = self.difference
        residual_sq = np.maximum(self.s_sq - 2 * difference * self.s_w + difference**2 * self.w_sq, 0.0)
        return quotient(residual_sq * quotient(self.windows, self.windows - 1), self.w**2)


def paired_sums(pairs: Pairs, factor: float = 1.0, with_events: bool = False) -> PairedSums:
    """Adds up windows slice by slice; `factor` is what the baseline is multiplied by before it is compared."""
    candidate, baseline = pairs.candidate, pairs.baseline
    both = candidate.denominator + baseline.denominator
    w = candidate.denominator * baseline.denominator / both
    s = (candidate.numerator * baseline.denominator - factor * baseline.numerator * candidate.denominator) / both

    def summed(values: Floats) -> Floats:
        return np.bincount(pairs.place, values, pairs.slices).astype(np.float64)

    place, s_of, w_of = _whole_windows(pairs, s, w)

    def over_windows(values: Floats) -> Floats:
        return np.bincount(place, values, pairs.slices).astype(np.float64)

    return PairedSums(
        windows=over_windows(np.ones_like(w_of)),
        s=summed(s),
        w=summed(w),
        s_sq=over_windows(s_of * s_of),
        s_w=over_windows(s_of * w_of),
        w_sq=over_windows(w_of * w_of),
        candidate=_side_sums(candidate, baseline.denominator / both, summed),
        baseline=_side_sums(baseline, candidate.denominator / both, summed),
        events=_events(pairs, factor) if with_events else np.zeros((pairs.slices, len(RATES))),
        factor=factor,
    )


def _whole_windows(pairs: Pairs, s: Floats, w: Floats) -> tuple[Integers, Floats, Floats]:
    """The place of each window, and its sums over its parts: those of one need not be independent."""
    if pairs.window is None:
        return pairs.place, s, w
    count = int(pairs.window.max(initial=-1)) + 1
    place = np.zeros(count, dtype=np.int64)
    place[pairs.window] = pairs.place
    return place, *(np.bincount(pairs.window, each, count).astype(np.float64) for each in (s, w))  # type: ignore[return-value] # Two.


def _side_sums(side: Side, share: Floats, summed: Callable[[Floats], Floats]) -> SideSums:
    """`share`: the window's weight over this side's denominator."""
    nothing = np.full_like(share, np.nan)
    numerator_sq, denominator_sq, product = side.squares or (nothing, nothing, nothing)
    weighed = (share**2 * each for each in (numerator_sq, denominator_sq, product))
    return SideSums(*map(summed, (side.numerator, side.denominator, side.units, *weighed)))


def _events(pairs: Pairs, factor: float) -> Floats:
    mine, others = pairs.candidate.numerator.astype(np.int64), pairs.baseline.numerator.astype(np.int64)
    steps = event_evidence(mine, mine + others, pairs.candidate.denominator, pairs.baseline.denominator, factor)
    return np.stack([np.bincount(pairs.place, each, pairs.slices) for each in steps.T], axis=1)
