"""Which classes of turns each cell has in a window, and what is drawn for each: tables that are made once for each load.

Load is told in steps of 3 %: groups at the same step share their tables. A class is a set of the events that reach it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from producers.fleet.bins import Bins, bins_of
from producers.fleet.cells import Cell
from producers.fleet.densities import Distribution
from producers.fleet.expected import has
from producers.fleet.fleet_file import Fleet
from producers.fleet.outlook import AUDIENCE, Outlook, TurnClass
from producers.fleet.pool_servers import Group, mean_service_ms, planned_servers
from producers.fleet.scenario_file import Attempts, BatchWork, Event, Prompts, Servers, Stale, SyntheticVoice
from producers.fleet.timeline import STEP_MS, InForce, is_there
from producers.fleet.turns import prompt_tokens
from producers.fleet.waits import waits_of
from schemas.failures import BadInput
from schemas.families import INDICATORS, SCALE_OF_STAGE

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

LEVEL = 1.03
EVENTS_MAX = 4
"""Most events at once that reach some of a cell's turns and not others."""
BUSY_MAX = 0.85
"""Beyond it queues grow from step to step, and no window is like a steady one."""
PROMPT_BINS = 100


@dataclass(frozen=True, slots=True)
class Drawable:
    """A class of turns, ready to be drawn from: the share of turns that have each stage, with its bins."""

    fleet: Fleet
    stages: dict[str, tuple[float, Bins]]
    has_audio: bool
    interrupted_share: float
    stale_share: float
    prompt_edges: Floats

    def prompt_sums(self, rng: Generator, counts: Counts) -> Counts:
        """Sums of so many prompts' tokens: which quantile each falls in, and evenly within it, as turn by turn."""
        low, high = self.prompt_edges[:-1], self.prompt_edges[1:]
        found = rng.multinomial(counts, np.full(PROMPT_BINS, 1 / PROMPT_BINS))
        deviation = np.sqrt(found @ ((high - low) ** 2 / 12))
        sums = found @ ((low + high) / 2) - counts / 2 + deviation * rng.standard_normal(len(counts))
        return np.maximum(np.rint(sums), counts).astype(np.int64)


