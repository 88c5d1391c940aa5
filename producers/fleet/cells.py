"""The calls and turns of each cell of the operational partition, as numbers: no call and no turn is there one by one.

Live calls are a birth and death process in steps: of those there, a binomial number ends; arrivals are Poisson. Turns are
Poisson over the time that calls are expected to be there. That is the distribution that `calls.py` and `turns.py` have.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from producers.fleet.crowd import bundle_shares
from producers.fleet.outlook import Outlook
from producers.fleet.pool_servers import Group
from producers.fleet.scenario_file import ScenarioFile
from producers.fleet.timeline import STEP_MS, InForce
from schemas.arrays import Floats
from schemas.instants import MINUTE_MS

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cell:
    """What one collector tells as one row."""

    collector: int
    region: str
    pool: str
    route: str
    bundle: str

    @property
    def group(self) -> Group:
        return self.region, self.pool, self.bundle


@dataclass(frozen=True, slots=True)
class Stepped:
    """Of each cell: calls live at the step's first instant, calls that start and end in it; and turns, by class, too."""

    live: Counts
    starts: Counts
    ends: Counts
    turns: Counts


def cells_of(scenario: ScenarioFile) -> tuple[Cell, ...]:
    """Every cell that the scenario ever has."""
    return tuple(
        Cell(collector, region, pool, route, bundle)
        for region, said in scenario.fleet.regions.items()
        for collector in range(said.collectors)
        for pool, pool_said in scenario.fleet.pools.items()
        for route in pool_said.routes
        for bundle in sorted(_bundles(scenario, pool))
    )


def _bundles(scenario: ScenarioFile, pool: str) -> set[str]:
    deployed = {each.bundle for each in scenario.deployments if each.pool == pool}
    return set(scenario.fleet.bundles[pool]) | deployed  # type: ignore[index]  # The names of pools are those of the fleet.


@dataclass(slots=True)
class CellCounts:
    """The live calls of every cell, by class: what a call is when it comes, it stays, and all of its turns are so.

    `shares` are those of the classes among new calls.
    """

    outlook: Outlook
    cells: tuple[Cell, ...]
    shares: Floats
    live: Counts

    @classmethod
    def at(cls, outlook: Outlook, shares: Floats, rng: Generator) -> CellCounts:
        cells = cells_of(outlook.scenario)
        counts = cls(outlook, cells, shares, np.zeros((len(cells), len(shares)), dtype=np.int64))
        counts.live = rng.poisson(counts._concurrent(outlook.start_ms, InForce((), outlook.crowd)))
        return counts

    def stepped(self, begin_ms: int, in_force: InForce, bursts: dict[str, float], rng: Generator) -> Stepped:
        """One step; afterwards the calls that outlive it are live."""
        fleet = self.outlook.fleet
        step_s, mean_s = STEP_MS / 1_000, fleet.call_s_mean
        stays = exp(-step_s / mean_s)
        concurrent = self._concurrent(begin_ms, in_force)
        live = np.where(concurrent > 0, self.live, 0)  # Where none are to be, those there were cut off.
        cut_off = self.live - live
        starts = rng.poisson(concurrent * step_s / mean_s)
        gone = rng.binomial(live, 1 - stays)
        short = rng.binomial(starts, 1 - mean_s / step_s * (1 - stays))
        exposed_s = live * mean_s * (1 - stays) + starts * mean_s * (1 - mean_s / step_s * (1 - stays))
        burst = np.array([bursts[cell.region] for cell in self.cells])
        turns = rng.poisson(exposed_s * fleet.turns_per_call_s * burst[:, None])
        ends = cut_off + gone + short
        found = Stepped(self.live.sum(axis=1), starts.sum(axis=1), ends.sum(axis=1), turns)
        self.live = live - gone + starts - short
        return found

    def _concurrent(self, at_ms: int, in_force: InForce) -> Floats:
        """Calls at once that arrivals of now would lead to, by cell and class."""
        scenario, fleet = self.outlook.scenario, self.outlook.fleet
        minute = (at_ms - self.outlook.start_ms) / MINUTE_MS
        calls = {
            (region, pool): self.outlook.calls(region, pool, at_ms, in_force)
            for region in fleet.regions
            for pool in fleet.pools
        }
        bundles = {pool: bundle_shares(scenario, fleet, pool, minute) for pool in fleet.pools}
        of_cells = [calls[cell.region, cell.pool] * self._share(cell, bundles[cell.pool]) for cell in self.cells]  # type: ignore[index]
        return np.outer(of_cells, self.shares)

    def _share(self, cell: Cell, bundles: dict[str, float]) -> float:
        fleet = self.outlook.fleet
        routes = fleet.pools[cell.pool].routes  # type: ignore[index]
        collectors = fleet.regions[cell.region].collectors
        return routes[cell.route] / sum(routes.values()) * bundles.get(cell.bundle, 0.0) / collectors
