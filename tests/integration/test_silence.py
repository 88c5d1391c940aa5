"""A producer that dies raises `TelemetrySilent`, through real Kafka, a real worker and a real Alertmanager; alerts freeze.
So do findings, which go the same way.

The freezing by the clock is shown on the stage as it is, with the clock in our hand: nobody waits a minute for a test.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from prometheus_client import CollectorRegistry

from alerts.alertmanager import Alertmanagers
from alerts.explanations import Paging
from alerts.pages import FROZEN_AFTER_MS, to_send
from producers.collector import Frame
from schemas.burns import AlertState, Decision
from schemas.families import FAMILIES
from schemas.findings import Findings
from schemas.kafka import KafkaAddress
from schemas.metrics import WorkerMetrics
from schemas.silences import Silence, SilentProducer
from schemas.topics import ALERTS, BURNS, FINDINGS, ROLLUPS, SILENCES
from stream_jobs.agents import incidents
from stream_jobs.agents.application import ApplicationSettings, build
from stream_jobs.agents.exact import Outgoing, StageSettings
from stream_jobs.agents.incidents import IncidentsStage
from stream_jobs.agents.pager import Pager
from stream_jobs.operators.reach import LIVE, REPLAYED, Patience
from tests.integration.plant import POLL_S, SETTLED_WITHIN_S, Plant, small_fleet
from tests.integration.test_flow import AT_ONCE, send
from tests.rules.burning import burning, decided
from tests.rules.finding import EVENT_MS, found, saturated

DEAD = "eu-west-1-collector-0"
"""Shares its source partition with another collector, which goes on."""
NEIGHBOURS = {"eu-west-1": 1, "us-east-1": 1}
"""Collectors by region: those two alone, for nobody else has to do with it."""
NOW_MS = 1_800_000_000_000
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


# -- the stage, with the clock in our hand -------------------------------------------------------------------------------


class Desk:
    """The incidents stage on an application that leads nowhere, its clock, and its changelog as somebody would find it."""

    def __init__(self, folder: Path, patience: Patience) -> None:
        self.folder, self.patience = folder, patience
        self.changelog: dict[bytes, bytes] = {}
        self.published: list[AlertState] = []
        self.taken_away: list[bytes | None] = []
        self.rolled_up: list[Outgoing] = []
        self.offset = 0
        self.start()

    def start(self) -> None:
        """A process that takes over what is saved."""
        self.registry = CollectorRegistry()
        metrics = WorkerMetrics(self.registry)
        self.pager = Pager(Alertmanagers([]), Paging(), metrics)
        app = build(ApplicationSettings(KafkaAddress("127.0.0.1:1"), 1, data_dir=self.folder))
        self.stage = IncidentsStage(app, 1, StageSettings(), self.pager, metrics, patience=self.patience)
        self.stage.take_over({0: dict(self.changelog)})

    def hear(self, said: Decision | Silence | Findings) -> None:
        topics = {Decision: BURNS, Silence: SILENCES, Findings: FINDINGS}
        self.take_in(topics[type(said)], said.model_dump_json().encode())

    def take_in(self, topic: str, payload: bytes) -> None:
        message = SimpleNamespace(topic=topic, partition=0, offset=self.offset, value=payload)
        self.offset += 1
        event: Any = SimpleNamespace(message=message)
        self.stage.apply(topic, 0, [event])

    def save(self) -> list[str]:
        """One save; the states that it published."""
        before = len(self.published)
        for phase in self.stage.phases():
            for item in phase:
                if isinstance(item, Outgoing):
                    if item.topic == ALERTS and item.value is None:
                        self.taken_away.append(item.key)
                    elif item.topic == ALERTS:
                        self.published.append(AlertState.model_validate_json(item.value or b""))
                    elif item.topic == ROLLUPS:
                        self.rolled_up.append(item)
                elif item[1].value is None:
                    self.changelog.pop(item[1].key, None)
                else:
                    self.changelog[item[1].key] = item[1].value
        return [alert.state for alert in self.published[before:]]

    def gauge(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


class HeldClock:
    def __init__(self) -> None:
        self.now_ms = NOW_MS


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> HeldClock:
    held = HeldClock()
    monkeypatch.setattr(incidents, "_now_ms", lambda: held.now_ms)
    return held


def test_a_page_freezes_when_nothing_is_decided_any_more_and_thaws_with_the_next_decision(
    tmp_path: Path, clock: HeldClock
) -> None:
    desk = Desk(tmp_path, LIVE)
    desk.hear(decided(10, burning()))
    assert desk.save() == ["firing"]
    clock.now_ms += FROZEN_AFTER_MS
    assert desk.save() == ["frozen"]
    assert desk.save() == []
    assert desk.gauge("turnwatch_alerts", state="frozen") == 1
    assert desk.gauge("turnwatch_alerts", state="firing") == 0
    desk.hear(decided(20, burning()))
    assert desk.save() == ["firing"]
    assert desk.gauge("turnwatch_alerts", state="frozen") == 0


def test_a_frozen_page_is_frozen_after_a_kill_and_still_ends_on_evidence(tmp_path: Path, clock: HeldClock) -> None:
    desk = Desk(tmp_path, LIVE)
    desk.hear(decided(10, burning()))
    desk.save()
    clock.now_ms += FROZEN_AFTER_MS
    desk.save()
    desk.start()
    assert [alert.state for alert in desk.pager.pages.alerts] == ["frozen"]
    desk.hear(decided(20))
    assert desk.save() == ["firing"], "nobody knows when something last spoke for it: it waits its minute from here"
    desk.hear(decided(80))
    assert desk.save() == ["resolved"]


def test_a_pending_page_is_published_and_told_to_nobody(tmp_path: Path, clock: HeldClock) -> None:
    desk = Desk(tmp_path, LIVE)
    desk.hear(decided(10, held=(burning(),)))
    assert desk.save() == ["pending"]
    assert desk.gauge("turnwatch_alerts", state="pending") == 1
    desk.start()
    assert [alert.state for alert in desk.pager.pages.alerts] == ["pending"]
    assert desk.gauge("turnwatch_alerts", state="pending") == 1
    assert to_send(desk.pager.pages, NOW_MS) == ()
    desk.hear(decided(20))
    assert desk.save() == ["resolved"]
    assert desk.gauge("turnwatch_alerts", state="pending") == 0


def test_in_a_replay_that_has_ended_nothing_freezes(tmp_path: Path, clock: HeldClock) -> None:
    desk = Desk(tmp_path, REPLAYED)
    desk.hear(decided(10, burning()))
    desk.save()
    clock.now_ms += 24 * 3_600_000
    assert desk.save() == []


def test_pages_and_silences_share_a_changelog_and_find_their_own(tmp_path: Path, clock: HeldClock) -> None:
    desk = Desk(tmp_path, REPLAYED)
    gone = SilentProducer(producer=DEAD, since_ms=1_700_000_000_000, volume=500)
    silence = Silence(
        family="turns", source_partition=0, version=7, newest_ms=1_700_000_700_000, volume=1_000, silent=(gone,)
    )
    desk.hear(silence)
    desk.hear(decided(10, burning()))
    desk.save()
    desk.start()
    assert [alert.producer for alert in desk.pager.silences.firing] == [DEAD]
    assert [alert.state for alert in desk.pager.pages.alerts] == ["firing"]
    assert desk.gauge("turnwatch_producers_silent", family="turns") == 1
    desk.hear(silence.model_copy(update={"version": 8, "silent": ()}))
    desk.save()
    assert desk.pager.silences.firing == ()
    assert desk.gauge("turnwatch_silence_alerts", severity="page") == 0
