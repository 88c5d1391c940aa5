"""Intake on Kafka: aggregates in; partials, silences and dead letters out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

import faust
from faust.types import TP

from schemas.families import FAMILIES
from schemas.metrics import WorkerMetrics
from schemas.partials import encode
from schemas.rejections import PRODUCERS_MAX
from schemas.topics import SILENCES, aggregates, partials
from stream_jobs.agents.diversion import Diversion, DiversionBound, dead_letter
from stream_jobs.agents.exact import Event, Outgoing, Sent, Source, Stage, StageSettings
from stream_jobs.agents.questions import rollup_messages
from stream_jobs.operators.totals.intake import Intake, Intaken
from stream_jobs.operators.totals.opening import Opened, Record, Refusal, open_records
from stream_jobs.operators.totals.reach import LIVE, Patience
from stream_jobs.operators.totals.silence import PARTITION_OF, Reported, SilenceWatch

IDLE_AFTER_S = 30.0
"""So long after the last record of a partition that was read to its end, nobody waits for it any more."""

_FAMILY_OF = {aggregates(name): name for name in FAMILIES}


class IntakeStage(Stage):
    name = "intake"

    def __init__(
        self,
        app: faust.App,
        partitions: int,
        settings: StageSettings,
        metrics: WorkerMetrics,
        slices_max: int = 5_000,
        bound: DiversionBound | None = None,
        patience: Patience = LIVE,
        producers_max: int = PRODUCERS_MAX,
    ) -> None:
        super().__init__(app, list(_FAMILY_OF), partitions, settings)
        self._shards, self._metrics = partitions, metrics
        self._slices_max, self._producers_max = slices_max, producers_max
        self._intakes: dict[tuple[str, int], Intake] = {}
        self._diversion = Diversion(bound or DiversionBound(), metrics)
        self._taken_in_s: dict[tuple[str, int], float] = {}
        self._patience = patience
        self._watches: dict[int, SilenceWatch] = {}

    def restore(self, partition: int, stored: dict[bytes, bytes]) -> None:
        for name, family in FAMILIES.items():
            self._intakes[name, partition] = Intake.restored(
                family, partition, self._shards, stored, self._slices_max, self._producers_max
            )
        self._watches[partition] = SilenceWatch(partition, self._patience)

    def forget(self) -> None:
        self._intakes.clear()
        self._taken_in_s.clear()
        self._watches.clear()
        self._diversion.forget()

    def marked(self, topic: str, partition: int) -> int:
        return self._intakes[_FAMILY_OF[topic], partition].marked

    async def prepare(self, by_source: Mapping[Source, list[Event]]) -> Mapping[Source, Opened]:
        """Opens records in a thread: half of that is decompressing and grouping, which other stages need not wait for."""
        families = {source: FAMILIES[_FAMILY_OF[source[0]]] for source in by_source}
        records = {
            (topic, partition): self._intakes[_FAMILY_OF[topic], partition].unjudged(list(map(_record, events)))
            for (topic, partition), events in by_source.items()
        }

        def opened() -> dict[Source, Opened]:
            return {
                source: open_records(families[source], of_source) for source, of_source in records.items() if of_source
            }

        return await asyncio.to_thread(opened) if records else {}

    def apply(self, topic: str, partition: int, events: list[Event]) -> Iterator[None]:
        opened = self.prepared.get((topic, partition))
        if opened is None:
            return  # All of them were judged before.
        family, outcome = _FAMILY_OF[topic], Intaken()
        yield from self._intakes[family, partition].taking_in(opened, outcome)
        self._taken_in_s[family, partition] = time.monotonic()
        self._count(family, outcome)
        if outcome.refusals:
            self._divert(topic, partition, events, outcome.refusals)

    def _rest_where_idle(self) -> None:
        """Tells shards of partitions that were read to their end a while ago, or never had anything."""
        now_s = time.monotonic()
        for (family, partition), intake in self._intakes.items():
            quiet_s = now_s - self._taken_in_s.setdefault((family, partition), now_s)
            if quiet_s > IDLE_AFTER_S and self._is_at_end(TP(aggregates(family), partition), intake.marked + 1):
                intake.rest()

    def _is_at_end(self, partition: TP, next_offset: int) -> bool:
        consumer = self._app.consumer
        if partition not in consumer.assignment():
            return False
        highwater = consumer.highwater(partition)
        return highwater is not None and next_offset >= highwater

    def phases(self) -> Iterable[Iterable[Sent | None]]:
        self._rest_where_idle()
        intakes = list(self._intakes.items())
        yield self._kept(intakes)
        # The marker comes last in a phase of its own: without the pages it stands for, a repeat would be taken for news.
        # What is missing comes before the pages: they say only that it lies below their marks.
        for phase in zip(*(intake.marking() for _, intake in intakes), strict=True):
            yield (
                (partition, block)
                for ((_, partition), _), blocks in zip(intakes, phase, strict=True)
                for block in blocks
            )
        yield (
            Outgoing(partials(family), value, headers, partition=shard)
            for (family, _), intake in intakes
            for shard, partial in intake.telling()
            for headers, value in (encode(partial),)
        )
        yield self._silences(int(time.time() * 1_000))

    def _kept(self, intakes: Sequence[tuple[tuple[str, int], Intake]]) -> Iterator[Sent | None]:
        """What the marker stands for, made as it is taken: of a backlog to pack it takes more than a second."""
        yield from self._diversion.letters()
        for (_, partition), intake in intakes:
            yield from ((partition, block) for block in intake.unsaved_blocks())
            for table, rows in intake.unsent_late():
                yield from rollup_messages(partition, table, rows, self._metrics)
                yield None

    def _silences(self, now_ms: int) -> list[Outgoing]:
        """Who is silent, as of a reach that is saved: after a crash the same is found again, once all is judged again."""
        behind = {partition for (_, partition), intake in self._intakes.items() if intake.is_catching_up}
        return [
            Outgoing(SILENCES, silence.model_dump_json().encode(), [], key=str(partition).encode(), partition=0)
            for partition, watch in self._watches.items()
            if partition not in behind
            for silence in watch.look(self._reported(partition), now_ms)
        ]

    def _reported(self, partition: int) -> dict[str, Reported]:
        of_partition = {family: intake for (family, at), intake in self._intakes.items() if at == partition}
        return {
            family: Reported(intake.marked + 1, intake.reach_of(PARTITION_OF[family]))
            for family, intake in of_partition.items()
            if family in PARTITION_OF
        }

    def _divert(self, topic: str, partition: int, events: list[Event], refusals: list[Refusal]) -> None:
        append_ms = {event.message.offset: round(event.message.timestamp * 1_000) for event in events}
        for refusal in refusals:
            letter = dead_letter(refusal.rejected, refusal.producer, topic, partition, refusal.offset)
            self._diversion.divert(letter, append_ms[refusal.offset])

    def _count(self, family: str, outcome: Intaken) -> None:
        metrics = self._metrics
        metrics.frames_applied.labels(family).inc(outcome.frames_applied)
        metrics.frames_late.labels(family).inc(outcome.frames_late)
        metrics.frames_repeated.labels(family).inc(outcome.frames_repeated)
        metrics.frames_missing.labels(family).inc(outcome.frames_missing)
        metrics.frames_given_up.labels(family).inc(outcome.frames_given_up)
        metrics.rows_applied.labels(family).inc(outcome.rows_applied)
        for reason, count in outcome.columns_dropped.items():
            metrics.columns_dropped.labels(family, reason).inc(count)
        for refusal in outcome.refusals:
            metrics.frames_refused.labels(family, refusal.rejected.reason.value).inc()
        for cut, count in outcome.overflowed.items():
            metrics.slices_overflowed.labels(family, cut).inc(count)


def _record(event: Event) -> Record:
    message = event.message
    return Record(message.offset, round(message.timestamp * 1_000), dict(message.headers or ()), message.value or b"")
