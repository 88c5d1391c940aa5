"""A month is spent and forecast as an oracle of single hours has it, from the first day of history on."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from schemas.instants import DAY_MS, HOUR_MS
from schemas.spend_policies import Budget
from stream_jobs.operators.cost.budget_outlook import Outlook, month_of, outlook
from stream_jobs.operators.cost.pricing import NANO
from tests.operators.spend_worlds import MONDAY_MS

ALL = Budget(Decimal(1_000))
FEBRUARY_MS, MARCH_MS = MONDAY_MS - DAY_MS, MONDAY_MS + 27 * DAY_MS


def costs(from_ms: int, until_ms: int) -> pl.DataFrame:
    """Hours of two routes: a dollar an hour by night and two by day, twice that of the second route."""
    starts = np.arange(from_ms, until_ms, HOUR_MS)
    usd = np.where(starts // HOUR_MS % 24 >= 12, 2, 1)
    routes = [
        pl.DataFrame({"hour_ms": starts, "pool": "realtime", "route": name, "nusd": usd * factor * NANO})
        for name, factor in (("sales", 1), ("support", 2))
    ]
    return pl.concat(routes).with_columns(told_nusd=pl.col("nusd"))


def seen(budget: Budget, known_ms: int, end_ms: int) -> Outlook:
    """What is said at `end_ms` of costs that are known from `known_ms` on."""
    return outlook(budget, costs(known_ms, end_ms), end_ms)


@pytest.mark.parametrize("at_ms", [FEBRUARY_MS, FEBRUARY_MS + 11 * HOUR_MS, MARCH_MS - 1])
def test_a_month_is_that_of_the_calendar(at_ms: int) -> None:
    assert month_of(at_ms) == (FEBRUARY_MS, MARCH_MS)


def test_within_the_first_day_nothing_is_forecast() -> None:
    found = seen(ALL, MONDAY_MS, MONDAY_MS + 23 * HOUR_MS)
    assert (found.rule, found.forecast_usd, found.spent_usd) == ("none", 0.0, 3 * (12 + 11 * 2))
    assert (found.hours_known, found.hours_left) == (23, 27 * 24 - 23)


def test_with_few_days_the_rest_costs_what_whole_days_did() -> None:
    found = seen(ALL, MONDAY_MS, MONDAY_MS + 30 * HOUR_MS)
    assert found.rule == "recent_days"
    assert found.forecast_usd == pytest.approx(3 * 1.5 * found.hours_left)


@pytest.mark.parametrize(("budget", "share"), [(ALL, 3), (Budget(Decimal(1_000), "realtime", "support"), 2)])
def test_from_two_weeks_on_every_hour_is_forecast_and_the_hour_that_passes_the_budget_is_right(
    budget: Budget, share: int
) -> None:
    end_ms = MONDAY_MS + 15 * DAY_MS + 7 * HOUR_MS
    found = seen(budget, MONDAY_MS - 30 * DAY_MS, end_ms)
    usd = np.where(np.arange(FEBRUARY_MS, MARCH_MS, HOUR_MS) // HOUR_MS % 24 >= 12, 2, 1) * share
    assert found.rule == "week_profile"
    assert found.total_usd == pytest.approx(usd.sum())
    assert found.spent_usd == pytest.approx(usd[: (end_ms - FEBRUARY_MS) // HOUR_MS].sum())
    passed = np.flatnonzero(usd.cumsum() > float(budget.usd_month))
    assert found.spent_at_ms == FEBRUARY_MS + (passed[0] + 1) * HOUR_MS


def test_the_first_hour_of_a_month_is_of_the_new_one_and_its_last_one_of_the_old() -> None:
    last, first = (seen(ALL, MONDAY_MS, MARCH_MS + hour * HOUR_MS) for hour in (0, 1))
    assert (last.month, last.hours_left) == ("2026-02", 0)
    assert (first.month, first.spent_usd, first.hours_known) == ("2026-03", 3.0, 1)


def test_of_what_nothing_is_known_nothing_is_spent() -> None:
    found = seen(Budget(Decimal(1_000), "batch"), MONDAY_MS, MONDAY_MS + 5 * DAY_MS)
    assert (found.total_usd, found.rule, found.spent_at_ms) == (0.0, "none", None)
