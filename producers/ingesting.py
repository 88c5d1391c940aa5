"""NDJSON observations into a collector, and its frames to Kafka: for those who have a file, or a pipe, and no Arrow.

Event time comes out of the lines: windows end two minutes of it behind the newest observation, so lines may be that much out
of order, and what comes later still makes frames of its own. With `is_live` windows end by the clock instead, for a pipe
that never does. A file that is read twice is counted twice: each run is another incarnation of the producer.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field

import polars as pl

from producers.collector import WINDOW_MS, Collector, Frame
from producers.drive import Clock
from producers.kinds import KINDS
from producers.observation_lines import Demand, ObservationLines, Tidings
from producers.transport import Transport
from schemas.dimensions import DIMENSIONS
from schemas.families import FAMILIES, UNKNOWN
from schemas.instants import HOUR_MS, MINUTE_MS, WEEK_MS
from schemas.refusals import Refusal, Refused

DISORDER_MS = 120_000
LIVE_GRACE_MS = 2_000
AGE_MS_MAX = WEEK_MS - HOUR_MS
"""An hour less than intake takes frames: there is time to send them."""
AHEAD_MS_MAX = 10_000
WIDEST_MS = max(partition.k_window_s for family in FAMILIES.values() for partition in family.partitions) * 1_000


@dataclass(slots=True)
class Ingested:
    """What became of the lines, and of what they said."""

    tidings: Tidings
    frames: Counter[str] = field(default_factory=Counter)
    held_turns: int = 0
    unfinished: Mapping[str, int] = field(default_factory=dict)
    """By family: observations in windows that are not over, which were not sent."""


class Ingestion:
    """Lines in, frames out, by event time or by the clock."""

    def __init__(self, producer: str, region: str, lines: ObservationLines, clock: Clock, is_live: bool) -> None:
        self._producer, self._region, self._clock, self._is_live = producer, region, clock, is_live
        self._lines = lines
        lines.demands = self._timely()
        self._collector: Collector | None = None
        self._newest_ms = 0
        self._noted: Counter[tuple[str, Refusal]] = Counter()
        self.ingested = Ingested(lines.tidings)

    def take(self, lines: list[bytes]) -> Iterator[Frame]:
        """Observes the next lines; yields the frames of windows that are over with them."""
        tables = list(self._lines.read(lines))
        newest = [rows.select(pl.col(KINDS[kind].time).max()).item() for kind, rows in tables if len(rows)]
        self._newest_ms = max([self._newest_ms, *newest])
        if self._collector is None and not self._is_live and not any(len(rows) for _, rows in tables):
            return  # Nobody knows yet when event time begins.
        collector = self._begun(tables)
        for kind, rows in tables:
            collector.observe(kind, rows)
        self._note_refused(collector)
        yield from self._counted(collector.close(self._watermark_ms()))

    async def finish(self, is_hurried: bool = False) -> AsyncIterator[Frame]:
        """Yields the frames of all that is left, to the end of its minute, which is waited for if it is not over.

        Longer windows are told where they are over by the clock, and otherwise not: intake takes none from the future. In a
        hurry nothing is waited for: then windows of ten seconds are told. What is not told is in `unfinished`.
        """
        if not self._newest_ms and self.ingested.tidings.refused_of:  # All that came was refused: that happens now.
            self._newest_ms = self._clock.now_ms()
            self._note_refused(self._begun([]))
        if self._collector is None:
            return
        width_ms = WINDOW_MS if is_hurried else MINUTE_MS
        end_ms = -(-(self._newest_ms + 1) // width_ms) * width_ms
        if not is_hurried:
            await self._clock.sleep_until(end_ms)
        widest_ms = -(-(self._newest_ms + 1) // WIDEST_MS) * WIDEST_MS
        for frame in self._counted(self._collector.close(widest_ms if widest_ms <= self._clock.now_ms() else end_ms)):
            yield frame
        self.ingested.unfinished = self._collector.unfinished
        self.ingested.held_turns = self._collector.held_turns

    def _timely(self) -> tuple[Demand, Demand]:
        """That observations are neither what intake would take for too old, nor from the future: it refuses whole frames for that."""
        return (
            Demand(
                lambda kind: pl.col(KINDS[kind].time) >= self._clock.now_ms() - AGE_MS_MAX,
                Refusal.INCONSISTENT,
                f"its time is more than {AGE_MS_MAX // HOUR_MS} hours ago, and intake takes nothing as old",
            ),
            Demand(
                lambda kind: pl.col(KINDS[kind].time) <= self._clock.now_ms() + AHEAD_MS_MAX,
                Refusal.INCONSISTENT,
                f"its time is more than {AHEAD_MS_MAX // 1_000} s from now",
            ),
        )

    def _begun(self, tables: list[tuple[str, pl.DataFrame]]) -> Collector:
        """The collector, whose event time begins with the oldest observation of the first lines."""
        if self._collector is None:
            times = [rows.select(pl.col(KINDS[kind].time).min()).item() for kind, rows in tables if len(rows)]
            now_ms = self._clock.now_ms()
            begins_ms = now_ms if self._is_live or not times else min(times)
            self._collector = Collector(
                self._producer, self._region, incarnation=now_ms, opens_at_ms=begins_ms, skips_silence=not self._is_live
            )
        return self._collector

    def _note_refused(self, collector: Collector) -> None:
        """Under the first pool: what was refused is not read again for its own. What said no kind is in no heartbeat."""
        news = self.ingested.tidings.refused_of - self._noted
        self._noted = self.ingested.tidings.refused_of.copy()
        for (kind, reason), count in news.items():
            collector.note_refused(kind, DIMENSIONS["pool"].vocabulary[0], Refused(((reason, count),)))
            if kind != UNKNOWN:
                collector.note_dropped(kind, count)

    def _watermark_ms(self) -> int:
        now_ms = self._clock.now_ms()
        return now_ms - LIVE_GRACE_MS if self._is_live else min(now_ms, self._newest_ms - DISORDER_MS)

    def _counted(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        for frame in frames:
            self.ingested.frames[frame.header.family.name] += 1
            yield frame


async def ingest(
    ingestion: Ingestion, chunks: AsyncIterator[list[bytes]], transport: Transport, stop: asyncio.Event | None = None
) -> Ingested:
    """Ingests every chunk of lines; an empty one is a moment that has passed. Kafka has all frames when this returns.

    `stop` says that the chunks ended because somebody wants to be gone.
    """
    async for lines in chunks:
        await transport.send(await asyncio.to_thread(_frames, ingestion, lines))
    is_hurried = stop is not None and stop.is_set()
    await transport.send([frame async for frame in ingestion.finish(is_hurried)])
    return ingestion.ingested


def _frames(ingestion: Ingestion, lines: list[bytes]) -> list[Frame]:
    return list(ingestion.take(lines))
