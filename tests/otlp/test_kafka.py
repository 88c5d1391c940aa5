"""`otlp_proto` on a topic of the real Kafka, as the OpenTelemetry Collector's kafkaexporter writes it."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import GroupCoordinatorNotAvailableError
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from producers.observation_batches import Answer
from producers.otlp.delivery import PARTS_MAX
from producers.otlp.kafka import Unreachable, consume
from schemas.kafka import KafkaAddress
from tests.otlp.collecting import Remembering, gateway_to
from tests.otlp.exports import NOW_MS, counter, request

TOPIC = "otlp_metrics"
KEPT = {"retention.ms": "-1"}
"""Records are of a day that is long over: a broker's next look at its logs, once in five minutes, would remove them."""


def turns(count: int, at_ms: int) -> bytes:
    """The exporter's own words for it are MetricsData; the bytes are the request's."""
    sent = request([counter("turnwatch.turns.turns", count, at_ms)])
    return bytes(MetricsData(resource_metrics=sent.resource_metrics).SerializeToString())


async def sent(kafka: KafkaAddress, *records: bytes) -> None:
    admin = AIOKafkaAdminClient(**kafka.aiokafka_options())
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, 1, 1, topic_configs=KEPT)])
    await admin.close()
    async with AIOKafkaProducer(**kafka.aiokafka_options()) as producer:
        for record in records:
            await producer.send_and_wait(TOPIC, record, partition=0, timestamp_ms=NOW_MS)


async def consumed(kafka: KafkaAddress, collecting: Remembering, group: str) -> float:
    """Reads all three records with a gateway that knows nothing yet; returns how many were refused."""
    stop, gateway = asyncio.Event(), gateway_to(collecting)
    reading = asyncio.create_task(consume(gateway, kafka, TOPIC, stop, group))
    try:
        async with asyncio.timeout(30):
            while await committed(kafka, group) < 3 and not reading.done():
                await asyncio.sleep(0.05)
    finally:
        stop.set()
        await reading
    return float(gateway.metrics.requests.labels("kafka")._value.get())


async def committed(kafka: KafkaAddress, group: str) -> int:
    admin = AIOKafkaAdminClient(**kafka.aiokafka_options())
    await admin.start()
    try:
        return max((each.offset for each in (await admin.list_consumer_group_offsets(group)).values()), default=0)
    except GroupCoordinatorNotAvailableError:
        return 0  # The broker makes its topic of offsets for the first group of its life.
    finally:
        await admin.close()


async def test_records_count_once_whoever_reads_them_and_however_often(kafka: KafkaAddress) -> None:
    """Broken ones are passed over, a collector that is away is waited for, and batches are numbered by offset."""
    await sent(kafka, turns(5, NOW_MS), b"\x0a\xff", turns(7, NOW_MS + 1_000))
    collecting = Remembering([Answer(503, error="Away.", retry_after_s=1)])
    assert await consumed(kafka, collecting, "first") == 1
    assert await consumed(kafka, collecting, "second") == 1
    assert collecting.sum("rows.turns", "turns") == 12
    told = [each.header for each in collecting.batches if each.header.kind == "rows.turns"]
    assert [(each.recorder, each.sequence) for each in told] == [
        ("otlp_metrics-0", 0),
        ("otlp_metrics-0", 2 * PARTS_MAX),
    ]


async def test_kafka_that_is_away_is_told_in_a_sentence() -> None:
    with pytest.raises(Unreachable, match="cannot be reached"):
        await consume(gateway_to(Remembering()), KafkaAddress("127.0.0.1:1"), TOPIC, asyncio.Event())
