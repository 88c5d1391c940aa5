"""Kafka going away is weather: the worker ends with a sentence that says so, and a supervisor starts it anew."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.errors import NodeNotReadyError

from stream_jobs.agents.pulse import StageFailure
from stream_jobs.agents.worker import _until_first


async def test_a_broker_that_goes_away_under_a_starting_worker_is_told_in_a_sentence() -> None:
    async def start() -> None:
        raise NodeNotReadyError("Attempt to send a request to node which is not ready")

    starting = asyncio.create_task(start(), name="start")
    with pytest.raises(StageFailure, match=r"Kafka went away .*start: NodeNotReadyError.*goes on from what is saved"):
        await _until_first(asyncio.Event(), [starting], ready=True)


async def test_a_defect_is_not_taken_for_weather() -> None:
    async def work() -> None:
        raise ZeroDivisionError

    working = asyncio.create_task(work(), name="intake")
    with pytest.raises(ZeroDivisionError):
        await _until_first(asyncio.Event(), [working])
