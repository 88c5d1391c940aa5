"""`burn_rate` on Kafka, one stage for each family with indicators: its partials in; rollups and decisions out."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import faust

from schemas.burns import LISTS, Decision, encode
from schemas.families import TURNS, Family
from schemas.metrics import WorkerMetrics
from schemas.slos import WatchedSlo
from schemas.topics import BURNS, burn_rate_stage, partials
from stream_jobs.agents.diversion import Diversion, DiversionBound
from stream_jobs.agents.exact import Event, Outgoing, Sent, Stage, StageSettings
from stream_jobs.agents.questions import read_partials, rollup_messages
from stream_jobs.operators.burn_rate.burn_rate import BurnRate, Decided
from stream_jobs.operators.totals.blocks import NOTHING_APPLIED, applied_offset
from stream_jobs.operators.totals.reach import Patience

PART_BURNS = 500
"""Of each thing listed in one message: about 1,200 bytes for one of each, and the limit is a megabyte."""


class BurnRateStage(Stage):
    """Of `watched` it judges the objectives of its family."""

    def __init__(
        self,
        app: faust.App,
        partitions: int,
        settings: StageSettings,
        metrics: WorkerMetrics,
        watched: Sequence[WatchedSlo],
        patience: Patience,
        bound: DiversionBound | None = None,
        family: Family = TURNS,
    ) -> None:
        self.name = burn_rate_stage(family.name)
        super().__init__(app, [partials(family.name)], partitions, settings)
        self._family, self._watched = family, tuple(each for each in watched if each.slo.family is family)
        self._sources, self._patience, self._metrics = partitions, patience, metrics
        self._diversion = Diversion(bound or DiversionBound(), metrics)
        self._shards: dict[int, BurnRate] = {}
        self._offsets: defaultdict[int, int] = defaultdict(lambda: NOTHING_APPLIED)

    def restore(self, partition: int, stored: dict[bytes, bytes]) -> None:
        burn_rate = self._shards[partition] = BurnRate(
            partition, self._sources, self._watched, self._patience, family=self._family
        )
        burn_rate.restore(stored)
        self._offsets[partition] = max(map(applied_offset, stored.values()), default=NOTHING_APPLIED)

    def forget(self) -> None:
        self._shards.clear()
        self._metrics.slo_counters.forget(self._family.name)
        self._diversion.forget()
        self._offsets.clear()

    def marked(self, topic: str, partition: int) -> int:
        return NOTHING_APPLIED  # Partials are absolutes: reading one again is harmless, so none is passed over.

    def apply(self, topic: str, partition: int, events: list[Event]) -> Iterator[None]:
        for partial in read_partials(events, self._sources, self._diversion):
            too_late = self._shards[partition].apply(partial)
            self._metrics.rows_too_late.labels(self.name, self._family.name).inc(too_late)
            yield None
        self._offsets[partition] = max(self._offsets[partition], events[-1].message.offset)
        self._metrics.partials_applied.labels(self.name, self._family.name).inc(len(events))

    def phases(self) -> Iterable[Iterable[Sent | None]]:
        yield self._told()  # Before state lets go of what it was told from: after a crash it is told again.
        yield (
            (shard, block)
            for shard, burn_rate in self._shards.items()
            for block in burn_rate.unsaved_blocks(self._offsets[shard])
        )
        yield (
            (shard, block)
            for shard, burn_rate in self._shards.items()
            for block in burn_rate.marker(self._offsets[shard])
        )

    def _told(self) -> Iterator[Outgoing | None]:
        """What is new, made as it is taken: amid a backlog a dozen decisions of every shard are due at once, a second of work."""
        yield from self._diversion.letters()
        for shard, burn_rate in self._shards.items():
            for table, rows in burn_rate.rollups():
                yield from rollup_messages(shard, table, rows, self._metrics)
                yield None
            is_decided = False
            for decided in burn_rate.decide(int(time.time() * 1_000)):
                is_decided = True
                yield from self._tell(shard, decided)
                yield None
            if is_decided:
                self._metrics.slo_counters.show(shard, burn_rate.counted(), self._family.name)
            self._metrics.slices.labels(self.name, str(shard)).set(burn_rate.slices)

    def _tell(self, shard: int, decided: Decided) -> Iterable[Outgoing]:
        decision = decided.decision
        self._metrics.decisions.labels(self.name).inc()
        self._metrics.held_left_out.labels(self.name).inc(decided.held_left_out)
        self._metrics.watermark_seconds.labels(self.name, str(shard)).set(decision.decided_ms / 1_000)
        self._metrics.completeness.labels(self.name, str(shard)).set(decision.completeness)
        for part in in_parts(decision):
            yield Outgoing(BURNS, encode(part), [], key=str(shard).encode(), partition=0)
        if decided.windows is not None:
            yield from rollup_messages(shard, "burn_windows", decided.windows, self._metrics)


def in_parts(decision: Decision) -> list[Decision]:
    """The decision in messages that stay below the broker's limit even when everything burns."""
    parts = max(1, *(-(-len(getattr(decision, name)) // PART_BURNS) for name in LISTS))
    return [decision.model_copy(update=_part(decision, part) | {"part": part, "parts": parts}) for part in range(parts)]


def _part(decision: Decision, part: int) -> dict[str, Any]:
    members = slice(part * PART_BURNS, (part + 1) * PART_BURNS)
    return {name: getattr(decision, name)[members] for name in LISTS}
