"""Logs to hold to one contract: those of `tests.worlds`, and those of a real broker.

A contract speaks of one topic: what was written to its partitions, who of a group has read how far, and what is left
once it was compacted. In memory a worker of the worlds writes, reads and commits, as it does there.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.protocol.commit import OffsetCommitRequest

from schemas.topics import aggregates
from tests.worlds.logs import COMPACTION_LAG_MS, Cluster
from tests.worlds.sendings import World
from tests.worlds.workers import Worker

STAGE = "intake"
"""The stage of a worker in memory that reads for the contract."""

COMPACTS_SOON = {
    "cleanup.policy": "compact",
    "segment.ms": "1",
    "min.cleanable.dirty.ratio": "0.001",
    "delete.retention.ms": "86400000",  # Tombstones outlast the test, as they outlast any recovery.
}
COMPACTED_WITHIN_S = 40
"""A broker's cleaner looks for work every 15 s."""

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Write:
    """`claimed_ms`: the time that its sender gives it."""

    key: bytes | None = None
    value: bytes | None = None
    headers: Headers = ()
    partition: int = 0
    claimed_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    partition: int
    offset: int
    append_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Member(Protocol):
    """One of a group that reads partition 0, with the generation in which it joined."""

    async def unread(self) -> list[int]:
        """The offsets that it gets to read, from where the group has committed to the end of the log."""
        ...

    async def commit(self, offset: int) -> None:
        """Tells the broker that all below `offset` is done, and does not ask whether it took that."""
        ...

    async def leave(self) -> None: ...


class Logs(Protocol):
    """One topic."""

    def clock_ms(self) -> int: ...

    async def send(self, writes: Sequence[Write]) -> None:
        """One sender sends all of it without waiting in between, and waits until all has landed."""
        ...

    async def read(self, partition: int = 0, first: int = 0) -> list[Stored]: ...

    async def compacted(self, count: int) -> list[Stored]:
        """What is left of partition 0 once all but its newest record was compacted, or as soon as `count` are left."""
        ...

    async def join(self) -> Member: ...

    async def committed(self) -> int:
        """From where the group goes on."""
        ...


def recovered(records: Sequence[Stored]) -> dict[bytes, bytes]:
    """The blocks that a stage recovers from a changelog."""
    store: Any = Worker(World(), Cluster()).stores[STAGE]
    store.apply_changelog_batch([SimpleNamespace(message=record) for record in records], None, None)
    return dict(store._blocks[0])


# -- in memory ---------------------------------------------------------------------------------------------------------


class MemoryLogs:
    def __init__(self, partitions: int) -> None:
        self.world = World(partitions=partitions)
        self.cluster = Cluster(now_ms=1_700_000_000_000)
        self.topic = aggregates("turns")
        self._dice = random.Random(partitions)

    def clock_ms(self) -> int:
        return self.cluster.now_ms

    async def send(self, writes: Sequence[Write]) -> None:
        worker = Worker(self.world, self.cluster)
        sent = [worker.send((self.topic, each.partition), each.key, each.value, each.headers) for each in writes]
        while worker.air:
            worker.land(worker.air[self._dice.choice(sorted(worker.air))][0])
            self.cluster.now_ms += 1
        await asyncio.gather(*sent)

    async def read(self, partition: int = 0, first: int = 0) -> list[Stored]:
        place = (self.topic, partition)
        worker = Worker(self.world, self.cluster)
        worker.position[STAGE] = {place: first}
        worker.fetch(STAGE, place, len(self.cluster.logs[place]))
        return [
            Stored(each.partition, each.offset, round(each.timestamp * 1_000), each.key, each.value, each.headers)
            for each in (heard.message for heard in worker.fetched[STAGE])
        ]

    async def compacted(self, count: int) -> list[Stored]:
        """The newest record is made as young as those that a broker does not compact."""
        log = self.cluster.logs[self.topic, 0]
        newest = log.pop()
        self.cluster.now_ms += COMPACTION_LAG_MS
        self.cluster.append((self.topic, 0), newest.key, newest.value, newest.headers)
        left = self.cluster.changelog((self.topic, 0), compacts=True)
        return [
            Stored(0, next(at for at, one in enumerate(log) if one is each), 0, each.key, each.value, each.headers)
            for each in left
        ]

    async def join(self) -> MemoryMember:
        self.cluster.generation += 1
        worker = Worker(self.world, self.cluster)
        await worker.take_assignment([0], self.cluster.generation)
        while worker.life == "recovering":
            await worker.recover(1_000)
        return MemoryMember(worker, (self.topic, 0))

    async def committed(self) -> int:
        return self.cluster.committed[self.topic, 0]


