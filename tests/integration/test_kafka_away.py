"""Kafka away: a worker waits and says so, in one line, and goes on exactly where it was."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from producers.transport import KafkaTransport
from stack.kafka import KafkaBroker, start_kafka
from stack.processes import Running
from stream_jobs.agents.application import SESSION_TIMEOUT_S
from tests.integration.plant import Plant
from tests.integration.runs import AT_ONCE, compared, send_into
from turnwatch.surroundings import counters

REQUEST_TIMEOUT_S = 1.0
"""Of the producer that goes on sending while Kafka is away: many of them pass until it is back."""
DELIVERY_TIMEOUT_S = 240.0

LINES_MAX = 20
"""A worker that is away from Kafka for a session may not say more than this. Its clients alone would say thousands."""


class Broker:
    """The plant's broker, which can be stopped and started where it was."""

    def __init__(self, plant: Plant) -> None:
        self._run_dir = plant.stack.run_dir
        self._broker: KafkaBroker = plant.stack.kafka

    def stop(self) -> None:
        self._broker.stop()

    def start(self) -> None:
        port = int(self._broker.bootstrap.rpartition(":")[2])
        self._broker = start_kafka(self._run_dir, port=port)
        self._broker.wait_until_healthy()


@pytest.fixture
def broker(plant: Plant) -> Iterator[Broker]:
    broker = Broker(plant)
    yield broker
    plant.stop_worker()
    broker.stop()


def lines_of(worker: Running) -> list[str]:
    return worker.log.read_text(encoding="utf-8").splitlines()


async def away_for(plant: Plant, seconds: float) -> None:
    """Waits until the worker says that Kafka has been away for so long."""
    while (await counters(plant.metrics_url)).get("turnwatch_kafka_waiting_seconds", 0.0) < seconds:
        assert plant.worker.process() is not None, "the worker did not outlive the outage"
        await asyncio.sleep(0.2)


async def test_a_worker_waits_for_kafka_says_so_once_and_is_exact_afterwards(
    plant: Plant, broker: Broker, seed: int
) -> None:
    """Kafka goes while a backlog is worked off, and stays away for longer than a session lasts; who sends meanwhile waits, too."""
    worker = plant.worker
    plan, later = plant.plan(seed, minutes=2, speed=AT_ONCE), plant.plan(seed + 1, minutes=1, speed=AT_ONCE)
    before = sum((await plant.counted("turnwatch_frames_applied_total")).values())

    async with KafkaTransport(plant.kafka, DELIVERY_TIMEOUT_S, REQUEST_TIMEOUT_S) as transport:
        await send_into(transport, plan)
        while sum((await plant.counted("turnwatch_frames_applied_total")).values()) == before:
            await asyncio.sleep(0.01)
        said_before = lines_of(worker)
        broker.stop()
        sending = asyncio.create_task(send_into(transport, later))
        await away_for(plant, SESSION_TIMEOUT_S + 2)
        said = lines_of(worker)[len(said_before) :]
        assert len(said) <= LINES_MAX, said
        assert sum("kafka_lost" in line for line in said) == 1
        assert not any("Traceback" in line for line in said)
        assert not sending.done(), "nobody can have sent anything"

        broker.start()
        await sending
    await plant.settled()
    assert worker.process() is not None, "the worker did not outlive the outage"
    assert compared(plant, plan) == []
    assert compared(plant, later) == []
    assert sum("kafka_regained" in line for line in lines_of(worker)) == 1
