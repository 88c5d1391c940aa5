"""The truth that a scenario tells is what its observations show: each event against a fleet with and without it."""

from __future__ import annotations

from math import sqrt

import numpy as np
import polars as pl
import pytest

from producers.fleet.bills import dollars
from producers.fleet.engine import simulate_fleet
from producers.fleet.fleet_file import Fleet
from producers.fleet.labels import over_dispersed
from producers.fleet.pool_servers import STATION_NAMES
from producers.fleet.scenario_file import ScenarioFile, load_scenario
from producers.fleet.truth import FleetTruth, truth_of
from producers.simulator import Chunk
from tests.producers.fleets import START_MS, at_once, inside, rows_of_kind, small, total, without_events

MINUTE_MS = 60_000


def observed(scenario: ScenarioFile, minutes: int = 2, seed: int = 5) -> list[Chunk]:
    return list(simulate_fleet(scenario, seed, START_MS, minutes * MINUTE_MS))


def told(scenario: ScenarioFile, minutes: int = 2) -> FleetTruth:
    return truth_of(scenario, 5, START_MS, minutes * MINUTE_MS)


def within_five(share: float, expected: float, count: int) -> bool:
    """Whether a share of so many lies within five standard errors of what is expected."""
    return abs(share - expected) <= 5 * sqrt(max(expected * (1 - expected), 1e-6) / count)


def test_late_first_partials_are_those_of_mobile_cellular_callers_and_as_many_as_the_truth_says() -> None:
    scenario = at_once(small("slow_first_partial_mobile", calls=2_000))
    (event,) = told(scenario).events
    rows = rows_of_kind(observed(scenario, 1), "turns").filter(pool="realtime")
    slow = inside(rows, scenario.events[0])
    others = rows.join(slow, on=["session", "ended_at_ms"], how="anti")
    bad = event.indicators["first_partial_500ms"]
    assert bad["after"] > 0.2 > 100 * bad["before"]
    assert within_five(float((slow["asr_first_partial_ms"] >= 500).mean()), bad["after"], len(slow))  # type: ignore[arg-type]
    assert within_five(float((others["asr_first_partial_ms"] >= 500).mean()), bad["before"], len(others))  # type: ignore[arg-type]
    assert slow["asr_first_partial_ms"].mean() == pytest.approx(event.after, rel=0.02)
    assert len(slow) / 60 == pytest.approx(event.turns_per_s, rel=0.35), "bursts move it, and nothing else does"


def test_the_canarys_tail_is_as_long_as_told_and_its_mean_stays() -> None:
    scenario = at_once(small("canary_long_tail", calls=2_000))
    (event,) = told(scenario).events
    rows = rows_of_kind(observed(scenario, 1), "turns").filter(pool="realtime")
    canary, stable = inside(rows, scenario.events[0]), rows.filter(bundle="voice-2.4.0")
    assert len(canary) / len(rows) == pytest.approx(0.25, abs=0.03)
    bad = event.indicators["turn_4000ms"]["after"]
    assert bad > 0.04
    assert within_five(float((canary["turn_ms"] >= 4_000).mean()), bad, len(canary))  # type: ignore[arg-type]
    assert canary["turn_ms"].quantile(0.99) == pytest.approx(event.after, rel=0.06)
    spread = float(canary["turn_ms"].std()) / sqrt(len(canary))  # type: ignore[arg-type]
    # Its GPUs are fewer, so they decode a little faster or slower than those of the other bundle.
    assert canary["turn_ms"].mean() == pytest.approx(stable["turn_ms"].mean(), abs=5 * spread + 20)


def test_a_regional_regression_is_in_its_region_and_nowhere_else() -> None:
    scenario = at_once(small("regional_regression", calls=1_500, regions=("ap-south-1", "eu-west-1")))
    (event,) = told(scenario).events
    rows = rows_of_kind(observed(scenario, 1), "turns").filter(pool="realtime")
    slow, others = inside(rows, scenario.events[0]), rows.filter(region="eu-west-1")
    bad = event.indicators["first_audio_1800ms"]["after"]
    assert within_five(float((slow["first_audio_ms"] >= 1_800).mean()), bad, len(slow))  # type: ignore[arg-type]
    assert bad > 0.1 > 10 * float((others["first_audio_ms"] >= 1_800).mean())  # type: ignore[arg-type]