@dataclass(frozen=True, slots=True)
class MemoryMember:
    worker: Worker
    place: tuple[str, int]

    async def unread(self) -> list[int]:
        self.worker.fetch(STAGE, self.place, len(self.worker.cluster.logs[self.place]))
        return [heard.message.offset for heard in self.worker.fetched[STAGE]]

    async def commit(self, offset: int) -> None:
        self.worker.acked[STAGE][self.place] = offset
        self.worker.commit()

    async def leave(self) -> None:
        await self.worker.end()


# -- a real broker -----------------------------------------------------------------------------------------------------


class KafkaLogs:
    """A topic of its own and a group of its own on a broker that others share."""

    def __init__(self, bootstrap: str, topic: str = "") -> None:
        self.bootstrap = bootstrap
        self.topic = topic or f"contract-{uuid.uuid4().hex}"
        self.group = f"{self.topic}-readers"

    async def create(self, partitions: int, **configs: str) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(self.topic, partitions, 1, topic_configs=configs)])
        finally:
            await admin.close()

    def clock_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def send(self, writes: Sequence[Write]) -> None:
        """As our producers do: idempotent, with several batches on their way at once."""
        options: dict[str, Any] = {"enable_idempotence": True, "acks": "all", "compression_type": "lz4"}
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, max_request_size=1 << 23, **options)
        await producer.start()
        try:
            sent = [
                await producer.send(
                    self.topic,
                    each.value,
                    each.key,
                    partition=each.partition,
                    timestamp_ms=each.claimed_ms,
                    headers=list(each.headers),
                )
                for each in writes
            ]
            await asyncio.gather(*sent)
        finally:
            await producer.stop()

    async def read(self, partition: int = 0, first: int = 0) -> list[Stored]:
        place = TopicPartition(self.topic, partition)
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            consumer.assign([place])
            consumer.seek(place, first)
            end = (await consumer.end_offsets([place]))[place]
            found: list[Stored] = []
            while await consumer.position(place) < end:
                for message in (await consumer.getmany(place, timeout_ms=500)).get(place, ()):
                    headers = tuple(message.headers)
                    found.append(
                        Stored(partition, message.offset, message.timestamp, message.key, message.value, headers)
                    )
            return found
        finally:
            await consumer.stop()

    async def compacted(self, count: int) -> list[Stored]:
        deadline = time.monotonic() + COMPACTED_WITHIN_S
        while len(found := await self.read()) > count and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
        return found

    async def join(self) -> KafkaMember:
        consumer = AIOKafkaConsumer(
            self.topic,
            bootstrap_servers=self.bootstrap,
            group_id=self.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            heartbeat_interval_ms=50,  # How soon it hears of a new generation.
        )
        await consumer.start()
        return KafkaMember(consumer, self.topic, consumer._coordinator.generation)

    async def committed(self) -> int:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(self.group)
        finally:
            await admin.close()
        return int(offsets[TopicPartition(self.topic, 0)].offset)


@dataclass(frozen=True, slots=True)
class KafkaMember:
    consumer: Any
    topic: str
    generation: int

    async def unread(self) -> list[int]:
        place = TopicPartition(self.topic, 0)
        end = (await self.consumer.end_offsets([place]))[place]
        count = end - await self.consumer.position(place)
        return [(await self.consumer.getone(place)).offset for _ in range(count)]

    async def commit(self, offset: int) -> None:
        """Its client would learn of a new generation and use that: so the request is written by hand."""
        coordinator = self.consumer._coordinator
        offsets = [(self.topic, [(0, offset, "")])]
        request = OffsetCommitRequest(coordinator.group_id, self.generation, coordinator.member_id, -1, offsets)
        await coordinator._send_req(request)

    async def leave(self) -> None:
        await self.consumer.stop()
