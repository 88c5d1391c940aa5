"""Frames on their way to Kafka, in order, kept while Kafka is away.

A frame that Kafka may have taken is sent again under the same sequence number: intake knows repeats. What waits is bounded;
beyond the bound the process ends with a sentence, for then nobody is looking.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager

from producers.collector import Frame
from producers.transport import NotDelivered, Transport
from schemas.failures import Foreseen
from schemas.scrape_metrics import ScrapeMetrics

log = logging.getLogger(__name__)

FRAMES_AT_ONCE = 500
FRAMES_MAX = 50_000
"""Most frames that wait: some hours of them. They are small, so memory is bounded by it, too."""
AGAIN_S = 2.0

Connect = Callable[[], AbstractAsyncContextManager[Transport]]


class Overflowing(Foreseen):
    """Kafka has been away for longer than frames can be kept."""


class Sending:
    """Sends what is put in, in the background, until it is stopped."""

    def __init__(
        self, connect: Connect, metrics: ScrapeMetrics, frames_max: int = FRAMES_MAX, again_s: float = AGAIN_S
    ):
        self._connect, self._metrics = connect, metrics
        self._frames_max, self._again_s = frames_max, again_s
        self._waiting: deque[Frame] = deque()
        self._news = asyncio.Event()
        self._is_ending = False

    def put(self, frames: Iterable[Frame]) -> None:
        """Takes frames on. Raises `Overflowing` where too many wait already."""
        self._waiting.extend(frames)
        self._metrics.waiting_frames.set(len(self._waiting))
        self._news.set()
        if len(self._waiting) > self._frames_max:
            raise Overflowing(
                f"More than {self._frames_max:,} frames wait for Kafka, which takes none: bring it back, then start again."
            )

    def end(self) -> None:
        """Ends `run` once what waits is sent, or could not be sent once more."""
        self._is_ending = True
        self._news.set()

    async def run(self) -> None:
        """Sends until the end. An outage is told once, and again when it is over."""
        is_away = False
        while True:
            try:
                async with self._connect() as transport:
                    if is_away:
                        log.info("kafka_is_back waiting=%d", len(self._waiting))
                    is_away = False
                    await self._send_all(transport)
                return
            except NotDelivered as error:
                if self._is_ending:
                    raise
                if not is_away:
                    log.warning("kafka_is_away: %s", error)
                is_away = True
                await asyncio.sleep(self._again_s)

    async def _send_all(self, transport: Transport) -> None:
        while self._waiting or not self._is_ending:
            self._news.clear()
            some = [self._waiting[place] for place in range(min(FRAMES_AT_ONCE, len(self._waiting)))]
            if some:
                await transport.send(some)
                self._forget(some)
            elif not self._is_ending:
                await self._news.wait()

    def _forget(self, sent: list[Frame]) -> None:
        for frame in sent:
            self._waiting.popleft()
            self._metrics.frames_sent.labels(family=frame.header.family.name).inc()
        self._metrics.waiting_frames.set(len(self._waiting))
