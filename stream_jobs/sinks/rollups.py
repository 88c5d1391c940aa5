"""The sink: rows from the topic `rollups` to ClickHouse, in a consumer group of its own.

Offsets are committed only after ClickHouse has acknowledged the rows: after a crash, a rebalance or an outage some are
written again, and since rows are absolutes with versions that changes nothing. While ClickHouse is away the sink holds
one batch and reads no further; Kafka keeps the rest. Its heartbeat goes on in the background, so it stays in the group.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from schemas.kafka import KafkaAddress
from schemas.metrics import WorkerMetrics
from schemas.refusals import Refusal
from schemas.topics import ROLLUPS
from schemas.warehouse import ClickHouseAddress
from stream_jobs.sinks.batches import DeadLetter, Message, TableRows, batch_of
from stream_jobs.sinks.clickhouse import ClickHouseWarehouse, Warehouse
from stream_jobs.sinks.delivery import Delivery, Patience, is_set_within

log = logging.getLogger("turnwatch.sink")

GROUP = "turnwatch-sink"
POLL_MS = 200
MESSAGE_BYTES_MAX = 1_048_576
FOREVER_MS = 2**31 - 1

SendDeadLetter = Callable[[DeadLetter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class SinkSettings:
    """A batch ends `linger_s` after the one before (ClickHouse likes few and large inserts), or when it is full.

    `instance`: a stable name of this process makes membership static, so that it goes on at once after a kill.
    """

    topic: str = ROLLUPS
    group: str = GROUP
    instance: str | None = None
    linger_s: float = 1.0
    batch_messages_max: int = 2_000
    batch_bytes_max: int = 4 * 1024 * 1024
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
        self._pauses_s = settings.patience.pauses_s()
        self._has_kafka = True

    async def run(self) -> None:
        while not self._stop.is_set():
            try:
                async with _consumer(self._kafka, self._settings, self._metrics) as (consumer, positions):
                    await self._consume(consumer, positions)
            except KafkaError as error:
                if self._has_kafka:
                    log.warning(
                        "rollups_unread: the sink cannot read %s (%s); trying again.", self._settings.topic, error
                    )
                self._has_kafka = False
                await is_set_within(self._stop, next(self._pauses_s))

    async def _consume(self, consumer: AIOKafkaConsumer, positions: Positions) -> None:
        due = 0.0
        left: tuple[TableRows, ...] = ()
        reached: dict[TopicPartition, int] = {}
        while not self._stop.is_set():
            messages = await self._gather(consumer, due, left)
            self._say_kafka_answers()
            if not (messages or left):
                continue
            await positions.follow(messages)
            reached |= {TopicPartition(message.topic, message.partition): message.offset + 1 for message in messages}
            left = await self._land(messages, left)
            due = asyncio.get_running_loop().time() + self._settings.linger_s
            if not left:
                await _commit(consumer, reached)
                reached = {}

    async def _gather(self, consumer: AIOKafkaConsumer, due: float, left: Sequence[TableRows]) -> list[Message]:
        """What there is to read until `due`, or until a batch is full; at least one poll's worth, if there is room.

        A poll counts messages, not bytes: it asks for as many as fit if each is as large as Kafka takes.
        """
        settings, clock = self._settings, asyncio.get_running_loop().time
        gathered: list[Message] = []
        held = [told for rows in left for told in rows.told]
        count, size_bytes = len(held), sum(told.payload_bytes for told in held)
        while count < settings.batch_messages_max and size_bytes < settings.batch_bytes_max:
            room = min(
                settings.batch_messages_max - count, (settings.batch_bytes_max - size_bytes) // MESSAGE_BYTES_MAX
            )
            polled = await consumer.getmany(timeout_ms=POLL_MS, max_records=max(1, room))
            found = [_message(record) for records in polled.values() for record in records]
            gathered += found
            count, size_bytes = count + len(found), size_bytes + sum(len(message.payload) for message in found)
            if clock() >= due or self._stop.is_set():
                break
        return gathered

    async def _land(self, messages: list[Message], left: Sequence[TableRows]) -> tuple[TableRows, ...]:
        """What is left of them when the others landed, or were refused and said so; decoding leaves the event loop to
        the others."""
        batch = await asyncio.to_thread(batch_of, messages, left)
        for table, count in batch.dropped.items():
            self._metrics.columns_dropped.labels(table, Refusal.UNKNOWN_FIELD.value).inc(count)
        await self._set_aside(batch.refused)
        landing = await self._delivery.land(batch.tables)
        await self._set_aside(landing.refused)
        return landing.left

    async def _set_aside(self, letters: Iterable[DeadLetter]) -> None:
        for letter in letters:
            await self._send_dead_letter(letter)
            self._metrics.rollups_refused.inc()
            position = f"{letter.topic} partition {letter.partition} offset {letter.offset}"
            log.warning("rollup_refused: %s: %s", position, letter.rejected.detail)

    def _say_kafka_answers(self) -> None:
        if not self._has_kafka:
            log.info("rollups_read_again: the sink reads %s again.", self._settings.topic)
            self._pauses_s = self._settings.patience.pauses_s()
        self._has_kafka = True


class Positions(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka publishes no types
    """Which offset comes next. This topic's have no gaps: where one shows, Kafka deleted rows that never landed."""

    def __init__(self, consumer: AIOKafkaConsumer, metrics: WorkerMetrics) -> None:
        self._consumer, self._metrics = consumer, metrics
        self._next: dict[TopicPartition, int] = {}

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._next.clear()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._next.clear()

    async def follow(self, messages: Iterable[Message]) -> None:
        for message in messages:
            partition = TopicPartition(message.topic, message.partition)
            if partition not in self._next:
                self._next[partition] = await self._begun_at(partition, message.offset)
            missing = message.offset - self._next[partition]
            if missing > 0:
                self._metrics.rollups_lost.inc(missing)
                place = f"{message.topic} partition {message.partition}, before offset {message.offset}"
                log.error("rollups_lost: Kafka deleted %s messages that had not landed, of %s.", missing, place)
            self._next[partition] = message.offset + 1

    async def _begun_at(self, partition: TopicPartition, first_offset: int) -> int:
        if partition not in self._consumer.assignment():
            return first_offset
        committed: int | None = await self._consumer.committed(partition)
        return first_offset if committed is None else committed


