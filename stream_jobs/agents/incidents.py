"""Incidents on Kafka: decisions of every shard in; alerts, their history, and pages out.

One partition, so one worker sees what burns across all shards, what questions found besides, which stages grew, and which
producers are silent. Publishing is part of the exact loop; telling the Alertmanagers is not: the pager (`pager.py`) tells
them again and again what fires, so it may fail, be late, or begin anew. What fires is told at once. An end is told once it
is saved: after a crash in between it would be told as firing again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

import faust
import pyarrow as pa

from alerts.grown_stages import GrownStages
from alerts.pages import Pages, Stepped, freeze, restore, step
from schemas.arrow_streams import table_of
from schemas.burns import AlertState, Decision, decode
from schemas.failures import Undecodable
from schemas.growths import decode as decode_growths
from schemas.metrics import WorkerMetrics
from schemas.silences import SilenceAlert
from schemas.tables import TABLES
from schemas.topics import ALERTS, BURNS, FINDINGS, GROWTHS, SILENCES
from stream_jobs.agents.decision_parts import Parts, require_known
from stream_jobs.agents.diversion import Diversion, DiversionBound
from stream_jobs.agents.exact import Event, Outgoing, Stage, StageSettings
from stream_jobs.agents.findings import FindingAlerts
from stream_jobs.agents.pager import Pager
from stream_jobs.agents.questions import divert, rollup_messages
from stream_jobs.agents.telemetry import Telemetry
from stream_jobs.operators.totals.blocks import NOTHING_APPLIED, Block, applied_offset, body, stamped, unpack_model
from stream_jobs.operators.totals.reach import LIVE, Patience


class IncidentsStage(Stage):
    name = "incidents"
    is_told_anew = True  # Statements in full, repeated while they hold.

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
        super().__init__(app, [BURNS, SILENCES, GROWTHS, FINDINGS], 1, settings)
        self._shards, self._pager, self._metrics = shards, pager, metrics
        self._diversion = Diversion(bound or DiversionBound(), metrics)
        self._patience = patience
        self._pages, self._telemetry = Pages(), Telemetry(pager.paging.links, metrics)
        self._findings = FindingAlerts(shards, pager.paging, metrics)
        self._grown = GrownStages()
        self._offset = NOTHING_APPLIED
        self._published: list[AlertState] = []
        self._saved: set[str] = set()
        self._ending: dict[str, AlertState] = {}
        self._ending_silences: dict[str, SilenceAlert] = {}
        """What has ended and is not saved so yet, as it was before."""
        self._parts = Parts()

    def restore(self, partition: int, stored: dict[bytes, bytes]) -> None:
        self._telemetry.restore({key: value for key, value in stored.items() if self._telemetry.owns(key)})
        self._findings.restore({key: value for key, value in stored.items() if self._findings.owns(key)}, _now_ms())
        parts = (self._telemetry, self._findings)
        alerts = {key: value for key, value in stored.items() if not any(part.owns(key) for part in parts)}
        published = [unpack_model(body(value), AlertState) for value in alerts.values()]
        self._pages = restore(published, self._shards, _now_ms())
        self._offset = max(map(applied_offset, alerts.values()), default=NOTHING_APPLIED)
        self._saved = {key.decode() for key in alerts}
        self._pager.holds_since_ms = _now_ms()
        self._tell(is_news=True)

    def forget(self) -> None:
        self._pages, self._offset, self._grown = Pages(), NOTHING_APPLIED, GrownStages()
        self._telemetry.forget()
        self._findings.forget()
        self._published.clear()
        self._saved.clear()
        self._ending.clear()
        self._ending_silences.clear()
        self._parts = Parts()
        self._diversion.forget()
        self._pager.holds_since_ms = None
        self._tell(is_news=False)

    def marked(self, topic: str, partition: int) -> int:
        return NOTHING_APPLIED  # Decisions are statements in full: an older one after a newer changes nothing.

    def apply(self, topic: str, partition: int, events: list[Event]) -> Iterable[None]:
        others = {
            SILENCES: self._take_in_silence,
            GROWTHS: self._take_in_growths,
            FINDINGS: self._take_in_findings,
        }
        take_in = others.get(topic, self._take_in_decision)
        for event in events:
            try:
                take_in(event)
            except Undecodable as error:
                divert(event, error, self._diversion)
        return ()

    def _take_in_decision(self, event: Event) -> None:
        self._offset = max(self._offset, event.message.offset)  # Read again, it must not stamp blocks as older.
        decision = self._parts.whole(self._part_of(event), len(event.message.value or b""))
        if decision is not None:
            paging = replace(self._pager.paging, grown=self._grown, found=self._findings.open)
            self._go_on(step(self._pages, decision, paging, _now_ms()))

    def _take_in_growths(self, event: Event) -> None:
        """Alerts are told of it with the next decision of their shard, which comes every 10 s while they fire."""
        growths = decode_growths(event.message.value or b"")
        self._require_shard(growths.shard, "statement of growths")
        self._grown = self._grown.heard(growths)

    def _take_in_findings(self, event: Event) -> None:
        self._tell(is_news=self._findings.take_in(event, self._pages, _now_ms()))

    def _take_in_silence(self, event: Event) -> None:
        before = self._telemetry.silences.alerts
        if self._telemetry.take_in(event):
            after = self._telemetry.silences.alerts
            ended = {name for name, alert in after.items() if alert.state == "resolved" and name in before}
            self._ending_silences |= {name: before[name] for name in ended if before[name].state != "resolved"}
            self._tell(is_news=True)

    def _go_on(self, stepped: Stepped) -> None:
        if ended := {alert.alert for alert in stepped.news if alert.state == "resolved"}:
            self._ending |= {alert.alert: alert for alert in self._pages.alerts if alert.alert in ended}
        self._pages = stepped.pages
        self._published += stepped.published
        self._tell(is_news=bool(stepped.news))

    def _tell(self, is_news: bool) -> None:
        """Tells what is, but of what has ended and is not saved so yet what was."""
        silences = self._telemetry.silences
        alerts = {**silences.alerts, **_still(silences.alerts, self._ending_silences)}
        pages = _as_told(self._pages, self._ending)
        self._pager.tell(pages, replace(silences, alerts=alerts), self._findings.told, is_news)
        states = Counter(alert.state for alert in self._pages.alerts)
        for state in ("pending", "firing", "frozen"):
            self._metrics.alerts.labels(state).set(states[state])

    def _part_of(self, event: Event) -> Decision:
        part = decode(event.message.value or b"")
        self._require_shard(part.shard, "decision")
        require_known(part)
        return part

    def _require_shard(self, shard: int, what: str) -> None:
        if shard not in range(self._shards):
            raise Undecodable(f"The {what} is of a shard that is none of the {self._shards} there are.")

    def phases(self) -> Iterable[Iterable[Outgoing | tuple[int, Block]]]:
        if self._patience.follows_wall_clock:
            self._go_on(freeze(self._pages, _now_ms()))
            if self._findings.freeze(_now_ms()):
                self._tell(is_news=True)
        yield self._diversion.letters()
        yield [(0, block) for block in self._telemetry.unsaved_blocks()]
        published, self._published = self._published, []
        if published:
            yield from self._statements(published)
        yield from self._findings.unsaved()
        if self._findings.ends_were_saved() or self._ending or self._ending_silences:
            self._ending.clear()
            self._ending_silences.clear()
            self._tell(is_news=True)

    def _statements(self, published: list[AlertState]) -> Iterable[Iterable[Outgoing | tuple[int, Block]]]:
        newest = {alert.alert: alert for alert in published}
        texts = {name: alert.model_dump_json().encode() for name, alert in newest.items()}
        alerts = [Outgoing(ALERTS, text, [], key=name.encode(), partition=0) for name, text in texts.items()]
        gone = self._forgotten(set(newest))
        taken_away = [Outgoing(ALERTS, None, [], key=name.encode(), partition=0) for name in gone]
        yield [*alerts, *taken_away, *rollup_messages(0, "pages", _rows(published), self._metrics)]
        # Saved last: after a crash in between it is told once more, not never.
        blocks = [(0, Block(name.encode(), stamped(self._offset, text))) for name, text in texts.items()]
        yield [*blocks, *((0, Block(name.encode(), None)) for name in gone)]

    def _forgotten(self, published: set[str]) -> list[str]:
        """Alerts that ended long ago, which leave topic and changelog."""
        known = {alert.alert for alert in self._pages.alerts}
        gone = self._saved - known
        self._saved = (self._saved & known) | published
        return sorted(gone)


def _as_told(pages: Pages, ending: Mapping[str, AlertState]) -> Pages:
    if not ending:
        return pages
    shards = {
        name: replace(shard, alerts={**shard.alerts, **_still(shard.alerts, ending)})
        for name, shard in pages.shards.items()
    }
    return Pages(shards)


Ended = TypeVar("Ended", AlertState, SilenceAlert)


def _still(alerts: Mapping[str, Ended], ending: Mapping[str, Ended]) -> dict[str, Ended]:
    """Those of `alerts` that have ended, as they were before."""
    return {name: was for name, was in ending.items() if name in alerts and alerts[name].state == "resolved"}


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
            "scope": alert.labels.get("scope", ""),
            "incident": alert.labels.get("incident", ""),
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
    return table_of(rows, TABLES["pages"].arrow_schema)
