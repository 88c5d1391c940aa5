"""What was told of a table by way of the topic `rollups`, as the sink would land it."""

from __future__ import annotations

from typing import Any

from aiokafka import AIOKafkaConsumer

from schemas.kafka import KafkaAddress
from schemas.topics import ROLLUPS
from stream_jobs.sinks.batches import Message, batch_of


async def landed(address: KafkaAddress, table: str) -> list[dict[str, Any]]:
    """Rows of the table, each once; of one table only may anything have been told."""
    async with AIOKafkaConsumer(ROLLUPS, **address.aiokafka_options(), auto_offset_reset="earliest") as consumer:
        ends = await consumer.end_offsets(sorted(consumer.assignment()))
        records: list[Any] = []
        while any([await consumer.position(each) < end for each, end in ends.items()]):
            polled = await consumer.getmany(timeout_ms=500)
            records += [record for each in polled.values() for record in each]
    messages = [Message(each.topic, each.partition, each.offset, dict(each.headers), each.value) for each in records]
    (found,) = batch_of(messages).tables
    assert found.table == table
    return list(found.rows.to_pylist())
