"""Intake on Kafka: aggregates in; partials and dead letters out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping

import faust

from schemas.families import FAMILIES
from schemas.metrics import WorkerMetrics
from schemas.partials import encode
from schemas.rejections import Rejected
from schemas.topics import DEAD_LETTERS, aggregates, partials
from stream_jobs.agents.exact import Event, Outgoing, Source, Stage, StageSettings
from stream_jobs.operators.blocks import Block
from stream_jobs.operators.intake import Intake, Intaken
from stream_jobs.operators.opening import Opened, Record, open_records

_FAMILY_OF = {aggregates(name): name for name in FAMILIES}


class IntakeStage(Stage):
    name = "intake"

    def __init__(
        self, app: faust.App, partitions: int, settings: StageSettings, metrics: WorkerMetrics, slices_max: int = 5_000
    ) -> None:
        super().__init__(app, list(_FAMILY_OF), partitions, settings)
        self._shards, self._slices_max, self._metrics = partitions, slices_max, metrics
        self._intakes: dict[tuple[str, int], Intake] = {}
        self._dead_letters: list[Outgoing] = []
        self._opened: dict[Source, Opened] = {}

    def restore(self, partition: int, stored: dict[bytes, bytes]) -> None:
        for name, family in FAMILIES.items():
            self._intakes[name, partition] = Intake.restored(family, partition, self._shards, stored, self._slices_max)

    def forget(self) -> None:
        self._intakes.clear()
        self._dead_letters.clear()

    def marked(self, topic: str, partition: int) -> int:
        return self._intakes[_FAMILY_OF[topic], partition].marked

    async def prepare(self, by_source: Mapping[Source, list[Event]]) -> None:
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

        self._opened = await asyncio.to_thread(opened) if records else {}

    def apply(self, topic: str, partition: int, events: list[Event]) -> None:
        opened = self._opened.pop((topic, partition), None)
        if opened is None:
            return  # All of them were judged before.
        family = _FAMILY_OF[topic]
        outcome = self._intakes[family, partition].take_in(opened)
        self._dead_letters += [
            dead_letter(refusal.rejected, refusal.producer, topic, partition, refusal.offset)
            for refusal in outcome.refusals
        ]
        self._count(family, outcome)

    def phases(self) -> Iterable[Iterable[Outgoing | tuple[int, Block]]]:
        intakes = list(self._intakes.items())
        dead_letters, self._dead_letters = self._dead_letters, []
        changed = [(partition, block) for (_, partition), intake in intakes for block in intake.unsaved_blocks()]
        yield [*dead_letters, *changed]
        yield [(partition, block) for (_, partition), intake in intakes for block in intake.marker()]
        yield [
            Outgoing(partials(family), value, headers, partition=shard)
            for (family, _), intake in intakes
            for shard, partial in intake.unsent_partials()
            for headers, value in (encode(partial),)
        ]

    def _count(self, family: str, outcome: Intaken) -> None:
        metrics = self._metrics
        metrics.frames_applied.labels(family).inc(outcome.frames_applied)
        metrics.frames_repeated.labels(family).inc(outcome.frames_repeated)
        metrics.frames_missing.labels(family).inc(outcome.frames_missing)
        metrics.rows_applied.labels(family).inc(outcome.rows_applied)
        metrics.columns_dropped.labels(family).inc(outcome.columns_dropped)
        for refusal in outcome.refusals:
            metrics.frames_refused.labels(family, refusal.rejected.reason.value).inc()
        for cut, count in outcome.overflowed.items():
            metrics.slices_overflowed.labels(family, cut).inc(count)


def _record(event: Event) -> Record:
    message = event.message
    return Record(message.offset, round(message.timestamp * 1_000), dict(message.headers or ()), message.value or b"")


def dead_letter(rejected: Rejected, producer: str | None, topic: str, partition: int, offset: int) -> Outgoing:
    """Reason and position of a refused record; whoever needs its content reads it there."""
    letter = {
        "reason": rejected.reason.value,
        "detail": rejected.detail,
        "producer": producer,
        "topic": topic,
        "partition": partition,
        "offset": offset,
    }
    return Outgoing(DEAD_LETTERS, json.dumps(letter).encode(), [], key=f"{topic}:{partition}:{offset}".encode())
