"""Runs of a simulated fleet through a plant: sent, perhaps altered on the way, and compared with a batch over all of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiokafka import AIOKafkaConsumer, TopicPartition

from producers.collector import Frame
from producers.drive import OnProgress, Progress, WallClock
from producers.scenarios import Scenario
from producers.simulation import Plan, simulate_into
from producers.simulator import simulate as chunks_of
from producers.transport import KafkaTransport
from schemas.frames import ARROW, ContentType
from tests.integration.oracle import Observed, differences, expected, observed
from tests.integration.plant import Altering, Plant

AT_ONCE = 1e6
"""A speed at which event time waits for nobody."""

Alter = Callable[[int, list[Frame]], Awaitable[list[Frame]]]


async def as_is(_: int, frames: list[Frame]) -> list[Frame]:
    return frames


async def send(
    plant: Plant,
    plan: Plan,
    alter: Alter = as_is,
    on_progress: OnProgress = lambda _: None,
    content_type: ContentType = ARROW,
) -> Progress:
    async with KafkaTransport(plant.kafka) as transport:
        return await simulate_into(plan, Altering(transport, alter), on_progress, WallClock(), content_type)


def happened(plan: Plan) -> Observed:
    assert isinstance(plan.scenario, Scenario), "a scenario file has its truth beside it"
    return observed(chunks_of(plan.scenario, plan.seed, plan.start_ms, plan.duration_ms))


def compared(plant: Plant, plan: Plan) -> list[str]:
    world = happened(plan)
    wanted = expected(world)
    return differences(wanted, plant.found(wanted, world.start_ms, world.end_ms))


async def ends_of(plant: Plant, topic: str) -> dict[TopicPartition, int]:
    """Where the topic ends now, partition by partition."""
    consumer = AIOKafkaConsumer(topic, **plant.kafka.aiokafka_options())
    await consumer.start()
    try:
        return dict(await consumer.end_offsets(consumer.assignment()))
    finally:
        await consumer.stop()