@dataclass(slots=True)
class Classes:
    """Tables by group, load and class, each made when it is first asked for."""

    outlook: Outlook
    tables: dict[tuple[Group, int, tuple[str, ...]], Drawable] = field(default_factory=dict)
    waits: dict[tuple[Group, int, tuple[str, ...]], Floats] = field(default_factory=dict)

    def parts(
        self, cells: tuple[Cell, ...], turns: Counts, begin_ms: int, rng: Generator
    ) -> Iterator[tuple[Drawable, NDArray[np.intp], Counts]]:
        """Each class with the places of its cells and their turns; together these are all turns."""
        in_force = self.outlook.in_force(begin_ms)
        _refuse_overlays(in_force)
        groups: dict[Group, list[int]] = {}
        for place, cell in enumerate(cells):
            groups.setdefault(cell.group, []).append(place)
        for group, places in groups.items():
            load = int(turns[places].sum())
            if load:
                yield from self._of_group(group, cells, np.array(places), turns, load, in_force, rng)

    def _of_group(
        self,
        group: Group,
        cells: tuple[Cell, ...],
        places: NDArray[np.intp],
        turns: Counts,
        load: int,
        in_force: InForce,
        rng: Generator,
    ) -> Iterator[tuple[Drawable, NDArray[np.intp], Counts]]:
        level = round(np.log(load) / np.log(LEVEL))
        found: dict[tuple[str, ...], tuple[tuple[Event, ...], list[int], list[Counts]]] = {}
        for route in sorted({cells[place].route for place in places}):
            mine = [int(place) for place in places if cells[place].route == route]
            classes = self._classes(group, route, in_force)
            split = rng.multinomial(turns[mine], [share for share, _ in classes])
            for column, (_, matched) in enumerate(classes):
                _, at, counts = found.setdefault(tuple(event.what for event in matched), (matched, [], []))
                at += mine
                counts.append(split[:, column])
        for matched, at, counts in found.values():
            yield self._table(group, level, matched, in_force), np.array(at), np.concatenate(counts)

    def _classes(self, group: Group, route: str, in_force: InForce) -> list[tuple[float, tuple[Event, ...]]]:
        """Sets of events with the share of a cell's turns that exactly these reach."""
        region, pool, bundle = group
        here = [event for event in in_force.events if is_there(event, region=region, pool=pool, bundle=bundle, route=route)]
        partial = [event for event in here if any(name in AUDIENCE for name in event.where)]
        everywhere = tuple(event for event in here if event not in partial)
        if len(partial) > EVENTS_MAX:
            raise BadInput(f"At most {EVENTS_MAX} events that reach some callers can be drawn at once; there are {len(partial)}.")
        sets = [each for size in range(len(partial) + 1) for each in combinations(partial, size)]
        return [(max(0.0, self._exactly(each, partial)), (*everywhere, *each)) for each in sets]

    def _exactly(self, these: Sequence[Event], of: Sequence[Event]) -> float:
        """The share that these events reach and the others do not, by inclusion and exclusion."""
        others = [event for event in of if event not in these]
        return sum(
            (-1) ** size * self._all((*these, *more)) for size in range(len(others) + 1) for more in combinations(others, size)
        )

    def _all(self, events: Sequence[Event]) -> float:
        """The share of callers that all of these events reach."""
        where: dict[str, list[str]] = {}
        for event in events:
            for name, values in event.where.items():
                if name in AUDIENCE:
                    where[name] = [value for value in values if value in where.get(name, values)]
        return self.outlook.crowd.share(where)

    def _table(self, group: Group, level: int, matched: tuple[Event, ...], in_force: InForce) -> Drawable:
        load = tuple(event.what for event in in_force.events if isinstance(event.does, Attempts | Prompts | Servers))
        key = (group, level, (*load, "/", *(event.what for event in matched)))
        if key not in self.tables:
            self.tables[key] = self._made(group, level, load, matched, in_force)
        return self.tables[key]

    def _made(
        self, group: Group, level: int, load: tuple[str, ...], matched: tuple[Event, ...], in_force: InForce
    ) -> Drawable:
        outlook, turns_per_s = self.outlook, LEVEL**level / (STEP_MS / 1_000)
        running = self._running(group, turns_per_s, in_force)
        if (group, level, load) not in self.waits:
            self.waits[group, level, load] = waits_of(outlook.scenario, outlook.crowd, group, in_force, turns_per_s)
        audience = {name: values for event in matched for name, values in event.where.items() if name in AUDIENCE}
        connections = outlook.crowd.connections(audience)
        turns = outlook.turn_class(group, running, self.waits[group, level, load], matched, connections)
        stale = [event.does.share for event in matched if isinstance(event.does, Stale)]
        prompts = float(np.prod([event.does.times for event in matched if isinstance(event.does, Prompts)]))
        return Drawable(
            outlook.fleet,
            {stage: _binned(turns, stage) for stage in SCALE_OF_STAGE if has(turns, "turn" if stage == "interrupted" else stage)},
            turns.has_audio,
            outlook.fleet.interrupted_share if turns.has_audio else 0.0,
            max([outlook.fleet.stale_share, *stale]),
            prompt_tokens(np.linspace(0, 1, PROMPT_BINS + 1)) * prompts,
        )

    def _running(self, group: Group, turns_per_s: float, in_force: InForce) -> float:
        """The batch at that load. Raises BadInput where the servers cannot keep up with it."""
        outlook = self.outlook
        retry, shadow = outlook.attempts(group, in_force)
        gpus = max(1, round(planned_servers(outlook.scenario)[group].planned["llm"] * in_force.servers_times("llm", *group)))
        requests_per_ms = turns_per_s / 1_000 * (1 + retry + shadow - retry * shadow)
        times = outlook.prompts_times(group, in_force)
        busy = requests_per_ms * mean_service_ms(outlook.fleet, "llm") * times / gpus
        if busy > BUSY_MAX:
            raise BadInput(
                f"The language model of {'/'.join(group)} is busy {busy:.0%} of the time: queues grow from window to "
                "window, and that cannot be drawn directly. Simulate this scenario without --aggregates."
            )
        return outlook.engine.running(requests_per_ms / gpus)


def _refuse_overlays(in_force: InForce) -> None:
    for kind in (SyntheticVoice, BatchWork):
        for event, _ in in_force.of(kind):
            raise BadInput(
                f"What event {event.what!r} puts on the fleet cannot be drawn directly. Simulate this scenario without --aggregates."
            )


def _binned(turns: TurnClass, stage: str) -> tuple[float, Bins]:
    """The bins of a stage, with the share of turns that have it."""
    name = "turn" if stage == "interrupted" else stage
    threshold = next((indicator.threshold_ms for indicator in INDICATORS if indicator.stage == stage), None)
    share: Distribution = turns.share(name)
    zero = float(np.asarray(share(np.zeros(1)))[0]) if stage == "queue_wait" else 0.0
    happens = turns.stages[name].happens if name in turns.stages else 1.0
    return happens, bins_of(share, SCALE_OF_STAGE[stage], None if threshold is None else float(threshold), zero)
