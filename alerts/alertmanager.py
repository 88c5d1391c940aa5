"""Telling Alertmanagers, over their v2 API.

Each of several Alertmanagers gets every alert; they agree among themselves on who notifies. A firing alert carries an
end an hour ahead: it lasts as long as we re-send it, and outlives us by that hour, for that we are silent says nothing
about the fleet. Nothing here raises into the caller's loop and nothing is queued: the caller's state is the truth
(`telling.py` keeps one Alertmanager told of it). A caller who may have been overruled meanwhile gives a `check`, which is
asked right before each delivery: what it had begun to say before it stood still is then never said.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from base64 import b64encode
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Protocol, Self

import aiohttp

from schemas.addresses import AddressError, require_tls_for, verifying, web_address
from schemas.burns import Told

ALERTS_PATH = "/api/v2/alerts"
BATCH_ALERTS_MAX = 256
"""Alerts in one request; Prometheus sends as many."""

OUTLIVES_US_MS = 3_600_000
"""How long a firing alert goes on when nobody sends it any more (`docs/decisions`, "Pages outlive the worker")."""

Check = Callable[[], None]
"""Raises where the alerts may not be told any more, for somebody else may have decided otherwise."""

_ABOUT_ALERTS = (400, 413, 422)
"""What Alertmanager or a proxy answers when something in the body is to blame: another body may be taken."""


@dataclass(frozen=True, slots=True)
class Destination:
    """One Alertmanager. Credentials are optional and never shown. An https:// one is verified by the CAs in `cafile`."""

    url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    bearer_token: str | None = field(default=None, repr=False)
    cafile: str | None = None
    tls: ssl.SSLContext | bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        web_address(self.url, "An Alertmanager's address")
        if self.bearer_token and self.username:
            raise AddressError(f"{self.url}: give either a username and password or a bearer token, not both.", "token")
        require_tls_for(self.cafile, self.url, "Alertmanager")
        is_tls = self.url.startswith("https:")
        object.__setattr__(self, "tls", verifying(self.cafile, "Alertmanager") if is_tls else True)

    @property
    def headers(self) -> dict[str, str]:
        if self.bearer_token:
            return {"Authorization": f"Bearer {self.bearer_token}"}
        if self.username:
            pair = f"{self.username}:{self.password or ''}".encode()
            return {"Authorization": f"Basic {b64encode(pair).decode()}"}
        return {}


def always() -> None:
    """The check of alerts that nobody else decides on."""


class Alert(Told, Protocol):
    """What an Alertmanager is told of an alert. One without an end fires for as long as it is sent again."""

    @property
    def ends_ms(self) -> int | None: ...


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
    kept: tuple[Alert, ...] = field(default=(), compare=False, repr=False)
    """The alerts that were not delivered."""
    status: int | None = field(default=None, compare=False)
    """What it answered, if it did."""

    @property
    def is_complete(self) -> bool:
        return self.undelivered == 0


