"""Reading outside of the flow: a topic to its end, and single records by position. No group, so nothing is committed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
)

from schemas.failures import Foreseen
from schemas.kafka import KafkaAddress
from stream_jobs.agents.header_names import accept_any_header_name

POLL_MS = 500
SILENT_MAX_S = 60.0
"""So long nothing may come while something is known to be there; then Kafka is not answering."""
COORDINATOR_S, COORDINATOR_PAUSE_S = 20.0, 0.2
"""How long, and how often, a group's offsets are asked for while nobody answers for the group."""
FETCH_WAIT_MS = 20
"""Short: what is asked next waits behind a fetch that waits for records to come."""
FETCH_BYTES_MAX = 4 * 1024 * 1024


class ReadFailure(Foreseen):
    """A topic could not be read; the message says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one topic after the other."""

    _consumer: AIOKafkaConsumer
    _admin: AIOKafkaAdminClient

    async def partitions_of(self, topic: str) -> list[TopicPartition]:
        (described,) = await self._admin.describe_topics([topic])
        if described["error_code"]:
            raise ReadFailure(f"Topic {topic} is not there: `turnwatch prepare` creates what is missing.")
        return [TopicPartition(topic, each["partition"]) for each in described["partitions"]]

    async def records(
        self, topic: str, since_ms: int | None = None, begins: Mapping[int, int] | None = None
    ) -> AsyncGenerator[Any, None]:
        """What the topic holds now, partition by partition in order; from `since_ms` on, by the records' own times, and from the
        offsets `begins` on.
        """
        partitions = await self.partitions_of(topic)
        ends = await self._consumer.end_offsets(partitions)
        kept = await self._begins(partitions, since_ms)
        first = {each: max(offset, (begins or {}).get(each.partition, 0)) for each, offset in kept.items()}
        left = {each: ends[each] for each in partitions if first.get(each, ends[each]) < ends[each]}
        self._consumer.assign(list(left))
        for partition in left:
            self._consumer.seek(partition, first[partition])
        while left:
            for partition, records in (await self._polled(topic)).items():
                for record in records:
                    if record.offset < ends[partition]:
                        yield record
            left = {each: end for each, end in left.items() if await self._consumer.position(each) < end}
        self._consumer.pause(*self._consumer.assignment())  # Nothing is fetched while nobody reads.

    async def records_at(self, topic: str, partition: int, offsets: Sequence[int]) -> AsyncIterator[tuple[int, Any]]:
        """(offset, record) for each of `offsets`, which ascend; `None` for a record that Kafka no longer has."""
        place = TopicPartition(topic, partition)
        if place not in await self.partitions_of(topic):
            for offset in offsets:
                yield offset, None
            return
        begin = (await self._consumer.beginning_offsets([place]))[place]
        end = (await self._consumer.end_offsets([place]))[place]
        self._consumer.assign([place])
        at = None
        for offset in offsets:
            if not begin <= offset < end:
                yield offset, None
                continue
            if at != offset:
                self._consumer.seek(place, offset)
            record = (await self._polled(topic, records_max=1))[place][0]
            at = record.offset + 1
            yield offset, record if record.offset == offset else None
        self._consumer.pause(place)

    async def kept_from(self, topic: str) -> dict[int, int]:
        """The oldest offset that each partition of the topic still has."""
        begins = await self._consumer.beginning_offsets(await self.partitions_of(topic))
        return {partition.partition: offset for partition, offset in begins.items()}

    async def committed(self, group: str, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """What the group has read up to; 0 where it has committed nothing. A broker that has just started takes a while."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + COORDINATOR_S
        while True:
            try:
                found = await self._admin.list_consumer_group_offsets(group, partitions=list(partitions))
            except (GroupCoordinatorNotAvailableError, NotCoordinatorForGroupError, GroupLoadInProgressError):
                if clock() > deadline:
                    raise
                await asyncio.sleep(COORDINATOR_PAUSE_S)
                continue
            return {partition: max(0, about.offset) for partition, about in found.items()}

    async def _begins(self, partitions: list[TopicPartition], since_ms: int | None) -> dict[TopicPartition, int]:
        if since_ms is None:
            return dict(await self._consumer.beginning_offsets(partitions))
        found = await self._consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
        return {partition: about.offset for partition, about in found.items() if about is not None}

    async def _polled(self, topic: str, records_max: int | None = None) -> dict[TopicPartition, list[Any]]:
        """At least one record."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + SILENT_MAX_S
        while clock() < deadline:
            polled: dict[TopicPartition, list[Any]]
            polled = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=records_max)
            if polled:
                return polled
        raise ReadFailure(f"Kafka did not hand out topic {topic} within {SILENT_MAX_S:.0f} s: is the broker healthy?")


@asynccontextmanager
async def reading(kafka: KafkaAddress, fetch_bytes: int = FETCH_BYTES_MAX) -> AsyncIterator[Reader]:
    """A reader, which fetches so much of a partition at once. `KafkaError` on entering means that Kafka cannot be reached."""
    accept_any_header_name()
    consumer = AIOKafkaConsumer(
        **kafka.aiokafka_options(),
        enable_auto_commit=False,
        fetch_max_wait_ms=FETCH_WAIT_MS,
        max_partition_fetch_bytes=fetch_bytes,
    )
    admin = AIOKafkaAdminClient(**kafka.aiokafka_options())
    try:
        await consumer.start()
        await admin.start()
        yield Reader(consumer, admin)
    finally:
        await admin.close()
        await consumer.stop()
