"""Kafka away: said once when it begins, and once when it is over.

While Kafka is away a worker waits. Its clients connect again by themselves: what was sent is sent again, what was read
but not acknowledged is read again, and state is recovered if the group had to be joined anew. So nothing here acts; it
asks for the cluster's metadata every few seconds, on a connection of its own, and says what comes of it in one line.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from schemas.kafka import KafkaAddress
from schemas.metrics import WorkerMetrics

log = logging.getLogger("turnwatch.kafka")

LOOK_S = 2.0
ANSWER_TIMEOUT_MS = 5_000

Why = Callable[[], Awaitable[str]]
"""Finds out why Kafka cannot be reached, as a sentence."""


class KafkaWatch:
    def __init__(self, kafka: KafkaAddress, why: Why, metrics: WorkerMetrics) -> None:
        self._kafka, self._why = kafka, why
        self._client: AIOKafkaClient | None = None
        self._away_since_s: float | None = None
        metrics.kafka_waiting_seconds.set_function(self.waiting_s)

    def waiting_s(self) -> float:
        """For how long Kafka has not answered."""
        return 0.0 if self._away_since_s is None else time.monotonic() - self._away_since_s

    async def run(self, stop: asyncio.Event) -> None:
        try:
            while not stop.is_set():
                if await self._answers():
                    self._say_regained()
                else:
                    await self._say_lost()
                await _is_set_within(stop, LOOK_S)
        finally:
            await self._close()

    async def _answers(self) -> bool:
        """Whether any broker answers, on the connection there is or on a new one."""
        try:
            if self._client is None:
                options = self._kafka.aiokafka_options()
                self._client = AIOKafkaClient(**options, request_timeout_ms=ANSWER_TIMEOUT_MS)
                await self._client.bootstrap()
            return bool(await self._client.force_metadata_update())
        except (KafkaError, OSError):
            await self._close()
            return False

    async def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _say_lost(self) -> None:
        if self._away_since_s is None:
            self._away_since_s = time.monotonic()
            log.warning("kafka_lost: %s This worker waits, and goes on by itself.", await self._why())

    def _say_regained(self) -> None:
        if self._away_since_s is not None:
            log.info("kafka_regained: after %.0f s.", self.waiting_s())
        self._away_since_s = None


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
