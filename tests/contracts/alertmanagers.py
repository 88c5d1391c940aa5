"""Alertmanagers to hold to one contract, the one in memory and the real one, and a receiver of what they tell."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from stack.alertmanager import PAGER_URL, start_alertmanager
from tests.rules.memory import MemoryAlertmanager

GROUP_BY = ["alertname"]
GROUP_WAIT_S, GROUP_INTERVAL_S = 0.01, 0.2
ARRIVES_WITHIN_S = 20

Alert = dict[str, Any]


@dataclass(slots=True)
class Receiver:
    """A webhook that answers with each of `answers` in turn, then takes everything; `heard` are raw messages."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    heard: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)

    async def take(self, request: web.Request) -> web.Response:
        message = await request.json()
        if self.answers:
            return web.Response(status=self.answers.pop(0))
        self.heard.put_nowait(message)
        return web.Response()

    async def next(self) -> Any:
        async with asyncio.timeout(ARRIVES_WITHIN_S):
            return await self.heard.get()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    application = web.Application()
    application.router.add_post("/page", receiver.take)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/page"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@dataclass(frozen=True, slots=True)
class Api:
    """An Alertmanager as its clients see it, and who hears what it tells."""

    url: str
    receiver: Receiver
    session: aiohttp.ClientSession

    async def post(self, *alerts: Alert) -> int:
        status, _ = await self.post_body(json.dumps(alerts).encode())
        return status

    async def post_body(self, body: bytes, content_type: str = "application/json") -> tuple[int, str]:
        headers = {"Content-Type": content_type}
        async with self.session.post(f"{self.url}/api/v2/alerts", data=body, headers=headers) as response:
            return response.status, await response.text()

    async def listed(self) -> list[Alert]:
        """By labels."""
        async with self.session.get(f"{self.url}/api/v2/alerts") as response:
            found: list[Alert] = await response.json()
            return sorted(found, key=lambda alert: sorted(alert["labels"].items()))


Start = Callable[..., AbstractAsyncContextManager[Api]]
"""From a repeat interval to an Alertmanager that runs."""


@asynccontextmanager
async def in_memory(_run_dir: Path, repeat_interval_s: float = 14_400.0) -> AsyncIterator[Api]:
    async with receiving() as receiver, aiohttp.ClientSession() as session:
        times = (GROUP_WAIT_S, GROUP_INTERVAL_S, repeat_interval_s)
        async with MemoryAlertmanager(receiver.url, GROUP_BY, *times) as alertmanager:
            yield Api(alertmanager.url, receiver, session)


@asynccontextmanager
async def real(run_dir: Path, repeat_interval_s: float = 14_400.0) -> AsyncIterator[Api]:
    route = {
        "receiver": "on-call",
        "group_by": GROUP_BY,
        "group_wait": f"{round(GROUP_WAIT_S * 1_000)}ms",
        "group_interval": f"{round(GROUP_INTERVAL_S * 1_000)}ms",
        "repeat_interval": f"{round(repeat_interval_s * 1_000)}ms",
    }
    webhook = {"url": PAGER_URL, "send_resolved": True}
    configuration = run_dir / "contract.yml"
    receivers = [{"name": "on-call", "webhook_configs": [webhook]}]
    configuration.write_text(yaml.safe_dump({"route": route, "receivers": receivers}), encoding="utf-8")
    async with receiving() as receiver, aiohttp.ClientSession() as session:
        alertmanager = start_alertmanager(run_dir, configuration, receiver.url)
        assert alertmanager is not None, "the test is marked as needing it"
        try:
            alertmanager.wait_until_healthy()
            yield Api(alertmanager.url, receiver, session)
        finally:
            alertmanager.stop()


def instant(seconds: float) -> str:
    """So many seconds from now."""
    return written(datetime.now(UTC) + timedelta(seconds=seconds))


def written(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def alert(starts: str, ends: str, burn: str = "14", **labels: str) -> Alert:
    named = {"alertname": "SloBurnRateHigh"} | labels
    return {"labels": named, "annotations": {"burn": burn}, "startsAt": starts, "endsAt": ends}
