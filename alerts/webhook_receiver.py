"""A receiver of Alertmanager's webhook: what it notifies arrives here, so that a demo, a bench or a test can show it.

A loopback HTTP server that takes Alertmanager's webhook messages (version 4) and hands them out one by one. When nobody
reads them it says so with a 503, and Alertmanager keeps trying: a notification is never dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Literal, Self

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

PAGE_PATH = "/page"
WATCHDOG_PATH = "/watchdog"
"""Where a dead man's switch would listen. What comes there is counted, not handed out: it says the same every minute."""
UNREAD_MAX = 1_000
_BODY_BYTES_MAX = 16 * 2**20


class _Message(BaseModel):
    """Alertmanager may add fields to its messages: those are passed over."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, validate_by_name=True)


class NotifiedAlert(_Message):
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: str
    ends_at: str


class Notification(_Message):
    """One message: a group of alerts, the resolved among them included."""

    receiver: str
    status: Literal["firing", "resolved"]
    group_key: str
    group_labels: dict[str, str]
    alerts: tuple[NotifiedAlert, ...]


class WebhookReceiver:
    """Use as `async with WebhookReceiver() as webhook`, and iterate: `async for notification in webhook`. Port 0 is any free one."""

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self.signs_of_life = 0
        self._unread: asyncio.Queue[Notification] = asyncio.Queue(maxsize=UNREAD_MAX)
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=_BODY_BYTES_MAX)
        application.router.add_post(PAGE_PATH, self._take)
        application.router.add_post(WATCHDOG_PATH, self._count)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise OSError(error.errno, f"The pager cannot listen on port {self._port}: give a free one.") from error
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Where Alertmanager's webhook has to point."""
        return f"http://127.0.0.1:{self._port}{PAGE_PATH}"

    async def next(self) -> Notification:
        """The next notification, once it has arrived."""
        return await self._unread.get()

    async def __aiter__(self) -> AsyncIterator[Notification]:
        while True:
            yield await self._unread.get()

    async def _take(self, request: web.Request) -> web.Response:
        try:
            notification = Notification.model_validate_json(await request.read())
        except ValidationError as error:
            wrong = ", ".join(".".join(map(str, each["loc"])) or "the body" for each in error.errors())
            return web.Response(status=400, text=f"This is not an Alertmanager webhook message: see {wrong}.\n")
        try:
            self._unread.put_nowait(notification)
        except asyncio.QueueFull:
            return web.Response(status=503, text=f"{UNREAD_MAX} notifications are unread: try again later.\n")
        return web.Response()

    async def _count(self, _request: web.Request) -> web.Response:
        self.signs_of_life += 1
        return web.Response()
