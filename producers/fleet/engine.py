"""The fleet of a scenario file, step by step: who is on the line, the turns they take, and what the servers show.

One step is 10 s of event time for all calls at once, in columns. Everything random comes from (seed, number of the step):
the same seed and start give the same observations. A turn is observed in the step in which it ends, as a host would.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from producers.conversation import duplex_events
from producers.fleet.bills import reserved_rows, turn_values
from producers.fleet.calibration import load_calibration
from producers.fleet.calls import Calls_, Line
from producers.fleet.crowd import Crowd, crowd_of
from producers.fleet.demand import burst_factors
from producers.fleet.finished import finished, split
from producers.fleet.labels import counts_of, labelled
from producers.fleet.pool_servers import (
    STATION_NAMES,
    Group,
    Servers,
    entered,
    group_keys,
    groups_of,
    is_through,
    pass_through,
    planned_servers,
)
from producers.fleet.queue_rows import queue_rows
from producers.fleet.releases import release_rows
from producers.fleet.rows import by_producer, named, producer_of, producer_table
from producers.fleet.scenario_file import ScenarioFile
from producers.fleet.table import Columns, Table, empty
from producers.fleet.timeline import STEP_MS, InForce
from producers.fleet.turns import begun
from producers.observations import COST_COLUMNS, QUALITY_COLUMNS, STREAM_COLUMNS, TURN_COLUMNS
from producers.simulator import ALIGNMENT_MS, Chunk, Host

WARM_STEPS = 3
"""Half a minute, which hardly any turn is longer than."""


def fleet_hosts(scenario: ScenarioFile) -> tuple[Host, ...]:
    """The collectors of every region."""
    regions = scenario.fleet.regions
    return tuple(
        Host(producer_of(name, number), name) for name, region in regions.items() for number in range(region.collectors)
    )


@dataclass(slots=True)
class FleetRun:
    """A scenario under way: everything that lasts from one step to the next."""

    scenario: ScenarioFile
    seed: int
    start_ms: int
    crowd: Crowd
    line: Line
    servers: dict[Group, Servers]
    bursts: list[Iterator[float]]
    producers: pl.Series
    under_way: Table = field(default_factory=empty)
    """Turns that some station has not served yet."""
    answered: Table = field(default_factory=empty)
    """Turns that have passed every station and not ended."""
    step: int = -WARM_STEPS
    """Steps before the first one are not told: their turns are those that are under way at the start."""

    @classmethod
    def at(cls, scenario: ScenarioFile, seed: int, start_ms: int) -> FleetRun:
        if start_ms % ALIGNMENT_MS:
            raise ValueError(f"A simulation starts at a whole minute of event time; {start_ms} ms is none.")
        crowd = crowd_of(scenario)
        line = Line.at(scenario, crowd, start_ms - WARM_STEPS * STEP_MS, np.random.default_rng((seed, 0)))
        regions = crowd.vocabularies["region"].names
        bursts = [burst_factors(load_calibration().bursts, seed, place) for place in range(len(regions))]
        producers = producer_table(crowd, max(each.collectors for each in scenario.fleet.regions.values()))
        run = cls(scenario, seed, start_ms, crowd, line, planned_servers(scenario), bursts, producers)
        for _ in range(WARM_STEPS):
            run.next()
        return run

    def next(self) -> Chunk:
        """One more step."""
        rng = np.random.default_rng((self.seed, self.step + WARM_STEPS + 1))
        begin_ms, in_force, calls = self._on_the_line(rng)
        bursts = np.array([next(each) for each in self.bursts])
        turns = begun(self.scenario.fleet, self.crowd, calls, in_force, bursts, begin_ms, rng)
        answered = self._answered(entered(turns, self.start_ms), in_force, begin_ms)
        done = finished(self.scenario.fleet, answered, rng)
        ended, self.answered = split(self.answered.joined_by(done), begin_ms + STEP_MS)
        silent = in_force.silent_regions
        heard_from = self._heard_from(silent)
        ended, calls = ended.taken(heard_from[ended.calls["region"]]), calls[heard_from[calls["region"]]]
        observed = self._named_turns(ended)
        chunk = Chunk(
            begin_ms,
            begin_ms + STEP_MS,
            by_producer(observed.drop("is_duplex")),
            by_producer(self._changes(calls, begin_ms)),
            by_producer(
                duplex_events(
                    observed.filter("is_duplex"), np.random.default_rng((self.seed, self.step + WARM_STEPS + 1, 1))
                )
            ),
            {
                "queues": by_producer(queue_rows(self.servers, self.scenario.fleet, self.start_ms, begin_ms, silent)),
                "quality": by_producer(self._labels(calls, in_force, begin_ms)),
                "costs": by_producer(self._costs(ended, begin_ms, silent)),
                "releases": by_producer(self._releases(begin_ms)),
            },
            frozenset(host.producer for host in fleet_hosts(self.scenario) if host.region in silent),
        )
        self.step += 1
        return chunk

    def next_labels(self) -> tuple[int, dict[str, pl.DataFrame]]:
        """When one more step begins, and its labelled calls by producer: those that `next` has, but no turn is taken."""
        begin_ms, in_force, calls = self._on_the_line(np.random.default_rng((self.seed, self.step + WARM_STEPS + 1)))
        heard_from = self._heard_from(in_force.silent_regions)
        labels = by_producer(self._labels(calls[heard_from[calls["region"]]], in_force, begin_ms))
        self.step += 1
        return begin_ms, labels

    def _on_the_line(self, rng: np.random.Generator) -> tuple[int, InForce, Calls_]:
        """When the step begins, what holds in it, and who calls: that does not depend on the turns that are taken."""
        begin_ms = self.start_ms + self.step * STEP_MS
        in_force = InForce.at(self.scenario, self.crowd, begin_ms - self.start_ms)
        return begin_ms, in_force, self.line.during(begin_ms, in_force, rng)

    def _heard_from(self, silent: set[str]) -> NDArray[np.bool_]:
        """By the region's code, whether its collectors are there to observe."""
        return np.array([region not in silent for region in self.crowd.vocabularies["region"].names])

    def _labels(self, calls: Calls_, in_force: InForce, begin_ms: int) -> pl.DataFrame:
        fleet, rng = self.scenario.fleet, np.random.default_rng((self.seed, self.step + WARM_STEPS + 1, 2))
        of = labelled(fleet, calls, begin_ms, rng)
        consent = pl.Series(list(fleet.consents)).gather(
            np.searchsorted(
                np.cumsum(list(fleet.consents.values()))[:-1], rng.random(len(of)) * sum(fleet.consents.values())
            )
        )
        counts = counts_of(fleet, self.crowd, calls[of], in_force, rng)
        values: Columns = {"at_ms": calls["ends_ms"][of], **counts}
        consented: dict[str, NDArray[Any] | pl.Series] = {**values, "consent": consent}
        return named(self.crowd, calls, of, consented, QUALITY_COLUMNS, self.producers)

    def _costs(self, ended: Table, begin_ms: int, silent: set[str]) -> pl.DataFrame:
        parts = [reserved_rows(self.servers, self.scenario.fleet, begin_ms, silent)]
        for station in STATION_NAMES:
            of, values = turn_values(self.scenario.fleet, station, ended)
            parts.append(named(self.crowd, ended.calls, of, values, COST_COLUMNS, self.producers))
        return pl.concat(parts)

    def _releases(self, begin_ms: int) -> pl.DataFrame:
        return release_rows(self.scenario, self.start_ms, begin_ms, is_first=self.step <= 0)

    def _answered(self, turns: Table, in_force: InForce, begin_ms: int) -> Table:
        """The turns that have passed every station when the step ends; the others are still under way."""
        turns = self.under_way.joined_by(turns)
        turns = turns.taken(np.argsort(group_keys(turns.calls), kind="stable"))
        for servers in self.servers.values():
            servers.begins(in_force, begin_ms - self.start_ms)
        groups = {(region, bundle): servers for (region, _, bundle), servers in self.servers.items()}
        regions, bundles = (self.crowd.vocabularies[name].names for name in ("region", "bundle"))
        for region, bundle, mine in groups_of(turns.calls):
            servers = groups[regions[region], bundles[bundle]]
            pass_through(servers, self.scenario.fleet, turns.part(mine), begin_ms + STEP_MS - self.start_ms)
        is_done = is_through(turns)
        self.under_way = turns.taken(~is_done)
        return turns.taken(is_done)

    def _named_turns(self, ended: Table) -> pl.DataFrame:
        columns = {**TURN_COLUMNS, "is_duplex": pl.Boolean()}
        return named(self.crowd, ended.calls, np.arange(len(ended.calls)), ended.values, columns, self.producers)

    def _changes(self, calls: Calls_, begin_ms: int) -> pl.DataFrame:
        """Starts and ends of streams in the step; the first one also tells of the calls that were already there."""
        starts = np.flatnonzero((calls["started_ms"] >= begin_ms) | (self.step == 0))
        ends = np.flatnonzero(calls["ends_ms"] < begin_ms + STEP_MS)
        of = np.concatenate([starts, ends])
        at_ms = np.concatenate([calls["started_ms"][starts], calls["ends_ms"][ends]])
        is_start = np.arange(len(of)) < len(starts)
        return named(self.crowd, calls, of, {"at_ms": at_ms, "is_start": is_start}, STREAM_COLUMNS, self.producers)


def simulate_fleet(scenario: ScenarioFile, seed: int, start_ms: int, duration_ms: int) -> Iterator[Chunk]:
    """The fleet's observations from `start_ms` on, step by step."""
    run = FleetRun.at(scenario, seed, start_ms)
    for _ in range(-(-duration_ms // STEP_MS)):
        yield run.next()


def simulate_labels(
    scenario: ScenarioFile, seed: int, start_ms: int, duration_ms: int
) -> Iterator[tuple[int, dict[str, pl.DataFrame]]]:
    """The labelled calls that `simulate_fleet` has, by producer, with when each step begins; about ten times as fast."""
    run = FleetRun.at(scenario, seed, start_ms)
    for _ in range(-(-duration_ms // STEP_MS)):
        yield run.next_labels()
