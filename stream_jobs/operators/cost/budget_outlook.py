"""What a calendar month will have cost by its end: what is spent, and what its remaining hours are forecast at.

From two whole weeks on the forecast is that of `forecast.py`, whose week is repeated to the end of the month. Before that
the remaining hours are taken to cost what the last whole days did on average, seven at most; and within the first day
nothing is forecast. Months are those of UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from schemas.arrays import Floats
from schemas.instants import HOUR_MS
from schemas.spend_policies import Budget
from stream_jobs.operators.capacity.forecast import HOURS, WEEKS_MIN, next_week
from stream_jobs.operators.cost.pricing import NANO

DAY_H = 24
RECENT_DAYS_MAX = 7

Rule = Literal["week_profile", "recent_days", "none"]


@dataclass(frozen=True, slots=True)
class Outlook:
    """US dollars of one month. `spent_at_ms`: when the budget will be spent, where that is within the month."""

    month: str
    spent_usd: float
    forecast_usd: float
    hours_known: int
    hours_left: int
    rule: Rule
    spent_at_ms: int | None

    @property
    def total_usd(self) -> float:
        return self.spent_usd + self.forecast_usd


def outlook(budget: Budget, route_hours: pl.DataFrame, end_ms: int) -> Outlook:
    """The month that the hour before `end_ms` lies in; `route_hours` are those of `SpendHours`, up to `end_ms`.

    An hour of which nothing is known has cost nothing.
    """
    begins_ms, over_ms = month_of(end_ms - HOUR_MS)
    costs = _hourly(budget, route_hours.filter(pl.col("hour_ms") < end_ms), end_ms)
    in_month = costs[max(0, len(costs) - (end_ms - begins_ms) // HOUR_MS) :]
    left_h = (over_ms - end_ms) // HOUR_MS
    expected, rule = _expected(costs, left_h)
    return Outlook(
        month=_text(begins_ms, "%Y-%m"),
        spent_usd=float(in_month.sum()),
        forecast_usd=float(expected.sum()),
        hours_known=len(in_month),
        hours_left=left_h,
        rule=rule,
        spent_at_ms=_spent_at_ms(budget, in_month, expected, end_ms),
    )


def month_of(at_ms: int) -> tuple[int, int]:
    """When the calendar month around an instant begins, and when the next one does.

    >>> [_text(each, "%Y-%m-%d %H:%M") for each in month_of(1_770_000_000_000)]
    ['2026-02-01 00:00', '2026-03-01 00:00']
    """
    begins = pl.select(_instant(at_ms).dt.truncate("1mo").alias("begins"))
    both = begins.select(pl.col("begins").dt.epoch("ms"), over=pl.col("begins").dt.offset_by("1mo").dt.epoch("ms"))
    begins_ms, over_ms = both.row(0)
    return int(begins_ms), int(over_ms)


def day_text(at_ms: int) -> str:
    """The day of an instant, such as 2026-02-28."""
    return _text(at_ms, "%Y-%m-%d")


def _hourly(budget: Budget, route_hours: pl.DataFrame, end_ms: int) -> Floats:
    """Dollars of each hour from the first one known of it until `end_ms`."""
    wanted = {name: value for name, value in (("pool", budget.pool), ("route", budget.route)) if value is not None}
    money = pl.col("nusd" if budget.route else "told_nusd").sum()
    summed = route_hours.filter(**wanted).group_by("hour_ms").agg(money.alias("nusd"))
    if summed.is_empty():
        return np.zeros(0)
    places = ((summed["hour_ms"] - summed["hour_ms"].min()) // HOUR_MS).to_numpy()
    costs = np.zeros((end_ms - int(summed["hour_ms"].to_numpy().min())) // HOUR_MS)
    costs[places] = summed["nusd"].to_numpy() / NANO
    return costs


def _expected(costs: Floats, left_h: int) -> tuple[Floats, Rule]:
    if len(costs) >= WEEKS_MIN * HOURS:
        return np.resize(next_week(costs).expected, left_h), "week_profile"
    days = min(RECENT_DAYS_MAX, len(costs) // DAY_H)
    if not days:
        return np.zeros(left_h), "none"
    return np.full(left_h, costs[-days * DAY_H :].mean()), "recent_days"


def _spent_at_ms(budget: Budget, in_month: Floats, expected: Floats, end_ms: int) -> int | None:
    """The end of the hour with which the month's cost passes the budget."""
    passed = np.flatnonzero(np.concatenate([in_month, expected]).cumsum() > float(budget.usd_month))
    return end_ms + (int(passed[0]) + 1 - len(in_month)) * HOUR_MS if len(passed) else None


def _text(at_ms: int, layout: str) -> str:
    return str(pl.select(_instant(at_ms).dt.strftime(layout)).item())


def _instant(at_ms: int) -> pl.Expr:
    return pl.lit(at_ms).cast(pl.Datetime("ms"))
