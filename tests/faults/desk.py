"""The incidents stage on its own: an application that leads nowhere, a clock in our hand, and what a save leaves behind."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry

from alerts.alertmanager import Alertmanagers
from alerts.explanations import Paging
from schemas.burns import AlertState, Decision
from schemas.findings import Findings
from schemas.kafka import KafkaAddress
from schemas.metrics import WorkerMetrics
from schemas.silences import Silence
from schemas.topics import ALERTS, BURNS, FINDINGS, ROLLUPS, SILENCES
from stream_jobs.agents.application import ApplicationSettings, build
from stream_jobs.agents.exact import Outgoing, StageSettings
from stream_jobs.agents.incidents import IncidentsStage
from stream_jobs.agents.pager import Pager
from stream_jobs.operators.totals.reach import Patience

NOW_MS = 1_800_000_000_000


class Desk:
    """The incidents stage on an application that leads nowhere, its clock, and its changelog as somebody would find it."""

    def __init__(self, folder: Path, patience: Patience) -> None:
        self.folder, self.patience = folder, patience
        self.changelog: dict[bytes, bytes] = {}
        self.published: list[AlertState] = []
        self.taken_away: list[bytes | None] = []
        self.rolled_up: list[Outgoing] = []
        self.offset = 0
        self.start()

    def start(self) -> None:
        """A process that takes over what is saved."""
        self.registry = CollectorRegistry()
        metrics = WorkerMetrics(self.registry)
        self.pager = Pager(Alertmanagers([]), Paging(), metrics)
        app = build(ApplicationSettings(KafkaAddress("127.0.0.1:1"), 1, data_dir=self.folder))
        self.stage = IncidentsStage(app, 1, StageSettings(), self.pager, metrics, patience=self.patience)
        self.stage.take_over({0: dict(self.changelog)})

    def hear(self, said: Decision | Silence | Findings) -> None:
        topics = {Decision: BURNS, Silence: SILENCES, Findings: FINDINGS}
        self.take_in(topics[type(said)], said.model_dump_json().encode())

    def take_in(self, topic: str, payload: bytes) -> None:
        message = SimpleNamespace(topic=topic, partition=0, offset=self.offset, value=payload)
        self.offset += 1
        event: Any = SimpleNamespace(message=message)
        list(self.stage.apply(topic, 0, [event]))

    def save(self) -> list[str]:
        """One save; the states that it published."""
        before = len(self.published)
        for phase in self.stage.phases():
            for item in phase:
                if isinstance(item, Outgoing):
                    if item.topic == ALERTS and item.value is None:
                        self.taken_away.append(item.key)
                    elif item.topic == ALERTS:
                        self.published.append(AlertState.model_validate_json(item.value or b""))
                    elif item.topic == ROLLUPS:
                        self.rolled_up.append(item)
                elif item[1].value is None:
                    self.changelog.pop(item[1].key, None)
                else:
                    self.changelog[item[1].key] = item[1].value
        return [alert.state for alert in self.published[before:]]

    def gauge(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


class HeldClock:
    """The clock that the stage freezes alerts by."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS
