"""Which slices pay more for a success than before, although they do not succeed more often.

Compared are whole hours with the same hours a week before, so that neither the curve of a day nor that of a week is taken
for a change: capacity that stays through the night makes a success dearer every night. In the first week they are
compared with the same hours of the day before, where both days are of one kind: Tuesday to Friday, and Sunday. Later an hour
that is unknown a week ago is no reason to: by the day before, what regressed two days ago would be over. A slice that
was not there then is not judged by itself, but within its pool.

Where fewer turns came than then, a success is dearer because the same capacity serves fewer. That alone is no regression: it
has to be dearer with as many turns as then, too (`cost_as_many_turns.py`, `docs/decisions/0018-cost-against-the-week-before.md`).

`turnwatch cost --old --new` applies the same rule (`unit_cost.py`) to figures from files.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl

from schemas.instants import DAY_MS, HOUR_MS, WEEK_MS
from schemas.spend_policies import SpendPolicy
from stream_jobs.operators.cost.periods import CostPeriods
from stream_jobs.operators.cost.pricing import NANO
from stream_jobs.operators.cost.unit_cost import Period, compare

RELEASES_AT = Decimal("0.8")
"""The share of the tolerance down to which what regressed still counts as regressed, so that nothing flaps on the edge."""
_THURSDAY = 3
"""The weekday of 1970-01-01, counted from Monday."""
_AS_THE_DAY_BEFORE = frozenset((1, 2, 3, 4, 6))
"""Weekdays that are like the one before them: Tuesday to Friday, and Sunday."""


@dataclass(frozen=True, slots=True)
class Regression:
    """A slice whose success costs more. Costs are dollars per success, rates shares of turns; `relative` is `None`
    where it cost nothing."""

    slice: str
    old: float
    new: float
    relative: float | None
    successes: int
    successes_old: int
    success_rate: float
    success_rate_old: float

    @property
    def added_usd(self) -> float:
        """What the successes of the window cost beyond what they cost before."""
        return (self.new - self.old) * self.successes


def reference_before_ms(end_ms: int, window_h: int, known: Collection[int], began_ms: int) -> int | None:
    """How long before a window that ends there its reference lies; `None` where no reference is known whole.

    `known` are the hours of which cells are kept, `began_ms` the first one of which anything ever was.
    """
    hours = range(end_ms - window_h * HOUR_MS, end_ms, HOUR_MS)
    if all(hour_ms - WEEK_MS in known for hour_ms in hours):
        return WEEK_MS
    if began_ms <= hours[0] - WEEK_MS:
        return None  # By the day before, what regressed earlier than that would be over, and begin anew.
    is_alike = all(_weekday(hour_ms) in _AS_THE_DAY_BEFORE for hour_ms in hours)
    return DAY_MS if is_alike and all(hour_ms - DAY_MS in known for hour_ms in hours) else None


def regressions(periods: CostPeriods, policy: SpendPolicy, regressed: Collection[str] = ()) -> list[Regression]:
    """Those beyond the tolerance, what added most first; `regressed` are slices that were it the last time.

    What its pool says of a route or a bundle is not said again: beside a pool that regressed it is named only where it got
    dearer by more than the tolerance beyond its pool.
    """
    enough = pl.min_horizontal("successes", "successes_old") >= policy.successes_min
    costs = pl.col("nusd") / pl.col("successes"), pl.col("nusd_old") / pl.col("successes_old")
    dearer = periods.by_slice.filter(enough).filter(costs[0] > costs[1])
    found = [_regression(row) for row in dearer.iter_rows(named=True) if _is_regressed(row, policy, regressed)]
    of_pools = {each.slice: each.relative for each in found if "," not in each.slice}
    by_itself = (each for each in found if _exceeds_pool(each, of_pools, policy))
    return sorted(by_itself, key=lambda each: (-each.added_usd, each.slice))


def _exceeds_pool(found: Regression, of_pools: Mapping[str, float | None], policy: SpendPolicy) -> bool:
    pool = found.slice.split(",")[0]
    of_pool = of_pools.get(pool)
    if found.slice == pool or of_pool is None or found.relative is None:
        return True
    return 1 + found.relative > (1 + float(policy.tolerance)) * (1 + of_pool)


def _is_regressed(row: dict[str, Any], policy: SpendPolicy, regressed: Collection[str]) -> bool:
    tolerance = policy.tolerance * RELEASES_AT if row["slice"] in regressed else policy.tolerance
    before = _period(row["nusd_old"], row["successes_old"])
    as_then = max(row["turns"], row["turns_old"])
    as_many = _period(row["nusd_as_many"] * row["turns"], row["successes"] * as_then)
    gain = Decimal(row["successes"]) / row["turns"] - Decimal(row["successes_old"]) / row["turns_old"]
    return compare(before, as_many, tolerance).is_regressed and gain <= policy.success_gain


def _period(nusd: int, successes: int) -> Period:
    nothing = Decimal(0)
    return Period(Decimal(nusd) / NANO, successes, nothing, nothing, nothing)


def _regression(row: dict[str, Any]) -> Regression:
    new, old = row["nusd"] / NANO / row["successes"], row["nusd_old"] / NANO / row["successes_old"]
    return Regression(
        slice=row["slice"],
        old=old,
        new=new,
        relative=new / old - 1 if old else None,
        successes=row["successes"],
        successes_old=row["successes_old"],
        success_rate=row["successes"] / row["turns"],
        success_rate_old=row["successes_old"] / row["turns_old"],
    )


def _weekday(at_ms: int) -> int:
    """Monday is 0.

    >>> _weekday(0)
    3
    """
    return (at_ms // DAY_MS + _THURSDAY) % 7
