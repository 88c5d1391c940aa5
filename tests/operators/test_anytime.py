"""Bounds that hold at every look: they err in fewer than alpha of simulated canaries, and see what there is to see."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from schemas.arrays import Floats
from stream_jobs.operators.release.anytime import (
    Bounds,
    RatioSums,
    event_evidence,
    evidence,
    mixture_radius,
    quantile_ranks,
)

ALPHA = 0.05
LOOKS = 24
RUNS = 500


def calls(rng: np.random.Generator, wer: float, count: int, runs: int = RUNS) -> list[RatioSums]:
    """Sums after each of 24 hours of `count` calls, whose own error rates vary: words of one call are not independent."""
    words = rng.integers(5, 40, (runs, LOOKS, count)).astype(float)
    own = rng.beta(wer * 8, (1 - wer) * 8, words.shape)
    errors = rng.binomial(words.astype(np.int64), own).astype(float)
    sums = [
        np.full((runs, LOOKS), float(count)),
        *(each.sum(axis=2) for each in (errors, words, errors**2, words**2, errors * words)),
    ]
    so_far = [each.cumsum(axis=1) for each in sums]
    return [RatioSums(*(each[:, look] for each in so_far)) for look in range(LOOKS)]


def difference(baseline: RatioSums, candidate: RatioSums, sharp_at: float) -> Bounds:
    """Bounds of the candidate's ratio minus the baseline's."""
    variance = baseline.variance + candidate.variance
    estimate, half = candidate.ratio - baseline.ratio, mixture_radius(1 / variance, ALPHA, sharp_at)
    return Bounds(estimate - half, estimate + half)


def test_looked_at_hourly_for_a_day_equal_releases_are_told_apart_in_fewer_than_alpha_of_runs() -> None:
    rng = np.random.default_rng(1)
    looks = zip(calls(rng, 0.12, 30), calls(rng, 0.12, 30), strict=True)
    bounds = [difference(baseline, candidate, sharp_at=0.01) for baseline, candidate in looks]
    told_apart = np.any([(bound.low > 0) | (bound.high < 0) for bound in bounds], axis=0)
    assert told_apart.mean() <= ALPHA


def test_a_fixed_horizon_test_at_every_look_errs_far_more_often() -> None:
    """What the bounds are for: the same runs, looked at with an ordinary interval."""
    rng = np.random.default_rng(1)
    looks = zip(calls(rng, 0.12, 30), calls(rng, 0.12, 30), strict=True)
    z = [(c.ratio - b.ratio) / np.sqrt(c.variance + b.variance) for b, c in looks]
    assert np.any([np.abs(each) > 1.96 for each in z], axis=0).mean() > 2 * ALPHA


def test_a_difference_beyond_the_allowed_one_is_seen_within_the_day() -> None:
    rng = np.random.default_rng(2)
    looks = zip(calls(rng, 0.12, 100), calls(rng, 0.16, 100), strict=True)
    seen = np.array([difference(b, c, sharp_at=0.02).low > 0.015 for b, c in looks])
    assert seen[-1].mean() > 0.9
    assert seen[0].mean() < 0.2


def test_variance_is_that_of_calls_not_of_words() -> None:
    (sums,) = calls(np.random.default_rng(3), 0.12, 400, runs=1)[-1:]
    of_words = float(sums.ratio[0] * (1 - sums.ratio[0]) / sums.denominator[0])
    assert sums.variance[0] > 2 * of_words


def test_one_call_says_nothing() -> None:
    one = RatioSums(*(np.array([value]) for value in (1.0, 2.0, 10.0, 4.0, 100.0, 20.0)))
    assert np.isnan(difference(one, one, 0.01).low[0])


# -- sparse events -------------------------------------------------------------------------------------------------------


def values_at_every_look(
    candidate: list[int], baseline: list[int], allowed: float = 1.0, turns: float = 1_000.0
) -> Floats:
    mine, others = np.array(candidate), np.array(baseline)
    exposure = np.full(len(mine), turns)
    return evidence(event_evidence(mine, mine + others, exposure, exposure, allowed).cumsum(axis=0))


def test_as_few_errors_as_these_against_none_are_evidence_and_more_of_them_enough() -> None:
    """Canary 0, 1, 2, 1, 0, 0 against zeros, which a comparison of distributions passes over."""
    few = values_at_every_look([0, 1, 2, 1, 0, 0], [0] * 6)
    assert few[-1] > 4 and (np.diff(few) >= 0).all()
    assert values_at_every_look([0, 1, 2, 1, 0, 0, 1, 2], [0] * 8)[-1] > 1 / ALPHA
    assert values_at_every_look([0, 1, 2, 1, 0, 0, 1, 2], [0, 1, 2, 1, 0, 0, 1, 2])[-1] < 1


@pytest.mark.parametrize(("rate", "allowed"), [(1.0, 1.0), (1.5, 1.5), (0.5, 1.0)])
def test_at_the_allowed_rate_fewer_than_alpha_of_runs_are_ever_evidence(rate: float, allowed: float) -> None:
    rng = np.random.default_rng(4)
    mine, others = rng.poisson(3 * rate, (2_000, LOOKS)), rng.poisson(3, (2_000, LOOKS))
    exposure = np.full(LOOKS, 1_000.0)
    steps = np.array([event_evidence(m, m + o, exposure, exposure, allowed) for m, o in zip(mine, others, strict=True)])
    largest = evidence(steps.cumsum(axis=1).reshape(-1, steps.shape[2])).reshape(2_000, LOOKS).max(axis=1)
    assert (largest >= 1 / ALPHA).mean() <= ALPHA


def test_a_smaller_canary_is_compared_by_its_exposure() -> None:
    fair = event_evidence(np.array([5]), np.array([105]), np.array([500.0]), np.array([10_000.0]), 1.0)
    unfair = event_evidence(np.array([55]), np.array([105]), np.array([500.0]), np.array([10_000.0]), 1.0)
    assert evidence(fair)[0] < 1 < 1 / ALPHA < evidence(unfair)[0]


def test_a_window_in_which_one_of_them_served_nothing_says_nothing() -> None:
    alone = event_evidence(np.array([9]), np.array([9]), np.array([500.0]), np.array([0.0]), 1.0)
    assert (alone == 0).all()


# -- quantiles -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
def test_ranks_are_the_outermost_that_the_mixture_does_not_rule_out(level: float) -> None:
    counts = np.array([20.0, 400.0, 10_000.0, 3_000_000.0])
    ranks = quantile_ranks(counts, level, ALPHA)
    assert (ranks.low <= counts * level).all() and (ranks.high >= counts * level).all()
    # Wider than the interval of a single look, and by no more than such bounds need.
    for count, low, high in zip(counts, ranks.low, ranks.high, strict=True):
        once = binom(count, level).interval(1 - ALPHA)
        assert low <= once[0] and high >= once[1] + 1
        assert high - low <= 3 * (once[1] - once[0]) + 12


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_at_every_look_the_quantile_lies_between_the_ranks_in_all_but_alpha_of_runs(level: float) -> None:
    below = np.random.default_rng(5).binomial(200, level, (2_000, LOOKS)).cumsum(axis=1)
    ranks = quantile_ranks(np.arange(200, 200 * LOOKS + 1, 200, dtype=np.float64), level, ALPHA)
    outside = ((below < ranks.low) | (below + 1 > ranks.high)).any(axis=1)
    assert outside.mean() <= ALPHA


def between(upper_ms: Floats, counts: Floats, level: float, alpha: float) -> tuple[float, float]:
    """Between which latencies a histogram's quantile lies, whose buckets have these upper bounds; 0 and infinity: no bound.

    A value may lie anywhere in its bucket, so the lower one is the upper bound of the bucket before the rank's.
    """
    total, cumulated = float(counts.sum()), counts.cumsum()
    ranks = quantile_ranks(np.array([total]), level, alpha)
    low, high = float(ranks.low[0]), float(ranks.high[0])
    first = int(np.searchsorted(cumulated, low)) if low >= 1 else 0
    last = int(np.searchsorted(cumulated, high)) if high <= total else len(upper_ms)
    return (float(upper_ms[first - 1]) if first else 0.0), (float(upper_ms[last]) if last < len(upper_ms) else np.inf)


def test_a_tail_that_went_from_3_8_to_8_4_seconds_is_seen_in_histograms() -> None:
    rng = np.random.default_rng(6)
    upper_ms = 2 ** (np.arange(0, 16 * 32) / 32)

    def histogram(p99_ms: float, count: int) -> Floats:
        drawn = rng.lognormal(np.log(p99_ms) - 2.326 * 0.4, 0.4, count)
        return np.bincount(np.searchsorted(upper_ms, drawn), minlength=len(upper_ms)).astype(float)

    _, before = between(upper_ms, histogram(3_800, 20_000), 0.99, ALPHA / 2)
    after, _ = between(upper_ms, histogram(8_400, 2_000), 0.99, ALPHA / 2)
    same, _ = between(upper_ms, histogram(3_800, 2_000), 0.99, ALPHA / 2)
    assert after > before > same


def test_a_handful_of_values_has_no_upper_bound() -> None:
    low, high = between(np.array([1.0, 2.0, 4.0]), np.array([1.0, 1.0, 1.0]), 0.99, ALPHA)
    assert (low, high) == (0.0, np.inf)
