"""OTLP from Kafka: what an OpenTelemetry Collector's kafkaexporter writes as `otlp_proto` (or `otlp_json`).

A record is an ExportMetricsServiceRequest, or MetricsData, which has the same bytes. Offsets are committed when a collector
has on disk what the records added, and batches are numbered by their record's offset. So what is read again after a crash
is known there as repeated, and counts once; of cumulative series only what is new since the first point that is read again.
Whoever is given partitions begins anew with all cumulative series, for somebody else may have counted them meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from producers.connection import why_unreachable
from producers.otlp.delivery import NotTaken, Origin
from producers.otlp.gateway import Gateway
from producers.otlp.requests import JSON, PROTOBUF, Refusable
from schemas.failures import Foreseen
from schemas.instants import DAY_MS
from schemas.kafka import KafkaAddress

GROUP = "turnwatch-otlp"
RECORDS_AT_ONCE = 100

log = logging.getLogger("turnwatch.otlp")


class Unreachable(Foreseen):
    """Kafka cannot be read. The message is a sentence for the user."""


async def consume(gateway: Gateway, address: KafkaAddress, topic: str, stop: asyncio.Event, group: str = GROUP) -> None:
    """Reads the topic until `stop`; a collector that is away is waited for. Raises `Unreachable`."""
    consumer = AIOKafkaConsumer(
        **address.aiokafka_options(),
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_records=RECORDS_AT_ONCE,
    )
    consumer.subscribe([topic], listener=_Beginning(gateway))
    try:
        await consumer.start()
    except (KafkaError, OSError) as error:
        await consumer.stop()
        raise Unreachable(await why_unreachable(address)) from error
    try:
        while not stop.is_set():
            records = await consumer.getmany(timeout_ms=500)
            if records and await _is_taken(gateway, records, stop):
                await _commit(consumer, {place: of_place[-1].offset + 1 for place, of_place in records.items()})
    except KafkaError as error:
        raise Unreachable(f"Topic {topic} can no longer be read ({type(error).__name__}): is Kafka well?") from error
    finally:
        await consumer.stop()


class _Beginning(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types.
    """Begins anew with the series whenever partitions are given to this process."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """What was read of them and is not committed is read again by whoever has them next."""

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        if assigned:
            await self._gateway.forget_series()


async def _commit(consumer: AIOKafkaConsumer, offsets: dict[TopicPartition, int]) -> None:
    """Commits. Where the group has given the partitions to others, as it does when a collector was away for minutes, the
    records are read again, and known."""
    try:
        await consumer.commit(offsets)
    except (CommitFailedError, IllegalStateError):
        log.warning("not_committed: the group has given its partitions anew; what was read is read again")


async def _is_taken(gateway: Gateway, records: dict[TopicPartition, list[Any]], stop: asyncio.Event) -> bool:
    """Whether a collector has what the records add; it is waited for until it is time to stop."""
    for place, of_place in records.items():
        for record in of_place:
            await _heard(gateway, place, record, stop)
            if stop.is_set():
                return False
    while not await _is_flushed(gateway, stop):
        if stop.is_set():
            return False
    return True


async def _heard(gateway: Gateway, place: TopicPartition, record: Any, stop: asyncio.Event) -> None:
    body = record.value or b""
    while not stop.is_set():
        try:
            encoding = JSON if body[:1] == b"{" else PROTOBUF
            await gateway.hear(body, encoding, "kafka", origin_of(place, record.offset, record.timestamp))
            return
        except Refusable:
            # By its position, never its content; it stays in the topic.
            gateway.metrics.requests.labels("kafka").inc()
            log.warning("record_refused: %s, partition %d, offset %d", place.topic, place.partition, record.offset)
            return
        except NotTaken as error:
            await _wait(error, stop)


async def _is_flushed(gateway: Gateway, stop: asyncio.Event) -> bool:
    try:
        await gateway.delivery.flush()
        return True
    except NotTaken as error:
        await _wait(error, stop)
        return False


async def _wait(error: NotTaken, stop: asyncio.Event) -> None:
    log.warning("collector_away: %s Nothing is committed until it is back.", error)
    try:
        await asyncio.wait_for(stop.wait(), error.retry_after_s)
    except TimeoutError:
        return


def origin_of(place: TopicPartition, offset: int, timestamp_ms: int) -> Origin:
    """Who a record's batches are of: a slug of its topic and partition.

    >>> origin_of(TopicPartition("OTLP_metrics", 3), 7, 86_400_000)
    Origin(sender='otlp_metrics-3', day=1, offset=7)
    """
    topic = re.sub(r"[^a-z0-9._-]", "-", place.topic.lower()).lstrip("._-")[:50]
    return Origin(f"{topic or 'otlp'}-{place.partition}", max(0, timestamp_ms) // DAY_MS, offset)
