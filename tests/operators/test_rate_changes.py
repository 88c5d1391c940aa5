"""Changes of rates: named by chance as seldom as is said, with windows that hang together, and dated where they begin."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from schemas.arrays import Floats
from schemas.rates import Kind
from stream_jobs.operators.drift.rate_changes import Changes, RateSums, changes, onset
from stream_jobs.operators.release.anytime import RatioSums


def sums(bad: Floats, total: Floats, kind: Kind = "share") -> RateSums:
    """Of (slices, windows)."""
    told = [(each).sum(axis=1) for each in (bad, total, bad**2, total**2, bad * total)]
    return RateSums(RatioSums(np.full(len(bad), float(bad.shape[1])), *told), None, told[1], kind)


def compared(old: RateSums, new: RateSums, least: float = 0.0) -> Changes:
    return changes(old, new, least=least, samples_min=200)


def days(dice: np.random.Generator, rate: float, slices: int = 4_000, windows: int = 24) -> RateSums:
    """Windows whose rates scatter far more than independent turns would."""
    of_window = dice.beta(rate * 30, (1 - rate) * 30, size=(slices, windows))
    total = dice.poisson(100, size=of_window.shape).astype(np.float64)
    return sums(dice.binomial(total.astype(np.int64), of_window).astype(np.float64), total)


def test_slices_that_did_not_change_are_named_as_seldom_as_is_said() -> None:
    dice = np.random.default_rng(5)
    found = compared(days(dice, 0.1), days(dice, 0.1))
    for chance in (0.05, 0.005):
        named = (found.states(chance) == "worse").mean()
        assert stats.binomtest(int(named * 4_000), 4_000, chance, "greater").pvalue > 0.001, f"{named:.4f}"
    assert (found.low < 0).mean() > 0.96
    as_if_independent = (found.new - found.old) / np.sqrt(2 * 0.1 * 0.9 / 2_400)
    assert (as_if_independent > 1.645).mean() > 0.2, "the world would not show what windows are for"


@pytest.mark.parametrize(("old", "new"), [(48, 6), (6, 48)])
def test_a_short_period_is_not_sure_of_the_few_failures_that_it_happens_to_have(old: int, new: int) -> None:
    dice = np.random.default_rng(7)
    found = compared(days(dice, 0.01, 2_000, old), days(dice, 0.01, 2_000, new))
    for state in ("worse", "better"):
        assert (found.states(0.005) == state).mean() <= 0.007, "without the other period's scatter it is ten times that"


def test_what_got_worse_is_named_and_what_is_within_the_allowed_is_not() -> None:
    dice = np.random.default_rng(6)
    old = days(dice, 0.1, 500)
    assert (compared(old, days(dice, 0.2, 500)).states(0.01) == "worse").mean() > 0.9
    assert (compared(days(dice, 0.2, 500), old).states(0.01) == "better").mean() > 0.9
    assert (compared(old, days(dice, 0.16, 500), least=0.6).states(0.05) == "worse").mean() < 0.08


def test_too_few_samples_and_a_mean_of_one_window_are_not_enough() -> None:
    few = sums(np.full((1, 10), 1.0), np.full((1, 10), 19.0))
    many = sums(np.full((1, 10), 9.0), np.full((1, 10), 190.0))
    assert compared(few, many).states(0.05).tolist() == ["not_enough"]
    one = sums(np.array([[9e6]]), np.array([[900.0]]), "mean")
    assert compared(one, one).states(0.05).tolist() == ["not_enough"]
    absent = sums(np.zeros((1, 10)), np.zeros((1, 10)))
    assert compared(absent, many).states(0.05).tolist() == ["not_enough"]


def test_the_words_of_one_call_count_as_one() -> None:
    """A hundred calls, each heard wholly right or wholly wrong: as words this would be a change beyond doubt."""
    words, heard = np.full(400, 50.0), np.repeat([0.0, 50.0], 200)

    def of_calls(errors: Floats) -> RateSums:
        told = [np.array([each.sum()]) for each in (errors, words, errors**2, words**2, errors * words)]
        return RateSums(
            RatioSums(np.array([1.0]), *told), RatioSums(np.array([400.0]), *told), np.array([400.0]), "count"
        )

    worse = np.where(np.arange(400) < 190, 0.0, 50.0)
    assert compared(of_calls(heard), of_calls(worse)).states(0.05).tolist() == ["flat"]
    alone = RateSums(of_calls(worse).windows, None, np.array([400.0]), "count")
    assert compared(RateSums(of_calls(heard).windows, None, np.array([400.0]), "count"), alone).states(0.05) == "worse"


def test_a_change_is_dated_by_its_window() -> None:
    starts_ms = np.arange(48) * 3_600_000
    rate = np.where(np.arange(48) < 30, 0.1, 0.2)
    total = np.random.default_rng(2).poisson(500, 48).astype(np.float64)
    bad = np.random.default_rng(3).binomial(total.astype(np.int64), rate)
    assert onset(bad.astype(np.float64), total, starts_ms) == 30 * 3_600_000
    assert onset(bad[::-1].astype(np.float64), total[::-1], starts_ms) is None, "it fell throughout"
    assert onset(np.full(9, 5.0), np.full(9, 50.0), np.arange(9)) is None
    assert onset(np.array([1.0]), np.array([2.0]), np.array([0])) is None
