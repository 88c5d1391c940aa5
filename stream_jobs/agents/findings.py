"""Findings, a part of the incidents stage: what questions state in; its alerts, their state, rows and gauges out.

An end is told once it is saved: after a crash in between it would be told as firing again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pyarrow as pa

from alerts.explanations import Paging
from alerts.findings import Found, Stepped, freeze, restore, step
from alerts.incident_scope import OpenIncidents
from alerts.pages import Pages
from schemas.arrow_streams import table_of
from schemas.burns import LAST_INSTANT_MS
from schemas.failures import Undecodable
from schemas.findings import FindingAlert, Findings, decode
from schemas.metrics import WorkerMetrics
from schemas.slices import cut_of
from schemas.tables import TABLES
from stream_jobs.agents.exact import Event, Outgoing
from stream_jobs.agents.questions import rollup_messages
from stream_jobs.operators.totals.blocks import NOTHING_APPLIED, Block, applied_offset, body, stamped, unpack_model

_STATEMENT, _ALERT = b"|found|", b"|finding|"
"""Beginnings of block keys. That of an SLO's alert begins with the SLO's name, so with no `|`."""


class FindingAlerts:
    """The alerts of what `shards` shards of each question found, and what of them is not saved yet."""

    def __init__(self, shards: int, paging: Paging, metrics: WorkerMetrics) -> None:
        self._shards, self._paging, self._metrics = shards, paging, metrics
        self._found = Found()
        self._offset = NOTHING_APPLIED
        self._stated: dict[bytes, bytes] = {}
        self._published: list[FindingAlert] = []
        self._saved: set[bytes] = set()
        """Keys of alerts."""
        self._ending: dict[bytes, FindingAlert] = {}
        """What has ended and is not saved so yet, as it was before."""
        self._shown: set[tuple[str, str]] = set()
        self._asked: set[str] = set()

    @staticmethod
    def owns(key: bytes) -> bool:
        """Whether a block of the stage's state is one of these."""
        return key.startswith((_STATEMENT, _ALERT))

    def restore(self, stored: dict[bytes, bytes], now_ms: int) -> None:
        said = [unpack_model(body(value), Findings) for key, value in stored.items() if key.startswith(_STATEMENT)]
        alerts = [unpack_model(body(value), FindingAlert) for key, value in stored.items() if key.startswith(_ALERT)]
        self._found = restore(said, alerts, self._shards, now_ms)
        self._offset = max(map(applied_offset, stored.values()), default=NOTHING_APPLIED)
        self._saved = {key for key in stored if key.startswith(_ALERT)}
        self._show()

    def forget(self) -> None:
        self._found, self._offset = Found(), NOTHING_APPLIED
        self._stated.clear()
        self._published.clear()
        self._saved.clear()
        self._ending.clear()
        self._show()

    @property
    def open(self) -> tuple[FindingAlert, ...]:
        return self._found.open

    @property
    def told(self) -> Found:
        """What Alertmanagers may be told: of what has ended and is not saved so yet what was."""
        if not self._ending:
            return self._found
        owners = {
            owner: replace(stated, alerts={name: self._as_told(alert) for name, alert in stated.alerts.items()})
            for owner, stated in self._found.owners.items()
        }
        return Found(owners)

    def take_in(self, event: Event, pages: Pages, now_ms: int) -> bool:
        """Takes in one statement; whether somebody has to hear of it at once. Raises `Undecodable` where it is none."""
        said = decode(event.message.value or b"")
        if said.shard not in range(self._shards):
            raise Undecodable(f"The statement of findings is of a shard that is none of the {self._shards} there are.")
        self._offset = max(self._offset, event.message.offset)
        incidents = OpenIncidents(pages.alerts, LAST_INSTANT_MS, self._found.open)
        return self._go_on(step(self._found, said, self._paging, incidents, now_ms))

    def freeze(self, now_ms: int) -> bool:
        """Freezes what no statement holds any more; whether there was anything."""
        return self._go_on(freeze(self._found, now_ms))

    def unsaved(self) -> Iterator[Iterable[Outgoing | tuple[int, Block]]]:
        """What changed since the last call, to be confirmed in this order; alerts that ended long ago leave."""
        published, self._published = self._published, []
        stated, self._stated = self._stated, {}
        if published:
            yield rollup_messages(0, "findings", rows_of(published), self._metrics)
        # Saved last: after a crash in between it is told once more, not never.
        newest = {_key(alert): alert.model_dump_json().encode() for alert in published}
        known = set(map(_key, self._found.alerts))
        gone = self._saved - known
        self._saved = (self._saved | newest.keys()) & known
        changed = {key: text for key, text in {**newest, **stated}.items() if key in known or key in stated}
        yield [
            *((0, Block(key, stamped(self._offset, text))) for key, text in changed.items()),
            *((0, Block(key, None)) for key in sorted(gone)),
        ]

    def ends_were_saved(self) -> bool:
        """To be called once all that is unsaved was confirmed; whether somebody has to hear of an end now."""
        had_ended = bool(self._ending)
        self._ending.clear()
        return had_ended

    def _go_on(self, stepped: Stepped) -> bool:
        if stepped.found is self._found:
            return False
        if ended := {_key(alert) for alert in stepped.published if alert.state == "resolved"}:
            self._ending |= {key: alert for alert in self._found.open if (key := _key(alert)) in ended}
        self._stated |= _changed_statements(self._found, stepped.found)
        self._found = stepped.found
        self._published += stepped.published
        self._show()
        return bool(stepped.news)

    def _as_told(self, alert: FindingAlert) -> FindingAlert:
        return self._ending.get(_key(alert), alert) if alert.state == "resolved" else alert

    def _show(self) -> None:
        counted = Counter((alert.finding.alert, str(alert.state)) for alert in self._found.open)
        self._shown |= counted.keys()
        for alert, state in self._shown:
            self._metrics.finding_alerts.labels(alert, state).set(counted[alert, state])
        left_out: Counter[str] = Counter()
        for (question, _), stated in self._found.owners.items():
            left_out[question] += stated.said.unlisted
        self._asked |= left_out.keys()
        for question in self._asked:
            self._metrics.findings_left_out.labels(question).set(left_out[question])


