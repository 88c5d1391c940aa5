"""What is drawn for the turns of a group of servers in a window: tables that are made once for each load.

Load is told in steps of 3 %: windows at the same step share their tables. Turns of a group differ by the events that reach
them, and in the network's time by their connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from producers.fleet.bins import Bins, bins_of
from producers.fleet.caller_classes import CallerClass, caller_classes, is_narrowed
from producers.fleet.cells import Cell
from producers.fleet.effects import Attempts, BatchWork, Prompts, Stale, SyntheticVoice
from producers.fleet.effects import Servers as MoreServers
from producers.fleet.expected import has
from producers.fleet.fleet_file import Fleet
from producers.fleet.outlook import Outlook, TurnClass
from producers.fleet.pool_servers import Group, Servers, mean_service_ms, planned_servers
from producers.fleet.scenario_file import Event
from producers.fleet.timeline import STEP_MS, InForce, is_there
from producers.fleet.turns import prompt_tokens
from producers.fleet.waits import waits_of
from schemas.arrays import Floats
from schemas.failures import BadInput
from schemas.families import INDICATORS, SCALE_OF_STAGE

Counts = NDArray[np.int64]

LEVEL = 1.03
BUSY_MAX = 0.85
"""Beyond it queues grow from step to step, and no window is like a steady one."""
PROMPT_BINS = 100
BY_CONNECTION = ("network", "heard", "turn", "interrupted")


@dataclass(frozen=True, slots=True)
class Drawable:
    """Turns that the same events reach, ready to be drawn from.

    `stages`: the share of turns that have each stage, and its bins; of `BY_CONNECTION` one for each connection.
    """

    fleet: Fleet
    stages: dict[str, tuple[float, tuple[Bins, ...]]]
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


@dataclass(frozen=True, slots=True)
class GroupWindow:
    """A group's turns in one window: those of each drawable by place of their cell and by connection, and their waits."""

    parts: list[tuple[Drawable, NDArray[np.intp], Counts]]
    waits_ms: Floats
    """A sample in the order of arrival, from a run under the same load."""


