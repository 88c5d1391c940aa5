"""Drift as a shard finds it: the slice that got worse, once, since when, against what, and never more than is known."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from schemas.drift_policies import DriftPolicy, WatchedMeasure
from schemas.families import OUTCOMES, QUALITY, STAGE_LATENCIES
from schemas.slices import owner_text, shard_of
from stream_jobs.operators.drift_watch import DriftWatch
from tests.operators.drift_worlds import (
    DAY,
    HOUR_MS,
    POOL,
    START_MS,
    WEEK,
    Shard,
    calls,
    latencies,
    told,
    totals,
    turns,
)

GOOD, BAD = 0.06, 0.09
FAILING = WatchedMeasure("failure_rate", 0.05, 500, 0.005)
ROUTES = [f"{POOL},route=r{place}" for place in range(12)]


def policy(**changes: object) -> DriftPolicy:
    """Failed turns only, against the same hour a week, or in the first week a day, before."""
    return DriftPolicy(**{"name": "of-failures", "owner": "ml", "measures": (FAILING,)} | changes)  # type: ignore[arg-type]


def of_routes(seed: int, begins: int, ends: int, over: int = 10**6) -> Shard:
    """Twelve routes from hour to hour, the last of which fails more often from an hour on."""
    dice = np.random.default_rng(seed)

    def hour(number: int) -> dict[str, dict[str, int]]:
        is_bad = begins <= number < over
        return {text: turns(dice, BAD if is_bad and text == ROUTES[-1] else GOOD) for text in ROUTES}

    quiet = told(Shard(policy()), OUTCOMES, range(2 * DAY), hour, every=DAY)
    return told(quiet, OUTCOMES, range(2 * DAY, ends), hour)


def test_the_one_route_that_fails_more_often_is_found_within_hours_dated_and_found_once() -> None:
    shard = of_routes(1, begins=2 * DAY + 12, ends=3 * DAY)
    assert set(shard.drifting) == {f"{ROUTES[-1]}|failure_rate"}
    found = shard.drifting[f"{ROUTES[-1]}|failure_rate"]
    assert (found.severity, found.runbook, found.labels["owner"]) == ("ticket", "docs/runbooks/drift.md", "ml")
    assert abs(found.since_ms - (START_MS + (2 * DAY + 12) * HOUR_MS)) <= 2 * HOUR_MS
    assert found.facts["value"] == pytest.approx(BAD, rel=0.1)
    assert found.facts["reference_value"] == pytest.approx(GOOD, rel=0.1)
    assert "in the same hours a day before" in found.summary and "(+" in found.summary
    first = next(place for place, said in enumerate(shard.said) if said.findings)
    assert shard.said[first].decided_ms <= START_MS + (2 * DAY + 18) * HOUR_MS
    assert {each.since_ms for said in shard.said[first:] for each in said.findings} == {found.since_ms}


def test_a_change_is_over_when_the_slice_is_back() -> None:
    shard = of_routes(2, begins=2 * DAY + 4, ends=4 * DAY, over=2 * DAY + 14)
    ends = [said.decided_ms for said in shard.said if said.findings]
    assert START_MS + (2 * DAY + 14) * HOUR_MS <= max(ends) <= START_MS + (2 * DAY + 24) * HOUR_MS
    assert not shard.drifting


def test_a_change_is_over_when_it_has_become_the_reference() -> None:
    shard = of_routes(3, begins=2 * DAY + 4, ends=4 * DAY)
    ends = [said.decided_ms for said in shard.said if said.findings]
    assert START_MS + (3 * DAY + 4) * HOUR_MS <= max(ends) <= START_MS + (3 * DAY + 14) * HOUR_MS


def test_weeks_in_which_nothing_changes_but_the_hour_of_the_day_raise_nothing() -> None:
    dice = np.random.default_rng(4)

    def hour(number: int) -> dict[str, dict[str, int]]:
        by_day = GOOD * (1 + 0.5 * np.sin(2 * np.pi * number / DAY))
        return {text: turns(dice, by_day, 1_500) for text in ROUTES}

    shard = told(Shard(policy()), OUTCOMES, range(WEEK + 2 * DAY), hour, every=DAY)
    assert not any(said.findings for said in shard.said)
    assert set(shard.rows["state"]) == {"steady", "learning", "no_reference"}


def test_a_slice_with_too_little_is_never_called_steady() -> None:
    few, dice = f"{POOL},route=small", np.random.default_rng(5)
    shard = Shard(policy())
    for number in [*range(40), *range(WEEK, WEEK + 40)]:
        shard.tell(OUTCOMES, totals(OUTCOMES, number, {few: turns(dice, GOOD, 3), ROUTES[0]: turns(dice, GOOD)}))
    shard.decide(WEEK + 40)
    states = shard.rows.filter(
        pl.col("bucket_start") >= pl.lit(START_MS + WEEK * HOUR_MS).cast(pl.Datetime("ms", "UTC"))
    )
    assert set(states.filter(slice=few)["state"]) == {"not_enough"}
    assert "steady" in set(states.filter(slice=ROUTES[0])["state"])


def test_a_new_bundle_is_compared_with_the_one_that_served_before() -> None:
    dice = np.random.default_rng(6)
    old, new = (f"{POOL},bundle={name}" for name in ("v1", "v2"))

    def hour(number: int) -> dict[str, dict[str, int]]:
        rate = GOOD if number < 3 * DAY else BAD
        return {old if number < 3 * DAY else new: turns(dice, rate)}

    found = told(Shard(policy()), OUTCOMES, range(3 * DAY + 20), hour, every=4).drifting[f"{new}|failure_rate"]
    assert f"of {old} that served then" in found.summary
    by_itself = told(Shard(policy(reference="same_hour_of_week")), OUTCOMES, range(3 * DAY + 20), hour, every=4)
    assert not by_itself.drifting and set(by_itself.rows.filter(slice=new)["state"]) == {"no_reference"}


def test_slices_that_differ_in_their_bundle_alone_have_one_owner() -> None:
    speech = "pool=realtime,bundle={},accent=scottish"
    shards = {shard_of(owner_text(speech.format(f"v{place}"), QUALITY.owned_without), 16) for place in range(20)}
    assert len(shards) == 1
    assert owner_text("pool=batch,bundle=v1", STAGE_LATENCIES.owned_without) == "pool=batch,bundle=v1"


def test_a_frozen_window_stays_the_reference_and_is_the_group_s_whatever_bundle_serves() -> None:
    dice, slow = np.random.default_rng(7), (START_MS, START_MS + 2 * DAY * HOUR_MS)
    text = f"{POOL},bundle={{}}"

    def hour(number: int) -> dict[str, dict[str, int]]:
        rate = GOOD if number < 10 * DAY else BAD
        return {text.format("v1" if number < 100 else "v2"): turns(dice, rate)}

    shard = told(Shard(policy(reference="frozen", frozen=slow)), OUTCOMES, range(12 * DAY), hour, every=DAY)
    found = shard.drifting[f"{text.format('v2')}|failure_rate"]
    assert "in the frozen window" in found.summary
    assert float(found.facts["reference_samples"]) > 48 * 2_900


def test_labels_that_come_days_late_count_in_the_hours_that_they_are_of() -> None:
    dice = np.random.default_rng(8)
    noisy = f"{POOL},bundle=v1,accent=scottish,noise_class=noisy"
    watched = policy(measures=(WatchedMeasure("word_error_rate", 0.05, 2_000),))
    shard, late = Shard(watched), {}
    for number in range(3 * DAY):
        rate = 0.12 if number < 2 * DAY + 12 else 0.2
        labelled = calls(dice, rate)
        if number >= 2 * DAY + 12:
            late[number] = labelled
        else:
            shard.tell(QUALITY, totals(QUALITY, number, {noisy: labelled}))
    shard.decide(3 * DAY)
    assert not shard.drifting
    for number in reversed(late):
        shard.tell(QUALITY, totals(QUALITY, number, {noisy: late[number]}, version=2))
    shard.tell(QUALITY, totals(QUALITY, 3 * DAY, {noisy: calls(dice, 0.2)}))
    found = shard.decide(3 * DAY + 1)[f"{noisy}|word_error_rate"]
    assert abs(found.since_ms - START_MS - (2 * DAY + 12) * HOUR_MS) <= 2 * HOUR_MS


def test_the_shape_of_a_stage_that_changes_is_found_and_one_that_does_not_is_not() -> None:
    dice = np.random.default_rng(9)
    watched = policy(measures=(WatchedMeasure("llm_first_token_shape", 0.05, 1_000),))
    shard, other = Shard(watched), "pool=batch"
    for number in range(3 * DAY):
        usual = dice.lognormal(5.5, 0.5, (2, 1_200))
        # Half of them go to a faster model and half to a slower one: the mean stays where it was.
        mixed = usual[0] * dice.choice([0.5, 1.5], 1_200) if number >= 2 * DAY + 8 else usual[0]
        shard.tell(STAGE_LATENCIES, latencies(number, {POOL: mixed.tolist(), other: usual[1].tolist()}))
        if number % 6 == 5:
            shard.decide(number + 1)
    assert set(shard.drifting) == {f"{POOL}|llm_first_token_shape"}
    found = shard.drifting[f"{POOL}|llm_first_token_shape"]
    assert "another shape" in found.summary and float(found.facts["value"]) > 0.2
    row = shard.rows.filter(slice=POOL, state="drifted").row(-1, named=True)
    assert 0.02 < row["divergence_bits"] < 1


def test_slices_beyond_the_bound_are_counted() -> None:
    watch = DriftWatch(0, 1, policy(), slices_max=5)
    dice = np.random.default_rng(10)
    watch.tell(OUTCOMES, totals(OUTCOMES, 0, {text: turns(dice, GOOD) for text in ROUTES}), 0)
    assert watch.left_out == len(ROUTES) - 5


def test_a_statement_says_on_how_much_of_the_volume_and_for_how_long_it_holds() -> None:
    shard = told(Shard(policy()), OUTCOMES, range(3), lambda number: {POOL: turns(np.random.default_rng(11), GOOD)})
    assert shard.said[-1].completeness == 1.0 and shard.said[-1].question == "drift"
    assert shard.said[-1].holds_s >= 3_600