def _changed_statements(before: Found, after: Found) -> dict[bytes, bytes]:
    """Of each shard with a newer statement what it said, without its findings."""
    return {
        _STATEMENT + f"{question}|{shard}".encode(): stated.said.model_dump_json().encode()
        for (question, shard), stated in after.owners.items()
        if (known := before.owners.get((question, shard))) is None or known.said != stated.said
    }


def _key(alert: FindingAlert) -> bytes:
    return _ALERT + f"{alert.question}|{alert.shard}|{alert.alert}".encode()


def rows_of(alerts: Iterable[FindingAlert]) -> pa.Table:
    """Every statement about an alert as a row of the table `findings`."""
    rows = [
        {
            "alert": alert.finding.alert,
            "finding": alert.alert,
            "question": alert.question,
            "cut": cut_of(alert.finding.slice),
            "slice": alert.finding.slice,
            "severity": alert.finding.severity,
            "state": alert.state,
            "incident": alert.labels.get("incident", ""),
            "since": alert.finding.since_ms,
            "starts_event": alert.starts_event_ms,
            "decided_event": alert.decided_event_ms,
            "starts": alert.starts_ms,
            "ends": alert.ends_ms,
            "completeness": alert.completeness,
            "summary": alert.finding.summary,
            "action": alert.finding.action,
            "runbook": alert.finding.runbook,
            "labels": json.dumps(alert.finding.labels, sort_keys=True),
            "facts": json.dumps(alert.finding.facts),
            "version": alert.version,
        }
        for alert in alerts
    ]
    return table_of(rows, TABLES["findings"].arrow_schema)