@dataclass
class Classes:
    """Tables by group, load and events, each made when it is first asked for."""

    outlook: Outlook
    tables: dict[tuple[Group, int, tuple[str, ...]], Drawable] = field(default_factory=dict)
    waits: dict[tuple[Group, int, tuple[str, ...]], Floats] = field(default_factory=dict)

    @cached_property
    def callers(self) -> tuple[CallerClass, ...]:
        return caller_classes(self.outlook.scenario, self.outlook.crowd)

    @cached_property
    def servers(self) -> dict[Group, Servers]:
        return planned_servers(self.outlook.scenario)

    def groups(self, cells: tuple[Cell, ...], turns: Counts, begin_ms: int) -> Iterator[GroupWindow]:
        """Every group that has turns in the window; `turns` by cell and class of callers. Raises BadInput."""
        in_force = self.outlook.in_force(begin_ms)
        refuse_overlays(in_force.events)
        places: dict[Group, list[int]] = {}
        for place, cell in enumerate(cells):
            places.setdefault(cell.group, []).append(place)
        for group, mine in places.items():
            load = int(turns[mine].sum())
            if load:
                level = round(np.log(load) / np.log(LEVEL))
                parts = list(self._parts(group, level, cells, mine, turns, in_force))
                yield GroupWindow(parts, self._waits(group, level, in_force))

    def _parts(
        self, group: Group, level: int, cells: tuple[Cell, ...], places: list[int], turns: Counts, in_force: InForce
    ) -> Iterator[tuple[Drawable, NDArray[np.intp], Counts]]:
        """The turns of each set of events, by place and connection; together these are all of the group's."""
        connections = len(self.outlook.crowd.vocabularies["connection"].names)
        found: dict[tuple[str, ...], tuple[tuple[Event, ...], Counts]] = {}
        for route in sorted({cells[place].route for place in places}):
            at = [number for number, place in enumerate(places) if cells[place].route == route]
            here = [event for event in in_force.events if _reaches(event, group, route)]
            for number, callers in enumerate(self.callers):
                matched = tuple(event for event in here if not is_narrowed(event) or event in callers.events)
                none = np.zeros((len(places), connections), dtype=np.int64)
                _, counts = found.setdefault(tuple(event.what for event in matched), (matched, none))
                counts[at, callers.connection] += turns[[places[each] for each in at], number]
        for matched, counts in found.values():
            if counts.any():
                yield self._table(group, level, matched, in_force), np.array(places), counts

    def _table(self, group: Group, level: int, matched: tuple[Event, ...], in_force: InForce) -> Drawable:
        key = (group, level, (*_load_events(in_force), "/", *(event.what for event in matched)))
        if key not in self.tables:
            self.tables[key] = self._made(group, level, matched, in_force)
        return self.tables[key]

    def _waits(self, group: Group, level: int, in_force: InForce) -> Floats:
        key, outlook = (group, level, _load_events(in_force)), self.outlook
        if key not in self.waits:
            self.waits[key] = waits_of(outlook.scenario, outlook.crowd, group, in_force, _turns_per_s(level))
        return self.waits[key]

    def _made(self, group: Group, level: int, matched: tuple[Event, ...], in_force: InForce) -> Drawable:
        outlook, fleet = self.outlook, self.outlook.fleet
        running = self._running(group, _turns_per_s(level), in_force)
        sorted_ms = np.sort(self._waits(group, level, in_force))
        turns = outlook.turn_class(group, running, sorted_ms, matched)
        each_connection = np.eye(len(outlook.crowd.vocabularies["connection"].names))
        classes = [outlook.on_connection(turns, row, matched) if turns.has_audio else turns for row in each_connection]
        stale = [event.does.share for event in matched if isinstance(event.does, Stale)]
        prompts = float(np.prod([event.does.times for event in matched if isinstance(event.does, Prompts)]))
        return Drawable(
            fleet,
            {stage: _binned(classes, stage) for stage in SCALE_OF_STAGE if _is_drawn(classes[0], stage)},
            classes[0].has_audio,
            fleet.interrupted_share if classes[0].has_audio else 0.0,
            max([fleet.stale_share, *stale]),
            prompt_tokens(np.linspace(0, 1, PROMPT_BINS + 1)) * prompts,
        )

    def _running(self, group: Group, turns_per_s: float, in_force: InForce) -> float:
        """The batch at that load. Raises BadInput where the servers cannot keep up with it."""
        outlook = self.outlook
        retry, shadow = outlook.attempts(group, in_force)
        gpus = max(1, round(self.servers[group].planned["llm"] * in_force.servers_times("llm", *group)))
        requests_per_ms = turns_per_s / 1_000 * (1 + retry + shadow - retry * shadow)
        service_ms = mean_service_ms(outlook.fleet, "llm") * outlook.prompts_times(group, in_force)
        busy = requests_per_ms * service_ms / gpus
        if busy > BUSY_MAX:
            raise BadInput(
                f"The language model of {'/'.join(group)} is busy {busy:.0%} of the time: queues grow from window to "
                "window, and that cannot be drawn directly. Simulate this scenario without --aggregates."
            )
        return outlook.engine.running(requests_per_ms / gpus)


def _turns_per_s(level: int) -> float:
    return float(LEVEL**level) / (STEP_MS / 1_000)


def _load_events(in_force: InForce) -> tuple[str, ...]:
    """The events that change how long servers are busy."""
    return tuple(event.what for event in in_force.events if isinstance(event.does, Attempts | Prompts | MoreServers))


def _reaches(event: Event, group: Group, route: str) -> bool:
    region, pool, bundle = group
    return is_there(event, region=region, pool=pool, bundle=bundle, route=route)


def refuse_overlays(events: Iterable[Event]) -> None:
    """Raises BadInput where one of the events puts calls or work on the fleet besides the usual ones."""
    for event in events:
        if isinstance(event.does, SyntheticVoice | BatchWork):
            raise BadInput(
                f"What event {event.what!r} puts on the fleet cannot be drawn directly. Simulate this scenario without "
                "--aggregates."
            )


def _is_drawn(turns: TurnClass, stage: str) -> bool:
    """Whether the stage has bins; waits are not binned, they are drawn as they followed each other."""
    return stage != "queue_wait" and has(turns, "turn" if stage == "interrupted" else stage)


def _binned(classes: list[TurnClass], stage: str) -> tuple[float, tuple[Bins, ...]]:
    """The share of turns that have the stage, and its bins, by connection where that matters."""
    name = "turn" if stage == "interrupted" else stage
    threshold = next((indicator.threshold_ms for indicator in INDICATORS if indicator.stage == stage), None)
    at_ms = None if threshold is None else float(threshold)
    of = classes if stage in BY_CONNECTION else classes[:1]
    happens = classes[0].stages[name].happens if name in classes[0].stages else 1.0
    return happens, tuple(bins_of(each.share(name), SCALE_OF_STAGE[stage], at_ms) for each in of)
