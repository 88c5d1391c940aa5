"""The peak of intervals, against counting who is open at every instant."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_jobs.operators.capacity.intervals import Peak, peak

Intervals = list[tuple[int, int]]


def peak_of(intervals: Intervals) -> Peak:
    start, end = (np.array([each[which] for each in intervals], dtype=np.int64) for which in (0, 1))
    return peak(start, end)


def counted(intervals: Intervals) -> Peak:
    open_at = {at: sum(start <= at < end for start, end in intervals) for start, _ in intervals for at in [start]}
    most = max(open_at.values(), default=0)
    return Peak(most, min((at for at, streams in open_at.items() if streams == most), default=None) if most else None)


INTERVAL = st.integers(-20, 20).flatmap(lambda start: st.tuples(st.just(start), st.integers(start, 30)))


@given(st.lists(INTERVAL, max_size=30))
def test_the_peak_is_what_counting_finds(intervals: Intervals) -> None:
    assert peak_of(intervals) == counted(intervals)


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([], Peak(0, None)),
        ([(0, 10), (10, 20)], Peak(1, 0)),
        ([(0, 100), (10, 90), (20, 80)], Peak(3, 20)),
        ([(5, 9)] * 4, Peak(4, 5)),
        ([(0, 10**12), (10, 20), (30, 40)], Peak(2, 10)),
        ([(5, 5), (5, 5)], Peak(0, None)),
        ([(0, 9), (5, 5)], Peak(1, 0)),
    ],
    ids=["nothing", "touching", "nested", "identical starts", "one long call", "no length", "no length within"],
)
def test_the_cases_it_must_survive(intervals: Intervals, expected: Peak) -> None:
    assert peak_of(intervals) == expected
