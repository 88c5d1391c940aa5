"""`cost` on Kafka: what every shard spent in; findings about money out. One partition, so one worker sees all of it."""

from __future__ import annotations

from collections.abc import Iterable

import faust

from schemas.failures import Undecodable
from schemas.families import COSTS
from schemas.findings import Findings
from schemas.metrics import WorkerMetrics
from schemas.spend import Spend, decode
from schemas.spend_policies import SpendPolicy
from schemas.topics import FINDINGS, SPEND
from stream_jobs.agents.diversion import Diversion, DiversionBound
from stream_jobs.agents.exact import Event, Outgoing, Stage, StageSettings
from stream_jobs.agents.questions import divert
from stream_jobs.operators.cost.spending import QUESTION, Spending
from stream_jobs.operators.totals.blocks import NOTHING_APPLIED, Block, applied_offset


class CostStage(Stage):
    name = QUESTION

    def __init__(
        self,
        app: faust.App,
        shards: int,
        settings: StageSettings,
        metrics: WorkerMetrics,
        policy: SpendPolicy,
        bound: DiversionBound | None = None,
    ) -> None:
        super().__init__(app, [SPEND], 1, settings)
        self._shards, self._policy, self._metrics = shards, policy, metrics
        self._diversion = Diversion(bound or DiversionBound(), metrics)
        self._spending = Spending(shards, policy)
        self._offset = NOTHING_APPLIED
        self._unsaid: list[Findings] = []

    def restore(self, partition: int, stored: dict[bytes, bytes]) -> None:
        self._spending = Spending(self._shards, self._policy)
        self._spending.restore(stored)
        self._offset = max(map(applied_offset, stored.values()), default=NOTHING_APPLIED)

    def forget(self) -> None:
        self._spending, self._offset = Spending(self._shards, self._policy), NOTHING_APPLIED
        self._unsaid.clear()
        self._diversion.forget()

    def marked(self, topic: str, partition: int) -> int:
        return NOTHING_APPLIED  # Spend is absolutes: reading a statement again is harmless, so none is passed over.

    def apply(self, topic: str, partition: int, events: list[Event]) -> Iterable[None]:
        for event in events:
            try:
                too_late = self._spending.hear(self._spend_of(event))
            except Undecodable as error:
                divert(event, error, self._diversion)
                continue
            self._metrics.rows_too_late.labels(self.name, COSTS.name).inc(too_late)
            self._unsaid += self._spending.findings()
        self._offset = max(self._offset, events[-1].message.offset)
        return ()

    def phases(self) -> Iterable[Iterable[Outgoing | tuple[int, Block]]]:
        unsaid, self._unsaid = self._unsaid, []
        # Said before it is saved: after a crash it is said again, and findings are statements in full.
        yield [*self._diversion.letters(), *map(self._saying, unsaid)]
        yield [(0, block) for block in self._spending.unsaved_blocks(self._offset)]
        yield [(0, block) for block in self._spending.marker(self._offset)]

    def _saying(self, findings: Findings) -> Outgoing:
        self._metrics.decisions.labels(self.name).inc()
        self._metrics.watermark_seconds.labels(self.name, "0").set(findings.decided_ms / 1_000)
        self._metrics.completeness.labels(self.name, "0").set(findings.completeness)
        return Outgoing(FINDINGS, findings.model_dump_json().encode(), [], key=self.name.encode(), partition=0)

    def _spend_of(self, event: Event) -> Spend:
        spend = decode(dict(event.message.headers or ()), event.message.value or b"")
        if spend.shard not in range(self._shards):
            raise Undecodable(f"The statement of spend is of a shard that is none of the {self._shards} there are.")
        return spend
