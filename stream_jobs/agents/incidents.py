"""Incidents on Kafka: decisions of every shard in; alerts, their history, and pages out.

One partition, so one worker sees what burns across all shards, and which producers are silent. Publishing is part of
the exact loop; telling the Alertmanagers is not: the pager tells them again and again what fires, so it may fail, be
late, or begin anew.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import faust
import pyarrow as pa

from alerts.alertmanager import Alertmanagers
from alerts.explanations import Paging
from alerts.pages import Pages, Stepped, freeze, restore, step, to_send
from alerts.silences import Silences
from alerts.silences import to_send as silences_to_send
from alerts.telling import Telling
from schemas.burns import AlertState, Decision, decode
from schemas.failures import Undecodable
from schemas.metrics import WorkerMetrics
from schemas.silences import SilenceAlert
from schemas.tables import TABLES
from schemas.topics import ALERTS, BURNS, SILENCES
from stream_jobs.agents.diversion import Diversion, DiversionBound
from stream_jobs.agents.exact import Event, Outgoing, Stage, StageSettings
from stream_jobs.agents.questions import divert, rollup_messages
from stream_jobs.agents.telemetry import Telemetry
from stream_jobs.operators.blocks import NOTHING_APPLIED, Block, applied_offset, body, stamped
from stream_jobs.operators.reach import LIVE, Patience

log = logging.getLogger("turnwatch.incidents")


@dataclass(slots=True)
class Pager:
    """Keeps the Alertmanagers told: at once when there is news, and again while it lasts."""

    alertmanagers: Alertmanagers
    paging: Paging
    metrics: WorkerMetrics
    pages: Pages = field(default_factory=Pages)
    silences: Silences = field(default_factory=Silences)
    _tellings: tuple[Telling, ...] = ()

    def __post_init__(self) -> None:
        destinations = self.alertmanagers.destinations
        self._tellings = tuple(Telling(self.alertmanagers, to, self._current, self.metrics) for to in destinations)

    def tell(self, pages: Pages, silences: Silences, is_news: bool) -> None:
        self.pages, self.silences = pages, silences
        if is_news:
            for telling in self._tellings:
                telling.news.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Each Alertmanager on its own: one that is away delays no other."""
        async with self.alertmanagers:
            await asyncio.gather(stop.wait(), *(telling.run(stop) for telling in self._tellings))

    def _current(self, now_ms: int) -> list[AlertState | SilenceAlert]:
        return [*to_send(self.pages, now_ms), *silences_to_send(self.silences, now_ms)]


class IncidentsStage(Stage):
    name = "incidents"

    def __init__(
        self,
        app: faust.App,
        shards: int,
        settings: StageSettings,
        pager: Pager,
        metrics: WorkerMetrics,
        bound: DiversionBound | None = None,
        patience: Patience = LIVE,
    ) -> None:
        super().__init__(app, [BURNS, SILENCES], 1, settings)
        self._shards, self._pager, self._metrics = shards, pager, metrics
        self._diversion = Diversion(bound or DiversionBound(), metrics)
        self._patience = patience
        self._pages, self._telemetry = Pages(), Telemetry(pager.paging.links, metrics)
        self._offset = NOTHING_APPLIED
        self._published: list[AlertState] = []
        self._saved: set[str] = set()
        self._parts: dict[int, list[Decision]] = {}

    def restore(self, partition: int, stored: dict[bytes, bytes]) -> None:
        self._telemetry.restore({key: value for key, value in stored.items() if self._telemetry.owns(key)})
        alerts = {key: value for key, value in stored.items() if not self._telemetry.owns(key)}
        published = (AlertState.model_validate_json(body(value)) for value in alerts.values())
        self._pages = restore(published, self._shards, _now_ms())
        self._offset = max(map(applied_offset, alerts.values()), default=NOTHING_APPLIED)
        self._saved = {key.decode() for key in alerts}
        self._tell(is_news=True)

    def forget(self) -> None:
        self._pages, self._offset = Pages(), NOTHING_APPLIED
        self._telemetry.forget()
        self._published.clear()
        self._saved.clear()
        self._parts.clear()
        self._diversion.forget()
        self._tell(is_news=False)

    def marked(self, topic: str, partition: int) -> int:
        return NOTHING_APPLIED  # Decisions are statements in full: an older one after a newer changes nothing.

    def apply(self, topic: str, partition: int, events: list[Event]) -> None:
        take_in = self._take_in_silence if topic == SILENCES else self._take_in_decision
        for event in events:
            try:
                take_in(event)
            except Undecodable as error:
                divert(event, error, self._diversion)

    def _take_in_decision(self, event: Event) -> None:
        self._offset = event.message.offset
        decision = self._whole(self._part_of(event))
        if decision is not None:
            self._go_on(step(self._pages, decision, self._pager.paging, _now_ms()))

    def _take_in_silence(self, event: Event) -> None:
        if self._telemetry.take_in(event):
            self._tell(is_news=True)

    def _go_on(self, stepped: Stepped) -> None:
        self._pages = stepped.pages
        self._published += stepped.published
        self._tell(is_news=bool(stepped.news))

    def _tell(self, is_news: bool) -> None:
        self._pager.tell(self._pages, self._telemetry.silences, is_news)
        states = Counter(alert.state for alert in self._pages.alerts)
        for state in ("firing", "frozen"):
            self._metrics.alerts.labels(state).set(states[state])

    def _part_of(self, event: Event) -> Decision:
        part = decode(event.message.value or b"")
        if part.shard not in range(self._shards):
            raise Undecodable(f"The decision is of a shard that is none of the {self._shards} there are.")
        return part

    def _whole(self, part: Decision) -> Decision | None:
        """The decision that this part completes, if it does; a newer one of the same shard supersedes what is open."""
        if part.parts == 1:
            return part
        open_parts = self._parts.get(part.shard, [])
        same = [each for each in open_parts if _is_same_statement(each, part) and each.part != part.part]
        self._parts[part.shard] = same = [*same, part]
        if len(same) < part.parts:
            return None
        del self._parts[part.shard]
        burns = tuple(burn for each in sorted(same, key=lambda each: each.part) for burn in each.burns)
        quiet = tuple(silent for each in same for silent in each.quiet)
        return part.model_copy(update={"burns": burns, "quiet": quiet, "part": 0, "parts": 1})

    def phases(self) -> Iterable[Iterable[Outgoing | tuple[int, Block]]]:
        if self._patience.follows_wall_clock:
            self._go_on(freeze(self._pages, _now_ms()))
        yield self._diversion.letters()
        yield [(0, block) for block in self._telemetry.unsaved_blocks()]
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


def _is_same_statement(one: Decision, other: Decision) -> bool:
    """Whether both are parts of one statement: the same instant may be decided again, on more of the volume."""
    return (one.decided_ms, one.completeness, one.parts) == (other.decided_ms, other.completeness, other.parts)


def _now_ms() -> int:
    return int(time.time() * 1_000)


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
