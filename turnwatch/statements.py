"""What people and gates have said for good (exclusions, releases, verdicts), read from the beginning of its topic."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

from schemas.counted import counted
from schemas.failures import Undecodable
from schemas.kafka import KafkaAddress
from turnwatch.reading import reader_of

Statement = TypeVar("Statement")


async def read_statements(
    address: KafkaAddress, topic: str, decode: Callable[[bytes], Statement], take: Callable[[Statement], object]
) -> int:
    """Hands every statement of a topic to `take`, in order; returns how many records are none."""
    unreadable = 0
    async with reader_of(address) as reader:
        async for record in reader.records(topic):
            try:
                statement = decode(record.value or b"")
            except Undecodable:
                unreadable += 1
            else:
                take(statement)
    return unreadable


def say_unreadable(unreadable: int, topic: str, what: str) -> None:
    """Says on standard error that records of a topic are no statements of the kind `what`, if any are none."""
    if unreadable:
        print(
            f"turnwatch: topic {topic} has {counted(unreadable, 'record that is', 'records that are')} no {what}: passed over.",
            file=sys.stderr,
        )
