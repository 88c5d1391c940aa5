"""Incidents on Kafka: decisions of every shard in; alerts, their history, and pages out.

One partition, so one worker sees what burns across all shards, which stages grew, and which producers are silent. Publishing is part of
the exact loop; telling the Alertmanagers is not: the pager tells them again and again what fires, so it may fail, be
late, or begin anew. What fires is told at once. An end is told once it is saved: after a crash in between it would be
told as firing again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from re import fullmatch
from typing import TypeVar

import faust
import pyarrow as pa

from alerts.alertmanager import Alertmanagers, Check, always
from alerts.explanations import Paging
from alerts.grown_stages import GrownStages
from alerts.pages import Pages, Stepped, freeze, restore, step, to_send
from alerts.silences import Silences
from alerts.silences import to_send as silences_to_send
from alerts.stated_alerts import StatedAlert
from alerts.telling import OPEN_AT_LEAST_MS, Telling
from alerts.watchdog import watchdog
from schemas.burns import LISTS, SINCE, AlertState, Decision, decode
from schemas.failures import Foreseen, Undecodable
from schemas.families import FAMILIES, INDICATORS_OF
from schemas.growths import decode as decode_growths
from schemas.metrics import WorkerMetrics
from schemas.silences import SilenceAlert
from schemas.tables import TABLES
from schemas.topics import ALERTS, BURNS, GROWTHS, SILENCES
from stream_jobs.agents.diversion import Diversion, DiversionBound
from stream_jobs.agents.exact import Event, Outgoing, Stage, StageSettings
from stream_jobs.agents.questions import divert, rollup_messages
from stream_jobs.agents.telemetry import Telemetry
from stream_jobs.operators.blocks import NOTHING_APPLIED, Block, applied_offset, body, stamped, unpack_model
from stream_jobs.operators.reach import LIVE, Patience

log = logging.getLogger("turnwatch.incidents")

PARTS_BYTES_MAX = 32 * 1024 * 1024
"""Of decisions of which parts are missing. One that names 20,000 slices that burn has 8 MB."""
DIMENSIONS_MAX = max(len(cut.dimensions) for family in FAMILIES.values() for cut in family.cuts)
"""Of a slice. What lies around one is 2 to the power of them."""


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
    holds_since_ms: int | None = None
    """Since when, by the clock, this worker owns the state: as long as it does, the Watchdog says so."""
    _tellings: tuple[Telling, ...] = ()

    def __post_init__(self) -> None:
        self._tellings = tuple(
            Telling(self.alertmanagers, to, self._current, self.metrics, self.open_at_least_ms)
            for to in self.alertmanagers.destinations
        )

    def tell(self, pages: Pages, silences: Silences, is_news: bool) -> None:
        self.pages, self.silences = pages, silences
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
        return [*watching, *to_send(self.pages, now_ms), *silences_to_send(self.silences, now_ms)]


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
        super().__init__(app, [BURNS, SILENCES, GROWTHS], 1, settings)
        self._shards, self._pager, self._metrics = shards, pager, metrics
        self._diversion = Diversion(bound or DiversionBound(), metrics)
        self._patience = patience
        self._pages, self._telemetry = Pages(), Telemetry(pager.paging.links, metrics)
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
        alerts = {key: value for key, value in stored.items() if not self._telemetry.owns(key)}
        published = [unpack_model(body(value), AlertState) for value in alerts.values()]
        self._pages = restore(published, self._shards, _now_ms())
        self._offset = max(map(applied_offset, alerts.values()), default=NOTHING_APPLIED)
        self._saved = {key.decode() for key in alerts}
        self._pager.holds_since_ms = _now_ms()
        self._tell(is_news=True)

    def forget(self) -> None:
        self._pages, self._offset, self._grown = Pages(), NOTHING_APPLIED, GrownStages()
        self._telemetry.forget()
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

    def apply(self, topic: str, partition: int, events: list[Event]) -> None:
        others = {SILENCES: self._take_in_silence, GROWTHS: self._take_in_growths}
        take_in = others.get(topic, self._take_in_decision)
        for event in events:
            try:
                take_in(event)
            except Undecodable as error:
                divert(event, error, self._diversion)

    def _take_in_decision(self, event: Event) -> None:
        self._offset = event.message.offset
        decision = self._parts.whole(self._part_of(event), len(event.message.value or b""))
        if decision is not None:
            paging = replace(self._pager.paging, grown=self._grown)
            self._go_on(step(self._pages, decision, paging, _now_ms()))

    def _take_in_growths(self, event: Event) -> None:
        """Alerts are told of it with the next decision of their shard, which comes every 10 s while they fire."""
        growths = decode_growths(event.message.value or b"")
        self._require_shard(growths.shard, "statement of growths")
        self._grown = self._grown.heard(growths)

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
        self._pager.tell(_as_told(self._pages, self._ending), replace(silences, alerts=alerts), is_news)
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
        yield self._diversion.letters()
        yield [(0, block) for block in self._telemetry.unsaved_blocks()]
        published, self._published = self._published, []
        if published:
            yield from self._statements(published)
        if self._ending or self._ending_silences:
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


def require_known(part: Decision) -> None:
    """Refuses what no alert can be begun of, or none ended.

    Raises `Undecodable` where no version has stated it, and `Foreseen`, which ends the worker, where a newer one has: nobody
    would be paged for what is passed over.
    """
    slices = {each.slice for name in LISTS for each in getattr(part, name)}
    if any(text.count(",") >= DIMENSIONS_MAX for text in slices):
        raise Undecodable(f"The decision names a slice of more than {DIMENSIONS_MAX} dimensions, which no cut has.")
    if part.family in INDICATORS_OF:
        return
    if part.format < SINCE["family"] or not fullmatch("[a-z][a-z_]{0,39}", part.family):
        raise Undecodable("The decision is of a family that there is in no version.")
    raise Foreseen(
        f"A decision of family {part.family} was read by a worker that knows {' and '.join(INDICATORS_OF)}: "
        "deploy the newer worker."
    )


@dataclass(slots=True)
class Parts:
    """Parts of decisions that came in several, until they are whole; never more than `bytes_max` of them."""

    bytes_max: int = PARTS_BYTES_MAX
    _of: dict[tuple[str, int], dict[int, Decision]] = field(default_factory=dict)
    """By whose they are, and place."""
    _bytes: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By whose they are, as they came."""

    def whole(self, part: Decision, size: int) -> Decision | None:
        """The decision that this part completes, if it does; a newer one of the same owner supersedes what is open.

        Raises `Undecodable` where there is no room for the part: its decision will not be whole.
        """
        if part.parts == 1:
            return part
        known = self._of.setdefault(part.owner, {})
        if known and not _is_same_statement(next(iter(known.values())), part):
            self._let_go(part.owner)
            known = self._of[part.owner] = {}
        if part.part not in known:
            self._bytes[part.owner] += size
        known[part.part] = part
        if self._bytes.total() > self.bytes_max:
            self._let_go(part.owner)
            raise Undecodable(f"The parts of decisions that are not whole are more than {self.bytes_max} bytes.")
        if len(known) < part.parts:
            return None
        self._let_go(part.owner)
        parts = [known[place] for place in sorted(known)]
        listed = {name: tuple(chain.from_iterable(getattr(each, name) for each in parts)) for name in LISTS}
        return part.model_copy(update={**listed, "part": 0, "parts": 1})

    def _let_go(self, owner: tuple[str, int]) -> None:
        del self._of[owner], self._bytes[owner]


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
    return pa.Table.from_pylist(rows, schema=TABLES["pages"].arrow_schema)
