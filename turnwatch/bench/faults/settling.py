"""When has everything that was sent gone all the way, and what does the log itself say?

Nobody has anything left to read: offsets are committed only after what follows from them is confirmed, so looking
upstream first misses nothing. What was corrupted is told from the log alone, by the checksum of every record.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from schemas.burns import AlertState
from schemas.families import FAMILIES
from schemas.frames import checksum
from schemas.kafka import KafkaAddress
from schemas.topics import (
    ALERTS,
    BURNS,
    DEAD_LETTERS,
    FINDINGS,
    GROWTHS,
    ROLLUPS,
    SILENCES,
    SPEND,
    aggregates,
    partials,
)
from stream_jobs.agents.application import GROUP as WORKER_GROUP
from stream_jobs.sinks.rollups import GROUP as SINK_GROUP

POLL_S = 0.5
CALM_POLLS = 3
"""So often in a row nothing may be left: a group that is rebalancing shows offsets that it had before."""

FLOW = (
    (WORKER_GROUP, tuple(aggregates(name) for name in FAMILIES)),
    (WORKER_GROUP, tuple(partials(name) for name in FAMILIES)),
    (WORKER_GROUP, (BURNS,)),
    (WORKER_GROUP, (SILENCES,)),
    (WORKER_GROUP, (GROWTHS,)),
    (WORKER_GROUP, (SPEND,)),
    (WORKER_GROUP, (FINDINGS,)),
    (SINK_GROUP, (ROLLUPS,)),
)
"""Who reads what, upstream first."""

Position = tuple[str, int, int]
"""Topic, partition, offset."""


async def settled(kafka: KafkaAddress, patience_s: float, on_unread: Callable[[dict[str, int]], None]) -> bool:
    """Whether everything was read within the patience."""
    deadline = time.monotonic() + patience_s
    calm = 0
    async with _clients(kafka) as (consumer, admin):
        while calm < CALM_POLLS and time.monotonic() < deadline:
            left = {topics[0].partition(".")[0]: await _left(consumer, admin, group, topics) for group, topics in FLOW}
            on_unread(left)
            calm = calm + 1 if not any(left.values()) else 0
            await asyncio.sleep(POLL_S)
    return calm == CALM_POLLS


@asynccontextmanager
async def _clients(kafka: KafkaAddress) -> AsyncIterator[tuple[AIOKafkaConsumer, AIOKafkaAdminClient]]:
    consumer, admin = AIOKafkaConsumer(**kafka.aiokafka_options()), AIOKafkaAdminClient(**kafka.aiokafka_options())
    try:
        await consumer.start()
        await admin.start()
        yield consumer, admin
    finally:
        await admin.close()
        await consumer.stop()


async def _left(consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient, group: str, topics: Iterable[str]) -> int:
    partitions = await _partitions(admin, topics)
    ends = await consumer.end_offsets(partitions)
    committed = await admin.list_consumer_group_offsets(group, partitions=partitions)
    return sum(ends[each] - max(0, committed[each].offset) for each in partitions)


async def _partitions(admin: AIOKafkaAdminClient, topics: Iterable[str]) -> list[TopicPartition]:
    described = await admin.describe_topics(list(topics))
    return [
        TopicPartition(topic["topic"], partition["partition"])
        for topic in described
        for partition in topic["partitions"]
    ]


@dataclass(slots=True)
class LogReader:
    """Reads on in some topics from where it was."""

    kafka: KafkaAddress
    positions: dict[TopicPartition, int] = field(default_factory=dict)

    async def read(self, topics: Iterable[str]) -> list[ConsumerRecord]:
        """Every record that has come since the last call."""
        found: list[ConsumerRecord] = []
        async with _clients(self.kafka) as (consumer, admin):
            partitions = await _partitions(admin, topics)
            ends = await consumer.end_offsets(partitions)
            consumer.assign(partitions)
            for partition in partitions:
                consumer.seek(partition, self.positions.get(partition, 0))
            while [each for each in partitions if await consumer.position(each) < ends[each]]:
                polled = await consumer.getmany(timeout_ms=500)
                found += [record for records in polled.values() for record in records]
            self.positions |= ends
        return found


async def corrupted_positions(reader: LogReader) -> set[Position]:
    """Where in the aggregates a payload is not what its producer's checksum says."""
    records = await reader.read([aggregates(name) for name in FAMILIES])
    return {
        (record.topic, record.partition, record.offset)
        for record in records
        if dict(record.headers)["tw-checksum"] != checksum(record.value).encode()
    }


async def refused_positions(reader: LogReader) -> dict[Position, str]:
    """Where the dead letters say that a record was refused, and why. A letter told twice is one."""
    letters = [json.loads(record.value) for record in await reader.read([DEAD_LETTERS])]
    return {(letter["topic"], letter["partition"], letter["offset"]): letter["reason"] for letter in letters}


async def published_alerts(reader: LogReader) -> list[AlertState]:
    """Every statement about an alert."""
    stated = [record.value for record in await reader.read([ALERTS])]
    return [AlertState.model_validate_json(value) for value in stated if value is not None]
