"""Runs of a simulated fleet through a plant: sent, perhaps altered on the way, and compared with a batch over all of it."""

from __future__ import annotations

import os
import random
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

import polars as pl
from aiokafka import AIOKafkaConsumer, TopicPartition

from producers.collector import Collector, Frame
from producers.drive import OnProgress, Progress, WallClock, drive
from producers.scenarios import Scenario
from producers.simulation import Plan
from producers.simulator import Chunk, hosts
from producers.simulator import simulate as chunks_of
from producers.transport import KafkaTransport, Transport
from schemas.frames import ARROW, NDJSON
from tests.integration.oracle import Observed, differences, expected, observed
from tests.integration.plant import Altering, Plant

AT_ONCE = 1e6
"""A speed at which event time waits for nobody."""

Made = TypeVar("Made")
Alter = Callable[[int, list[Frame]], Awaitable[list[Frame]]]


def drawn_seed() -> int:
    """The seed of another world in every run; `TURNWATCH_SEED` brings one back."""
    given = os.environ.get("TURNWATCH_SEED")
    return int(given) if given else random.SystemRandom().randrange(10**6)


def say_seed(seed: int) -> None:
    """Into what a failure shows."""
    print(f"TURNWATCH_SEED={seed} repeats this world.")


async def as_is(_: int, frames: list[Frame]) -> list[Frame]:
    return frames


async def send(
    plant: Plant,
    plan: Plan,
    alter: Alter = as_is,
    on_progress: OnProgress = lambda _: None,
    without_arrow: Collection[str] = (),
) -> Progress:
    """Sends the planned fleet; regions named in `without_arrow` have collectors that tell rows as JSON."""
    async with KafkaTransport(plant.kafka) as transport:
        return await send_into(Altering(transport, alter), plan, on_progress, without_arrow)


async def send_into(
    transport: Transport,
    plan: Plan,
    on_progress: OnProgress = lambda _: None,
    without_arrow: Collection[str] = (),
) -> Progress:
    """The same, into any transport."""
    steps, clock = _steps(plan), WallClock()
    incarnation = clock.now_ms()
    collectors = {
        host.producer: Collector(
            host.producer, host.region, incarnation, plan.start_ms, NDJSON if host.region in without_arrow else ARROW
        )
        for host in hosts(_fleet(plan))
    }
    return await drive(steps, collectors, transport, clock, plan.speed, on_progress)


def happened(plan: Plan) -> Observed:
    return observed(_steps(plan))


def wanted(plan: Plan) -> dict[str, pl.DataFrame]:
    """What the oracle makes of everything that happened."""
    return _once(_WANTED, plan, lambda: expected(happened(plan)))


def compared(plant: Plant, plan: Plan) -> list[str]:
    world, rows = happened(plan), wanted(plan)
    return differences(rows, plant.found(rows, world.start_ms, world.end_ms))


_STEPS: deque[tuple[Plan, list[Chunk]]] = deque(maxlen=2)
_WANTED: deque[tuple[Plan, dict[str, pl.DataFrame]]] = deque(maxlen=2)
"""Of the newest plans: a world is simulated once to be sent and to be compared with, however often that is."""


def _steps(plan: Plan) -> list[Chunk]:
    """What the fleet's collectors observe, step by step."""
    return _once(_STEPS, plan, lambda: list(chunks_of(_fleet(plan), plan.seed, plan.start_ms, plan.duration_ms)))


def _once(known: deque[tuple[Plan, Made]], plan: Plan, make: Callable[[], Made]) -> Made:
    for of, made in known:
        if of == plan:
            return made
    known.append((plan, make()))
    return known[-1][1]


def _fleet(plan: Plan) -> Scenario:
    assert isinstance(plan.scenario, Scenario), "a scenario file has its truth beside it"
    return plan.scenario


async def ends_of(plant: Plant, topic: str) -> dict[TopicPartition, int]:
    """Where the topic ends now, partition by partition."""
    consumer = AIOKafkaConsumer(topic, **plant.kafka.aiokafka_options())
    await consumer.start()
    try:
        return dict(await consumer.end_offsets(consumer.assignment()))
    finally:
        await consumer.stop()


async def read_from(plant: Plant, topic: str, begin: dict[TopicPartition, int]) -> list[bytes]:
    """Everything that came to the topic since `begin`."""
    ends = await ends_of(plant, topic)
    consumer = AIOKafkaConsumer(**plant.kafka.aiokafka_options())
    await consumer.start()
    try:
        consumer.assign(list(begin))
        for partition, offset in begin.items():
            consumer.seek(partition, offset)
        found: list[bytes] = []
        while len(found) < sum(ends.values()) - sum(begin.values()):
            polled = await consumer.getmany(timeout_ms=500)
            found += [record.value for records in polled.values() for record in records]
        return found
    finally:
        await consumer.stop()
