"""Mix and rate: exact for any fleet, and each where it belongs in the fleets that aggregates hide."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.arrays import Floats
from stream_jobs.operators.drift.mix_or_rate import explains, split

COUNTS = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=8)


def columns(counts: list[tuple[int, int]]) -> tuple[Floats, Floats]:
    """Bad and total."""
    bad, good = np.array(counts, dtype=np.float64).T
    return bad, bad + good


@given(old=COUNTS, data=st.data())
def test_rate_and_mix_sum_to_the_change_whatever_came_and_went(old: list[tuple[int, int]], data: st.DataObject) -> None:
    new = data.draw(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=len(old), max_size=len(old)))
    if sum(map(sum, old)) == 0 or sum(map(sum, new)) == 0:
        return
    found = split(*columns(old), *columns(new))
    exact = Fraction(sum(bad for bad, _ in new), sum(map(sum, new))) - Fraction(
        sum(bad for bad, _ in old), sum(map(sum, old))
    )
    assert found.rate.sum() + found.mix.sum() == pytest.approx(float(exact), abs=1e-12)
    assert found.change == pytest.approx(float(exact), abs=1e-12)


def test_flat_overall_and_one_slice_worse() -> None:
    """Noisy accented calls went from 10 % to 20 %, while quiet ones got better by as many."""
    found = split(*columns([(100, 900), (900, 8_100)]), *columns([(200, 800), (800, 8_200)]))
    assert found.change == pytest.approx(0)
    assert found.rate == pytest.approx([0.01, -0.01])
    assert found.mix == pytest.approx([0, 0])
    assert explains(found.rate).tolist() == [0]


def test_worse_overall_and_no_slice_worse() -> None:
    """Traffic moved to the slice that always was the worse one."""
    found = split(*columns([(20, 80), (45, 855)]), *columns([(180, 720), (5, 95)]))
    assert found.change > 0.1
    assert found.rate == pytest.approx([0, 0])
    assert found.mix.sum() == pytest.approx(found.change)
    assert (found.mix > 0).all()


def test_a_slice_that_came_is_all_mix() -> None:
    found = split(*columns([(10, 990), (0, 0)]), *columns([(10, 990), (50, 50)]))
    assert found.rate == pytest.approx([0, 0])


def test_a_period_without_traffic_is_refused() -> None:
    with pytest.raises(ValueError, match="without any traffic"):
        split(*columns([(0, 0)]), *columns([(1, 1)]))


@given(values=st.lists(st.integers(-9, 9), max_size=9))
def test_no_smaller_set_explains_as_much(values: list[int]) -> None:
    contributions = np.array(values, dtype=np.float64)
    chosen = explains(contributions)
    wanted = 0.8 * sum(value for value in values if value > 0)
    assert sum(values[place] for place in chosen) >= wanted - 1e-9
    if len(chosen):
        smaller = combinations([value for value in values if value > 0], len(chosen) - 1)
        assert all(sum(each) < wanted for each in smaller)
