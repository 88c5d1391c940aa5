"""The sink: rows from the topic `rollups` to ClickHouse, in a consumer group of its own.

Offsets are committed only after ClickHouse has acknowledged the rows: after a crash, a rebalance or an outage some are
written again, and since rows are absolutes with versions that changes nothing. While ClickHouse is away the sink holds
one batch and reads no further; Kafka keeps the rest. Its heartbeat goes on in the background, so it stays in the group.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]  # aiokafka ships no types
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # aiokafka ships no types

from schemas.kafka import KafkaAddress
from schemas.metrics import WorkerMetrics
from schemas.topics import ROLLUPS
from schemas.warehouse import ClickHouseAddress
from stream_jobs.sinks.batches import DeadLetter, Message, batch_of
from stream_jobs.sinks.clickhouse import ClickHouseWarehouse, Warehouse
from stream_jobs.sinks.delivery import Delivery, Patience

log = logging.getLogger("turnwatch.sink")

GROUP = "turnwatch-sink"
POLL_MS = 200
FOREVER_MS = 2**31 - 1

SendDeadLetter = Callable[[DeadLetter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class SinkSettings:
    """A batch ends `linger_s` after the one before (ClickHouse likes few and large inserts), or when it is full."""

    group: str = GROUP
    linger_s: float = 1.0
    batch_messages_max: int = 2_000
    batch_bytes_max: int = 8 * 1024 * 1024
    patience: Patience = field(default_factory=Patience)


async def run_sink(
    kafka: KafkaAddress,
    clickhouse: ClickHouseAddress,
    metrics: WorkerMetrics,
    stop: asyncio.Event,
    send_dead_letter: SendDeadLetter,
    settings: SinkSettings | None = None,
) -> None:
    """Lands rollups until `stop` is set; Kafka and ClickHouse may be away for as long as they like."""
    warehouse = ClickHouseWarehouse(clickhouse)
    try:
        await Sink(kafka, warehouse, metrics, stop, send_dead_letter, settings or SinkSettings()).run()
    finally:
        await warehouse.close()


class Sink:
    def __init__(
        self,
        kafka: KafkaAddress,
        warehouse: Warehouse,
        metrics: WorkerMetrics,
        stop: asyncio.Event,
        send_dead_letter: SendDeadLetter,
        settings: SinkSettings,
    ) -> None:
        self._kafka, self._metrics, self._stop, self._settings = kafka, metrics, stop, settings
        self._send_dead_letter = send_dead_letter
        self._delivery = Delivery(warehouse, metrics, stop, settings.patience)
        self._has_kafka = True

    async def run(self) -> None:
        pauses_s = self._settings.patience.pauses_s()
        while not self._stop.is_set():
            try:
                async with _consumer(self._kafka, self._settings.group) as consumer:
                    await self._consume(consumer)
            except KafkaError as error:
                if self._has_kafka:
                    log.warning("kafka_lost: the sink cannot read %s (%s); trying again.", ROLLUPS, error)
                self._has_kafka = False
                await _until(self._stop, next(pauses_s))

    async def _consume(self, consumer: AIOKafkaConsumer) -> None:
        expected: dict[TopicPartition, int] = {}
        due = 0.0
        while not self._stop.is_set():
            messages = await self._gather(consumer, due)
            self._say_read()
            if not messages:
                continue
            await _say_gaps(consumer, messages, expected)
            if not await self._land(messages):
                return
            due = asyncio.get_running_loop().time() + self._settings.linger_s
            await _commit(consumer, messages)

    async def _gather(self, consumer: AIOKafkaConsumer, due: float) -> list[Message]:
        """What there is to read until `due`, or until a batch is full; at least one poll's worth."""
        clock = asyncio.get_running_loop().time
        gathered: list[Message] = []
        size_bytes = 0
        while not self._stop.is_set():
            records = await consumer.getmany(timeout_ms=POLL_MS, max_records=100)
            for partition, found in records.items():
                gathered += [
                    Message(partition.topic, partition.partition, record.offset, dict(record.headers), record.value or b"") for record in found
                ]
                size_bytes += sum(len(record.value or b"") for record in found)
            if clock() >= due or len(gathered) >= self._settings.batch_messages_max or size_bytes >= self._settings.batch_bytes_max:
                break
        return gathered

    async def _land(self, messages: list[Message]) -> bool:
        batch = await asyncio.to_thread(batch_of, messages)
        for letter in batch.refused:
            await self._send_dead_letter(letter)
            self._metrics.rollups_refused.inc()
            log.warning("rollup_refused: %s partition %s offset %s: %s", letter.topic, letter.partition, letter.offset, letter.rejected.detail)
        return await self._delivery.land(batch)

    def _say_read(self) -> None:
        if not self._has_kafka:
            log.info("kafka_regained: the sink reads %s again.", ROLLUPS)
        self._has_kafka = True


@asynccontextmanager
async def _consumer(kafka: KafkaAddress, group: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        ROLLUPS,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=1_048_576,
        fetch_max_bytes=8 * 1_048_576,
        session_timeout_ms=30_000,
        max_poll_interval_ms=FOREVER_MS,  # Waiting for ClickHouse is no reason to lose one's partitions.
        **kafka.aiokafka_options(),
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


async def _commit(consumer: AIOKafkaConsumer, messages: list[Message]) -> None:
    """Commits what landed, where it is still ours; a rebalance in between means that some will be read again."""
    reached = {TopicPartition(message.topic, message.partition): message.offset + 1 for message in messages}
    ours = {partition: offset for partition, offset in reached.items() if partition in consumer.assignment()}
    if not ours:
        return
    try:
        await consumer.commit(ours)
    except KafkaError as error:
        log.info("commit_refused: rows have landed and will be read once more (%s).", error)


async def _say_gaps(consumer: AIOKafkaConsumer, messages: list[Message], expected: dict[TopicPartition, int]) -> None:
    """Offsets of this topic have no gaps: where one shows, Kafka has deleted rows that never landed."""
    for message in messages:
        partition = TopicPartition(message.topic, message.partition)
        if partition not in expected and partition in consumer.assignment():
            expected[partition] = await consumer.committed(partition) or 0
        wanted = expected.get(partition, message.offset)
        if message.offset > wanted:
            log.error("rollups_lost: %s messages of %s partition %s before offset %s were deleted unread.", message.offset - wanted, *partition, message.offset)
        expected[partition] = message.offset + 1


async def _until(event: asyncio.Event, seconds: float) -> None:
    await asyncio.wait({asyncio.ensure_future(event.wait())}, timeout=seconds)
