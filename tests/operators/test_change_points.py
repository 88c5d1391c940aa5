"""Change points: false alarms stay below what was asked for, changes are found soon, and since when is about right."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.arrays import Floats
from stream_jobs.operators.drift.change_points import EFFECTS, Detectors, threshold, updated

HOUR_MS = 3_600_000
WEEK = 168


def watched(z: Floats, limit: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """When each series alarmed first, by window (-1: never), and since when it says that it changed."""
    state = Detectors.quiet(len(z))
    first, since = np.full(len(z), -1), np.zeros(len(z), dtype=np.int64)
    for window in range(z.shape[1]):
        state = updated(state, z[:, window], window * HOUR_MS)
        is_new = (state.value >= limit) & (first < 0)
        first[is_new], since[is_new] = window, state.since_ms[is_new] // HOUR_MS
    return first, since


def excess(bad: Floats, total: Floats, allowed: Floats, dispersion: Floats) -> Floats:
    """z of windows: how far the bad share lies above the allowed one, the variance of counts being so many times a binomial's."""
    return (bad - allowed * total) / np.sqrt(dispersion * allowed * (1 - allowed) * total)


def overdispersion(bad: Floats, total: Floats) -> Floats:
    """Pearson's statistic over its degrees of freedom (McCullagh and Nelder, "Generalized linear models", section 4.5)."""
    share = bad.sum(axis=1, keepdims=True) / total.sum(axis=1, keepdims=True)
    terms = (bad - share * total) ** 2 / (share * (1 - share) * total)
    return np.asarray(terms.sum(axis=1) / (total.shape[1] - 1))


def test_in_a_week_of_a_thousand_quiet_series_no_more_alarm_than_were_allowed() -> None:
    rng = np.random.default_rng(1)
    alarms = [(watched(rng.normal(0, 1, (1_000, WEEK)), threshold(1_000, WEEK, 5.0))[0] >= 0).sum() for _ in range(4)]
    assert np.mean(alarms) <= 5


def test_over_dispersed_counts_that_are_taken_for_independent_alarm_far_too_often_and_as_they_are_do_not() -> None:
    rng = np.random.default_rng(2)
    total = np.full((400, 2 * WEEK), 2_000.0)
    bad = rng.binomial(2_000, rng.beta(0.1 * 300, 0.9 * 300, total.shape)).astype(float)
    reference, live = slice(0, WEEK), slice(WEEK, None)
    allowed = (bad[:, reference].sum(axis=1) / total[:, reference].sum(axis=1) + 0.003)[:, None]
    limit = threshold(400, WEEK, 1.0)
    own = overdispersion(bad[:, reference], total[:, reference])[:, None]
    as_they_are = watched(excess(bad[:, live], total[:, live], allowed, own), limit)[0]
    as_independent = watched(excess(bad[:, live], total[:, live], allowed, np.ones_like(own)), limit)[0]
    assert (as_they_are >= 0).sum() <= 3
    assert (as_independent >= 0).sum() > 40
    assert np.median(own) == pytest.approx(1 + 1_999 / 301, rel=0.15)


@pytest.mark.parametrize(("effect", "delay_max"), [(1.0, 40), (2.0, 12), (4.0, 5)])
def test_a_change_is_found_soon_and_dated_well(effect: float, delay_max: int) -> None:
    rng = np.random.default_rng(3)
    z = rng.normal(0, 1, (200, 2 * WEEK))
    z[:, 100:] += effect
    first, since = watched(z, threshold(200, WEEK, 1.0))
    found = first >= 100
    assert found.mean() > 0.98
    assert np.median(first[found]) - 100 <= delay_max
    assert np.median(np.abs(since[found] - 100)) <= 6


def test_a_series_that_gets_better_never_alarms() -> None:
    rng = np.random.default_rng(4)
    first, _ = watched(rng.normal(-0.3, 1, (500, WEEK)), threshold(500, WEEK, 1.0))
    assert (first < 0).all()


def test_a_window_without_traffic_changes_nothing() -> None:
    state = updated(Detectors.quiet(2), np.array([1.0, 2.0]), 0)
    again = updated(state, np.array([np.nan, 2.0]), HOUR_MS)
    assert (again.values[:, 0] == state.values[:, 0]).all() and again.page[0] == state.page[0]
    assert again.value[1] > state.value[1]


def test_the_detector_is_the_sum_over_all_instants_at_which_a_change_may_have_begun() -> None:
    z = np.random.default_rng(5).normal(0.5, 1, 6)
    state = Detectors.quiet(1)
    for window, each in enumerate(z):
        state = updated(state, np.array([each]), window)
    steps = EFFECTS * z[:, None] - EFFECTS**2 / 2
    expected = sum(np.exp(steps[begin:].sum(axis=0)) for begin in range(len(z)))
    assert state.value[0] == pytest.approx(np.mean(expected))


def test_one_odd_window_is_no_change_and_a_year_of_evidence_does_not_overflow() -> None:
    state = updated(Detectors.quiet(1), np.array([1e9]), 0)
    assert state.value[0] < threshold(10, WEEK, 1.0)
    for window in range(9_000):
        state = updated(state, np.array([8.0]), window)
    assert np.isfinite(state.value[0]) and state.value[0] > 1e100
