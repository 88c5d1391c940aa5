"""`traffic` on Kafka: partials of every family in; rollups out, and what those that watch the same totals state."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import faust

from schemas.families import FAMILIES, QUALITY, QUEUES, STAGE_LATENCIES, TENANTS
from schemas.metrics import WorkerMetrics
from stream_jobs.agents.diversion import Diversion, DiversionBound
from stream_jobs.agents.exact import Event, Outgoing, Sent, Stage, StageSettings
from stream_jobs.agents.questions import FAMILY_OF, read_partials, rollup_messages
from stream_jobs.operators.totals.blocks import NOTHING_APPLIED, applied_offset
from stream_jobs.operators.totals.reach import LIVE, Patience
from stream_jobs.operators.totals.traffic import Capacity, Traffic
from stream_jobs.operators.watching import Watch

TELL_INTERVAL_S = 2.0
"""How often rollups are told. Each telling states whole buckets, and nobody pages on them: seldom is cheaper."""


Watching = Callable[[int], Sequence[Watch]]
"""What watches the totals of a shard."""


class TrafficStage(Stage):
    name = "traffic"

    def __init__(
        self,
        app: faust.App,
        partitions: int,
        settings: StageSettings,
        metrics: WorkerMetrics,
        capacity: Capacity | None,
        bound: DiversionBound | None = None,
        patience: Patience = LIVE,
        watching: Watching = lambda shard: (),
    ) -> None:
        told = replace(settings, save_interval_s=max(settings.save_interval_s, TELL_INTERVAL_S))
        super().__init__(app, list(FAMILY_OF), partitions, told)
        self._sources, self._capacity, self._metrics = partitions, capacity, metrics
        self._patience, self._watching = patience, watching
        self._diversion = Diversion(bound or DiversionBound(), metrics)
        self._shards: dict[int, Traffic] = {}
        self._offsets: defaultdict[tuple[str, int], int] = defaultdict(lambda: NOTHING_APPLIED)

    def restore(self, partition: int, stored: dict[bytes, bytes]) -> None:
        traffic = self._shards[partition] = Traffic(
            self._sources, self._capacity, partition, self._patience, self._watching(partition)
        )
        traffic.restore(stored)
        for key, value in stored.items():
            source = (key.decode().split("|", 1)[0], partition)
            self._offsets[source] = max(self._offsets[source], applied_offset(value))

    def forget(self) -> None:
        self._shards.clear()
        self._diversion.forget()
        self._offsets.clear()

    def marked(self, topic: str, partition: int) -> int:
        return NOTHING_APPLIED  # Partials are absolutes: reading one again is harmless, so none is passed over.

    def apply(self, topic: str, partition: int, events: list[Event]) -> Iterator[None]:
        family = FAMILY_OF[topic]
        for partial in read_partials(events, self._sources, self._diversion):
            too_late = self._shards[partition].apply(partial)
            self._metrics.rows_too_late.labels(self.name, family).inc(too_late)
            yield None
        self._offsets[family, partition] = max(self._offsets[family, partition], events[-1].message.offset)
        self._metrics.partials_applied.labels(self.name, family).inc(len(events))

    def phases(self) -> Iterable[Iterable[Sent | None]]:
        yield self._told()  # Before state lets go of what they were told from: after a crash they are told again.
        yield (
            (shard, block)
            for shard, traffic in self._shards.items()
            for name, family in FAMILIES.items()
            for block in traffic.unsaved_blocks(family, self._offsets[name, shard])
        )
        yield (
            (shard, block)
            for shard, traffic in self._shards.items()
            for name, family in FAMILIES.items()
            for block in traffic.marker(family, self._offsets[name, shard])
        )

    def _told(self) -> Iterator[Outgoing | None]:
        """What is new, made as it is taken: to go through hours again because labels came late takes most of a second."""
        yield from self._diversion.letters()
        for shard, traffic in self._shards.items():
            for table, rows in traffic.rollups():
                yield from rollup_messages(shard, table, rows, self._metrics)
                yield None
        yield from self._statements(int(time.time() * 1_000))

    def _statements(self, now_ms: int) -> Iterator[Outgoing]:
        for shard, traffic in self._shards.items():
            for said in traffic.statements(now_ms):
                yield Outgoing(said.topic, said.payload, list(said.headers), key=str(shard).encode(), partition=0)
            self._metrics.growth_slices_left_out.labels(str(shard)).set(traffic.left_out(STAGE_LATENCIES))
            self._metrics.queue_slices_left_out.labels(str(shard)).set(traffic.left_out(QUEUES))
            self._metrics.drift_slices_left_out.labels(str(shard)).set(traffic.left_out(QUALITY))
            self._metrics.abuse_slices_left_out.labels(str(shard)).set(traffic.left_out(TENANTS))
