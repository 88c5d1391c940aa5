"""NDJSON observations into a collector, and its frames to Kafka: for those who have a file, or a pipe, and no Arrow.

Event time comes out of the lines: windows end two minutes of it behind the newest observation, so lines may be that much out
of order, and what comes later still makes frames of its own. With `is_live` windows end by the clock instead, for a pipe
that never does. A file that is read twice is counted twice: each run is another incarnation of the producer.

What is refused, a line or a private field of one that goes on without it, stands in family `privacy` at the time that its own
line says. Where it says none, or one that intake would not take, it is told as of now: in a pipe at once, of a file at its end.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field

import polars as pl

from producers.aggregated import ROW_KINDS, kind_of
from producers.collector import NEVER_MS, WINDOW_MS, Collector, Frame
from producers.drive import Clock
from producers.kinds import KINDS
from producers.line_progress import Progress
from producers.line_tidings import RefusedWhere, Tidings
from producers.observation_lines import Demand, ObservationLines
from producers.tally import reported_as
from producers.transport import Transport
from schemas.families import FAMILIES, PRIVACY, UNKNOWN
from schemas.instants import HOUR_MS, MINUTE_MS, WEEK_MS
from schemas.refusals import Refusal

DISORDER_MS = 120_000
LIVE_GRACE_MS = 2_000
AGE_MS_MAX = WEEK_MS - HOUR_MS
"""An hour less than intake takes frames: there is time to send them."""
AHEAD_MS_MAX = 10_000
PRIVACY_ROWS = kind_of(PRIVACY)
PLACES_MAX = 200_000
"""So many windows, reasons, kinds and pools of refusals wait to be told; what is refused in others is told as of now."""
WIDEST_MS = max(partition.k_window_s for family in FAMILIES.values() for partition in family.partitions) * 1_000


@dataclass(slots=True)
class Ingested:
    """What became of the lines, and of what they said. `frames` are those that Kafka has, `in_doubt` how many it was sent since: it may
    have some of them."""

    tidings: Tidings
    progress: Progress
    frames: Counter[str] = field(default_factory=Counter)
    in_doubt: int = 0
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
        self._refused: Counter[RefusedWhere] = Counter()
        """What family `privacy` was not told of yet, each once however many chunks had it; without a window where that is now."""
        self._dropped: Counter[str] = Counter()
        """By kind: what no heartbeat was told of yet."""
        self._told_ms = 0
        """The end of the windows that frames were made of."""
        self.ingested = Ingested(lines.tidings, lines.progress)

    def take(self, lines: list[bytes]) -> Iterator[Frame]:
        """Observes the next lines; yields the frames of windows that are over with them."""
        tables = list(self._lines.read(lines))
        newest = [rows.select(pl.col(KINDS[kind].time).max()).item() for kind, rows in tables if len(rows)]
        self._newest_ms = max([self._newest_ms, *newest])
        self._heed_refused()
        if self._collector is None and not self._is_live and not any(len(rows) for _, rows in tables):
            return  # Nobody knows yet when event time begins.
        collector = self._begun(tables)
        for kind, rows in tables:
            collector.observe(kind, rows)
        watermark_ms = self._watermark_ms()
        self._tell_refused(collector, watermark_ms)
        yield from self._closed(collector, watermark_ms)

    async def finish(self, is_hurried: bool = False) -> AsyncIterator[Frame]:
        """Yields the frames of all that is left, to the end of its minute, which is waited for if it is not over.

        Longer windows are told where they are over by the clock, and otherwise not: intake takes none from the future. In a
        hurry nothing is waited for: then windows of ten seconds are told. What is not told is in `unfinished`.
        """
        if not self._newest_ms and self._refused:  # All that came was refused.
            self._newest_ms = max(self._refused_ms, default=self._clock.now_ms())
            self._begun([])
        if self._collector is None:
            return
        self._tell_refused(self._collector, NEVER_MS)
        # Late lines, and refused ones, wait for a heartbeat of now.
        if self._is_live and self._collector.has_open_windows:
            self._newest_ms = max(self._newest_ms, self._collector.open_ms)
        width_ms = WINDOW_MS if is_hurried else MINUTE_MS
        end_ms = -(-(self._newest_ms + 1) // width_ms) * width_ms
        if not is_hurried:
            await self._clock.sleep_until(end_ms)
        widest_ms = -(-(self._newest_ms + 1) // WIDEST_MS) * WIDEST_MS
        for frame in self._closed(self._collector, widest_ms if widest_ms <= self._clock.now_ms() else end_ms):
            yield frame
        self._tell_refused(self._collector, NEVER_MS, is_now=True)
        for frame in self._collector.tell_rows(PRIVACY_ROWS):
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
        """The collector, whose event time begins with the oldest of the first lines, be it refused."""
        if self._collector is None:
            times = [rows.select(pl.col(KINDS[kind].time).min()).item() for kind, rows in tables if len(rows)]
            now_ms = self._clock.now_ms()
            begins_ms = now_ms if self._is_live else min([*times, *self._refused_ms], default=now_ms)
            self._collector = Collector(
                self._producer, self._region, incarnation=now_ms, opens_at_ms=begins_ms, skips_silence=not self._is_live
            )
        return self._collector

    @property
    def _refused_ms(self) -> list[int]:
        """When what waits to be told was refused, as far as that is known."""
        return [where.window_start_ms for where in self._refused if where.window_start_ms is not None]

    def _heed_refused(self) -> None:
        """Takes in which lines and fields were refused since. A line is one of its kind that was dropped, a field is none."""
        refused, withheld = self.ingested.tidings.refused_news()
        for where, count in refused.items():
            self._dropped[where.kind] += count
        now_ms = self._clock.now_ms()
        else_ms = now_ms // WINDOW_MS * WINDOW_MS if self._is_live else None
        for where, count in (refused + withheld).items():
            # A time that intake would refuse a frame for is none.
            at_ms = where.window_start_ms
            is_timely = at_ms is not None and now_ms - AGE_MS_MAX <= at_ms <= now_ms + AHEAD_MS_MAX
            is_told_there = is_timely and (where in self._refused or len(self._refused) < PLACES_MAX)
            self._refused[where if is_told_there else where._replace(window_start_ms=else_ms)] += count

    def _tell_refused(self, collector: Collector, watermark_ms: int, is_now: bool = False) -> None:
        """What was refused in windows that are over is told, and with `is_now` what has none as well; the next heartbeat says
        that all of it was dropped, but what said no kind."""
        for kind, count in self._dropped.items():
            if kind != UNKNOWN:
                collector.note_dropped(kind, count)
        self._dropped.clear()
        told = {where: count for where, count in self._refused.items() if _is_over(where, watermark_ms, is_now)}
        for where in told:
            del self._refused[where]
        if told:
            collector.observe(PRIVACY_ROWS, self._refused_rows(told))

    def _refused_rows(self, told: Mapping[RefusedWhere, int]) -> pl.DataFrame:
        now_ms = self._clock.now_ms()
        rows = [
            (
                now_ms if where.window_start_ms is None else where.window_start_ms,
                *(self._region, where.pool, reported_as(where.kind), "refused", where.reason.value, count),
            )
            for where, count in told.items()
        ]
        return pl.DataFrame(rows, schema=ROW_KINDS[PRIVACY_ROWS], orient="row")

    def _watermark_ms(self) -> int:
        now_ms = self._clock.now_ms()
        return now_ms - LIVE_GRACE_MS if self._is_live else min(now_ms, self._newest_ms - DISORDER_MS)

    def _closed(self, collector: Collector, watermark_ms: int) -> Iterator[Frame]:
        yield from collector.close(watermark_ms)
        self._told_ms = watermark_ms

    async def send(self, frames: list[Frame], transport: Transport) -> None:
        """Sends the frames of the lines so far, and takes in that Kafka has them."""
        self.ingested.in_doubt = len(frames)
        await transport.send(frames)
        self.ingested.in_doubt = 0
        self.ingested.frames.update(frame.header.family.name for frame in frames)
        self.ingested.progress.note_acknowledged(self._told_ms)


def _is_over(where: RefusedWhere, watermark_ms: int, is_now: bool) -> bool:
    return is_now if where.window_start_ms is None else where.window_start_ms + WINDOW_MS <= watermark_ms


async def ingest(
    ingestion: Ingestion, chunks: AsyncIterator[list[bytes]], transport: Transport, stop: asyncio.Event | None = None
) -> Ingested:
    """Ingests every chunk of lines; an empty one is a moment that has passed. Kafka has all frames when this returns.

    `stop` says that the chunks ended because somebody wants to be gone.
    """
    async for lines in chunks:
        await ingestion.send(await asyncio.to_thread(_frames, ingestion, lines), transport)
    is_hurried = stop is not None and stop.is_set()
    await ingestion.send([frame async for frame in ingestion.finish(is_hurried)], transport)
    return ingestion.ingested


def _frames(ingestion: Ingestion, lines: list[bytes]) -> list[Frame]:
    return list(ingestion.take(lines))
