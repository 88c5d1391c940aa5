"""What a consumer group does to its members: it gives their partitions to others, and back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError

from producers.otlp import kafka
from schemas.kafka import KafkaAddress
from tests.otlp.collecting import Remembering, gateway_to
from tests.otlp.exports import CUMULATIVE, NOW_MS, counter, request

PLACE = TopicPartition("otlp_metrics", 0)


@dataclass
class Group:
    """The consumer of one member. Before each batch of `told` that says so, its partition is given to it anew."""

    told: list[tuple[str, list[bytes]]]
    stop: asyncio.Event
    is_fenced: bool = False
    commits: int = 0
    offset: int = 0
    listener: Any = field(default=None)

    def subscribe(self, topics: list[str], listener: Any) -> None:
        self.listener = listener

    async def start(self) -> None:
        return None

    async def stop_(self) -> None:
        return None

    async def getmany(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        if not self.told:
            self.stop.set()
            return {}
        before, bodies = self.told.pop(0)
        if before == "given":
            await self.listener.on_partitions_revoked({PLACE})
            await self.listener.on_partitions_assigned({PLACE})
        first, self.offset = self.offset, self.offset + len(bodies)
        return {PLACE: [SimpleNamespace(value=b, offset=first + at, timestamp=NOW_MS) for at, b in enumerate(bodies)]}

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        self.commits += 1
        if self.is_fenced:
            raise CommitFailedError


async def consumed(
    monkeypatch: pytest.MonkeyPatch, told: list[tuple[str, list[bytes]]], is_fenced: bool
) -> Remembering:
    stop, collecting = asyncio.Event(), Remembering()
    group = Group(told, stop, is_fenced)
    consumer = SimpleNamespace(
        **{name: getattr(group, name) for name in ("subscribe", "start", "getmany", "commit")}, stop=group.stop_
    )
    monkeypatch.setattr(kafka, "AIOKafkaConsumer", lambda **options: consumer)
    batches = len(told)
    await kafka.consume(gateway_to(collecting), KafkaAddress("127.0.0.1:1"), PLACE.topic, stop)
    assert group.commits == batches
    return collecting


def turns(total: int, seconds: int) -> bytes:
    """A cumulative series that began long before anybody listened."""
    at_ms = NOW_MS + seconds * 1_000
    sent = request([counter("turnwatch.turns.turns", total, at_ms, NOW_MS - 3_600_000, CUMULATIVE)])
    return bytes(sent.SerializeToString())


async def test_what_another_member_counted_meanwhile_is_not_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """From 130 to 200 the partition was somebody else's."""
    told = [("", [turns(100, -9), turns(130, -8)]), ("given", [turns(210, -2), turns(215, -1)])]
    collecting = await consumed(monkeypatch, told, is_fenced=False)
    assert collecting.sum("rows.turns", "turns") == 30 + 5


async def test_a_group_that_gave_the_partition_to_others_meanwhile_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As it does when a collector was away for five minutes."""
    told = [("", [turns(100, -9), turns(130, -8)]), ("", [turns(135, -7)])]
    collecting = await consumed(monkeypatch, told, is_fenced=True)
    assert collecting.sum("rows.turns", "turns") == 35
