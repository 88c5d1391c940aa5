"""A fence lets each number pass once, in any order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream_jobs.operators.fences import HOLES_MAX, Fence


@given(numbers=st.lists(st.integers(0, 300), max_size=200))
def test_each_number_is_fresh_exactly_once(numbers: list[int]) -> None:
    fence, came = Fence(), set[int]()
    for number in numbers:
        assert fence.admit(number) == ("repeated" if number in came else "fresh")
        came.add(number)
    assert fence.mark == next(number for number in range(302) if number not in came)


def test_numbers_too_far_back_are_given_up_counted_and_refused() -> None:
    fence = Fence()
    assert fence.admit(0) == "fresh"
    assert fence.admit(3) == "fresh"
    assert fence.admit(HOLES_MAX + 10) == "fresh"
    assert fence.given_up == 8  # 1, 2 and 4 to 9
    assert fence.admit(2) == "expired"
    assert fence.admit(HOLES_MAX + 10) == "repeated"
    assert fence.admit(10) == "fresh"


def test_a_number_however_large_is_one_number() -> None:
    fence = Fence()
    assert fence.admit(1) == "fresh"
    assert fence.admit(10**18 - 1) == "fresh"
    assert fence.given_up == 10**18 - 1 - HOLES_MAX - 1
    assert [fence.admit(number) for number in (0, 1, 10**18 - 1)] == ["expired", "expired", "repeated"]
