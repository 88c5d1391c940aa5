"""What of a scenario's events is in force in a step, and for which calls. Events begin and end with steps of 10 s."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from producers.fleet.crowd import Crowd
from producers.fleet.effects import (
    Attempts,
    BatchWork,
    Calls,
    Prompts,
    Servers,
    SlowStage,
    SlowTail,
    Stale,
    SyntheticVoice,
    WordErrors,
)
from producers.fleet.scenario_file import Event, ScenarioFile
from schemas.arrays import Flags, Floats
from schemas.instants import MINUTE_MS

STEP_MS = 10_000

Effect_ = TypeVar(
    "Effect_", Attempts, BatchWork, Calls, Prompts, Servers, SlowStage, SlowTail, Stale, SyntheticVoice, WordErrors
)


def span_ms(event: Event, start_ms: int, end_ms: int) -> tuple[int, int]:
    """When an event is in force, in event time: from its first step to the end of its last, within the run."""
    until_ms = end_ms if event.to_min is None else start_ms + step_of(event.to_min)
    return min(start_ms + step_of(event.from_min), end_ms), min(until_ms, end_ms)


def step_of(minute: float) -> int:
    """The beginning of the step that minute falls in, in ms since the start.

    >>> step_of(0.25)
    10000
    """
    return int(minute * MINUTE_MS) // STEP_MS * STEP_MS


@dataclass(frozen=True, slots=True)
class InForce:
    """The events of one step."""

    events: tuple[Event, ...]
    crowd: Crowd

    @classmethod
    def at(cls, scenario: ScenarioFile, crowd: Crowd, since_start_ms: int) -> InForce:
        horizon_ms = 2**62
        spans = ((event, span_ms(event, 0, horizon_ms)) for event in scenario.events)
        return cls(tuple(event for event, (begin, end) in spans if begin <= since_start_ms < end), crowd)

    def of(self, kind: type[Effect_]) -> Iterator[tuple[Event, Effect_]]:
        """The events with that effect."""
        for event in self.events:
            if isinstance(event.does, kind):
                yield event, event.does

    def mask(self, event: Event, calls: NDArray[np.void]) -> Flags:
        """Which of the calls the event's slice has."""
        inside = np.ones(len(calls), dtype=bool)
        for name, table in self.crowd.matches(event.where).items():
            inside &= table[calls[name]]
        return inside

    def calls_times(self, region: str, pool: str) -> float:
        """How many times as many new calls there are."""
        times = 1.0
        for event, effect in self.of(Calls):
            times *= effect.times if is_there(event, region=region, pool=pool) else 1.0
        return times

    def servers_times(self, station: str, region: str, pool: str, bundle: str) -> float:
        """How many times as many GPUs a station has."""
        times = 1.0
        for event, effect in self.of(Servers):
            is_meant = effect.station == station and is_there(event, region=region, pool=pool, bundle=bundle)
            times *= effect.times if is_meant else 1.0
        return times

    def times(self, calls: NDArray[np.void], stage: str) -> Floats | None:
        """By call, how many times as long the stage takes; None where as long as ever."""
        found: Floats | None = None
        for event, effect in self.of(SlowStage):
            if effect.stage == stage:
                found = (1.0 if found is None else found) * np.where(self.mask(event, calls), effect.times, 1.0)
        return found

    def prompts_times(self, calls: NDArray[np.void]) -> Floats | None:
        """By call, how many times as long its prompts are; None where as long as ever."""
        found: Floats | None = None
        for event, effect in self.of(Prompts):
            found = (1.0 if found is None else found) * np.where(self.mask(event, calls), effect.times, 1.0)
        return found

    def stale_share(self, calls: NDArray[np.void], usual: float) -> Floats:
        """By call, the share of its retrievals that are stale: the largest that is said."""
        found = np.full(len(calls), usual)
        for event, effect in self.of(Stale):
            found = np.where(self.mask(event, calls), np.maximum(found, effect.share), found)
        return found

    def attempts_share(self, calls: NDArray[np.void], of: str, usual: float) -> Floats:
        """By call, the share of its turns with a further attempt of that kind: what is said last."""
        found = np.full(len(calls), usual)
        for event, effect in self.of(Attempts):
            if effect.of == of:
                found = np.where(self.mask(event, calls), effect.share, found)
        return found

    def word_errors_times(self, calls: NDArray[np.void]) -> Floats:
        """By call, how many times as many word errors there are."""
        found = np.ones(len(calls))
        for event, effect in self.of(WordErrors):
            found *= np.where(self.mask(event, calls), effect.times, 1.0)
        return found

    @property
    def silent_regions(self) -> set[str]:
        """Regions from which nothing comes, heartbeats included."""
        regions = self.crowd.vocabularies["region"].names
        dead = [event for event, effect in self.of(Calls) if effect.times == 0 and "pool" not in event.where]
        return {region for region in regions for event in dead if is_there(event, region=region)}


def is_there(event: Event, **at: str) -> bool:
    """Whether the event's slice reaches what has these values."""
    return all(name not in event.where or value in event.where[name] for name, value in at.items())
