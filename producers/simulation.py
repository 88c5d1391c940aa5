"""Runs a scenario against Kafka: the simulated fleet, its collectors, and event time at a given speed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from producers.collector import Collector
from producers.drive import Clock, OnProgress, Progress, WallClock, drive, start_ms_of
from producers.fleet.aggregate_classes import refuse_overlays
from producers.fleet.aggregate_frames import AggregateSender
from producers.fleet.aggregates import draw_windows
from producers.fleet.choice import AnyScenario, chunks_of, hosts_of, truth_document
from producers.fleet.scenario_file import ScenarioFile
from producers.fleet.timeline import STEP_MS
from producers.scenarios import Scenario, Truth
from producers.simulator import ALIGNMENT_MS
from producers.transport import KafkaTransport, Transport
from schemas.failures import BadInput
from schemas.frames import ARROW, ContentType
from schemas.kafka import KafkaAddress


@dataclass(frozen=True, slots=True)
class Plan:
    """A scenario placed in event time; known before anything is sent, so that a prediction can be made from it."""

    scenario: AnyScenario
    seed: int
    start_ms: int
    duration_ms: int
    speed: float

    @property
    def truth(self) -> Truth | None:
        """In closed form, of the scenarios that have it: what a page is predicted from."""
        return self.scenario.truth(self.start_ms) if isinstance(self.scenario, Scenario) else None

    def told_truth(self) -> dict[str, Any]:
        """What will have happened, of any scenario, for JSON."""
        return truth_document(self.scenario, self.seed, self.start_ms, self.duration_ms)


def planned(scenario: AnyScenario, seed: int, speed: float, duration_s: int, now_ms: int) -> Plan:
    """The scenario so that its last whole minute ends at the present."""
    if duration_s <= 0:
        raise BadInput(f"A simulation has to last at least a minute of event time; {duration_s} s is none.")
    duration_ms = -(-duration_s * 1_000 // ALIGNMENT_MS) * ALIGNMENT_MS
    return Plan(scenario, seed, start_ms_of(now_ms, duration_ms, speed), duration_ms, speed)


async def simulate(
    plan: Plan,
    address: KafkaAddress,
    on_progress: OnProgress = lambda progress: None,
    clock: Clock | None = None,
    content_type: ContentType = ARROW,
) -> Progress:
    """Sends the planned scenario to Kafka at its speed."""
    async with KafkaTransport(address) as transport:
        return await simulate_into(plan, transport, on_progress, clock or WallClock(), content_type)


def drawable(scenario: AnyScenario) -> ScenarioFile:
    """The scenario, where its aggregates can be drawn directly as far as its file tells. Raises BadInput."""
    if not isinstance(scenario, ScenarioFile):
        raise BadInput(f"Scenario {scenario.name!r} is simulated turn by turn only: leave --aggregates out.")
    refuse_overlays(scenario.events)
    return scenario


async def simulate_aggregates(
    plan: Plan, address: KafkaAddress, on_progress: OnProgress = lambda progress: None, clock: Clock | None = None
) -> Progress:
    """Sends the planned scenario to Kafka with its aggregates drawn directly, without a turn."""
    async with KafkaTransport(address) as transport:
        return await simulate_aggregates_into(plan, transport, on_progress, clock or WallClock())


async def simulate_aggregates_into(plan: Plan, transport: Transport, on_progress: OnProgress, clock: Clock) -> Progress:
    """The same, into any transport and by any clock. Raises BadInput where the scenario has what cannot be drawn."""
    scenario = drawable(plan.scenario)
    progress, began_ms = Progress(), clock.now_ms()
    senders = [AggregateSender(host, began_ms) for host in hosts_of(plan.scenario)]
    for window in draw_windows(scenario, plan.seed, plan.start_ms, plan.duration_ms):
        frames = await asyncio.to_thread(
            lambda drawn: [frame for each in senders for frame in each.frames(drawn)], window
        )
        end_ms = window.start_ms + STEP_MS
        await clock.sleep_until(began_ms + int((end_ms - plan.start_ms) / plan.speed))
        await transport.send(frames)
        progress.add(frames)
        progress.event_ms, progress.turns = end_ms, progress.turns + window.turns
        on_progress(progress)
    return progress


async def simulate_into(
    plan: Plan, transport: Transport, on_progress: OnProgress, clock: Clock, content_type: ContentType = ARROW
) -> Progress:
    """The same, into any transport and by any clock."""
    incarnation = clock.now_ms()
    collectors = {
        host.producer: Collector(host.producer, host.region, incarnation, plan.start_ms, content_type)
        for host in hosts_of(plan.scenario)
    }
    chunks = chunks_of(plan.scenario, plan.seed, plan.start_ms, plan.duration_ms)
    return await drive(chunks, collectors, transport, clock, plan.speed, on_progress)
