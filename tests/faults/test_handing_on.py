"""What can be handed on at once is, without any task; what has to wait is handed on or given up as Faust does it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from mode.services import WaitResults

from schemas.kafka import KafkaAddress
from stream_jobs.agents.application import ApplicationSettings, build
from stream_jobs.agents.handing_on import PromptConsumer


@pytest.fixture
async def consumer(tmp_path: Path) -> PromptConsumer:
    """Made where it runs: what it starts is for that event loop."""
    consumer = build(ApplicationSettings(KafkaAddress("127.0.0.1:1"), 1, data_dir=tmp_path)).consumer
    assert isinstance(consumer, PromptConsumer)
    return consumer


class Callback:
    """Hands on at once, or when `room` is set; says what became of it."""

    def __init__(self, room: asyncio.Event | None = None, fails: bool = False) -> None:
        self.room, self.fails = room, fails
        self.told: list[str] = []

    async def __call__(self) -> str:
        self.told.append("begun")
        try:
            if self.room is not None:
                await self.room.wait()
                await asyncio.sleep(0)  # It may have to wait more than once.
        except asyncio.CancelledError:
            self.told.append("given up")
            raise
        if self.fails:
            raise ValueError("no such channel")
        self.told.append("handed on")
        return "here"


async def raced(consumer: PromptConsumer, callback: Callback, suspended: asyncio.Event) -> WaitResults:
    return await consumer.wait_first(callback(), suspended.wait())


async def test_what_need_not_wait_is_handed_on_in_one_step(consumer: PromptConsumer) -> None:
    callback = Callback()
    race = raced(consumer, callback, asyncio.Event())
    with pytest.raises(StopIteration) as ended:
        race.send(None)  # To wait for anything would give back control here.
    assert ended.value.value.results == ["here"] and not ended.value.value.stopped
    assert callback.told == ["begun", "handed on"]


async def test_what_has_to_wait_is_handed_on_when_there_is_room(consumer: PromptConsumer) -> None:
    room = asyncio.Event()
    callback = Callback(room)
    race = asyncio.create_task(raced(consumer, callback, asyncio.Event()))
    await asyncio.sleep(0)
    assert callback.told == ["begun"] and not race.done()
    room.set()
    assert (await race).results == ["here"]
    assert callback.told == ["begun", "handed on"]


async def test_what_has_to_wait_is_given_up_when_the_flow_stops(consumer: PromptConsumer) -> None:
    suspended = asyncio.Event()
    callback = Callback(asyncio.Event())
    race = asyncio.create_task(raced(consumer, callback, suspended))
    await asyncio.sleep(0)
    suspended.set()
    assert (await race).results == [True]
    await asyncio.sleep(0)
    assert callback.told == ["begun", "given up"]


async def test_what_waits_is_given_up_with_whoever_hands_on(consumer: PromptConsumer) -> None:
    callback = Callback(asyncio.Event())
    race = asyncio.create_task(raced(consumer, callback, asyncio.Event()))
    await asyncio.sleep(0)
    race.cancel()
    with pytest.raises(asyncio.CancelledError):
        await race
    await asyncio.sleep(0)
    assert callback.told == ["begun", "given up"]


@pytest.mark.parametrize("waits", [False, True])
async def test_what_fails_ends_whoever_hands_on(consumer: PromptConsumer, waits: bool) -> None:
    room = asyncio.Event() if waits else None
    race = asyncio.create_task(raced(consumer, Callback(room, fails=True), asyncio.Event()))
    await asyncio.sleep(0)
    if room:
        room.set()
    with pytest.raises(ValueError, match="no such channel"):
        await race


class Impatient(Callback):
    """Waits for so long at most, in whichever task."""

    def __init__(self, at_most_s: float) -> None:
        super().__init__(asyncio.Event())
        self.at_most_s = at_most_s

    async def __call__(self) -> str:
        try:
            async with asyncio.timeout(self.at_most_s):
                await super().__call__()
        except TimeoutError:
            return "nobody made room"
        return "here"


@pytest.mark.parametrize("at_most_s", [0, 0.001])
async def test_what_waits_for_a_time_is_ended_by_that_and_nobody_else(
    consumer: PromptConsumer, at_most_s: float
) -> None:
    """As Faust waits for a full producer: the limit of time is the handing on's, and the fetcher hands on the next.

    Without any time it is over before a task goes on with what has begun.
    """
    callback = Impatient(at_most_s)
    assert (await raced(consumer, callback, asyncio.Event())).results == ["nobody made room"]
    assert callback.told == ["begun", "given up"]
    task = asyncio.current_task()
    assert task is not None and task.cancelling() == 0
    assert (await raced(consumer, Callback(), asyncio.Event())).results == ["here"]


async def test_whoever_hands_on_is_the_same_task_after_it(consumer: PromptConsumer) -> None:
    task = asyncio.current_task()
    await raced(consumer, Callback(), asyncio.Event())
    assert asyncio.current_task() is task
    with pytest.raises(ValueError, match="no such channel"):
        await raced(consumer, Callback(fails=True), asyncio.Event())
    assert asyncio.current_task() is task
