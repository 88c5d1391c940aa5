"""Frames arrive in Kafka as they were made, or the producer says in one sentence why not."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import uuid

import pytest
from aiokafka import AIOKafkaConsumer

from producers.collector import Collector, Frame
from producers.transport import KafkaTransport, NotDelivered
from schemas.families import FAMILIES
from schemas.kafka import KafkaAddress
from schemas.topics import PARTITIONS_DEFAULT, aggregates
from stack.kafka import KafkaBroker
from tests.producers.worlds import START_MS, duplex_world, stream_changes, turns_world
from turnwatch.prepare import create_topics


def frames_of(producer: str) -> list[Frame]:
    collector = Collector(producer, "eu-west-1", incarnation=1, opens_at_ms=START_MS)
    collector.observe_turns(turns_world(1))
    collector.observe_streams(stream_changes([(-1, 1, True), (2_500, 2, True)]))
    collector.observe_duplex(duplex_world(1))
    return list(collector.flush(START_MS + 60_000))


async def received(bootstrap: str, producer: str, count: int) -> list[tuple[str, int, bytes, dict[str, bytes]]]:
    topics = [aggregates(name) for name in FAMILIES]
    consumer = AIOKafkaConsumer(*topics, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    found: list[tuple[str, int, bytes, dict[str, bytes]]] = []
    try:
        async with asyncio.timeout(60):
            while len(found) < count:
                message = await consumer.getone()
                if message.key == producer.encode():
                    found.append((message.topic, message.partition, message.value, dict(message.headers)))
    finally:
        await consumer.stop()
    return found


async def test_every_frame_arrives_once_in_its_topic_with_its_headers_and_in_order(kafka_broker: KafkaBroker) -> None:
    address = KafkaAddress(kafka_broker.bootstrap)
    await create_topics(address, PARTITIONS_DEFAULT)
    producer = f"test-{uuid.uuid4().hex}"
    frames = frames_of(producer)
    async with KafkaTransport(address) as transport:
        await transport.send(frames[:5])
        await transport.send(frames[5:])
    messages = await received(kafka_broker.bootstrap, producer, len(frames))
    for name in FAMILIES:
        sent = [(frame.payload, dict(frame.headers)) for frame in frames if frame.header.family.name == name]
        of_topic = [message for message in messages if message[0] == aggregates(name)]
        assert [(payload, headers) for _, _, payload, headers in of_topic] == sent
        assert len({partition for _, partition, _, _ in of_topic}) == (1 if sent else 0)
    assert {frame.header.family.name for frame in frames} >= {"turns", "stages", "streams", "heartbeats"}


async def test_a_topic_that_does_not_exist_is_said_and_nothing_is_taken_for_sent(
    kafka_broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = f"missing-{uuid.uuid4().hex}"
    monkeypatch.setattr("producers.transport.aggregates", lambda family: missing)
    with pytest.raises(NotDelivered, match=r"did not (acknowledge|take)"):
        async with KafkaTransport(KafkaAddress(kafka_broker.bootstrap), delivery_timeout_s=1) as transport:
            await transport.send(frames_of("test-missing")[:1])


async def test_a_broker_that_stops_answering_is_said_to_and_not_that_a_topic_is_missing(
    kafka_broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped before the client has heard of the topic, so that is what the client waits for."""
    monkeypatch.setattr("producers.connection.ATTEMPT_TIMEOUT_MS", 200)
    address = KafkaAddress(kafka_broker.bootstrap)
    await create_topics(address, PARTITIONS_DEFAULT)
    async with KafkaTransport(address, delivery_timeout_s=20, request_timeout_s=0.3) as transport:
        os.kill(kafka_broker.running.pid, signal.SIGSTOP)
        try:
            with pytest.raises(NotDelivered, match=rf"^Kafka at {address.bootstrap} does not answer in time"):
                await transport.send(frames_of("test-silent")[:1])
        finally:
            os.kill(kafka_broker.running.pid, signal.SIGCONT)
    kafka_broker.wait_until_healthy()


async def test_a_topic_without_a_leader_is_waited_for_as_long_as_delivery_may_take(kafka_broker: KafkaBroker) -> None:
    """As after a broker's restart; for longer than a request may take, whether the batch was begun or finds no room yet."""
    address = KafkaAddress(kafka_broker.bootstrap)
    await create_topics(address, PARTITIONS_DEFAULT)
    producer = f"test-{uuid.uuid4().hex}"
    frames = frames_of(producer)
    async with KafkaTransport(address, delivery_timeout_s=60, request_timeout_s=0.5) as transport:
        await transport.send(frames[:1])  # Leaders are known by now.
        assert transport._producer is not None
        cluster = transport._producer.client.cluster
        back_at = asyncio.get_running_loop().time() + 2.0
        found, cluster.leader_for_partition = (
            cluster.leader_for_partition,
            lambda partition: -1 if asyncio.get_running_loop().time() < back_at else found(partition),
        )
        await transport.send(frames[1:])
        assert asyncio.get_running_loop().time() > back_at
    assert len(await received(kafka_broker.bootstrap, producer, len(frames))) == len(frames)


async def test_a_broker_that_is_not_there_is_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = KafkaAddress(f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(NotDelivered, match=rf"^Kafka at {address.bootstrap} cannot be reached .*turnwatch up"):
            async with KafkaTransport(address):
                pass


async def test_a_connection_that_is_given_up_while_it_is_made_leaves_no_producer_behind() -> None:
    """Else the interpreter says so later, beside the sentence that the process ends with."""
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["message"]))
    with socket.create_server(("127.0.0.1", 0)) as silent:  # Takes the connection, and never answers.
        connecting = asyncio.create_task(_connected(KafkaAddress(f"127.0.0.1:{silent.getsockname()[1]}")))
        await asyncio.sleep(0.1)
        connecting.cancel()
        await asyncio.wait([connecting])
    assert connecting.cancelled()
    del connecting
    gc.collect()
    await asyncio.sleep(0)
    assert told == []


async def _connected(address: KafkaAddress) -> None:
    async with KafkaTransport(address):
        pass
