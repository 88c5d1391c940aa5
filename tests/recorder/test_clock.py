"""Event times: from the wall, even between two readings of it, and repaired when somebody sets it back."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from producers.recorder.clock import BACKWARDS_S_MAX, EventTime
from tests.recorder.hosts import START_S, HeldClock


def now_ms(time: HeldClock, event_time: EventTime) -> tuple[int, int]:
    told, repaired = event_time.event_ms(np.array([time.monotonic_s]))
    return int(told[0]), repaired


def test_an_event_time_is_the_wall_when_it_happened_however_late_it_is_asked_for() -> None:
    time = HeldClock()
    event_time = EventTime(time.clock)
    time.pass_s(0.25)
    happened = np.array([time.monotonic_s])
    time.pass_s(30)
    assert event_time.event_ms(happened)[0].tolist() == [int(START_S * 1_000) + 250]


def test_a_wall_that_is_set_forward_is_followed_from_the_next_reading_on() -> None:
    time = HeldClock()
    event_time = EventTime(time.clock)
    time.wall_s += 3_600
    assert now_ms(time, event_time) == (int(START_S * 1_000), 0)
    event_time.read_again()
    assert now_ms(time, event_time) == (int((START_S + 3_600) * 1_000), 0)


def test_a_wall_that_is_set_back_is_waited_for_and_every_repair_is_counted() -> None:
    time = HeldClock()
    event_time = EventTime(time.clock)
    time.wall_s -= 10
    event_time.read_again()
    time.pass_s(4)
    assert now_ms(time, event_time) == (int(START_S * 1_000), 1), "it stands still"
    event_time.read_again()
    time.pass_s(5.5)
    assert now_ms(time, event_time) == (int(START_S * 1_000), 1)
    time.pass_s(1)
    assert now_ms(time, event_time) == (int((START_S + 0.5) * 1_000), 0), "the wall has caught up"


def test_a_wall_that_was_far_ahead_is_corrected() -> None:
    time = HeldClock()
    event_time = EventTime(time.clock)
    time.wall_s -= BACKWARDS_S_MAX + 1
    event_time.read_again()
    assert now_ms(time, event_time) == (int((START_S - BACKWARDS_S_MAX - 1) * 1_000), 0)


@given(steps=st.lists(st.tuples(st.floats(0, 5), st.floats(-20, 20)), max_size=20))
def test_event_time_never_runs_backwards_while_the_wall_is_set_back_by_little(steps: list[tuple[float, float]]) -> None:
    """But for the millisecond that two readings of clocks may differ by."""
    time = HeldClock()
    event_time = EventTime(time.clock)
    told = []
    for passed_s, set_by_s in steps:
        time.pass_s(passed_s)
        told.append(now_ms(time, event_time)[0])
        if abs(set_by_s) <= 20 and time.wall_s + set_by_s > START_S - BACKWARDS_S_MAX / 2:
            time.wall_s += set_by_s
        event_time.read_again()
    assert all(later >= earlier - 2 for earlier, later in pairwise(told)), told
