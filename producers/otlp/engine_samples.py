"""Samples of engines: what one engine says of one queue at one moment, put together from points that say a part of it each.

**A gauge that is no number is not 0.** A sample of which a gauge came as NaN, below zero or without a value would say 0 of it, so
nothing is told of that queue then, as if the engine had been away; what its counters counted is told with the next sample of
which all is known. Of a cache whose use is not known nothing is told. A gauge that never comes counts as 0.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from producers.queues import GAUGES
from schemas.families import QUEUES

Cell = tuple[str, ...]
"""Values of the dimensions of a family's partition, in order."""

TOGETHER_MS = 100
"""Some SDKs look at the clock anew for each metric of a collection: what is as near is one sample, at its last time."""
WAITING_MAX = 10_000
"""Queues of engines whose counters wait for a sample of which all is known."""
_CACHE = frozenset(
    name
    for measure in QUEUES.measures
    if measure.merge == "gauge" and measure.part_of
    for name in (measure.name, measure.part_of)
)
"""Gauges of which one is a part of the other: without either of them both are left out, which says that there is no cache."""


class Engine(NamedTuple):
    """A queue of an engine, which `host` tells apart."""

    host: str
    cell: Cell
    queue: str


class Sample(NamedTuple):
    """Which sample of which engine a number belongs to."""

    engine: Engine
    at_ms: int


Waiting = dict[Engine, Counter[str]]
"""What counters counted that no sample could tell yet, the oldest first."""


@dataclass(slots=True)
class EngineSamples:
    """Numbers by sample, and of which gauges there should have been one."""

    _numbers: defaultdict[Sample, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _unknown: defaultdict[Sample, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, sample: Sample, measure: str, value: int) -> None:
        """Adds up what one engine says of one queue at one instant, a gauge's series included."""
        self._numbers[sample][measure] += value

    def miss(self, sample: Sample, gauge: str) -> None:
        """A gauge came without a number."""
        self._unknown[sample].add(gauge)

    def whole(self, waiting: Waiting) -> dict[Sample, dict[str, int]]:
        """The samples of which all is known; `waiting` is told with them, and keeps what others counted."""
        told = {}
        for sample, numbers, unknown in self._joined():
            if unknown & _CACHE:
                numbers = Counter({name: value for name, value in numbers.items() if name not in _CACHE})
            if unknown - _CACHE:
                counted = {name: value for name, value in numbers.items() if name not in GAUGES}
                if counted:
                    waiting.setdefault(sample.engine, Counter()).update(counted)
            elif numbers:
                numbers.update(waiting.pop(sample.engine, Counter()))
                told[sample] = dict(numbers)
        return told

    def _joined(self) -> Iterator[tuple[Sample, Counter[str], set[str]]]:
        """What belongs together, engine by engine and in the order of time."""
        samples = sorted({*self._numbers, *self._unknown})
        for engine, of_engine in groupby(samples, key=lambda sample: sample.engine):
            together: list[Sample] = []
            for sample in of_engine:
                if together and sample.at_ms - together[0].at_ms >= TOGETHER_MS:
                    yield self._one(engine, together)
                    together = []
                together.append(sample)
            yield self._one(engine, together)

    def _one(self, engine: Engine, samples: list[Sample]) -> tuple[Sample, Counter[str], set[str]]:
        numbers: Counter[str] = Counter()
        for sample in samples:
            numbers.update(self._numbers.get(sample, {}))
        unknown = set().union(*(self._unknown.get(sample, set()) for sample in samples))
        return Sample(engine, samples[-1].at_ms), numbers, unknown


def given_up(waiting: Waiting) -> Iterator[Engine]:
    """Forgets what has waited longest, where more waits than may; yields whose it was."""
    while len(waiting) > WAITING_MAX:
        oldest = next(iter(waiting))
        del waiting[oldest]
        yield oldest
