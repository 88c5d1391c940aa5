"""A save that takes long lets others of its loop have their turns, and ends where the state it tells of is somebody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import faust
import pytest
from prometheus_client import CollectorRegistry

from schemas.kafka import KafkaAddress
from schemas.metrics import WorkerMetrics
from stream_jobs.agents import exact
from stream_jobs.agents.application import ApplicationSettings, build
from stream_jobs.agents.exact import Event, Outgoing, Sent, Stage, StageSettings
from stream_jobs.agents.pulse import Pulse
from stream_jobs.operators.totals.blocks import NOTHING_APPLIED

ITEMS = 5


class Telling(Stage):
    """A stage that tells two phases of some items, and makes each as it is taken."""

    name = "telling"

    def __init__(self, app: faust.App) -> None:
        super().__init__(app, ["records"], 1, StageSettings())
        self._metrics = WorkerMetrics(CollectorRegistry())
        self.made: list[str] = []
        self.sent: list[str] = []

    def restore(self, partition: int, stored: dict[bytes, bytes]) -> None: ...

    def forget(self) -> None: ...

    def marked(self, topic: str, partition: int) -> int:
        return NOTHING_APPLIED

    def apply(self, topic: str, partition: int, events: list[Event]) -> None: ...

    def phases(self) -> Iterable[Iterable[Sent | None]]:
        yield self._phase("rows")
        yield self._phase("state")

    def _phase(self, what: str) -> Iterator[Sent | None]:
        for _ in range(ITEMS):
            self.made.append(what)
            yield Outgoing("told", what.encode(), [])
            yield None

    def _send(self, item: Sent) -> asyncio.Future[Any]:
        assert isinstance(item, Outgoing) and item.value
        self.sent.append(item.value.decode())
        confirmed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        confirmed.set_result(None)
        return confirmed


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Telling:
    monkeypatch.setattr(exact, "TURN_S", 0.0)  # Every place between two items is a turn of others.
    stage = Telling(build(ApplicationSettings(KafkaAddress("127.0.0.1:1"), 1, data_dir=tmp_path)))
    stage.take_over({0: {}})
    return stage


async def test_others_have_their_turns_while_a_phase_is_made(stage: Telling) -> None:
    seen: list[int] = []

    async def other() -> None:
        while len(stage.made) < ITEMS:
            seen.append(len(stage.made))
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    await stage._save(Pulse(3_600))
    await beside
    assert {1, 2, 3, 4} <= set(seen)
    assert stage.sent == ["rows"] * ITEMS + ["state"] * ITEMS


async def test_a_save_whose_partitions_went_elsewhere_amid_a_phase_sends_none_of_it(stage: Telling) -> None:
    async def rebalanced() -> None:
        while len(stage.made) < 2:
            await asyncio.sleep(0)
        stage.let_go()

    beside = asyncio.create_task(rebalanced())
    await stage._save(Pulse(3_600))
    await beside
    assert (stage.sent, stage.made) == ([], ["rows"] * 2)
