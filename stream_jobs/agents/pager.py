"""The pager: every Alertmanager is told what fires, at once when there is news and again while it lasts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import chain

from alerts.alertmanager import Alertmanagers, Check, always
from alerts.explanations import Paging
from alerts.findings import Found
from alerts.findings import to_send as findings_to_send
from alerts.pages import Pages, to_send
from alerts.silences import Silences
from alerts.silences import to_send as silences_to_send
from alerts.stated_alerts import StatedAlert
from alerts.telling import OPEN_AT_LEAST_MS, Telling
from alerts.watchdog import watchdog
from schemas.metrics import WorkerMetrics


@dataclass(slots=True)
class Pager:
    """Keeps the Alertmanagers told: at once when there is news, and again while it lasts.

    It speaks for whoever owns the state. A worker that may have lost it, because it stood still or because something failed,
    tells nothing more: by then another one may have decided otherwise, and nobody would take back what is told now.
    """

    alertmanagers: Alertmanagers
    paging: Paging
    metrics: WorkerMetrics
    open_at_least_ms: int = OPEN_AT_LEAST_MS
    pages: Pages = field(default_factory=Pages)
    silences: Silences = field(default_factory=Silences)
    found: Found = field(default_factory=Found)
    holds_since_ms: int | None = None
    """Since when, by the clock, this worker owns the state: as long as it does, the Watchdog says so."""
    _tellings: tuple[Telling, ...] = ()

    def __post_init__(self) -> None:
        self._tellings = tuple(
            Telling(self.alertmanagers, to, self._current, self.metrics, self.open_at_least_ms)
            for to in self.alertmanagers.destinations
        )

    def tell(self, pages: Pages, silences: Silences, found: Found, is_news: bool) -> None:
        self.pages, self.silences, self.found = pages, silences, found
        if is_news:
            for telling in self._tellings:
                telling.news.set()

    async def run(self, stop: asyncio.Event, check: Check = always) -> None:
        """Each Alertmanager on its own: one that is away delays no other. `check` is asked right before each delivery."""
        async with self.alertmanagers:
            await asyncio.gather(stop.wait(), *(telling.run(stop, check) for telling in self._tellings))

    def _current(self, now_ms: int) -> list[StatedAlert]:
        since_ms, links = self.holds_since_ms, self.paging.links
        watching = [] if since_ms is None else [watchdog(since_ms, now_ms, links)]
        told = (to_send(self.pages, now_ms), findings_to_send(self.found, now_ms))
        return [*watching, *chain.from_iterable(told), *silences_to_send(self.silences, now_ms)]
