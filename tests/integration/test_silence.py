"""A producer that dies raises `TelemetrySilent`, through real Kafka, a real worker and a real Alertmanager; what a question
finds goes the same way. How alerts freeze by the clock is in `tests/faults/test_freezing.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import polars as pl
import pytest

from producers.collector import WINDOW_MS, Collector, Frame
from producers.observations import QUEUE_COLUMNS, with_unsaid
from producers.transport import KafkaTransport
from schemas.families import FAMILIES
from schemas.instants import MINUTE_MS
from stream_jobs.operators.totals.reach import REPLAYED
from tests.integration.plant import POLL_S, SETTLED_WITHIN_S, Plant, small_fleet
from tests.integration.runs import AT_ONCE, send

DEAD = "eu-west-1-collector-0"
"""Shares its source partition with another collector, which goes on."""
NEIGHBOURS = {"eu-west-1": 1, "us-east-1": 1}
"""Collectors by region: those two alone, for nobody else has to do with it."""
QUEUE = "llm_first_token"
CELL = {"region": "eu-west-1", "pool": "realtime", "bundle": "v1"}
SATURATED = {"pool=realtime", "pool=realtime,region=eu-west-1", "pool=realtime,bundle=v1"}
"""Slices of one queue that breaks."""


@pytest.fixture(scope="module")
def partitions() -> int:
    """Two: slices of one queue still lie in different shards, and the collectors still share one."""
    return 2


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
async def test_a_queue_that_breaks_pages_outlives_a_kill_and_its_recovery_is_told(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From an engine's samples to Alertmanager and back: frames, intake, the watch of queues, findings, incidents, pager."""
    start_ms, plant.next_start_ms = plant.next_start_ms, plant.next_start_ms + 30 * MINUTE_MS
    engine = Engine(Collector("scrape-eu-west-1", "eu-west-1", start_ms, start_ms))
    async with KafkaTransport(plant.kafka) as transport:
        await transport.send([*engine.minutes(3, grows=0), *engine.minutes(5, grows=60)])
        await plant.settled()
        alerts = {alert["labels"]["slice"]: alert for alert in await active(plant, "Saturated", len(SATURATED))}
        assert alerts.keys() == SATURATED
        labels, annotations = alerts["pool=realtime"]["labels"], alerts["pool=realtime"]["annotations"]
        assert (labels["severity"], labels["owner"], labels["queue"]) == ("page", "capacity", QUEUE)
        assert "3 replicas are missing" in annotations["action"]

        plant.kill_worker()
        monkeypatch.setenv("TURNWATCH_ALERTMANAGER__OPEN_AT_LEAST_S", "1")
        await plant.start_worker()
        open_alerts = {("Saturated", "firing"): float(len(SATURATED))}
        assert await plant.counted("turnwatch_finding_alerts") == open_alerts, "what was found is state like any other"

        await transport.send([*engine.minutes(1, grows=-engine.depth), *engine.minutes(9, grows=0)])
        await plant.settled()
    assert await active(plant, "Saturated", 0) == []
    assert await plant.counted("turnwatch_finding_alerts") == dict.fromkeys(open_alerts, 0.0)
    landed = """SELECT count() FROM (SELECT * FROM findings FINAL WHERE slice = 'pool=realtime' ORDER BY version DESC LIMIT 1)
        WHERE alert = 'Saturated' AND state = 'resolved' AND incident = {incident:String}"""
    assert plant.value(landed, incident=labels["incident"]) == 1


@dataclass
class Engine:
    """A serving engine with four replicas that take 400 ms for a request, as its scraper sees it every ten seconds."""

    scraper: Collector
    depth: int = 6

    def minutes(self, count: int, grows: int) -> Iterator[Frame]:
        """Frames of so many minutes, in each of which the queue grows by so much; whoever waits in a growing one waits long."""
        for _ in range(6 * count):
            grown = grows // 6
            self.depth += grown
            at_ms = self.scraper.open_ms + WINDOW_MS - 1
            waited_ms = 100 * (2_000 if grown > 0 else 20)
            counted = {"arrivals": max(0, 100 + grown), "served": max(100, 100 - grown), "waited_ms_sum": waited_ms}
            used = {"depth": self.depth, "running": 4, "servers": 4, "busy_ms": 40_000, "available_ms": 40_000}
            sample = {"at_ms": at_ms, "host": "gpu-1", "queue": QUEUE, **CELL, **counted, **used}
            self.scraper.observe("queues", with_unsaid(pl.DataFrame([sample]), QUEUE_COLUMNS))
            yield from self.scraper.close(at_ms + 1)


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
