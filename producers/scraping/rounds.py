"""Rounds of scrapes: all targets are asked at once, `timeout_s` before each end of an interval, and what they say is told.

Nothing that one target does keeps another from being told: it has its own connection, its own bounds, and fails alone. A
target that gives nothing in a round is counted by why, and in the heartbeat as an observation of queues that was dropped; so is each
queue of which a gauge is no number.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp
import polars as pl

from producers.collector import Frame
from producers.drive import Clock
from producers.scraping.exposition import Unreadable, read_exposition
from producers.scraping.fetching import Answer, NoAnswer, fetch
from producers.scraping.readings import Reading, TargetState, reading
from producers.scraping.targets import Config, Target
from schemas.refusals import Refusal, Refused
from schemas.scrape_metrics import ScrapeMetrics

log = logging.getLogger(__name__)


class Sink(Protocol):
    """Where observations go: a collector."""

    def observe(self, kind: str, rows: pl.DataFrame) -> object: ...

    def note_dropped(self, kind: str, count: int) -> None: ...

    def note_refused(self, kind: str, pool: str, refused: Refused) -> None: ...

    def close(self, watermark_ms: int) -> Iterator[Frame]: ...


@dataclass(slots=True)
class _Asked:
    """A target, what is known of it, and why it gave nothing last time."""

    target: Target
    state: TargetState = field(default_factory=TargetState)
    absent: str | None = None


class Rounds:
    """Scrapes of all targets, round by round, into one sink. `asking` has to be open while rounds are made."""

    def __init__(
        self, config: Config, sink: Sink, clock: Clock, asking: aiohttp.ClientSession, metrics: ScrapeMetrics
    ) -> None:
        self._config, self._sink, self._clock = config, sink, clock
        self._asking, self._metrics = asking, metrics
        self._asked = [_Asked(target) for target in config.targets]
        self._newest_ms = 0

    async def next_end_ms(self) -> int:
        """Waits until the next round is due; returns the end of its interval."""
        interval_ms, lead_ms = self._config.interval_s * 1_000, round(self._config.timeout_s * 1_000)
        end_ms = ((self._clock.now_ms() + lead_ms) // interval_ms + 1) * interval_ms
        await self._clock.sleep_until(end_ms - lead_ms)
        return end_ms

    async def ask(self) -> None:
        """One round: every target is asked, and what they say is observed at this instant."""
        at_ms = self._clock.now_ms()
        if at_ms <= self._newest_ms:
            self._clock_went_back()
            return
        self._newest_ms = at_ms
        answers = await asyncio.gather(*(self._answer(each, at_ms) for each in self._asked))
        for asked, answer in zip(self._asked, answers, strict=True):
            self._take(asked, answer)
        self._metrics.targets_away.set(sum(each.absent is not None for each in self._asked))

    def closed(self, watermark_ms: int) -> list[Frame]:
        """Frames of the windows that are over."""
        return list(self._sink.close(watermark_ms))

    async def _answer(self, asked: _Asked, at_ms: int) -> Reading | NoAnswer | Unreadable:
        try:
            answer = await fetch(self._asking, asked.target.url)
            return await asyncio.to_thread(self._read, asked, answer, at_ms)
        except (NoAnswer, Unreadable) as error:
            return error

    def _read(self, asked: _Asked, answer: Answer, at_ms: int) -> Reading:
        """Of one target, in a thread: it takes tens of milliseconds, while others are being waited for."""
        target, interval_ms = asked.target, self._config.interval_s * 1_000
        shown = read_exposition(answer.body, answer.content_type, target.kind)
        return reading(target, self._config.region, asked.state, shown, at_ms, interval_ms)

    def _take(self, asked: _Asked, answer: Reading | NoAnswer | Unreadable) -> None:
        if isinstance(answer, Reading):
            for kind, rows in answer.kinds.items():
                self._sink.observe(kind, rows)
            self._count(asked, answer)
            self._came_back(asked)
            return
        why = answer.why if isinstance(answer, NoAnswer) else answer.reason.value
        self._sink.note_dropped("queues", 1)
        self._metrics.scrapes.labels(kind=asked.target.kind, outcome=why).inc()
        if isinstance(answer, Unreadable):
            self._refuse(asked.target, Counter({answer.reason: 1}))
        if asked.absent != why:
            log.warning(
                "target_gives_nothing host=%s kind=%s why=%s: %s", asked.target.host, asked.target.kind, why, answer
            )
        asked.absent = why

    def _count(self, asked: _Asked, said: Reading) -> None:
        kind = asked.target.kind
        self._metrics.scrapes.labels(kind=kind, outcome="taken").inc()
        self._metrics.resets.labels(kind=kind).inc(said.resets)
        self._sink.note_dropped("queues", len(said.unknown))
        self._metrics.gaps.labels(kind=kind).inc(said.spans_gap)
        self._metrics.blunt_histograms.labels(kind=kind).inc(said.blunt)
        for reason, count in said.dropped.items():
            self._metrics.labels_dropped.labels(reason=reason.value).inc(count)
        self._refuse(asked.target, said.refused)
        # As of OTLP's attributes: not of every label that is nobody's secret.
        self._tell(
            asked.target, Counter({why: n for why, n in said.dropped.items() if why is not Refusal.UNKNOWN_FIELD})
        )

    def _refuse(self, target: Target, refused: Counter[Refusal]) -> None:
        """Counts what was refused, and tells family `privacy` of it."""
        for reason, count in refused.items():
            self._metrics.refused.labels(reason=reason.value).inc(count)
        self._tell(target, refused)

    def _tell(self, target: Target, refused: Counter[Refusal]) -> None:
        self._sink.note_refused("queues", target.pool, Refused.of(refused))

    def _came_back(self, asked: _Asked) -> None:
        if asked.absent:
            log.info("target_came_back host=%s kind=%s", asked.target.host, asked.target.kind)
        asked.absent = None

    def _clock_went_back(self) -> None:
        """Until the clock is where it was, nothing is asked: two samples of one instant would contradict each other."""
        for asked in self._asked:
            self._sink.note_dropped("queues", 1)
            self._metrics.scrapes.labels(kind=asked.target.kind, outcome=Refusal.CLOCK_BACKWARDS.value).inc()
            self._refuse(asked.target, Counter({Refusal.CLOCK_BACKWARDS: 1}))
