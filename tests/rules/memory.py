"""Alertmanager as a dictionary behind its v2 API. `tests/contracts` holds it to what the real one does.

It merges what it is posted as Alertmanager does, groups by labels, and notifies one webhook. It has no routes, no
silences and no inhibition: what is about those wants the real one.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
RESOLVES_AFTER = timedelta(minutes=5)
RETRY = timedelta(milliseconds=100)
NEVER = "0001-01-01T00:00:00Z"

Labels = dict[str, str]
Identity = tuple[tuple[str, str], ...]


class NotTaken(Exception):
    """Why an alert, or a whole request, is refused."""

    def __init__(self, reason: object, status: int = 400) -> None:
        super().__init__(reason)
        self.reason, self.status = reason, status


@dataclass(frozen=True, slots=True)
class Held:
    """One alert. `times_out`: its end is not what it was posted with, but when it ends if it is not posted again."""

    labels: Labels
    annotations: Labels
    starts: datetime
    ends: datetime
    times_out: bool
    generator: str

    @property
    def identity(self) -> Identity:
        return tuple(sorted(self.labels.items()))

    def is_resolved(self, now: datetime) -> bool:
        return self.ends <= now

    def overlaps(self, older: Held) -> bool:
        return older.starts < self.ends < older.ends or older.starts < self.starts < older.ends

    def merged_into(self, older: Held, now: datetime) -> Held:
        """The earliest start; of two that go on, or two that are over, the latest end."""
        if self.is_resolved(now):
            ends = max(self.ends, older.ends) if older.is_resolved(now) else self.ends
        else:
            ends = self.ends if older.times_out else max(self.ends, older.ends)
        return replace(self, starts=min(self.starts, older.starts), ends=ends)


@dataclass(slots=True)
class Group:
    """Alerts that are notified together. `told_firing` is empty where nobody was told of any that fires."""

    labels: Labels
    due: datetime
    alerts: dict[Identity, Held] = field(default_factory=dict)
    told_firing: frozenset[Identity] = frozenset()
    told_resolved: frozenset[Identity] = frozenset()
    told_at: datetime | None = None

    def has_news(self, now: datetime, repeat: timedelta) -> bool:
        resolved = frozenset(key for key, alert in self.alerts.items() if alert.is_resolved(now))
        firing = self.alerts.keys() - resolved
        if self.told_at is None or not firing <= self.told_firing:
            return bool(firing)
        if not firing:
            return bool(self.told_firing)
        return not resolved <= self.told_resolved or now - self.told_at >= repeat

    def note_told(self, told: Iterable[Held], now: datetime) -> None:
        told = list(told)
        self.told_resolved = frozenset(each.identity for each in told if each.is_resolved(now))
        self.told_firing = frozenset(each.identity for each in told) - self.told_resolved
        self.told_at = now

    def forget_resolved(self, flushed: Iterable[Held], now: datetime) -> None:
        """What is over leaves, unless it was posted anew meanwhile."""
        for alert in flushed:
            if alert.is_resolved(now) and self.alerts.get(alert.identity) is alert:
                del self.alerts[alert.identity]


class MemoryAlertmanager:
    """Use as `async with`. Without a webhook it only holds alerts."""

    def __init__(
        self,
        webhook_url: str | None = None,
        group_by: Sequence[str] = ("alertname",),
        group_wait_s: float = 0.01,
        group_interval_s: float = 0.2,
        repeat_interval_s: float = 14_400.0,
    ) -> None:
        self._webhook_url, self._group_by = webhook_url, tuple(group_by)
        self._wait, self._interval, self._repeat = (
            timedelta(seconds=seconds) for seconds in (group_wait_s, group_interval_s, repeat_interval_s)
        )
        self._alerts: dict[Identity, Held] = {}
        self._groups: dict[Identity, Group] = {}
        self._posted = asyncio.Event()
        self.requests: list[int] = []
        """How many alerts came in each request."""

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=16 << 20)
        application.router.add_post("/api/v2/alerts", self._take)
        application.router.add_get("/api/v2/alerts", self._list)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._session = aiohttp.ClientSession()
        self._notifying = asyncio.create_task(self._notify())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._notifying.cancel()
        with suppress(asyncio.CancelledError):
            await self._notifying
        await self._session.close()
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    # -- what it is told -----------------------------------------------------------------------------------------------

    async def _take(self, request: web.Request) -> web.Response:
        now = datetime.now(UTC)
        try:
            posted = read(request.content_type, await request.read())
            self.requests.append(len(posted))
            parsed = [parse(alert, now) for alert in posted]
        except NotTaken as whole:
            return web.json_response(whole.reason, status=whole.status)
        wrong = []
        for alert in parsed:
            try:
                self._keep(valid(alert), now)
            except NotTaken as one:
                wrong.append(one.reason)
        self._posted.set()
        return web.json_response("; ".join(map(str, wrong)), status=400) if wrong else web.Response()

    def _keep(self, alert: Held, now: datetime) -> None:
        older = self._alerts.get(alert.identity)
        if older is not None and alert.overlaps(older):
            alert = alert.merged_into(older, now)
        self._alerts[alert.identity] = alert
        labels = {name: alert.labels[name] for name in self._group_by if name in alert.labels}
        is_overdue = alert.starts + self._wait < now
        group = self._groups.setdefault(tuple(labels.items()), Group(labels, now if is_overdue else now + self._wait))
        group.alerts[alert.identity] = alert

    async def _list(self, _request: web.Request) -> web.Response:
        now = datetime.now(UTC)
        return web.json_response([shown(alert) for alert in self._alerts.values() if not alert.is_resolved(now)])

    # -- what it tells -------------------------------------------------------------------------------------------------

    async def _notify(self) -> None:
        while True:
            due = min((group.due for group in self._groups.values()), default=None)
            wait_s = None if due is None else max(0.0, (due - datetime.now(UTC)).total_seconds())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._posted.wait(), wait_s)
            self._posted.clear()
            now = datetime.now(UTC)
            for identity, group in [pair for pair in self._groups.items() if pair[1].due <= now]:
                await self._flush(group, now)
                if not group.alerts:
                    del self._groups[identity]

    async def _flush(self, group: Group, now: datetime) -> None:
        flushed = sorted(group.alerts.values(), key=lambda alert: alert.identity)
        if self._webhook_url is not None and group.has_news(now, self._repeat):
            if not await self._is_heard(notification(group.labels, flushed, now)):
                group.due = now + RETRY
                return
            group.note_told(flushed, now)
        group.due = now + self._interval
        group.forget_resolved(flushed, now)

    async def _is_heard(self, message: dict[str, Any]) -> bool:
        assert self._webhook_url is not None
        try:
            async with self._session.post(self._webhook_url, json=message) as response:
                return response.status < 300
        except aiohttp.ClientError:
            return False


def read(content_type: str, body: bytes) -> list[Any]:
    """The alerts of a request; raises `NotTaken` for all of it."""
    if content_type != "application/json":
        raise NotTaken({"code": 415, "message": f'unsupported media type "{content_type}"'}, 415)
    if not body:
        raise NotTaken({"code": 602, "message": "alerts in body is required"}, 422)
    try:
        posted = json.loads(body)
    except ValueError as error:
        raise unparsable(error) from error
    if not isinstance(posted, list | None):
        raise unparsable("it is no list")
    return posted or []


def parse(alert: Any, now: datetime) -> Held:
    """An alert by the API's schema; raises `NotTaken`, and then nothing of its request is taken."""
    if not isinstance(alert, dict):
        raise unparsable("an alert is no object")
    if alert.get("labels") is None:
        raise NotTaken({"code": 602, "message": "labels in body is required"}, 422)
    generator = alert.get("generatorURL") or ""
    if generator and not urlsplit(generator).scheme:
        raise NotTaken({"code": 601, "message": "generatorURL in body must be of type uri"}, 422)
    starts, ends = instant(alert.get("startsAt")), instant(alert.get("endsAt"))
    return Held(
        {name: value for name, value in texts(alert["labels"]).items() if value},
        texts(alert.get("annotations") or {}),
        starts or ends or now,
        ends or now + RESOLVES_AFTER,
        ends is None,
        generator,
    )