class Alertmanagers:
    """The Alertmanagers of a deployment. Use as `async with`; `send` may be called as often as there is news."""

    def __init__(
        self, destinations: Sequence[Destination], resend_s: float = 30.0, patience: Patience | None = None
    ) -> None:
        self.resend_s = resend_s
        self.destinations = tuple(destinations)
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

    async def send(self, alerts: Sequence[Alert], now_ms: int, check: Check = always) -> tuple[Outcome, ...]:
        """Delivers to every Alertmanager at once, and says per address what became of it."""
        return tuple(await asyncio.gather(*(self.deliver(to, alerts, now_ms, check) for to in self.destinations)))

    async def deliver(self, to: Destination, alerts: Sequence[Alert], now_ms: int, check: Check = always) -> Outcome:
        """Delivers to one Alertmanager. The patience's bound is over all batches, and ends with the first it cuts short.

        A batch that is refused for what is in it is sent in halves, so that one alert keeps no other from arriving.
        What `check` raises ends it; nothing is posted after that.
        """
        deadline = asyncio.get_running_loop().time() + self._patience.bound_s
        starts = range(0, len(alerts), BATCH_ALERTS_MAX)
        waiting = deque(tuple(alerts[start : start + BATCH_ALERTS_MAX]) for start in starts)
        kept: list[Alert] = []
        refusals: list[_Refusal] = []
        while waiting:
            batch = waiting.popleft()
            refusal = await self._persist(to, [postable(alert, now_ms) for alert in batch], deadline, check)
            if refusal is None:
                continue
            if refusal.status in _ABOUT_ALERTS and len(batch) > 1:
                middle = len(batch) // 2
                waiting.extendleft((batch[middle:], batch[:middle]))
                continue
            kept += batch
            refusals.append(refusal)
        first = refusals[0] if refusals else _Refusal("")
        return Outcome(to.url, len(alerts) - len(kept), len(kept), first.problem, tuple(kept), first.status)

    async def _persist(self, to: Destination, batch: list[Any], deadline: float, check: Check) -> _Refusal | None:
        """Tries until it is delivered, refused for good, or out of time; returns what went wrong, if anything."""
        assert self._session is not None, "use `async with Alertmanagers(...)`"
        clock = asyncio.get_running_loop().time
        pause_s = self._patience.pause_first_s
        refusal = _Refusal(f"{to.url}: there was no time left to try.")
        tries = 0
        while clock() < deadline:
            check()
            answer = await _attempt(self._session, to, batch, deadline - clock(), check)
            check()  # What it raised while the request was written is a broken connection there.
            if answer is None:
                return None
            if not (tries and clock() >= deadline):  # A try that was cut short says less than the one before it.
                refusal = answer
            tries += 1
            if refusal.is_final:
                break
            await asyncio.sleep(min(pause_s, max(0.0, deadline - clock())))
            pause_s = min(2 * pause_s, self._patience.pause_max_s)
        return refusal


def postable(alert: Alert, now_ms: int) -> dict[str, Any]:
    """One alert as Alertmanager takes it: wall-clock times, and as generator the board it can be seen on."""
    ends_ms = alert.ends_ms if alert.ends_ms is not None else now_ms + OUTLIVES_US_MS
    board = alert.annotations.get("dashboard_url", "")
    return {
        "labels": alert.labels,
        "annotations": alert.annotations,
        "startsAt": _rfc3339(alert.starts_ms),
        "endsAt": _rfc3339(ends_ms),
        **({"generatorURL": board} if "://" in board else {}),
    }


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why a request was not taken. `is_final`: trying the same again is pointless."""

    problem: str
    is_final: bool = False
    status: int | None = None


async def _attempt(
    session: aiohttp.ClientSession, to: Destination, batch: list[Any], left_s: float, check: Check
) -> _Refusal | None:
    """One request; nothing when it was taken."""
    url = f"{to.url.rstrip('/')}{ALERTS_PATH}"
    body = json.dumps(batch).encode()
    headers = to.headers | {"Content-Type": "application/json", "Content-Length": str(len(body))}
    request = session.post(url, data=_checked(body, check), headers=headers, ssl=to.tls, allow_redirects=False)
    try:
        async with asyncio.timeout(left_s), request as response:
            status = response.status
            if 200 <= status < 300:
                return None
            said = " ".join((await response.content.read(300)).decode("utf-8", "replace").split())
            return _Refusal(_refused(to.url, status, said), status < 500 and status not in (408, 429), status)
    except TimeoutError:
        return _Refusal(f"{to.url}: Alertmanager did not answer in time; the alerts are sent again.")
    except aiohttp.ClientConnectorCertificateError:
        where = "give its CA in TURNWATCH_ALERTMANAGER__CAFILE"
        return _Refusal(f"{to.url}: its TLS certificate is not trusted here: {where}.", is_final=True)
    except (aiohttp.ClientError, OSError) as error:
        return _Refusal(f"{to.url}: Alertmanager cannot be reached ({type(error).__name__}): is it running there?")


async def _checked(body: bytes, check: Check) -> AsyncIterator[bytes]:
    """`body`, unless `check` objects when there is a connection for it: getting one may have taken long."""
    check()
    yield body


def _refused(url: str, status: int, said: str) -> str:
    if status in (401, 403):
        return f"{url}: Alertmanager refused the credentials (HTTP {status}): check the user, password or token."
    if 300 <= status < 400:
        return f"{url}: this address redirects (HTTP {status}): give the one that Alertmanager itself answers at."
    return f"{url}: Alertmanager answered HTTP {status}: {said or 'without a reason'}."


def _rfc3339(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
