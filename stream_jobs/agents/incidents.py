"""Incidents on Kafka: decisions of every shard in; alerts, their history, and pages out.

One partition, so one worker sees what burns across all shards. Publishing is part of the exact loop; telling the
Alertmanagers is not: the pager tells them again and again what fires, so it may fail, be late, or begin anew.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import faust
import pyarrow as pa

from alerts.alertmanager import Alertmanagers
from alerts.explanations import Paging
from alerts.pages import Pages, restore, step, to_send
from schemas.burns import AlertState, Decision
from schemas.metrics import WorkerMetrics
from schemas.tables import TABLES
from schemas.topics import ALERTS, BURNS
from stream_jobs.agents.exact import Event, Outgoing, Stage, StageSettings
from stream_jobs.agents.questions import rollup_messages
from stream_jobs.operators.blocks import NOTHING_APPLIED, Block, applied_offset, body, stamped

log = logging.getLogger("turnwatch.incidents")


@dataclass(slots=True)
class Pager:
    """Keeps the Alertmanagers told: at once when there is news, and again while it lasts."""

    alertmanagers: Alertmanagers
    paging: Paging
    metrics: WorkerMetrics
    pages: Pages = field(default_factory=Pages)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, pages: Pages, is_news: bool) -> None:
        self.pages = pages
        if is_news:
            self._news.set()

    async def run(self, stop: asyncio.Event) -> None:
        async with self.alertmanagers:
            while not stop.is_set():
                await self._send()
                waits = [asyncio.create_task(self._news.wait()), asyncio.create_task(stop.wait())]
                await asyncio.wait(waits, timeout=self.alertmanagers.resend_s, return_when=asyncio.FIRST_COMPLETED)
                for wait in waits:
                    wait.cancel()
            await self._send()

    async def _send(self) -> None:
        self._news.clear()
        now_ms = int(time.time() * 1_000)
        alerts = to_send(self.pages, now_ms)
        if not alerts:
            return
        for outcome in await self.alertmanagers.send(alerts, now_ms):
            if outcome.is_complete:
                for alert in alerts:
                    self.metrics.pages_sent.labels(alert.state).inc()
            else:
                self.metrics.pages_failed.inc(outcome.undelivered)
                log.warning("pages_undelivered: %s", outcome.problem)


class IncidentsStage(Stage):
    name = "incidents"

    def __init__(
        self, app: faust.App, shards: int, settings: StageSettings, pager: Pager, metrics: WorkerMetrics
    ) -> None:
        super().__init__(app, [BURNS], 1, settings)
        self._shards, self._pager, self._metrics = shards, pager, metrics
        self._pages = Pages()
        self._offset = NOTHING_APPLIED
        self._published: list[AlertState] = []
        self._saved: set[str] = set()
        self._parts: dict[int, list[Decision]] = {}

    def restore(self, partition: int, stored: dict[bytes, bytes]) -> None:
        self._pages = restore((AlertState.model_validate_json(body(value)) for value in stored.values()), self._shards)
        self._offset = max(map(applied_offset, stored.values()), default=NOTHING_APPLIED)
        self._saved = {key.decode() for key in stored}
        self._pager.tell(self._pages, is_news=True)

    def forget(self) -> None:
        self._pages, self._offset = Pages(), NOTHING_APPLIED
        self._published.clear()
        self._saved.clear()
        self._parts.clear()
        self._pager.tell(self._pages, is_news=False)

    def marked(self, topic: str, partition: int) -> int:
        return NOTHING_APPLIED  # Decisions are statements in full: an older one after a newer changes nothing.

    def apply(self, topic: str, partition: int, events: list[Event]) -> None:
        for event in events:
            decision = self._whole(Decision.model_validate_json(event.message.value or b""))
            if decision is None:
                continue
            stepped = step(self._pages, decision, self._pager.paging, int(time.time() * 1_000))
            self._pages = stepped.pages
            self._published += stepped.published
            self._pager.tell(self._pages, is_news=bool(stepped.news))
        self._offset = events[-1].message.offset

    def _whole(self, part: Decision) -> Decision | None:
        """The decision that this part completes, if it does; a newer one of the same shard supersedes what is open."""
        if part.parts == 1:
            return part
        open_parts = self._parts.get(part.shard, [])
        same = [each for each in open_parts if each.decided_ms == part.decided_ms and each.part != part.part]
        self._parts[part.shard] = same = [*same, part]
        if len(same) < part.parts:
            return None
        del self._parts[part.shard]
        burns = tuple(burn for each in sorted(same, key=lambda each: each.part) for burn in each.burns)
        quiet = tuple(silent for each in same for silent in each.quiet)
        return part.model_copy(update={"burns": burns, "quiet": quiet, "part": 0, "parts": 1})

    def phases(self) -> Iterable[Iterable[Outgoing | tuple[int, Block]]]:
        published, self._published = self._published, []
        if not published:
            return
        newest = {alert.alert: alert for alert in published}
        texts = {name: alert.model_dump_json().encode() for name, alert in newest.items()}
        alerts = [Outgoing(ALERTS, text, [], key=name.encode(), partition=0) for name, text in texts.items()]
        yield [*alerts, *rollup_messages(0, "pages", _rows(published), self._metrics)]
        # Saved last: after a crash in between it is told once more, not never.
        blocks = [(0, Block(name.encode(), stamped(self._offset, text))) for name, text in texts.items()]
        yield [*blocks, *self._forgotten(set(newest))]

    def _forgotten(self, published: set[str]) -> list[tuple[int, Block]]:
        """Alerts that ended long ago leave the changelog."""
        known = {alert.alert for alert in self._pages.alerts}
        gone = self._saved - known
        self._saved = (self._saved & known) | published
        return [(0, Block(name.encode(), None)) for name in sorted(gone)]


def _rows(alerts: list[AlertState]) -> pa.Table:
    """Every statement as a row of the table `pages`."""
    rows = [
        {
            "alert": alert.alert,
            "slo": alert.burn.slo,
            "slice": alert.burn.slice,
            "severity": alert.burn.severity,
            "state": alert.state,
            "policy_row": alert.burn.row,
            "starts_event": alert.starts_event_ms,
            "decided_event": alert.decided_event_ms,
            "starts": alert.starts_ms,
            "ends": alert.ends_ms,
            "long_burn": alert.burn.long_burn,
            "short_burn": alert.burn.short_burn,
            "budget_left": alert.burn.budget_left,
            "exhausted_in_s": alert.burn.exhausted_in_s,
            "completeness": alert.completeness,
            "summary": alert.annotations.get("summary", ""),
            "version": alert.version,
        }
        for alert in alerts
    ]
    return pa.Table.from_pylist(rows, schema=TABLES["pages"].arrow_schema)
