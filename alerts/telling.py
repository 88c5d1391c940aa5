"""Keeping one Alertmanager told, however long it is away and whatever happens to the others.

It is told at once when there is news, and again while something fires, so that one that lost its memory has it back
within a re-send. What has ended is told until it took it, and for a quarter of an hour after the end in any case: an
Alertmanager that ends between taking and notifying would otherwise page for ever. Nothing is queued: what is sent is
always the newest state, and what is remembered here is only which ends were taken. After a restart they are told once
more, which Alertmanager passes over.

Alertmanager notifies group by group, every now and then, and never of what began and ended in between. So an end is told
no sooner than a group takes to notify of the beginning: who works off a backlog decides on an hour within a second, and
no page of that hour may go unheard.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from alerts.alertmanager import Alert, Alertmanagers, Check, Destination, Outcome, always
from alerts.incident_ends import ends_together
from alerts.stated_alerts import StatedAlert, StillOpen
from schemas.metrics import WorkerMetrics

log = logging.getLogger("turnwatch.pager")

ENDS_RESENT_MS = 15 * 60_000
"""How long ends are told again although they were taken; Prometheus does the same."""

OPEN_AT_LEAST_MS = 45_000
"""How long an alert is open as Alertmanager is told: longer than `group_interval` of the pages' routes."""

RETRY_S = 2.0
"""Between two deliveries to an Alertmanager that is away; each is several tries (`alertmanager.Patience`)."""


Current = Callable[[int], Sequence[StatedAlert]]
"""From now to everything that is open, and what has ended within a day or so."""

End = tuple[frozenset[tuple[str, str]], int]
"""An alert's labels, and when it ended."""


@dataclass(slots=True)
class Telling:
    """One Alertmanager and what it has taken."""

    alertmanagers: Alertmanagers
    to: Destination
    current: Current
    metrics: WorkerMetrics
    open_at_least_ms: int = OPEN_AT_LEAST_MS
    news: asyncio.Event = field(default_factory=asyncio.Event)
    _taken: set[End] = field(default_factory=set)
    _trouble: Trouble | None = None
    _next_end_s: float = math.inf
    """Until an end may be told that may not yet."""

    def __post_init__(self) -> None:
        self.metrics.pages_waiting_seconds.labels(self.to.url).set_function(self.waiting_s)

    def waiting_s(self) -> float:
        """For how long it has not taken what it was told."""
        return time.monotonic() - self._trouble.since_s if self._trouble else 0.0

    async def run(self, stop: asyncio.Event, check: Check = always) -> None:
        """Until `stop` is set, and once more then. What `check` raises before a delivery ends it: nothing is told then."""
        while not stop.is_set():
            await self.tell(check)
            await self._rest(stop)
        await self.tell(check)

    async def tell(self, check: Check = always) -> None:
        """Delivers what it has to know now, and takes note of what it took."""
        check()
        self.news.clear()
        now_ms = int(time.time() * 1_000)
        alerts = self.due(now_ms)
        if not alerts:
            self._say_regained()  # What it did not take has been taken back.
            return
        outcome = await self.alertmanagers.deliver(self.to, alerts, now_ms, check)
        kept = {id(alert) for alert in outcome.kept}
        taken = [alert for alert in alerts if id(alert) not in kept]
        self._taken.update(_ends_of(taken))
        for alert in taken:
            self.metrics.pages_sent.labels(alert.state).inc()
        self.metrics.pages_failed.inc(outcome.undelivered)
        if outcome.is_complete:
            self._say_regained()
        else:
            self._say_lost(outcome)

    def due(self, now_ms: int) -> list[StatedAlert]:
        """What is open, and the ends that it has not taken or that are recent."""
        alerts = self.current(now_ms)
        self._taken.intersection_update(_ends_of(alerts))
        told = [self._as_told(alert, now_ms) for alert in alerts if self._is_due(alert, now_ms)]
        early_ms = [alert.starts_ms + self.open_at_least_ms - now_ms for alert in told if isinstance(alert, StillOpen)]
        self._next_end_s = min(early_ms, default=math.inf) / 1_000
        return ends_together(told, now_ms)

    def _as_told(self, alert: StatedAlert, now_ms: int) -> StatedAlert:
        has_ended = alert.ends_ms is not None and alert.ends_ms <= now_ms
        is_early = has_ended and now_ms < alert.starts_ms + self.open_at_least_ms
        return StillOpen(alert) if is_early else alert

    def _is_due(self, alert: StatedAlert, now_ms: int) -> bool:
        if alert.ends_ms is None or now_ms - alert.ends_ms < ENDS_RESENT_MS:
            return True
        return self._taken.isdisjoint(_ends_of([alert]))

    async def _rest(self, stop: asyncio.Event) -> None:
        """Until there is news, or it is time to tell again."""
        rest_s = min(self.alertmanagers.resend_s, self._next_end_s, RETRY_S if self._trouble else math.inf)
        waits = [asyncio.create_task(self.news.wait()), asyncio.create_task(stop.wait())]
        await asyncio.wait(waits, timeout=rest_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    def _say_lost(self, outcome: Outcome) -> None:
        """Once, and again when it answers otherwise than before."""
        before = self._trouble
        self._trouble = Trouble(outcome.status, before.since_s if before else time.monotonic())
        if before is None or before.status != outcome.status:
            log.warning("alertmanager_lost: %s Alerts are kept and sent again.", outcome.problem)

    def _say_regained(self) -> None:
        if self._trouble is not None:
            log.info("alertmanager_regained: %s, after %.0f s.", self.to.url, self.waiting_s())
        self._trouble = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """What an Alertmanager answers instead of taking alerts, and since when. It is away without a status."""

    status: int | None
    since_s: float


def _ends_of(alerts: Iterable[Alert]) -> set[End]:
    return {(frozenset(alert.labels.items()), alert.ends_ms) for alert in alerts if alert.ends_ms is not None}