def valid(alert: Held) -> Held:
    """The alert itself; raises `NotTaken` where it means nothing, and then the others of its request are taken."""
    if not alert.labels:
        raise NotTaken("at least one label pair required")
    for name in (*alert.labels, *alert.annotations):
        if not LABEL_NAME.fullmatch(name):
            raise NotTaken(f'invalid name "{name}"')
    if alert.ends < alert.starts:
        raise NotTaken("start time must be before end time")
    return alert


def texts(given: Any) -> Labels:
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise unparsable("not all values are text")
    return given


def instant(text: Any) -> datetime | None:
    if text is None or text == NEVER:
        return None
    try:
        return datetime.fromisoformat(text)
    except (ValueError, TypeError) as error:
        raise unparsable(error) from error


def unparsable(why: object) -> NotTaken:
    return NotTaken({"code": 400, "message": f'parsing alerts body from "" failed, because {why}'})


def rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_go_writes(at: datetime) -> str:
    """Without zeros at the end of its fraction."""
    whole, _, fraction = rfc3339(at).removesuffix("Z").partition(".")
    return f"{whole}.{fraction.rstrip('0')}".rstrip(".") + "Z"


def shown(alert: Held) -> dict[str, Any]:
    """An alert as the API lists it."""
    return {
        "labels": alert.labels,
        "annotations": alert.annotations,
        "startsAt": rfc3339(alert.starts),
        "endsAt": rfc3339(alert.ends),
        "fingerprint": f"{hash(alert.identity) & 2**64 - 1:016x}",
        "status": {"state": "active", "inhibitedBy": [], "silencedBy": []},
    }


def notification(group: Labels, alerts: Sequence[Held], now: datetime) -> dict[str, Any]:
    """A webhook message, version 4."""
    listed = [
        {
            "status": "resolved" if alert.is_resolved(now) else "firing",
            "labels": alert.labels,
            "annotations": alert.annotations,
            "startsAt": as_go_writes(alert.starts),
            "endsAt": as_go_writes(alert.ends) if alert.is_resolved(now) else NEVER,
            "generatorURL": alert.generator,
            "fingerprint": shown(alert)["fingerprint"],
        }
        for alert in alerts
    ]
    return {
        "version": "4",
        "groupKey": "{}:{" + ", ".join(f'{name}="{value}"' for name, value in group.items()) + "}",
        "truncatedAlerts": 0,
        "status": "resolved" if all(alert.is_resolved(now) for alert in alerts) else "firing",
        "receiver": "on-call",
        "groupLabels": group,
        "commonLabels": common([alert.labels for alert in alerts]),
        "commonAnnotations": common([alert.annotations for alert in alerts]),
        "externalURL": "http://127.0.0.1:9093",
        "alerts": listed,
    }


def common(of: Sequence[Labels]) -> Labels:
    return {name: value for name, value in of[0].items() if all(each.get(name) == value for each in of)}