@asynccontextmanager
async def _consumer(
    kafka: KafkaAddress, settings: SinkSettings, metrics: WorkerMetrics
) -> AsyncIterator[tuple[AIOKafkaConsumer, Positions]]:
    consumer = AIOKafkaConsumer(
        group_id=settings.group,
        group_instance_id=settings.instance or None,  # An empty name would be one identity for all.
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=MESSAGE_BYTES_MAX,
        fetch_max_bytes=8 * MESSAGE_BYTES_MAX,
        session_timeout_ms=30_000,
        max_poll_interval_ms=FOREVER_MS,  # Waiting for ClickHouse is no reason to lose one's partitions.
        **kafka.aiokafka_options(),
    )
    positions = Positions(consumer, metrics)
    consumer.subscribe([settings.topic], listener=positions)
    try:
        await consumer.start()
        yield consumer, positions
    finally:
        await consumer.stop()


async def _commit(consumer: AIOKafkaConsumer, reached: Mapping[TopicPartition, int]) -> None:
    """Commits what landed, where it is still ours; a rebalance in between means that some will be read again."""
    ours = {partition: offset for partition, offset in reached.items() if partition in consumer.assignment()}
    if not ours:
        return
    try:
        await consumer.commit(ours)
    except KafkaError as error:
        log.info("commit_refused: rows have landed and will be read once more (%s).", error)


def _message(record: Any) -> Message:
    return Message(record.topic, record.partition, record.offset, dict(record.headers), record.value or b"")
