"""Error budgets over columns of slices: what a period's traffic allows, what went of it today, and what one failure costs.

The budget is that of the whole period at the traffic there has been so far (trailing mean), so that a slice which has just
appeared is not told that its first failure spent everything. Before an hour of history nobody knows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.instants import DAY_MS
from schemas.slos import Slo
from stream_jobs.operators.burn_rate.history import Counts

HISTORY_KNOWN_MS = 3_600_000
"""How much history it takes before the period's expected traffic counts as known."""


@dataclass(frozen=True, slots=True)
class Spending:
    """Shares of the whole period's budget, by slice; not a number where that is not known, or nothing is allowed."""

    today: NDArray[np.float64]
    one_failure: NDArray[np.float64]


def spending(today: Counts, budgets: NDArray[np.float64]) -> Spending:
    """What the bad turns of today's counts, of shape (n, 2), have spent of these budgets, and what one more would."""
    known = np.where(budgets > 0, budgets, np.nan)
    return Spending(today[:, 0] / known, 1 / known)


def expected_budgets(period_totals: NDArray[np.int64], history_ms: NDArray[np.int64], slo: Slo) -> NDArray[np.float64]:
    """Bad turns that the period's expected traffic allows; not a number before an hour of history.

    `period_totals` are the turns of the period so far, `history_ms` for how long there have been any.
    """
    period_ms = slo.period_s * 1_000
    seen_ms = np.minimum(history_ms, period_ms)
    allowed = period_totals * (period_ms / np.maximum(seen_ms, 1)) * float(slo.budget_rate)
    return np.where(seen_ms < HISTORY_KNOWN_MS, np.nan, allowed)


def histories_ms(end_ms: int, first_seen_ms: Sequence[int], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """For how long each of these slices has been seen by an instant."""
    return np.array([end_ms - first_seen_ms[number] for number in numbers.tolist()], dtype=np.int64)


def midnight_ms(instant_ms: int) -> int:
    """00:00 UTC of an instant's day.

    >>> midnight_ms(1_700_000_000_000), midnight_ms(1_699_920_000_000)
    (1699920000000, 1699920000000)
    """
    return instant_ms // DAY_MS * DAY_MS
