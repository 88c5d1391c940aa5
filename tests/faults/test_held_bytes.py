"""What a worker holds of records that it has not saved is bounded in bytes, and a bound never stops it for good."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import faust
import pytest
from faust.types.tuples import ConsumerMessage
from prometheus_client import CollectorRegistry

from schemas.kafka import KafkaAddress
from schemas.metrics import WorkerMetrics
from stream_jobs.agents.application import Application, ApplicationSettings, BoundedQueue, build
from stream_jobs.agents.exact import Event, Outgoing, Stage, StageSettings
from stream_jobs.agents.pulse import Pulse
from stream_jobs.operators.totals.blocks import NOTHING_APPLIED, Block

TOPIC = "records"
SIZE, BOUND = 100, 1_000


class Reading(Stage):
    """A stage that takes in whatever comes."""

    name = "reading"

    def __init__(self, app: faust.App) -> None:
        super().__init__(app, [TOPIC], 1, StageSettings(save_interval_s=3_600, pending_bytes_max=BOUND))
        self._metrics = WorkerMetrics(CollectorRegistry())
        self.taken: list[int] = []

    def restore(self, partition: int, stored: dict[bytes, bytes]) -> None: ...

    def forget(self) -> None: ...

    def marked(self, topic: str, partition: int) -> int:
        return NOTHING_APPLIED

    def apply(self, topic: str, partition: int, events: list[Event]) -> Iterable[None]:
        self.taken += [len(event.message.value or b"") for event in events]
        return ()

    def phases(self) -> Iterable[Iterable[Outgoing | tuple[int, Block]]]:
        return ()


@pytest.fixture
def app(tmp_path: Path) -> Application:
    return build(ApplicationSettings(KafkaAddress("127.0.0.1:1"), 1, data_dir=tmp_path, queued_bytes_max=BOUND))


@pytest.fixture
def stage(app: Application) -> Reading:
    stage = Reading(app)
    app.consumer._begins = {}  # type: ignore[attr-defined]
    stage.take_over({0: {}})
    stage._seen[TOPIC, 0] = -1
    return stage


def events(app: faust.App, count: int, readers: int = 1, first: int = 0) -> Iterator[Any]:
    """As Faust hands them to each of `readers`."""
    for offset in range(first, first + count):
        message = ConsumerMessage(
            TOPIC, 0, offset, 0.0, 0, None, None, b"x" * SIZE, None, generation_id=app.consumer_generation_id
        )
        message.incref(readers)
        yield faust.Event(app, None, message.value, None, message)


def held(stage: Stage) -> int:
    return stage._pending_bytes + stage._applied_bytes


async def test_a_stage_that_holds_too_many_bytes_takes_no_more_until_they_are_applied(
    app: Application, stage: Reading
) -> None:
    for event in events(app, BOUND // SIZE - 1):
        stage._accept(event)
    assert not stage._is_full()
    for event in events(app, 1, first=BOUND // SIZE - 1):
        stage._accept(event)
    assert stage._is_full() and stage._wake.is_set()
    await stage._apply_pending()
    assert not stage._is_full() and stage._room.is_set()
    assert stage.taken == [SIZE] * (BOUND // SIZE // 2), "more comes while a half of it is prepared and applied"
    await stage._apply_pending()
    assert stage.taken == [SIZE] * (BOUND // SIZE)
    assert held(stage) == 0
    assert {event.message.value for event in stage._applied} == {None}, "it is kept to be acknowledged, without payload"


async def test_what_another_stage_has_yet_to_read_counts_until_it_is_saved(app: Application, stage: Reading) -> None:
    half = BOUND // SIZE // 2
    for event in events(app, half, readers=2):
        stage._accept(event)
    assert stage._pace_s() > 0
    await stage._apply_pending()
    assert held(stage) == half * SIZE
    assert all(event.message.value for event in stage._applied), "the other stage reads the same bytes"
    assert stage._pace_s() == 0, "the save is due now"
    await stage._save(Pulse(3_600))
    assert held(stage) == 0


async def test_who_lets_go_of_partitions_holds_nothing(app: Application, stage: Reading) -> None:
    for event in events(app, BOUND // SIZE, readers=2):
        stage._accept(event)
    await stage._apply_pending()
    assert stage._pending and stage._applied
    stage.let_go()
    assert held(stage) == 0 and stage._room.is_set()


async def test_a_queue_is_full_by_bytes_before_it_is_by_number(app: Application) -> None:
    queue = app.FlowControlQueue(maxsize=50, clear_on_resume=True)
    assert isinstance(queue, BoundedQueue)
    app.flow_control.resume()
    paused: list[str] = []
    for event in events(app, 9):
        queue.put_nowait_enhanced(event, on_pressure_high=pausing(paused), on_pressure_drop=resuming(paused))
    assert paused == ["paused"], "the fetcher pauses the partition at four fifths"
    assert not queue.full()
    for event in events(app, 1, first=9):
        await queue.put(event)
    assert queue.full()
    one_more = asyncio.create_task(queue.put(next(events(app, 1, first=10))))
    await asyncio.sleep(0)
    assert not one_more.done()
    offsets = [(await queue.get()).message.offset for _ in range(11)]
    assert offsets == list(range(11))
    await one_more
    queue.maybe_endorse_pressure_drop()
    assert paused == ["paused", "resumed"]
    assert queue.empty() and queue.qsize() == 0


async def test_a_queue_takes_one_event_that_is_larger_than_its_bound(app: Application) -> None:
    queue = BoundedQueue(50, SIZE // 2, flow_control=app.flow_control)
    app.flow_control.resume()
    await queue.put(next(events(app, 1)))
    assert queue.full()
    assert (await queue.get()).message.offset == 0
    assert not queue.full()


async def test_a_queue_that_is_cleared_is_empty(app: Application) -> None:
    """As at every rebalance."""
    queue = app.FlowControlQueue(maxsize=50, clear_on_resume=True)
    app.flow_control.resume()
    for event in events(app, 20):
        queue.force_put_nowait(event)
    app.flow_control.resume()
    assert queue.empty() and queue.qsize() == 0


def pausing(said: list[str]) -> Any:
    return lambda: said.append("paused")


class Resuming:
    """One callback however often it is asked for."""

    def __init__(self, said: list[str]) -> None:
        self.said = said

    def __call__(self) -> None:
        self.said.append("resumed")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Resuming)

    def __hash__(self) -> int:
        return 0


def resuming(said: list[str]) -> Any:
    return Resuming(said)