def test_one_tenants_lookups_are_stale() -> None:
    scenario = at_once(small("stale_index_one_tenant", calls=2_000))
    (event,) = told(scenario).events
    rows = rows_of_kind(observed(scenario), "turns").filter(pl.col("is_retrieval_stale").is_not_null(), pool="realtime")
    stale = inside(rows, scenario.events[0])
    others = rows.filter(~pl.col("tenant").is_in(scenario.events[0].where["tenant"]))
    assert (event.before, event.after, event.measure) == (0.003, 0.35, "retrieval_stale")
    assert within_five(float(stale["is_retrieval_stale"].mean()), 0.35, len(stale))  # type: ignore[arg-type]
    assert within_five(float(others["is_retrieval_stale"].mean()), 0.003, len(others))  # type: ignore[arg-type]


def test_accented_callers_in_noise_are_understood_worse_and_the_aggregate_hardly_moves() -> None:
    """Every call labelled; the standard error is that of the calls' own rates."""
    scenario = small("noisy_accent_drift", calls=3_000, label_share=1.0)
    drifted, before = observed(at_once(scenario), minutes=4), observed(without_events(scenario), minutes=4)
    event = told(at_once(scenario)).events[0]
    worse, usual = (inside(rows_of_kind(chunks, "quality"), scenario.events[0]) for chunks in (drifted, before))
    for rows, expected in ((worse, event.after), (usual, event.before)):
        rate = total(rows, "word_errors") / total(rows, "words")
        apart = (rows["word_errors"] - rate * rows["words"]).to_numpy()
        assert rate == pytest.approx(expected, abs=5 * sqrt(float((apart**2).sum())) / total(rows, "words"))
    assert event.after > 1.5 * event.before
    whole = [
        rows_of_kind(chunks, "quality").select(pl.col("word_errors", "words").sum()) for chunks in (drifted, before)
    ]
    flat = [rows["word_errors"].item() / rows["words"].item() for rows in whole]
    assert abs(flat[0] - flat[1]) < 0.03 < 0.2 < event.after - event.before


def test_word_errors_spread_over_calls_as_beta_binomials_do() -> None:
    dice, words, share = np.random.default_rng(2), 80, 0.25
    errors = over_dispersed(dice, np.full(40_000, words), np.full(40_000, share))
    from producers.fleet.calibration import load_calibration

    rho = load_calibration().word_errors.dispersion
    assert errors.mean() == pytest.approx(words * share, rel=0.02)
    assert errors.var() == pytest.approx(words * share * (1 - share) * (1 + (words - 1) * rho), rel=0.05)


def used_dollars(fleet: Fleet, rows: pl.DataFrame) -> float:
    """What the GPU time that cost rows tell of as used costs."""
    by_model = rows.group_by("model_version").agg(pl.col("gpu_used_ms").sum())
    used = dict(zip(by_model["model_version"], by_model["gpu_used_ms"], strict=True))
    return dollars(fleet, {name: float(used.get(fleet.models[name].model_version, 0)) for name in STATION_NAMES})


@pytest.mark.parametrize(("name", "change"), [("cost_spike_45", 0.45), ("cost_spike_70", 0.70)])
def test_the_bill_changes_by_what_the_scenario_says_and_by_its_driver(name: str, change: float) -> None:
    scenario = load_scenario(name)
    cost = told(at_once(scenario)).cost
    assert cost is not None and scenario.cost is not None
    assert cost.change == pytest.approx(change, abs=0.005)
    assert scenario.cost.change == change
    cheap = small(name, calls=1_500)
    parts = [rows_of_kind(observed(each, minutes=1), "costs") for each in (without_events(cheap), at_once(cheap))]
    used = [used_dollars(cheap.fleet, rows) for rows in parts]
    requests, successes = ([int(rows[column].sum()) for rows in parts] for column in ("turns", "successes"))
    units = successes if scenario.cost.measure == "cost_per_success" else requests
    per_unit = (used[1] / units[1]) / (used[0] / units[0]) - 1
    small_cost = told(at_once(cheap)).cost
    assert small_cost is not None
    assert per_unit == pytest.approx((1 + small_cost.change) / (1 + small_cost.requests_change) - 1, abs=0.03)
    drivers = {"tokens_carried": "tokens_carried", "attempts_shadow": "attempts_shadow"}
    grown = {
        column: (total(parts[1], column) / requests[1]) / max(total(parts[0], column) / requests[0], 0.01)
        for column in drivers
    }
    assert max(grown, key=lambda column: grown[column]) == scenario.cost.driver


