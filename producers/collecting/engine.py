"""What a collector does besides answering: commits batches in groups, closes windows by its clock, sends frames.

The core has a thread of its own, so that requests are read while a disk or a window is busy. What came while the disk
was busy goes to it together: many batches cost one sync. Kafka that is away is waited for, said once and again when it
is back; the frames wait on disk.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TypeVar

from producers.collecting.admission import Received
from producers.collecting.durable import DurableCollector
from producers.drive import Clock
from producers.observation_batches import Answer
from producers.transport import NotDelivered, Transport
from schemas.metrics import CollectorMetrics

GROUP_BATCHES_MAX = 256
RETRY_S_MIN, RETRY_S_MAX = 0.5, 15.0

log = logging.getLogger("turnwatch.collector")

Result = TypeVar("Result")
Connect = Callable[[], AbstractAsyncContextManager[Transport]]


class Engine:
    """Runs a core. `run` ends when it is told to stop, having closed what is due and sent what Kafka takes in time."""

    def __init__(self, core: DurableCollector, clock: Clock, connect: Connect, metrics: CollectorMetrics) -> None:
        self.core = core
        self.metrics = metrics
        self._clock = clock
        self._connect = connect
        self._thread = ThreadPoolExecutor(1, "collector")
        self._pending: list[tuple[Received, asyncio.Future[Answer]]] = []
        self._has_pending = asyncio.Event()
        self._has_unsent = asyncio.Event()

    def now_ms(self) -> int:
        return self._clock.now_ms()

    async def take(self, received: Received) -> Answer:
        """The answer to a batch, once it is on disk."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._pending.append((received, future))
        self._has_pending.set()
        return await future

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop`; whatever fails for another reason than Kafka ends it."""
        tasks = [
            asyncio.create_task(each) for each in (stop.wait(), self._committing(), self._closing(), self._sending())
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            self._turn_away(self._pending)
        for failure in ended:
            if isinstance(failure, Exception):
                raise failure

    async def finish(self, within_s: float) -> None:
        """Closes what is due by now, and sends what Kafka takes in this time; the rest is on disk."""
        await self._close()
        try:
            async with asyncio.timeout(within_s):
                await self.send_the_rest()
        except (TimeoutError, NotDelivered) as error:
            left = sum(self.core.store.unsent.values())
            log.warning(
                "frames_left: %d bytes of frames wait on disk for the next start (%s)", left, error or "no time"
            )

    async def send_the_rest(self) -> None:
        """Sends what waits, or raises `NotDelivered`."""
        async with self._connect() as transport:
            await self._send_all(transport)

    async def close_everything(self) -> None:
        """Waits until every window is over that has an observation, and closes it."""
        while self.core.collector.has_open_windows:
            if not await self._close():
                await self._clock.sleep_until(self.core.next_close_ms)

    async def _committing(self) -> None:
        while True:
            await self._has_pending.wait()
            group, self._pending = self._pending[:GROUP_BATCHES_MAX], self._pending[GROUP_BATCHES_MAX:]
            if not self._pending:
                self._has_pending.clear()
            try:
                answers = await self._in_core(partial(self.core.take, [received for received, _ in group]))
            except BaseException:
                self._turn_away(group)
                raise
            for (received, future), answer in zip(group, answers, strict=True):
                self._count(received, answer)
                if not future.done():
                    future.set_result(answer)

    async def _closing(self) -> None:
        while True:
            self._show()
            if await self._close():
                continue
            # A clock that was set back is looked at again soon: it may be set forward, too.
            await self._clock.sleep_until(min(self.core.next_close_ms, self.now_ms() + 1_000))

    async def _close(self) -> int:
        closed = await self._in_core(partial(self.core.close, self.now_ms()))
        if closed:
            self.metrics.windows_closed.inc(closed)
        if self.core.store.unsent:
            self._has_unsent.set()
        return closed

    async def _sending(self) -> None:
        """Connects, sends what is there whenever something is, and begins anew after a failure."""
        away_since, pause_s = None, RETRY_S_MIN
        while True:
            try:
                async with self._connect() as transport:
                    while True:
                        sent = await self._send_all(transport)
                        if sent and away_since is not None:
                            log.info("kafka_back: frames are sent again after %.0f s", time.monotonic() - away_since)
                        if sent:
                            away_since, pause_s = None, RETRY_S_MIN
                            self.metrics.kafka_waiting_seconds.set(0)
                        self._has_unsent.clear()
                        await self._has_unsent.wait()
            except NotDelivered as error:
                if away_since is None:
                    away_since = time.monotonic()
                    log.warning("kafka_away: %s Frames wait on disk.", error)
                self.metrics.kafka_waiting_seconds.set(time.monotonic() - away_since)
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))
            pause_s = min(RETRY_S_MAX, pause_s * 2)

    async def _send_all(self, transport: Transport) -> int:
        """Sends what waits, oldest first; returns how many commits that were."""
        sent = 0
        for number in list(self.core.store.unsent):
            frames = await asyncio.to_thread(self.core.store.read_frames, number)
            await transport.send(frames)
            await self._in_core(partial(self.core.store.note_sent, number))
            for family, count in Counter(frame.header.family.name for frame in frames).items():
                self.metrics.frames_sent.labels(family).inc(count)
            sent += 1
        return sent

    async def _in_core(self, call: Callable[[], Result]) -> Result:
        """One call after the other, also where whoever asked for an earlier one has been cancelled."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    @staticmethod
    def _turn_away(group: list[tuple[Received, asyncio.Future[Answer]]]) -> None:
        """Nobody will answer these: whoever waits is told to come again, and may find that it was taken."""
        for _, future in group:
            if not future.done():
                future.set_result(Answer(503, error="The collector is ending.", retry_after_s=1))

    def _count(self, received: Received, answer: Answer) -> None:
        kind = received.batch.header.kind
        if not answer.is_taken:
            return
        if answer.is_repeated:
            self.metrics.batches_repeated.labels(kind).inc()
            return
        self.metrics.batches_taken.labels(kind).inc()
        self.metrics.observations_taken.labels(kind).inc(answer.taken)
        self.metrics.columns_dropped.labels(kind).inc(received.batch.unknown_columns)
        for counter, counts in (
            (self.metrics.observations_refused, answer.refused),
            (self.metrics.fields_dropped, answer.dropped),
        ):
            for reason, count in counts.items():
                counter.labels(kind, reason).inc(count)

    def _show(self) -> None:
        core, metrics = self.core, self.metrics
        metrics.waiting_bytes.set(core.disk_bytes)
        metrics.waiting_frames_bytes.set(sum(core.store.unsent.values()))
        metrics.waiting_observations.set(core.waiting_rows)
        metrics.recorders.set(len(core.fences.sources))
        for shown, counted in zip(
            (metrics.noise_windows_spent, metrics.noise_windows_withheld), core.collector.noise_spent, strict=True
        ):
            shown.clear()
            for place, windows in list(counted.items()):
                shown.labels(*place).set(windows)
        metrics.clock_behind_seconds.set(max(0, core.collector.open_ms - self.now_ms()) / 1_000)
