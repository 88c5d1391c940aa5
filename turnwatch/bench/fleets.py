"""How often does a fleet page in a month in which nothing happens, with and without the low-traffic rule?

A seeded fleet of slices, from one turn in two minutes to hundreds a minute, with a day curve and quieter weekends. Each
slice fails at one share for the whole month, from a tenth to a half of its budget, minute by minute as binomials. Every
page is then chance, and false. The rows are the shipped ones, and the judging is the backtest's, which a test holds to the
stream's. Slices are drawn one by one and judged in parts, so memory does not grow with the fleet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from alerts.definitions import watched_slos
from schemas.arrays import Floats
from schemas.instants import MINUTE_MS
from schemas.slos import LowTraffic, WatchedSlo
from turnwatch.backtest.engine import Alerted, alerts
from turnwatch.backtest.series import Series, Span

OBJECTIVES = ("turn-4000ms-realtime", "turn-error-realtime")
"""One of 99 % and one of 99.9 %."""
START_MS = 1_790_000_000_000 // 86_400_000 * 86_400_000
DAY_MINUTES = 1_440
MONTH_DAYS = 30
SLICES_AT_ONCE = 25
TURNS_PER_MIN_LOWEST, TURNS_PER_MIN_HIGHEST = 0.5, 500.0
DAY_AMPLITUDE = 0.8
WEEKEND_DEMAND = 0.6
BUDGET_SHARE_LOWEST, BUDGET_SHARE_HIGHEST = 0.1, 0.5
_FIRST_WEEKDAY = 3
"""The epoch began on a Thursday; Saturday is 5."""


@dataclass(slots=True)
class Counted:
    """What one objective raised over the days, under one rule."""

    days: int
    pages: int = 0
    tickets: int = 0
    slices: set[str] = field(default_factory=set)
    """Those that paged."""

    def add(self, raised: Iterable[Alerted]) -> None:
        for alert in raised:
            if alert.severity == "page":
                self.pages += 1
                self.slices.add(alert.slice)
            else:
                self.tickets += 1

    @property
    def pages_per_month(self) -> float:
        return self.pages * MONTH_DAYS / self.days

    @property
    def tickets_per_month(self) -> float:
        return self.tickets * MONTH_DAYS / self.days


@dataclass(frozen=True, slots=True)
class Judged:
    """One objective of the fleet, with the rule and without."""

    watched: WatchedSlo
    held: Counted
    unheld: Counted


def run_fleets(days: int, slices: int, seed: int) -> int:
    """Prints false pages a month; there is no limit to hold them to."""
    console = Console()
    console.print(f"{slices} slices over {days} days without an incident; `--seed {seed}` draws them again.")
    watched = {each.slo.name: each for each in watched_slos()}
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("judging", total=slices * len(OBJECTIVES))
        judged = []
        for name in OBJECTIVES:
            one = Judged(watched[name], Counted(days), Counted(days))
            for series in drawn(one.watched, days, slices, seed):
                judge(one, series)
                bar.advance(task, len(series.slices))
            judged.append(one)
    console.print("False alerts a month:", _table(judged))
    figures = " ".join(_figures(one) for one in judged)
    print(f"days={days} slices={slices} seed={seed} {figures}")
    return 0


def judge(one: Judged, series: Series) -> None:
    """Counts what a part of the fleet raises, with the rule and without."""
    one.held.add(alerts(series, one.watched))
    one.unheld.add(alerts(series, replace(one.watched, low_traffic=LowTraffic.none())))


def drawn(watched: WatchedSlo, days: int, slices: int, seed: int) -> Iterator[Series]:
    """The fleet in parts. A slice's minutes depend on the seed and its number, not on who else is drawn."""
    span = Span(START_MS, START_MS + days * DAY_MINUTES * MINUTE_MS, MINUTE_MS)
    curve = demand(days)
    for first in range(0, slices, SLICES_AT_ONCE):
        numbers = range(first, min(first + SLICES_AT_ONCE, slices))
        counts = np.array([_minutes(watched, curve, seed, number) for number in numbers], dtype=np.int32)
        texts = tuple(f"pool={watched.slo.pool},bundle=v{number}" for number in numbers)
        first_ms = np.full(len(texts), START_MS)
        yield Series(span, texts, counts[:, 0], counts[:, 1], first_ms, np.ones(span.buckets, dtype=bool))


def demand(days: int) -> Floats:
    """By minute, how many times its mean weekday traffic a slice has."""
    minutes = np.arange(days * DAY_MINUTES)
    weekday = (START_MS // MINUTE_MS + minutes) // DAY_MINUTES + _FIRST_WEEKDAY
    of_week = np.where(weekday % 7 >= 5, WEEKEND_DEMAND, 1.0)
    return of_week * (1 - DAY_AMPLITUDE * np.cos(2 * np.pi * minutes / DAY_MINUTES))


def _minutes(watched: WatchedSlo, curve: Floats, seed: int, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Bad turns and all turns of one slice."""
    dice = np.random.default_rng((seed, number))
    turns_per_min = np.exp(dice.uniform(np.log(TURNS_PER_MIN_LOWEST), np.log(TURNS_PER_MIN_HIGHEST)))
    bad_share = dice.uniform(BUDGET_SHARE_LOWEST, BUDGET_SHARE_HIGHEST) * float(watched.slo.budget_rate)
    total = dice.poisson(turns_per_min * curve)
    return dice.binomial(total, bad_share), total


def _table(judged: Iterable[Judged]) -> Table:
    table = Table("SLO", "objective", "rule", "pages", "on slices", "tickets", box=SIMPLE)
    for one in judged:
        slo = one.watched.slo
        for rule, counted in (("low traffic", one.held), ("none", one.unheld)):
            figures = (f"{counted.pages_per_month:,.1f}", f"{len(counted.slices)}", f"{counted.tickets_per_month:,.1f}")
            table.add_row(slo.name, f"{(100 * slo.objective).normalize():f} %", rule, *figures)
    return table


def _figures(one: Judged) -> str:
    name = one.watched.slo.indicator.name
    return (
        f"{name}_false_pages_a_month={one.held.pages_per_month:.1f} "
        f"{name}_without_rule={one.unheld.pages_per_month:.1f}"
    )