def test_a_dead_region_says_nothing_more_and_the_others_go_on() -> None:
    scenario = small("dead_region", regions=("eu-west-1", "us-east-1"))
    dying = scenario.events[0].model_copy(update={"from_min": 1.0})
    chunks = observed(scenario.model_copy(update={"events": (dying,)}))
    truth = told(scenario.model_copy(update={"events": (dying,)})).events[0]
    assert truth.from_ms == START_MS + MINUTE_MS and truth.after == 0
    for chunk in chunks:
        is_dead = chunk.start_ms >= truth.from_ms
        assert chunk.silent == (frozenset({"eu-west-1-collector-0"}) if is_dead else frozenset())
        for kind in ("turns", "streams", "queues", "costs"):
            heard = rows_of_kind([chunk], kind)["region"].unique().to_list()
            assert sorted(heard) == (["us-east-1"] if is_dead else ["eu-west-1", "us-east-1"]), kind


def test_an_abuse_burst_is_one_tenants_and_as_large_as_told() -> None:
    scenario = _with_effect(at_once(small("abuse_burst")), calls=40.0)
    (event,) = told(scenario, 3).events
    chunks = observed(scenario, minutes=3)
    synthetic = rows_of_kind(chunks[-6:], "turns").filter("is_synthetic_voice")
    assert synthetic["tenant"].unique().to_list() == scenario.events[0].where["tenant"]
    assert event.after == 20.0
    assert len(synthetic) / 60 == pytest.approx(event.after, rel=0.5), "bursts move it"
    assert rows_of_kind(observed(without_events(scenario), 1), "turns")["is_synthetic_voice"].sum() == 0


def test_batch_work_on_realtime_gpus_makes_their_queue_grow_and_turns_wait() -> None:
    scenario = _with_effect(small("batch_on_realtime", calls=1_700), turns_per_s=220.0)
    begins = scenario.events[0].model_copy(update={"from_min": 1.0, "to_min": None})
    chunks = observed(scenario.model_copy(update={"events": (begins,)}), minutes=3)
    samples = rows_of_kind(chunks, "queues").filter(pool="realtime", queue="llm_first_token").sort("at_ms")
    ends = samples.filter(samples["at_ms"] % 10_000 != 0)
    assert ends["depth"][5] < 25 < 50 < ends["depth"][11] < ends["depth"][17], "minute by minute"
    late, early = (
        rows_of_kind(part, "turns").filter(route="assistant")["queue_wait_ms"] for part in (chunks[-3:], chunks[:6])
    )
    assert late.quantile(0.95) > 1_200 > early.quantile(0.95)  # type: ignore[operator]  # polars types it as optional
    assert ends["batch_arrivals"][5] == 0 < ends["batch_arrivals"][-1]


def _with_effect(scenario: ScenarioFile, **changes: float) -> ScenarioFile:
    """The scenario with its first event's effect as large as a small fleet bears."""
    event = scenario.events[0]
    does = event.does.model_copy(update=changes)
    return scenario.model_copy(update={"events": (event.model_copy(update={"does": does}),)})


def test_deployments_are_told_when_hosts_begin_to_serve() -> None:
    scenario = small("canary_long_tail", calls=100)
    rows = rows_of_kind(observed(scenario, 1), "releases")
    later = scenario.deployments[0].model_copy(update={"from_min": 1.0})
    again = rows_of_kind(observed(scenario.model_copy(update={"deployments": (later,)})), "releases")
    begun = again.filter(bundle="voice-2.5.0")
    assert set(rows["bundle"]) == {"voice-2.4.0", "voice-2.5.0", "batch-1.8.0"} and rows["is_start"].all()
    assert begun["at_ms"].unique().to_list() == [START_MS + MINUTE_MS]
