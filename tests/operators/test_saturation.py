"""Saturation: growth and latency together, never one alone, and never a gap in the data."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_jobs.operators.saturation.saturation import growth, saturated


def minutes_saturated(rows: list[tuple[int, int, int]], per_minute: str = "25", p95_ms: int = 1_200) -> list[int]:
    minute, depth, p95 = (np.array([row[which] for row in rows], dtype=np.int64) for which in range(3))
    return [int(minute[place]) for place in saturated(growth(minute, depth), p95 >= p95_ms, Decimal(per_minute))]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], []),
        ([(0, 500, 9_000)], []),
        ([(0, 10, 2_000), (1, 10, 2_000)], []),
        ([(0, 10, 900), (1, 90, 900), (2, 190, 1_199)], []),
        ([(0, 10, 1_300), (1, 30, 1_300)], []),
        ([(0, 10, 100), (1, 35, 1_200)], [1]),
        ([(0, 10, 100), (5, 134, 5_000)], []),
        ([(0, 10, 100), (5, 135, 5_000)], [5]),
    ],
    ids=["nothing", "first minute", "flat", "rising and fast", "slow and steady", "both", "gap below", "gap at"],
)
def test_the_cases_it_must_survive(rows: list[tuple[int, int, int]], expected: list[int]) -> None:
    assert minutes_saturated(rows) == expected


ROWS = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 300), st.integers(1_100, 1_300)), max_size=20)


@given(ROWS, st.decimals(0, 60, places=2))
def test_it_is_what_each_row_and_the_one_before_say(steps: list[tuple[int, int, int]], per_minute: Decimal) -> None:
    rows, minute = [], 0
    for step, depth, p95 in steps:
        minute += step
        rows.append((minute, depth, p95))
    expected = [
        row[0]
        for before, row in pairwise(rows)
        if Fraction(row[1] - before[1], row[0] - before[0]) >= Fraction(per_minute) and row[2] >= 1_200
    ]
    assert minutes_saturated(rows, str(per_minute)) == expected


def test_growth_after_missing_minutes_is_marked() -> None:
    grown = growth(np.array([0, 1, 4]), np.array([10, 20, 50]))
    assert grown.per_minute.tolist() == [0, 10, 10]
    assert grown.is_interpolated.tolist() == [False, False, True]
