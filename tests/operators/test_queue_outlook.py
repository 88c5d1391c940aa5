"""Outlooks of queues: by arithmetic where it is simple, by simulated queues where it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stream_jobs.operators.saturation.queue_outlook import MINUTES_MIN, Outlook, QueueMinutes, outlook

MINUTE_MS = 60_000.0


def steady(minutes: int = 5, depth: float = 20.0, growth: float = 10.0, served: float = 120.0) -> QueueMinutes:
    """One queue of four replicas, each minute like the others."""
    told = np.ones((1, minutes))
    return QueueMinutes(
        np.array([depth]),
        growth * told,
        (served + growth) * told,
        served * told,
        3.6 * MINUTE_MS * told,
        4 * MINUTE_MS * told,
    )


def test_a_queue_breaks_its_objective_when_its_depth_reaches_threshold_times_rate() -> None:
    """120 requests a minute and 30 s allowed: 60 may wait, 40 more than do, and 10 come every minute."""
    found = outlook(steady(), threshold_s=30)
    assert (found.breaks_in_s[0], found.soonest_s[0], found.latest_s[0]) == (240.0, 240.0, 240.0)
    assert found.utilisation[0] == pytest.approx(0.9)


def test_a_queue_that_waits_for_too_long_already_is_broken_and_one_that_shrinks_never_breaks() -> None:
    assert outlook(steady(depth=60.0), threshold_s=30).breaks_in_s[0] == 0
    assert outlook(steady(growth=-1.0), threshold_s=30).breaks_in_s[0] == np.inf
    assert outlook(steady(growth=0.0), threshold_s=30).latest_s[0] == np.inf


def test_replicas_are_missing_until_what_arrives_is_served_at_the_wanted_utilisation() -> None:
    """130 arrive a minute, each takes 1.8 s of a replica: 3.9 replicas' work, 5.57 at 70 %, of which four are there."""
    assert outlook(steady(), threshold_s=30).replicas_missing[0] == 2
    assert outlook(steady(), threshold_s=30, target_utilisation=1.0).replicas_missing[0] == 0


def test_exactly_as_many_as_are_needed_are_not_one_too_few() -> None:
    exact = replace(steady(growth=0.0), busy_ms=np.full((1, 5), 2.8 * MINUTE_MS))
    assert outlook(exact, threshold_s=30, target_utilisation=0.7).replicas_missing[0] == 0


def test_littles_law_is_used_only_where_the_queue_is_stationary() -> None:
    rng = np.random.default_rng(3)
    still = replace(steady(minutes=30), growth=rng.normal(0, 3, (1, 30)), arrivals=np.full((1, 30), 120.0))
    assert outlook(still, threshold_s=30).wait_s[0] == pytest.approx(20 / 120 * 60)
    assert np.isnan(outlook(steady(), threshold_s=30).wait_s[0])


def test_without_enough_minutes_there_is_no_interval_and_without_service_no_need() -> None:
    few = outlook(steady(minutes=MINUTES_MIN - 1), threshold_s=30)
    assert few.breaks_in_s[0] == 240 and np.isnan([few.soonest_s[0], few.latest_s[0]]).all()
    idle = replace(steady(), served=np.zeros((1, 5)), busy_ms=np.zeros((1, 5)))
    assert np.isnan(outlook(idle, threshold_s=30).replicas_missing[0])


@pytest.mark.parametrize(("threshold_s", "utilisation"), [(0, 0.7), (-1, 0.7), (1, 0), (1, 1.1)])
def test_what_makes_no_sense_is_refused(threshold_s: float, utilisation: float) -> None:
    with pytest.raises(ValueError, match="it has to be"):
        outlook(steady(), threshold_s, utilisation)


def test_nine_of_ten_intervals_hold_the_time_that_simulated_queues_took() -> None:
    """Poisson arrivals at 132 a minute into 120 of service: 400 queues, looked at after ten minutes."""
    rng = np.random.default_rng(11)
    arrivals = rng.poisson(132, (400, 200)).astype(float)
    served = rng.poisson(120, (400, 200)).astype(float)
    growth = arrivals - served
    depth = growth.cumsum(axis=1)
    seen = slice(0, 10)
    minutes = QueueMinutes(
        depth[:, 9], growth[:, seen], arrivals[:, seen], served[:, seen], np.ones((400, 10)), np.ones((400, 10))
    )
    found: Outlook = outlook(minutes, threshold_s=300)
    broke_s = (np.argmax(depth[:, 10:] >= 5 * 120, axis=1) + 1) * 60.0
    held = (found.soonest_s <= broke_s) & (broke_s <= found.latest_s)
    assert held.mean() >= 0.9
    assert np.median(found.breaks_in_s) == pytest.approx(np.median(broke_s), rel=0.15)
