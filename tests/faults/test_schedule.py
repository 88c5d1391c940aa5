"""The schedule keeps what the bench promises, whatever the seed."""

from __future__ import annotations

from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from turnwatch.bench.faults.schedule import (
    ALERTMANAGER,
    CLICKHOUSE,
    DYNAMIC_WORKER,
    FREEZE_S,
    KAFKA,
    LAST_FAULT_SHARE,
    STATIC_WORKERS,
    STORM_WINDOWS,
    plan,
)

seeds = st.integers(min_value=0, max_value=2**40)


@given(seed=seeds)
def test_a_hundred_faults_are_a_hundred_with_every_kind_on_processes(seed: int) -> None:
    schedule = plan(100, seed)
    assert schedule.faults == 100
    assert len(schedule.processes) >= 20
    kinds = Counter((fault.kind, fault.target in (*STATIC_WORKERS, DYNAMIC_WORKER)) for fault in schedule.processes)
    assert kinds["frozen", True] == 2
    assert kinds["restarted", False] == 2
    assert all(fault.lasts_s == FREEZE_S for fault in schedule.processes if fault.kind == "frozen")
    assert {fault.target for fault in schedule.processes} == {
        *STATIC_WORKERS, DYNAMIC_WORKER, KAFKA, CLICKHOUSE, ALERTMANAGER,
    }  # fmt: skip
    assert {fault.is_hard for fault in schedule.processes if fault.target == KAFKA} == {False, True}
    assert Counter(fault.kind for fault in schedule.frames) == {"duplicated": 38, "corrupted": 38}


@given(seed=seeds, faults=st.integers(min_value=10, max_value=400), is_soak=st.booleans())
def test_no_process_suffers_two_faults_at_once_and_none_after_the_storm(seed: int, faults: int, is_soak: bool) -> None:
    schedule = plan(faults, seed, is_soak)
    assert schedule.faults == faults
    free_from_s: defaultdict[str, float] = defaultdict(float)
    for fault in schedule.processes:
        assert fault.at_s >= free_from_s[fault.target]
        free_from_s[fault.target] = fault.at_s + fault.lasts_s
    assert max(free_from_s.values()) <= schedule.storm_s * LAST_FAULT_SHARE
    assert all(0 < fault.window < STORM_WINDOWS for fault in schedule.frames)


@given(seed=seeds)
def test_alertmanager_is_never_killed_for_it_would_repeat_itself(seed: int) -> None:
    assert not any(fault.is_hard for fault in plan(100, seed).processes if fault.target == ALERTMANAGER)


def test_the_same_seed_draws_the_same_schedule() -> None:
    assert plan(100, seed=7) == plan(100, seed=7) != plan(100, seed=8)
