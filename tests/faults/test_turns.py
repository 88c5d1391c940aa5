"""What takes long lets others of its loop have their turns, and ends where the state it changes or tells of is somebody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
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
    """A stage that applies event by event, tells two phases of some items, and makes each as it is taken."""

    name = "telling"

    def __init__(self, app: faust.App) -> None:
        super().__init__(app, ["records"], 1, StageSettings())
        self._metrics = WorkerMetrics(CollectorRegistry())
        self.heard: list[bytes | None] = []
        self.made: list[str] = []
        self.sent: list[str] = []

    def restore(self, partition: int, stored: dict[bytes, bytes]) -> None: ...

    def forget(self) -> None:
        self.heard = []

    def marked(self, topic: str, partition: int) -> int:
        return NOTHING_APPLIED

    def apply(self, topic: str, partition: int, events: list[Event]) -> Iterator[None]:
        for event in events:
            self.heard.append(event.message.value)
            yield None

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


class Heard:
    """An event of the stage's only partition, and whether it was acknowledged."""

    def __init__(self, place: int) -> None:
        self.message = SimpleNamespace(topic="records", partition=0, offset=place, value=b"%d" % place)
        self.is_acknowledged = False

    def ack(self) -> None:
        self.is_acknowledged = True


def pending(stage: Telling) -> list[Heard]:
    events: Any = [Heard(place) for place in range(ITEMS)]
    stage._pending += events
    stage._pending_bytes += ITEMS
    return list(events)


async def test_others_have_their_turns_while_a_batch_is_applied_and_nothing_is_saved_of_half_of_it(
    stage: Telling,
) -> None:
    events, seen = pending(stage), list[tuple[int, int]]()

    async def other() -> None:
        while len(stage.heard) < ITEMS:
            seen.append((len(stage.heard), len(stage._applied)))
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    await stage._apply_pending()
    await beside
    assert {1, 2, 3, 4} <= {heard for heard, _ in seen} and {applied for _, applied in seen} == {0}
    assert (stage.made, stage._pending_bytes) == ([], 0)
    await stage._save(Pulse(3_600))
    assert all(event.is_acknowledged for event in events)


@pytest.mark.parametrize("is_taken_over", [False, True])
async def test_a_batch_whose_partitions_went_elsewhere_amid_it_leaves_nothing_in_what_comes_then(
    stage: Telling, is_taken_over: bool
) -> None:
    """Not even where the same worker has the partition at once again, from its changelog: its events come once more."""
    events = pending(stage)

    async def rebalanced() -> None:
        while len(stage.heard) < 2:
            await asyncio.sleep(0)
        if is_taken_over:
            stage.take_over({0: {}})
        else:
            stage.let_go()

    beside = asyncio.create_task(rebalanced())
    await stage._apply_pending()
    await beside
    await stage._save(Pulse(3_600))
    assert (stage.heard, stage._applied, stage._pending_bytes) == ([], [], 0)
    assert not any(event.is_acknowledged for event in events)


async def test_a_save_that_is_given_up_leaves_what_was_sent_to_be_confirmed(
    stage: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled, each of tens of thousands would raise a traceback of its own once the broker confirms it."""
    sent: list[asyncio.Future[Any]] = []

    def send(item: Sent) -> asyncio.Future[Any]:
        sent.append(asyncio.get_running_loop().create_future())
        return sent[-1]

    monkeypatch.setattr(stage, "_send", send)
    save = asyncio.create_task(stage._save(Pulse(3_600)))
    while len(sent) < ITEMS:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    save.cancel()
    with pytest.raises(asyncio.CancelledError):
        await save
    for each in sent:
        each.set_result(None)
    assert len(sent) == ITEMS
