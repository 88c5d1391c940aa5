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
