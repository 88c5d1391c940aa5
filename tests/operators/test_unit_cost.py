"""Cost per success: regressions on exact decimals, and routes that are dear for nothing."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_jobs.operators.cost.unit_cost import Period, Route, compare, rank


def period(dollars: str, turns: int, tokens: str = "0", retries: str = "0", shadow: str = "0") -> Period:
    return Period(Decimal(dollars), turns, Decimal(tokens), Decimal(retries), Decimal(shadow))


@pytest.mark.parametrize(
    ("old", "new", "relative", "is_regressed"),
    [
        (("10", 100), ("11", 100), "0.1", False),
        (("10", 100), ("11.000000000000000001", 100), None, True),
        (("1.0", 1), ("1.1", 1), "0.1", False),
        (("0", 10), ("0", 10), "0", False),
        (("0", 10), ("0.01", 10), None, True),
        (("5", 0), ("5", 1), "0", False),
        (("10", 100), ("5", 100), "-0.5", False),
    ],
)
def test_regressed_is_strictly_above_the_tolerance(
    old: tuple[str, int], new: tuple[str, int], relative: str | None, is_regressed: bool
) -> None:
    found = compare(period(*old), period(*new), Decimal("0.10"))
    assert found.is_regressed is is_regressed
    if relative is not None:
        assert found.relative == Decimal(relative)


def test_what_costs_and_did_not_before_has_no_relative_change() -> None:
    assert compare(period("0", 5), period("1", 5), Decimal("0.1")).relative is None


def test_drivers_are_what_rose() -> None:
    found = compare(period("1", 1, "500", "0.02", "0.1"), period("1", 1, "500.01", "0.02", "0.2"), Decimal("0.1"))
    assert found.drivers == ("avg_context_tokens", "shadow_traffic_fraction")


def route(name: str, turns: int, rate: str, dollars: str) -> Route:
    return Route(name, turns, Fraction(rate), Decimal(dollars))


def test_routes_are_ranked_from_the_dearest_and_no_value_comes_last() -> None:
    ranked = rank([
        route("nothing", 0, "0.5", "0"), route("cheap", 100, "0.9", "9"), route("failing", 10, "0", "1"),
        route("dear", 100, "0.5", "50"), route("dear and good", 100, "0.95", "95"),
    ])  # fmt: skip
    assert [each.route.name for each in ranked] == ["failing", "dear", "dear and good", "cheap", "nothing"]
    assert [each.route.name for each in ranked if each.is_flagged] == ["failing", "dear"]
    assert [each.route.is_infinite for each in ranked] == [True, False, False, False, False]


RATES = st.decimals(0, 1, places=1)
ROUTES = st.lists(st.tuples(st.integers(0, 4), RATES, st.integers(0, 5)), max_size=8)


@given(ROUTES)
def test_a_route_is_flagged_when_another_is_cheaper_and_as_good(figures: list[tuple[int, Decimal, int]]) -> None:
    routes = [
        Route(str(place), turns, Fraction(rate), Decimal(cost)) for place, (turns, rate, cost) in enumerate(figures)
    ]

    def cost_of(each: Route) -> float | None:
        return (
            float("inf")
            if each.is_infinite
            else None
            if each.cost_per_success is None
            else float(each.cost_per_success)
        )

    def is_flagged(each: Route) -> bool:
        cost = cost_of(each)
        cheaper = [other for other in routes if cost is not None and (of := cost_of(other)) is not None and of < cost]
        return any(other.task_success_rate >= each.task_success_rate for other in cheaper)

    ranked = rank(routes)
    assert {each.route.name for each in ranked if each.is_flagged} == {each.name for each in routes if is_flagged(each)}
    assert sorted(each.route.name for each in ranked) == sorted(each.name for each in routes)
