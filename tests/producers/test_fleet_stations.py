"""Stations: waits are those of a queue simulated one request at a time, and what an engine shows agrees with them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.fleet.engine import FleetRun
from producers.fleet.engine_load import llm_engine
from producers.fleet.stations import Station
from tests.producers.fleets import START_MS, rows_of_kind, small

STEP_MS = 10_000


def one_by_one(lanes: int, arrived: list[float], service: list[float], free: list[float], first: int) -> list[float]:
    """Lanes in turn, first come first served: the oracle, a request at a time."""
    waits = []
    for number, (at_ms, takes_ms) in enumerate(zip(arrived, service, strict=True)):
        lane = (first + number) % lanes
        begins_ms = max(at_ms, free[lane])
        waits.append(begins_ms - at_ms)
        free[lane] = begins_ms + takes_ms
    return waits


@given(seed=st.integers(0, 2**32), gpus=st.integers(1, 5), slots=st.integers(1, 3), load=st.floats(0.1, 1.6))
@settings(max_examples=25, deadline=None)
def test_waits_are_those_of_a_queue_that_takes_one_request_after_the_other(
    seed: int, gpus: int, slots: int, load: float
) -> None:
    dice, station = np.random.default_rng(seed), Station(gpus, slots)
    station.resized(gpus, 0.0)
    free, first = [0.0] * (gpus * slots), 0
    for step in range(4):
        count = int(dice.poisson(load * gpus * slots * 20))
        arrived = np.sort(dice.uniform(step * 1_000, (step + 1) * 1_000, count))
        service = dice.exponential(50.0, count)
        wanted = one_by_one(gpus * slots, arrived.tolist(), service.tolist(), free, first)
        np.testing.assert_allclose(station.serve(arrived, service), wanted, atol=2e-3)
        first = (first + count) % (gpus * slots)


@given(seed=st.integers(0, 2**32), load=st.floats(0.2, 1.8))
@settings(max_examples=20, deadline=None)
def test_depths_grow_by_what_comes_less_what_is_begun_and_waiting_time_is_conserved(seed: int, load: float) -> None:
    dice, station = np.random.default_rng(seed), Station(3, 1)
    station.resized(3, 0.0)
    waits, samples, depth, running = 0.0, [], 0, 0
    for step in range(12):
        count = int(dice.poisson(load * 3 * 100)) if step < 4 else 0
        arrived = np.sort(dice.uniform(step * STEP_MS, (step + 1) * STEP_MS, count))
        waits += float(station.serve(arrived, dice.exponential(100.0, count)).sum())
        sample = station.sample(step * STEP_MS, (step + 1) * STEP_MS)
        assert sample.depth_from == depth and sample.running_from == running
        depth, running = depth + sample.arrivals - sample.begun, running + sample.begun - sample.served
        assert (sample.depth_to, sample.running) == (depth, running)
        samples.append(sample)
    assert sum(sample.busy_ms for sample in samples) <= 12 * STEP_MS * 3
    if depth == 0:
        assert sum(sample.waiting_ms for sample in samples) == pytest.approx(waits, abs=1.0)
        assert sum(sample.waited_ms for sample in samples) == pytest.approx(waits, abs=1.0)


def test_a_station_takes_new_gpus_empty_and_goes_on_without_those_that_went() -> None:
    station = Station(1, 1)
    station.resized(1, 0.0)
    assert station.serve(np.array([0.0]), np.array([10_000.0])).tolist() == [0.0]
    station.resized(2, 1_000.0)
    assert station.serve(np.array([1_000.0, 1_000.0]), np.array([5.0, 5.0])).tolist() == [9_000.0, 0.0]
    station.resized(1, 2_000.0)
    assert len(station.free_ms) == 1 and station.gpus == 1


def test_turns_wait_as_long_as_their_engines_say_requests_did() -> None:
    """Σ of turns' queue waits against Σ of the stations' waits: the same time, seen from both sides."""
    fleet = small("quiet_month", retry_share=0.0, shadow_share=0.0)
    run = FleetRun.at(fleet, 3, START_MS)
    chunks = [run.next() for _ in range(12)]
    turns, queues = rows_of_kind(chunks, "turns"), rows_of_kind(chunks, "queues")
    said, felt = float(queues["waited_ms_sum"].sum()), float(turns["queue_wait_ms"].sum())
    assert felt > 1_000
    # Turns that begin before the run and end in it, and the other way round, are on one side only: under a step's share.
    assert said == pytest.approx(felt, rel=0.1)


def test_depths_of_engine_samples_follow_each_other_from_window_to_window() -> None:
    run = FleetRun.at(small("quiet_month"), 3, START_MS)
    for _ in range(3):
        rows = rows_of_kind([run.next()], "queues").sort("host", "at_ms")
        last = rows.filter(rows["at_ms"] % STEP_MS != 0)
        assert (last["arrivals"] >= 0).all() and (last["busy_ms"] <= last["available_ms"]).all()
        assert (last["batch_slots_filled"] <= last["batch_slots"]).all()
        assert (last["kv_blocks_used"] <= last["kv_blocks"]).all()
        assert set(rows["queue"].unique()) == {"asr_first_partial", "retrieval", "llm_first_token", "tts_first_audio"}
        assert rows.group_by("host").len()["len"].unique().to_list() == [2]


def test_a_batch_settles_where_its_pace_brings_it() -> None:
    """b = rate × tokens × step(b), the fixed point that the closed form solves; beyond the engine's room it is full."""
    engine = llm_engine(2.0, 48.0)
    running = engine.running(0.004)
    assert running == pytest.approx(0.004 * 48.0 * engine.step_ms(running), rel=1e-9)
    assert engine.running(1.0) == engine.model.slots
    assert engine.kv_blocks_used(1e9, 1_000) == engine.kv_blocks_used(2e9, 1_000)
