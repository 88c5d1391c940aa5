"""A producer that dies raises `TelemetrySilent`, through real Kafka, a real worker and a real Alertmanager; what a question
finds goes the same way. How alerts freeze by the clock is in `tests/faults/test_freezing.py`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer

from producers.collector import Frame
from schemas.families import FAMILIES
from schemas.findings import Findings
from schemas.topics import FINDINGS
from stream_jobs.operators.reach import REPLAYED
from tests.integration.plant import POLL_S, SETTLED_WITHIN_S, Plant, small_fleet
from tests.integration.runs import AT_ONCE, send
from tests.rules.finding import EVENT_MS, found, saturated

DEAD = "eu-west-1-collector-0"
"""Shares its source partition with another collector, which goes on."""
NEIGHBOURS = {"eu-west-1": 1, "us-east-1": 1}
"""Collectors by region: those two alone, for nobody else has to do with it."""
STATES = ("firing", "frozen", "resolved")


@pytest.mark.needs("prometheus-alertmanager")
async def test_a_dead_producer_pages_outlives_a_kill_and_resolves_when_it_reports_again(
    plant: Plant, seed: int
) -> None:
    silent_s = REPLAYED.silent_after_ms // 1_000
    dies = plant.plan(seed, minutes=silent_s // 60 + 2, speed=AT_ONCE, fleet=small_fleet(NEIGHBOURS))
    died_ms = dies.start_ms + 60_000

    reported: set[str] = set()

    async def without_the_dead(_: int, frames: list[Frame]) -> list[Frame]:
        sent = [each for each in frames if each.header.producer != DEAD or each.header.window_end_ms <= died_ms]
        reported.update(each.header.family.name for each in sent if each.header.producer == DEAD)
        return sent

    await send(plant, dies, without_the_dead)
    await plant.settled()
    assert reported >= {"turns", "stages", "streams", "heartbeats", "duplex", "outcomes"}
    found = await silences_of(plant, len(reported))
    assert {alert["labels"]["family"] for alert in found} == reported, (
        "a dead host is silent in every family it reported"
    )
    assert {alert["labels"]["producer"] for alert in found} == {DEAD}
    assert {alert["labels"]["severity"] for alert in found} == {"page"}, "it carried far more than 5 % of the volume"
    silent = dict.fromkeys(FAMILIES, 0) | dict.fromkeys(reported, 1)
    assert await silent_in(plant) == silent

    plant.kill_worker()
    await plant.start_worker()
    assert await silent_in(plant) == silent, "what is known of silence is state like any other"

    await send(plant, plant.plan(seed, minutes=1, speed=AT_ONCE, fleet=small_fleet(NEIGHBOURS)))
    await plant.settled()
    assert await silences_of(plant, 0) == []
    assert await silent_in(plant) == dict.fromkeys(FAMILIES, 0)


@pytest.mark.needs("prometheus-alertmanager")
async def test_what_a_question_finds_pages_outlives_a_kill_and_its_end_lands(plant: Plant) -> None:
    """Stated in the topic as a question would; the end is told to Alertmanager when it has notified of the beginning."""
    now_s = plant.next_start_ms // 1_000 - EVENT_MS // 1_000  # Of rows that are old enough ClickHouse lets go at once.
    await state(plant, found(now_s, saturated()), found(now_s + 60, saturated(facts={"depth": 400.0})))
    await plant.settled()
    (alert,) = await active(plant, "Saturated", 1)
    assert (alert["labels"]["owner"], alert["annotations"]["action"]) == ("capacity", saturated().action)
    plant.kill_worker()
    await plant.start_worker()
    open_alerts = {("Saturated", "firing"): 1.0}
    assert await plant.counted("turnwatch_finding_alerts") == open_alerts, "what was found is state like any other"
    await state(plant, found(now_s), found(now_s + 120))
    await plant.settled()
    assert await plant.counted("turnwatch_finding_alerts") == dict.fromkeys(open_alerts, 0.0)
    landed = "SELECT count() FROM findings FINAL WHERE state = {state:String} AND incident = {incident:String}"
    by_state = {name: plant.value(landed, state=name, incident=alert["labels"]["incident"]) for name in STATES}
    assert by_state == {"firing": 2, "frozen": 0, "resolved": 1}


async def state(plant: Plant, *said: Findings) -> None:
    async with AIOKafkaProducer(**plant.kafka.aiokafka_options()) as producer:
        for each in said:
            await producer.send_and_wait(FINDINGS, each.model_dump_json().encode(), partition=0)


async def silences_of(plant: Plant, count: int) -> list[dict[str, Any]]:
    return await active(plant, "TelemetrySilent", count)


async def active(plant: Plant, alertname: str, count: int) -> list[dict[str, Any]]:
    """The alerts of a name that Alertmanager knows to be active, once there are so many; the worker tells it at once."""
    assert plant.stack.alertmanager is not None
    url = f"{plant.stack.alertmanager.url}/api/v2/alerts?active=true&filter=alertname%3D{alertname}"
    async with asyncio.timeout(SETTLED_WITHIN_S), aiohttp.ClientSession() as session:
        while True:
            async with session.get(url) as answer:
                found: list[dict[str, Any]] = await answer.json()
            if len(found) == count:
                return found
            await asyncio.sleep(POLL_S)


async def silent_in(plant: Plant) -> dict[str, float]:
    return {family: count for (family,), count in (await plant.counted("turnwatch_producers_silent")).items()}
