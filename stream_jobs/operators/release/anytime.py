"""Bounds that hold at every look: whoever watches a running canary may look as often as they like.

Three kinds of figures of a candidate are compared with those of a baseline, all of them from sums and counts:

- *Ratios of sums* (word errors ÷ words, cost ÷ successes, a mean): an estimate with a variance, which is that of clusters
  (calls, windows), so that words of one call need not be independent. Normal mixture, asymptotic: Robbins
  (1970); Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic confidence
  sequences" (2021).
- *Sparse events*: how many of the rare events of both were the candidate's. A mixture of likelihood ratios is a test
  martingale under any ratio of rates up to the allowed one, however few events there are: Wald (1945), Ville (1939).
- *Quantiles* of histograms: which order statistics enclose a quantile at every look, by the beta-binomial mixture: Howard
  and Ramdas, "Sequential estimation of quantiles with applications to A/B testing and best-arm identification" (2022).

Each holds with probability 1 - alpha at all looks together. Over several metrics and slices, alpha is divided among them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaln, xlog1py, xlogy

from schemas.arrays import Floats, Integers

RATES = np.array([1.25, 1.5, 2.0, 3.0, 5.0, 9.0, 17.0, 33.0])
"""How many times the allowed rate the events may come at, in the alternatives that sparse events are tested against."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Lower and upper bounds, arrays of length n; not a number where too little is known to say any."""

    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True)
class RatioSums:
    """Sums over clusters of n slices: of a numerator, a denominator, their squares, and their product."""

    clusters: Floats
    numerator: Floats
    denominator: Floats
    numerator_sq: Floats
    denominator_sq: Floats
    product: Floats

    @property
    def ratio(self) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.numerator / self.denominator

    @property
    def variance(self) -> Floats:
        """Of the ratio, by linearisation over clusters (Cochran, "Sampling techniques", chapter 6)."""
        ratio = self.ratio
        with np.errstate(divide="ignore", invalid="ignore"):
            residual_sq = self.numerator_sq - 2 * ratio * self.product + ratio * ratio * self.denominator_sq
            unbiased = self.clusters / (self.clusters - 1)
            return np.where(self.clusters > 1, unbiased * residual_sq / self.denominator**2, np.nan)


def mixture_radius(information: Floats, alpha: Floats | float, sharp_at: Floats | float) -> Floats:
    """Half the width of a time-uniform interval, `information` being 1 ÷ the variance of the estimate.

    The mixture is over differences of a normal prior with deviation `sharp_at`, which makes it narrowest where such a
    difference is just told from none (Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric, nonasymptotic
    confidence sequences", 2021, section 3.5).
    """
    prior = 1 / sharp_at**2
    spread = (information + prior) * (np.log1p(information / prior) + 2 * np.log(1 / alpha))
    return np.asarray(np.sqrt(spread) / information, dtype=np.float64)


def event_evidence(
    candidate: Integers, events: Integers, candidate_exposure: Floats, baseline_exposure: Floats, allowed: float
) -> Floats:
    """Log evidence of windows, of shape (windows, alternatives), that events come at more than `allowed` times the rate.

    Of `events` of both in a window, `candidate` were the candidate's; exposures are turns. Sums over windows are to be kept:
    `evidence` turns them into an e-value.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        fair = _share(candidate_exposure * allowed, baseline_exposure)[:, None]
        more = _share(candidate_exposure[:, None] * allowed * RATES, baseline_exposure[:, None])
        mine, others = candidate[:, None], (events - candidate)[:, None]
        ratio = xlogy(mine, more / fair) + xlog1py(others, -more) - xlog1py(others, -fair)
    judged = (candidate_exposure > 0) & (baseline_exposure > 0)
    return np.where(judged[:, None], ratio, 0.0)


def evidence(log_ratios: Floats) -> Floats:
    """The e-value of sums of `event_evidence`, of shape (n, alternatives): above 1 ÷ alpha says that the rate is above.

    Valid at every look, since each alternative's is a test martingale and so is their mean.
    """
    largest = log_ratios.max(axis=1, keepdims=True)
    return np.asarray(np.exp(largest[:, 0]) * np.exp(log_ratios - largest).mean(axis=1), dtype=np.float64)


def quantile_ranks(count: Floats, level: float, alpha: float, sharp_at: float = 1_000.0) -> Bounds:
    """Between which ranks, of `count` values in order, the quantile of this level lies at every look.

    Rank r is the r-th smallest value; 0 and count + 1 say that there is no bound on that side. `sharp_at`: the count at
    which the bounds are to be narrowest.
    """
    prior = np.maximum(sharp_at / max(1.0, 2 * np.log(1 / alpha)), 1.0)
    low = _rank(count, level, alpha, prior, is_low=True)
    return Bounds(low, _rank(count, level, alpha, prior, is_low=False) + 1)


def _share(candidate: Floats, baseline: Floats) -> Floats:
    return np.asarray(candidate / (candidate + baseline), dtype=np.float64)


def _rank(count: Floats, level: float, alpha: float, prior: float, is_low: bool) -> Floats:
    """The outermost number of values at or below the quantile that the mixture does not rule out, by bisection."""
    near, far = np.floor(count * level), np.zeros_like(count) if is_low else count
    for _ in range(64):
        middle = np.floor((near + far) / 2) if is_low else np.ceil((near + far) / 2)
        is_ruled_out = _log_mixture(middle, count, level, prior) >= np.log(1 / alpha)
        far, near = np.where(is_ruled_out, middle, far), np.where(is_ruled_out, near, middle)
        if (np.abs(near - far) <= 1).all():
            break
    edge = _log_mixture(far, count, level, prior) >= np.log(1 / alpha)
    return np.where(edge, near, far)


def _log_mixture(below: Floats, count: Floats, level: float, prior: float) -> Floats:
    """Log likelihood ratio of a beta mixture against the level, of `below` of `count` values."""
    a, b = prior * level, prior * (1 - level)
    mixed = betaln(a + below, b + count - below) - betaln(a, b)
    return np.asarray(mixed - xlogy(below, level) - xlog1py(count - below, -level), dtype=np.float64)
