"""Drift as a shard finds it: the slice that got worse, once, since when, against what, and never more than is known."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from schemas.drift_policies import DriftPolicy, WatchedMeasure
from schemas.families import OUTCOMES, QUALITY, STAGE_LATENCIES, TENANTS
from schemas.slices import owner_text, shard_of
from stream_jobs.operators.drift.family import HOURS_AT_ONCE
from stream_jobs.operators.drift.watch import DriftWatch
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
from turnwatch.bench.question_clock import Now

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
    assert START_MS + (3 * DAY + 4) * HOUR_MS <= max(ends) <= START_MS + (3 * DAY + 18) * HOUR_MS


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


def test_a_tenant_a_region_and_a_client_are_found_by_the_shipped_policy_though_nobody_named_them() -> None:
    """One tenant's index goes stale; turns of one region, and of one version of the client, fail more often."""
    dice, begins, ends = np.random.default_rng(13), 2 * DAY + 12, 3 * DAY
    tenants = [f"{POOL},tenant=t-{place:016x}" for place in range(8)]
    regions = [f"{POOL},region={name}" for name in ("eu-west-1", "us-east-1", "us-west-2", "sa-east-1")]
    clients = [f"{POOL},client_version=4.{place}.0" for place in range(4)]
    worse = {tenants[3], regions[1], clients[2]}
    shard = Shard()
    for hour in range(ends):
        is_bad = [text in worse and hour >= begins for text in (*tenants, *regions, *clients)]
        shares = dict(zip((*tenants, *regions, *clients), is_bad, strict=True))
        lookups = {
            text: {"tenant_lookups": 2_000, "tenant_lookups_stale": int(dice.binomial(2_000, 0.3 * shares[text]))}
            for text in tenants
        }
        failed = {text: turns(dice, 0.1 if shares[text] else 0.06) for text in (*regions, *clients)}
        shard.tell(TENANTS, totals(TENANTS, hour, lookups))
        shard.tell(OUTCOMES, totals(OUTCOMES, hour, failed))
        if hour >= 2 * DAY or hour % DAY == DAY - 1:
            shard.decide(hour + 1)
    measures = ("tenant_stale_lookup_rate", "failure_rate", "failure_rate")
    expected = zip((tenants[3], regions[1], clients[2]), measures, strict=True)
    assert set(shard.drifting) == {f"{text}|{measure}" for text, measure in expected}
    began_h = {(each.since_ms - START_MS) // HOUR_MS for each in shard.drifting.values()}
    assert min(began_h) >= begins - 2 and max(began_h) <= begins + 2


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


def test_hours_that_are_gone_through_again_are_told_some_at_a_time_with_the_loop_free_in_between() -> None:
    """Also those of which nothing else is said: they take as long."""
    dice, slices = np.random.default_rng(9), [f"{POOL},accent=us", f"{POOL},accent=scottish"]
    watch = DriftWatch(0, 1, policy(measures=(WatchedMeasure("word_error_rate", 0.05, 500),)))
    for hour in range(DAY):
        watch.tell(QUALITY, totals(QUALITY, hour, {each: calls(dice, 0.12) for each in slices}), 0)
    list(watch.statements(Now(START_MS + DAY * HOUR_MS)))
    assert sum(rows.num_rows for _, rows in watch.rows()) == DAY * len(slices)
    watch.tell(QUALITY, totals(QUALITY, 1, {slices[0]: calls(dice, 0.12)}, version=2), 0)
    watch.tell(QUALITY, totals(QUALITY, DAY, {slices[1]: calls(dice, 0.12)}), 0)
    list(watch.statements(Now(START_MS + (DAY + 1) * HOUR_MS)))
    told_at_once = [rows.num_rows for _, rows in watch.rows()]
    assert len(told_at_once) == -(-(DAY + 1) // HOURS_AT_ONCE)
    assert sum(told_at_once) == 2 and told_at_once[0] == told_at_once[-1] == 1
    assert list(watch.rows()) == []


def test_one_change_is_one_report_though_labels_come_late() -> None:
    """Late labels date one change of hours after them earlier, and undo another: rows of those hours say so, though nothing came
    for them, as they would have, had all labels come at once.
    """
    dice, began, ends = np.random.default_rng(12), 2 * DAY + 12, 3 * DAY + 10
    worse, well = (f"{POOL},bundle=v1,accent={name}" for name in ("scottish", "us"))
    world = [{worse: calls(dice, 0.25 if hour >= began else 0.12), well: calls(dice, 0.12)} for hour in range(ends + 1)]
    late = range(began - 2, began + 8)
    early = {hour: {worse: calls(dice, 0.1, 20), well: calls(dice, 0.3, 20)} for hour in late}
    at_once, shard = (Shard(policy(measures=(WatchedMeasure("word_error_rate", 0.05, 500),))) for _ in range(2))
    for hour in range(ends):
        at_once.tell(QUALITY, totals(QUALITY, hour, world[hour]))
        shard.tell(QUALITY, totals(QUALITY, hour, early.get(hour, world[hour])))
    shard.decide(ends)
    assert set(shard.rows.filter(state="drifted")["slice"]) == {worse, well}
    for hour in late:
        shard.tell(QUALITY, totals(QUALITY, hour, world[hour], version=2))
    for each in (at_once, shard):
        each.tell(QUALITY, totals(QUALITY, ends, world[ends]))
        assert set(each.decide(ends + 1)) == {f"{worse}|word_error_rate"}
    said = ["slice", "bucket_start", "state", "since"]
    assert shard.rows.select(said).equals(at_once.rows.select(said))
    assert at_once.rows.filter(state="drifted")["since"].n_unique() == 1


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
