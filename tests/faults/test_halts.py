"""Halts that are over are over for everybody, also for a sink that runs alone; Kafka and Alertmanager are in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from alerts.alertmanager import Alertmanagers, Destination
from alerts.explanations import Links
from schemas.kafka import KafkaAddress
from schemas.metrics import WorkerMetrics
from schemas.rejections import Halt, Reason, Rejected
from schemas.topics import ROLLUPS
from schemas.warehouse import ClickHouseAddress
from stream_jobs.agents import halts as halts_module
from stream_jobs.agents.diversion import DiversionBound, Halted
from stream_jobs.agents.exact import StageSettings
from stream_jobs.agents.halts import Halts
from stream_jobs.agents.pulse import StageFailure
from stream_jobs.sinks.batches import DeadLetter
from tests.rules.memory import MemoryAlertmanager
from turnwatch import work
from turnwatch.places import Places
from turnwatch.settings import Settings

KAFKA = KafkaAddress("127.0.0.1:1")
LINKS = Links("https://runbooks.example/", "https://boards.example/")
HALT = Halt(topic=ROLLUPS, partition=0, offset=5, reason="wrong_type", why="Too much was refused.", at_ms=0)


@dataclass
class Memory:
    """What Kafka knows: one halt, and how far the sink's group has come."""

    reached: int = 5
    sent: list[bytes] = field(default_factory=list)

    async def records(self, _topic: str) -> AsyncIterator[Any]:
        yield SimpleNamespace(value=HALT.model_dump_json().encode())

    async def kept_from(self, _topic: str) -> dict[int, int]:
        return {0: 0}

    async def committed(self, _group: str, partitions: set[Any]) -> dict[Any, int]:
        return dict.fromkeys(partitions, self.reached)

    async def send_and_wait(self, topic: str, value: bytes, key: bytes) -> None:
        self.sent.append(value)


@asynccontextmanager
async def halting(memory: Memory, *alertmanagers: str) -> AsyncIterator[Halts]:
    reader: Any = memory
    async with Alertmanagers([Destination(url) for url in alertmanagers]) as known:
        yield Halts(KAFKA, reader, known, LINKS)


async def test_a_sink_that_runs_alone_hears_that_a_halt_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise one bad rollup, weeks after the fix, would end it and every start of it from then on."""
    memory = Memory()
    letter = DeadLetter(Rejected(Reason.WRONG_TYPE, "It does not fit."), ROLLUPS, 0, 9)
    halted_before = 0

    async def sink(
        _kafka: Any, _clickhouse: Any, _metrics: Any, stop: asyncio.Event, send: Any, _settings: Any
    ) -> None:
        nonlocal halted_before
        while not memory.sent:
            try:
                await send(letter)
            except Halted:
                halted_before += 1
                memory.reached = 6  # A fix takes it in.
            await asyncio.sleep(0.01)
        stop.set()

    @asynccontextmanager
    async def producer(_kafka: KafkaAddress) -> AsyncIterator[Any]:
        yield memory

    monkeypatch.setattr(halts_module, "LOOK_S", 0.02)
    monkeypatch.setattr(work, "run_sink", sink)
    monkeypatch.setattr(work, "_producer", producer)
    monkeypatch.setattr(work, "halting", lambda *_: halting(memory))
    monkeypatch.setattr(work, "WorkerMetrics", lambda **given: WorkerMetrics(CollectorRegistry(), **given))
    monkeypatch.setattr(work, "KafkaWatch", lambda *_: SimpleNamespace(run=asyncio.Event.wait))
    known = Places(KAFKA, ClickHouseAddress("http://127.0.0.1:1"), ())
    async with asyncio.timeout(20):
        await work._work(Settings(), known, "only", StageSettings(), False)
    assert halted_before > 0 and len(memory.sent) == 1


async def test_whoever_fails_beside_a_sink_that_runs_alone_ends_it() -> None:
    ended: list[str] = []

    async def land(stop: asyncio.Event) -> None:
        await stop.wait()
        ended.append("landed")

    async def fail(_stop: asyncio.Event) -> None:
        raise StageFailure("It went wrong.")

    with pytest.raises(StageFailure, match="It went wrong"):
        await work._land_watched(land, [fail], asyncio.Event())
    assert ended == ["landed"]


async def test_a_worker_that_stood_still_does_not_tell_what_it_knew_of_halts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The halt may be over by then, and the page would stay for an hour."""
    async with MemoryAlertmanager() as alertmanager, halting(Memory(), alertmanager.url) as halts:
        await halts._look(DiversionBound())
        assert alertmanager.requests == [1]
        monkeypatch.setattr(halts_module, "STALE_S", -1.0)
        await halts._look(DiversionBound())
        await halts.tell(HALT)
        assert alertmanager.requests == [1]
    assert caplog.text.count("page_stale: ") == 2
