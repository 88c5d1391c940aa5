"""Counters begin at 0, count what was decided, take late turns in for an hour, and never fall."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.families import AUDIENCE, TURNS
from schemas.partials import Partial
from schemas.slos import LowTraffic, WatchedSlo
from stream_jobs.operators.burn_rate.burn_rate import NUMBER_IDLE_MS, BurnRate
from tests.operators.burn_worlds import FLEET, OUTAGE, SLO, START_MS, partial

DAY_MS = 86_400_000
AUDIENCE_SLICE = "pool=realtime,language=de"


def operator(period_s: int = SLO.period_s) -> BurnRate:
    slo = replace(SLO, cuts=("pool", "pool,bundle", "pool,language"), period_s=period_s)
    return BurnRate(0, 1, [WatchedSlo(slo, (OUTAGE,), LowTraffic())])


def counted(burn_rate: BurnRate) -> dict[str, tuple[int, int]]:
    return {text: (bad, total) for slo, text, bad, total in burn_rate.counted() if slo == SLO.name}


def hear(burn_rate: BurnRate, heard: Partial) -> dict[str, tuple[int, int]]:
    """Takes a partial in and decides; what has been counted then."""
    burn_rate.apply(heard)
    list(burn_rate.rollups())
    while list(burn_rate.decide(now_ms=0)):
        pass
    return counted(burn_rate)


def bucket(place: int, bad: int, total: int, version: int | None = None, text: str = FLEET) -> Partial:
    """One bucket of 10 s; one that is told again is of the newest reach."""
    reach_ms = START_MS + (place if version is None else version) * 10_000 + 10_000
    return partial(START_MS + place * 10_000, bad, total, 1 + (place if version is None else version), text, reach_ms)


def test_what_is_decided_counts_from_the_first_decision_on() -> None:
    burn_rate = operator()
    burn_rate.apply(bucket(0, 0, 1, version=0))
    for minute in range(1, 75):
        hear(burn_rate, bucket(6 * minute, 1, 5))
        assert counted(burn_rate)[FLEET] == (minute - 1, 5 * (minute - 1)), "older than an hour or not"


def test_a_late_turn_counts_and_never_does_a_counter_fall() -> None:
    burn_rate = operator()
    for place in range(20):
        hear(burn_rate, bucket(place, 1, 5))
    assert hear(burn_rate, bucket(20, 1, 5))[FLEET] == (20, 100)
    burn_rate.apply(bucket(10, 3, 9, version=20))
    assert hear(burn_rate, bucket(21, 1, 5))[FLEET] == (23, 109)
    burn_rate.apply(bucket(10, 0, 1, version=21))
    assert hear(burn_rate, bucket(22, 1, 5))[FLEET] == (23, 109), "what is told smaller takes nothing back"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=40))
def test_counters_never_fall_whatever_is_told_again(told: list[tuple[int, int, int]]) -> None:
    burn_rate, before = operator(), (0, 0)
    hear(burn_rate, bucket(0, 1, 2))
    for step, (back, bad, good) in enumerate(told):
        burn_rate.apply(bucket(max(step - back, 0), bad, bad + good, version=step))
        now = hear(burn_rate, bucket(step + 1, bad, bad + good))[FLEET]
        assert now[0] >= before[0] and now[1] >= before[1] and now[0] <= now[1]
        before = now


def test_what_was_shown_does_not_change_under_the_reader() -> None:
    burn_rate = operator()
    hear(burn_rate, bucket(0, 1, 5))
    hear(burn_rate, bucket(1, 1, 5))
    shown = burn_rate.counted()
    read = list(shown)
    for place in range(2, 9):
        hear(burn_rate, bucket(place, 1, 5, text=f"pool=realtime,bundle=v{place}"))
        hear(burn_rate, bucket(place, 1, 5))
    assert list(shown) == read and len(list(burn_rate.counted())) == 8


def test_a_process_that_takes_over_begins_at_0() -> None:
    before, after = operator(), operator()
    for place in range(30):
        hear(before, bucket(place, 1, 5))
    blocks = [*before.unsaved_blocks(0), *before.marker(0)]
    after.restore({block.key: block.value for block in blocks if block.value is not None})
    assert [hear(after, bucket(place, 1, 5))[FLEET] for place in (30, 31)] == [(0, 0), (1, 5)]


def test_a_slice_under_the_number_of_another_begins_at_0() -> None:
    burn_rate = operator(period_s=86_400)
    for place in range(3):
        hear(burn_rate, bucket(place, 1, 5, text="pool=realtime,bundle=old"))
    later = (2 * DAY_MS + NUMBER_IDLE_MS) // 10_000
    for place in (later, later + 1):
        hear(burn_rate, bucket(place, 2, 7, text="pool=realtime,bundle=new"))
    assert burn_rate.slices == len(burn_rate._slices) == 1, "the number is the same"
    assert counted(burn_rate) == {"pool=realtime,bundle=new": (4, 14)}


def test_slices_of_whole_minutes_count_when_theirs_have_come() -> None:
    burn_rate = operator()
    for place in range(6):
        hear(burn_rate, bucket(place, 1, 5))
    minute = partial(START_MS, 4, 30, 7, AUDIENCE_SLICE, START_MS + 60_000)
    burn_rate.apply(Partial(TURNS, AUDIENCE, 0, 7, minute.reach, minute.rows))
    seen = [hear(burn_rate, bucket(place, 1, 5)).get(AUDIENCE_SLICE) for place in range(6, 14)]
    assert seen[0] == (4, 30) and np.all(np.diff([total for _, total in filter(None, seen)]) >= 0)
