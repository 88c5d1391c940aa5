"""Spend policies as values: what is watched about money, and from when on somebody should hear of it.

A policy is declared by a file (`alerts/spend_document.py`) and applied by `stream_jobs/operators/cost/spending.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from schemas.slices import EVERYTHING

WINDOW_HOURS_MAX = 24


@dataclass(frozen=True, slots=True)
class Budget:
    """US dollars for a calendar month (UTC): of everything, of a pool, or of a route in a pool."""

    usd_month: Decimal
    pool: str | None = None
    route: str | None = None

    @property
    def slice(self) -> str:
        """The slice that it is of.

        >>> Budget(Decimal(10), "realtime", "chat").slice
        'pool=realtime,route=chat'
        """
        named = {"pool": self.pool, "route": self.route}
        return ",".join(f"{name}={value}" for name, value in named.items() if value) or EVERYTHING


@dataclass(frozen=True, slots=True)
class SpendPolicy:
    """What a finding about money takes.

    A slice regressed where a success costs more than `tolerance`, a share, above what it cost before, while its success rate
    rose by no more than `success_gain`. Compared are the last `window_h` whole hours, where both periods have
    `successes_min`. A route has no success for its cost where it had turns in every hour of the window, `turns_min` and
    `usd_min` or more in all, and none of them succeeded. `owner` answers for all of it.
    """

    name: str
    owner: str = "platform-finance"
    tolerance: Decimal = Decimal("0.10")
    success_gain: Decimal = Decimal("0.01")
    window_h: int = 3
    successes_min: int = 1_000
    turns_min: int = 20
    usd_min: Decimal = Decimal(1)
    budgets: tuple[Budget, ...] = ()


STANDARD = SpendPolicy("standard")
"""As `alerts/spend_policies/standard.yaml` has it."""
