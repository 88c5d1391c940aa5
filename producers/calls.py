"""The calls of a simulated fleet: who is on the line in one pool of one region, and until when.

Calls arrive along the region's day curve and last exponentially long. Their number, bundle and duration follow a
low-discrepancy sequence instead of dice: shares and concurrency stay within a few calls of what was declared, so that
what a scenario promises in closed form is what a single run shows. What does not enter those promises is diced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.random import Generator
from numpy.typing import NDArray

from producers.scenarios import Region, Scenario, Workload
from schemas.arrays import Floats

STEP_MS = 10_000
"""The simulation moves in steps of this much event time."""

_PLASTIC = 1.324_717_957_244_746
"""Root of x³ = x + 1; its powers give the R2 sequence (Roberts, 2018), which fills the unit square evenly."""


def collectors(region: Region) -> list[str]:
    """The producers of a region."""
    return [f"{region.name}-collector-{number}" for number in range(region.collectors)]


@dataclass(slots=True)
class Population:
    """The live calls of one workload in one region; `drawn` calls of the sequence are used up, `due` is a fraction."""

    scenario: Scenario
    workload: Workload
    region: Region
    live: pl.DataFrame
    offsets: tuple[float, float]
    drawn: int = 0
    due: float = 0.0

    @classmethod
    def at(cls, scenario: Scenario, workload: Workload, region: Region, rng: Generator, start_ms: int) -> Population:
        """The calls already there when the scenario starts: what lasts exponentially long has no memory."""
        population = cls(scenario, workload, region, pl.DataFrame(), (rng.random(), rng.random()))
        count = population._count(population._concurrent(start_ms))
        population.live = population._calls(rng, np.full(count, start_ms - 1))
        return population

    def during(self, begin_ms: int, rng: Generator) -> pl.DataFrame:
        """Every call with a part in the step that begins now; afterwards those that outlive it stay."""
        arrivals = self._concurrent(begin_ms) * STEP_MS / 1_000 / self.workload.call_s_mean
        started_ms = begin_ms + rng.integers(0, STEP_MS, self._count(arrivals))
        calls = pl.concat([self.live, self._calls(rng, started_ms)])
        self.live = calls.filter(pl.col("ends_ms") >= begin_ms + STEP_MS)
        return calls

    def _concurrent(self, at_ms: int) -> float:
        return self.workload.concurrent_calls * self.scenario.demand(self.region, at_ms)

    def _count(self, expected: float) -> int:
        """A whole number of calls; the fraction is carried, not rounded away."""
        self.due += expected
        count = int(self.due)
        self.due -= count
        return count

    def _calls(self, rng: Generator, started_ms: NDArray[np.int64]) -> pl.DataFrame:
        count = len(started_ms)
        by_bundle, by_duration = self._even(count)
        lasts_ms = np.ceil(-np.log1p(-by_duration) * self.workload.call_s_mean * 1_000)
        hosts = collectors(self.region)
        return pl.DataFrame(
            {
                "producer": _picked(dict.fromkeys(hosts, 1.0), rng.random(count)),
                "session": rng.integers(0, 2**64, count, dtype=np.uint64),
                "started_ms": started_ms,
                "ends_ms": started_ms + lasts_ms.astype(np.int64),
                "region": pl.repeat(self.region.name, count, eager=True),
                "pool": pl.repeat(self.workload.pool, count, eager=True),
                "route": _picked(self.workload.routes, rng.random(count)),
                "bundle": _picked(self.workload.bundles, by_bundle),
                "language": _picked(self.scenario.languages, rng.random(count)),
                "device_class": _picked(self.scenario.devices, rng.random(count)),
            }
        )

    def _even(self, count: int) -> tuple[Floats, Floats]:
        """The next points of the sequence."""
        places = np.arange(self.drawn + 1, self.drawn + count + 1)
        self.drawn += count
        return (self.offsets[0] + places / _PLASTIC) % 1.0, (self.offsets[1] + places / _PLASTIC**2) % 1.0


def _picked(shares: Mapping[str, float], at: Floats) -> pl.Series:
    """The names whose shares lie at these points of [0, 1)."""
    bounds = np.cumsum(list(shares.values()))
    return pl.Series(list(shares), dtype=pl.String).gather(np.searchsorted(bounds[:-1] / bounds[-1], at, side="right"))
