"""Running sinks for the tests of this folder: what they count, what they refused, what their group has committed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from prometheus_client import CollectorRegistry

from schemas.kafka import KafkaAddress
from schemas.rollups import encode
from schemas.tables import TABLES
from schemas.warehouse import ClickHouseAddress
from stream_jobs.sinks.batches import DeadLetter
from stream_jobs.sinks.delivery import Patience
from stream_jobs.sinks.rollups import SinkSettings
from tests.warehouse.rows import Row, arrow_of

PARTITIONS = 3
TABLE = TABLES["burn_rate_1m"]
PATIENCE = Patience(first_s=0.05, longest_s=0.2)


@dataclass
class Running:
    """A sink that runs, what it refused, and how to end it as a worker does."""

    task: asyncio.Task[None]
    stop: asyncio.Event
    registry: CollectorRegistry
    letters: list[DeadLetter] = field(default_factory=list)

    async def end(self) -> None:
        self.stop.set()
        await self.task

    def counted(self, name: str) -> float:
        return sum(
            sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.name == f"turnwatch_{name}"
        )

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Waits for what the sink says of itself; the test's own time limit bounds it."""
        while not is_so():
            assert not self.task.done(), "the sink has ended"
            await asyncio.sleep(0.02)


Start = Callable[[ClickHouseAddress], Running]
Send = Callable[[list[Row]], Awaitable[int]]


async def send_one(kafka: KafkaAddress, settings: SinkSettings, rows: list[Row], table: str = TABLE.name) -> None:
    """All rows in one message, on partition 1."""
    producer = AIOKafkaProducer(acks="all", **kafka.aiokafka_options())
    await producer.start()
    headers, payload = encode(table, arrow_of(TABLES[table], rows))
    await producer.send_and_wait(settings.topic, payload, headers=headers, partition=1)
    await producer.stop()


async def offsets(kafka: KafkaAddress, settings: SinkSettings) -> tuple[int, int]:
    """How many messages the topic has, and how many of them the group has committed."""
    consumer = AIOKafkaConsumer(group_id=settings.group, enable_auto_commit=False, **kafka.aiokafka_options())
    await consumer.start()
    try:
        partitions = [TopicPartition(settings.topic, number) for number in range(PARTITIONS)]
        ends = await consumer.end_offsets(partitions)
        return sum(ends.values()), sum([await consumer.committed(partition) or 0 for partition in partitions])
    finally:
        await consumer.stop()


async def committed_all(kafka: KafkaAddress, settings: SinkSettings) -> int:
    """Waits until every message is committed; how many those are."""
    while True:
        sent, committed = await offsets(kafka, settings)
        if committed == sent:
            return sent
