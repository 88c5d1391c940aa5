"""Telling Alertmanagers, over their v2 API.

Each of several Alertmanagers gets every alert; they agree among themselves on who notifies. A firing alert carries an
end a few re-send intervals ahead, so that it ends by itself if we fall silent for good, and stays as long as we
re-send. Nothing here raises into the caller's loop and nothing is queued: the caller's state is the truth, what could
not be delivered is simply part of the next re-send.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp

from schemas.burns import AlertState
from schemas.failures import BadInput

ALERTS_PATH = "/api/v2/alerts"
BATCH_ALERTS_MAX = 256
"""Alerts in one request; Prometheus sends as many."""

RESENDS_UNTIL_ENDED = 4
"""A firing alert outlives this many re-send intervals of silence."""


@dataclass(frozen=True, slots=True)
class Destination:
    """One Alertmanager. Credentials are optional and never shown."""

    url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    bearer_token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadInput("An Alertmanager's address has to begin with http:// or https:// and name a host.")
        if "@" in parts.netloc:
            raise BadInput("An Alertmanager's address must not hold credentials: give username and password apart.")
        if self.bearer_token and self.username:
            raise BadInput(f"{self.url}: give either a username and password or a bearer token, not both.")

    @property
    def headers(self) -> dict[str, str]:
        if self.bearer_token:
            return {"Authorization": f"Bearer {self.bearer_token}"}
        if self.username:
            pair = f"{self.username}:{self.password or ''}".encode()
            return {"Authorization": f"Basic {b64encode(pair).decode()}"}
        return {}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one delivery may take: tries with growing pauses, within a bound over all of them."""

    request_timeout_s: float = 5.0
    pause_first_s: float = 0.2
    pause_max_s: float = 2.0
    bound_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a delivery to one Alertmanager; `problem` is a sentence where not all was delivered."""

    url: str
    delivered: int
    undelivered: int = 0
    problem: str = ""

    @property
    def is_complete(self) -> bool:
        return self.undelivered == 0


class Alertmanagers:
    """The Alertmanagers of a deployment. Use as `async with`; `send` may be called as often as there is news."""

    def __init__(
        self, destinations: Sequence[Destination], resend_s: float = 30.0, patience: Patience | None = None
    ) -> None:
        self.resend_s = resend_s
        self._destinations = tuple(destinations)
        self._patience = patience or Patience()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=self._patience.request_timeout_s)
        self._session = aiohttp.ClientSession(timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, alerts: Sequence[AlertState], now_ms: int) -> tuple[Outcome, ...]:
        """Delivers to every Alertmanager at once, and says per address what became of it."""
        assert self._session is not None, "use `async with Alertmanagers(...)`"
        payload = [postable(alert, now_ms, self.resend_s) for alert in alerts]
        batches = [payload[start : start + BATCH_ALERTS_MAX] for start in range(0, len(payload), BATCH_ALERTS_MAX)]
        deliveries = (self._deliver(self._session, destination, batches) for destination in self._destinations)
        return tuple(await asyncio.gather(*deliveries))

    async def _deliver(self, session: aiohttp.ClientSession, to: Destination, batches: list[list[Any]]) -> Outcome:
        """All batches to one Alertmanager; the bound is over all of them, and ends with the first it cuts short."""
        delivered, problems = 0, []
        deadline = asyncio.get_running_loop().time() + self._patience.bound_s
        for batch in batches:
            problem = await self._persist(session, to, batch, deadline)
            delivered += 0 if problem else len(batch)
            problems += [problem] if problem else []
        undelivered = sum(map(len, batches)) - delivered
        return Outcome(to.url, delivered, undelivered, problems[0] if problems else "")

    async def _persist(self, session: aiohttp.ClientSession, to: Destination, batch: list[Any], deadline: float) -> str:
        """Tries until it is delivered, refused for good, or out of time; returns the problem, empty when delivered."""
        clock = asyncio.get_running_loop().time
        pause_s = self._patience.pause_first_s
        problem = f"{to.url}: there was no time left to try."
        while clock() < deadline:
            problem, is_final = await _attempt(session, to, batch, deadline - clock())
            if is_final:
                return problem
            await asyncio.sleep(min(pause_s, max(0.0, deadline - clock())))
            pause_s = min(2 * pause_s, self._patience.pause_max_s)
        return problem


def postable(alert: AlertState, now_ms: int, resend_s: float) -> dict[str, Any]:
    """One alert as Alertmanager takes it: wall-clock times, and as generator the board it can be seen on."""
    ends_ms = alert.ends_ms if alert.ends_ms is not None else now_ms + round(RESENDS_UNTIL_ENDED * resend_s * 1_000)
    board = alert.annotations.get("dashboard_url", "")
    return {
        "labels": alert.labels,
        "annotations": alert.annotations,
        "startsAt": _rfc3339(alert.starts_ms),
        "endsAt": _rfc3339(ends_ms),
        **({"generatorURL": board} if "://" in board else {}),
    }


async def _attempt(
    session: aiohttp.ClientSession, to: Destination, batch: list[Any], left_s: float
) -> tuple[str, bool]:
    """One request: (problem, whether trying again is pointless). No problem is an empty sentence."""
    url = f"{to.url.rstrip('/')}{ALERTS_PATH}"
    request = session.post(url, json=batch, headers=to.headers, allow_redirects=False)
    try:
        async with asyncio.timeout(left_s), request as response:
            if 200 <= response.status < 300:
                return "", True
            said = " ".join((await response.content.read(300)).decode("utf-8", "replace").split())
            return _refused(to.url, response.status, said), response.status < 500 and response.status not in (408, 429)
    except TimeoutError:
        return f"{to.url}: Alertmanager did not answer in time; the alerts are sent again at the next re-send.", False
    except (aiohttp.ClientError, OSError) as error:
        return f"{to.url}: Alertmanager cannot be reached ({type(error).__name__}): is it running there?", False


def _refused(url: str, status: int, said: str) -> str:
    if status in (401, 403):
        return f"{url}: Alertmanager refused the credentials (HTTP {status}): check the user, password or token."
    if 300 <= status < 400:
        return f"{url}: this address redirects (HTTP {status}): give the one that Alertmanager itself answers at."
    return f"{url}: Alertmanager answered HTTP {status}: {said or 'without a reason'}."


def _rfc3339(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
