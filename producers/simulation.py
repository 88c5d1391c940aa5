"""Runs a scenario against Kafka: the simulated fleet, its collectors, and event time at a given speed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from producers.collector import Collector
from producers.drive import Clock, OnProgress, Progress, WallClock, drive, start_ms_of
from producers.fleet.choice import AnyScenario, chunks_of, hosts_of, truth_document
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
