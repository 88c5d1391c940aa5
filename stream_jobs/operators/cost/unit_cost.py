"""What a successful turn costs: whether that regressed between two periods, and which routes are dear for nothing.

All is exact: figures are the decimals that were written, and shares of them fractions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Period:
    """What was spent and served in a period, and what may have driven it."""

    gpu_dollars: Decimal
    successful_turns: int
    avg_context_tokens: Decimal
    retry_rate: Decimal
    shadow_traffic_fraction: Decimal

    @property
    def unit_cost(self) -> Fraction:
        """Dollars per successful turn; what was spent without any is the cost of one."""
        return Fraction(self.gpu_dollars) / max(self.successful_turns, 1)


DRIVERS = tuple(each.name for each in fields(Period) if each.name not in ("gpu_dollars", "successful_turns"))


@dataclass(frozen=True, slots=True)
class Change:
    """From one unit cost to another. `relative` is `None` where something costs that did not before."""

    old: Fraction
    new: Fraction
    relative: Fraction | None
    is_regressed: bool
    drivers: tuple[str, ...]
    """What rose besides, by name."""


def compare(old: Period, new: Period, tolerance: Decimal) -> Change:
    """Regressed where the unit cost rose by strictly more than `tolerance`, a share of the old one."""
    before, after = old.unit_cost, new.unit_cost
    drivers = tuple(name for name in DRIVERS if getattr(new, name) > getattr(old, name))
    if before == 0:
        return Change(before, after, None if after else Fraction(0), after > 0, drivers)
    relative = after / before - 1
    return Change(before, after, relative, relative > Fraction(tolerance), drivers)


@dataclass(frozen=True, slots=True)
class Route:
    """What a route served and cost; `task_success_rate` is the share of its turns that reached their goal, exactly."""

    name: str
    turns: int
    task_success_rate: Fraction
    total_cost_usd: Decimal

    @property
    def cost_per_success(self) -> Fraction | None:
        """Dollars per success; `None` where there is none: without cost that is no value, with cost it is infinite."""
        successes = self.turns * self.task_success_rate
        return Fraction(self.total_cost_usd) / successes if successes else None

    @property
    def is_infinite(self) -> bool:
        return self.cost_per_success is None and self.total_cost_usd > 0


@dataclass(frozen=True, slots=True)
class Ranked:
    """A route in its place. Flagged: dearer than another one, and no better at its task."""

    route: Route
    is_flagged: bool


def rank(routes: Sequence[Route]) -> list[Ranked]:
    """From the dearest: cost without any success first, no value last; equal ones as they were given."""
    best = _best_below(routes)
    return [
        Ranked(route, route.task_success_rate <= best.get(_place(route), -1)) for route in sorted(routes, key=_order)
    ]


def _best_below(routes: Sequence[Route]) -> dict[tuple[int, Fraction], Fraction]:
    """The highest task success of the routes that are cheaper than each cost; nothing for the cheapest."""
    best: dict[tuple[int, Fraction], Fraction] = {}
    by_cost: dict[tuple[int, Fraction], Fraction] = {}
    for route in routes:
        if route.cost_per_success is not None or route.is_infinite:
            place = _place(route)
            by_cost[place] = max(by_cost.get(place, route.task_success_rate), route.task_success_rate)
    highest: Fraction | None = None
    for place in sorted(by_cost):
        if highest is not None:
            best[place] = highest
        highest = by_cost[place] if highest is None else max(highest, by_cost[place])
    return best


def _place(route: Route) -> tuple[int, Fraction]:
    """Among costs, from the cheapest: no value, finite ones, infinite ones."""
    cost = route.cost_per_success
    if cost is None:
        return (2 if route.is_infinite else 0), Fraction(0)
    return 1, cost


def _order(route: Route) -> tuple[int, Fraction]:
    kind, cost = _place(route)
    return -kind, -cost
