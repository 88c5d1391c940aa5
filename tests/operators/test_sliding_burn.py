"""Sliding windows over counted minutes, against minutes that are added up one by one."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_jobs.operators.burn_rate.sliding import sliding_violations

Points = dict[int, tuple[int, int]]


def violations(points: Points, window: int = 5, rate: str = "0.01") -> list[tuple[int, int, int]]:
    minutes = sorted(points)
    bad, total = (np.array([points[minute][which] for minute in minutes], dtype=np.int64) for which in (0, 1))
    found = sliding_violations(np.array(minutes, dtype=np.int64), bad, total, window, Decimal(rate))
    return list(zip(found.ending_minute.tolist(), found.bad.tolist(), found.total.tolist(), strict=True))


def one_by_one(points: Points, window: int, rate: str) -> list[tuple[int, int, int]]:
    found = []
    for ending in range(min(points) + window - 1, max(points) + 1) if points else ():
        inside = [points.get(minute, (0, 0)) for minute in range(ending - window + 1, ending + 1)]
        bad, total = sum(each[0] for each in inside), sum(each[1] for each in inside)
        if total and Fraction(bad, total) > Fraction(rate):
            found.append((ending, bad, total))
    return found


COUNTS = st.integers(0, 40).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


@given(
    st.dictionaries(st.integers(0, 60), COUNTS, max_size=25), st.integers(1, 12), st.sampled_from(["0", "0.01", "0.3"])
)
def test_windows_are_those_of_minutes_added_up_one_by_one(points: Points, window: int, rate: str) -> None:
    assert violations(points, window, rate) == one_by_one(points, window, rate)


@pytest.mark.parametrize(
    ("points", "endings"),
    [
        ({}, []),
        (dict.fromkeys(range(10), (0, 100)), []),
        (dict.fromkeys(range(7), (100, 100)), [4, 5, 6]),
        (dict.fromkeys(range(10), (0, 0)), []),
        ({minute: (50 if minute == 6 else 0, 100) for minute in range(15)}, [6, 7, 8, 9, 10]),
        ({0: (5, 100), 20: (5, 100)}, [4, 20]),
        (dict.fromkeys(range(4), (100, 100)), []),
    ],
    ids=["nothing", "all good", "all bad", "no traffic", "one spike", "a gap", "four minutes"],
)
def test_the_cases_it_must_survive(points: Points, endings: list[int]) -> None:
    assert [ending for ending, _, _ in violations(points)] == endings


def test_exactly_on_the_budget_is_no_violation_and_one_more_is() -> None:
    assert violations(dict.fromkeys(range(5), (1, 100))) == []
    assert violations({minute: (1 + (minute == 4), 100) for minute in range(5)}) == [(4, 6, 500)]


def test_minutes_may_lie_a_year_apart() -> None:
    assert [ending for ending, _, _ in violations({0: (9, 9), 10**9: (9, 9)}, window=3)] == [2, 10**9]
