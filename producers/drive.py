"""Driving observations through collectors and out, in event time that may run faster than the clock on the wall.

At speed N, event time runs N times as fast as wall time and reaches the present at the end: a run of `duration_ms`
starts `duration_ms` before the wall clock's end of it. So no frame is ever from the future, and none is older than the
run is long.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from producers.collector import Collector, Frame
from producers.simulator import ALIGNMENT_MS, Chunk
from producers.transport import Transport
from schemas.failures import BadInput


class Clock(Protocol):
    """The time on the wall, given and not read from under the code."""

    def now_ms(self) -> int: ...

    async def sleep_until(self, at_ms: int) -> None: ...


class WallClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep_until(self, at_ms: int) -> None:
        # Sleeping is shortened by what has passed, so that work between two windows does not slow event time.
        await asyncio.sleep(max(0, at_ms - self.now_ms()) / 1_000)


@dataclass(slots=True)
class Progress:
    """What has been sent so far. `event_ms` is the end of the newest window that is out."""

    event_ms: int = 0
    turns: int = 0
    rows: int = 0
    bytes: int = 0
    frames: Counter[str] = field(default_factory=Counter)
    """By family."""
    held_turns: int = 0
    unfinished: Counter[str] = field(default_factory=Counter)
    """By family: observations in windows that are not over at the end, which were not sent."""

    def add(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            self.frames[frame.header.family.name] += 1
            self.rows += frame.rows
            self.bytes += len(frame.payload)


OnProgress = Callable[[Progress], None]


def start_ms_of(now_ms: int, duration_ms: int, speed: float) -> int:
    """When in event time a run of `duration_ms` has to start to end at the present, at a whole minute.

    >>> start_ms_of(now_ms=3_600_000, duration_ms=600_000, speed=1.0)
    3600000
    >>> start_ms_of(now_ms=3_600_000, duration_ms=600_000, speed=10.0)
    3060000
    """
    if not speed > 0:
        raise BadInput(f"The speed has to be above 0; {speed:g} is not.")
    start_ms = int(now_ms + duration_ms / speed - duration_ms)
    return start_ms // ALIGNMENT_MS * ALIGNMENT_MS


async def drive(
    chunks: Iterable[Chunk],
    collectors: Mapping[str, Collector],
    transport: Transport,
    clock: Clock,
    speed: float,
    on_progress: OnProgress = lambda progress: None,
) -> Progress:
    """Sends every chunk's frames when event time, running at `speed`, reaches its end; then what is still open."""
    progress, began_ms, first_ms = Progress(), clock.now_ms(), None
    silent: frozenset[str] = frozenset()
    for chunk in chunks:
        silent = chunk.silent
        first_ms = chunk.start_ms if first_ms is None else first_ms
        frames = await asyncio.to_thread(_collected, chunk, collectors)
        await clock.sleep_until(began_ms + int((chunk.end_ms - first_ms) / speed))
        await _out(frames, transport, progress, on_progress, chunk.end_ms, sum(map(len, chunk.turns.values())))
    alive = [collector for name, collector in collectors.items() if name not in silent]
    rest = [frame for collector in alive for frame in collector.flush(progress.event_ms)]
    progress.unfinished = sum((Counter(collector.unfinished) for collector in collectors.values()), Counter())
    progress.held_turns = sum(collector.held_turns for collector in collectors.values())
    await _out(rest, transport, progress, on_progress, progress.event_ms, 0)
    return progress


def _collected(chunk: Chunk, collectors: Mapping[str, Collector]) -> list[Frame]:
    """Frames of every window that the chunk completes. A collector without observations still has its heartbeat, unless
    it is dead.
    """
    frames: list[Frame] = []
    for producer, collector in collectors.items():
        if producer in chunk.silent:
            continue
        for kind, by_producer in chunk.kinds.items():
            if producer in by_producer:
                collector.observe(kind, by_producer[producer])
        frames.extend(collector.close(chunk.end_ms))
    return frames


async def _out(
    frames: list[Frame], transport: Transport, progress: Progress, on_progress: OnProgress, event_ms: int, turns: int
) -> None:
    await transport.send(frames)
    progress.add(frames)
    progress.event_ms, progress.turns = event_ms, progress.turns + turns
    on_progress(progress)
