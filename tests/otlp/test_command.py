"""`turnwatch otlp` as a process: what it says of settings, and that it listens, answers and ends when it is asked to."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys

import pytest

from producers.otlp.mapping import TURNS_FROM
from tests.otlp.exports import NOW_MS, counter, request
from tests.otlp.test_server import posted
from turnwatch.otlp_in import otlp_settings
from turnwatch.settings import Settings, SettingsError

SENT = request([counter("turnwatch.turns.turns", 5, NOW_MS)])


def test_settings_are_told_by_their_variable() -> None:
    known = otlp_settings(Settings(), region="eu-west-1", port=0)
    assert (known.turns_from, known.topic, known.defaults["pool"]) == (TURNS_FROM, None, "realtime")
    for wrong, variable in (
        ({"region": None}, "TURNWATCH_OTLP__REGION"),
        ({"region": "Frankfurt"}, "TURNWATCH_OTLP__REGION"),
        ({"region": "eu-west-1", "turns_from": "up"}, "TURNWATCH_OTLP__TURNS_FROM"),
        ({"region": "eu-west-1", "collector": "kafka:9092"}, "TURNWATCH_OTLP__COLLECTOR_URL"),
    ):
        with pytest.raises(SettingsError if "collector" not in wrong else ValueError, match=variable):
            otlp_settings(Settings(), **wrong)


async def test_the_process_answers_while_its_collector_is_away_and_ends_when_asked() -> None:
    command = [sys.executable, "-m", "turnwatch", "otlp", "--region", "eu-west-1", "--port", "0"]
    environment = {**os.environ, "TURNWATCH_OTLP__COLLECTOR_URL": "http://127.0.0.1:1"}
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, env=environment
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(30):
            while not (
                found := re.search(r"listening: (http://\S+)/v1/metrics", (await process.stderr.readline()).decode())
            ):
                pass
            assert (await posted(found[1], SENT.SerializeToString()))[0] == 503
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
