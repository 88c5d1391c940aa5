"""Simulated fleets as the saturation watch is told of them: the totals of each minute, counted from every turn and sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import polars as pl

from producers.aggregate import stage_rows
from producers.observations import QUEUE_COLUMNS, RELEASE_COLUMNS
from producers.queues import last_samples, queue_rows
from producers.releases import nobody_serves, release_rows, served
from producers.simulator import Chunk
from schemas.families import QUEUES, RELEASES, STAGE_LATENCIES, Family
from schemas.findings import Finding, decode
from schemas.slices import slice_text
from stream_jobs.operators.saturation.watch import SaturationWatch
from stream_jobs.operators.totals.rollup_rows import folded
from tests.operators.queue_worlds import MINUTE_MS, Knowledge

Minute = list[tuple[Family, pl.DataFrame]]
WINDOWS_A_MINUTE = 6
COLUMNS_OF = {"queues": QUEUE_COLUMNS, "releases": RELEASE_COLUMNS}


def minutes(chunks: Iterable[Chunk]) -> Iterator[Minute]:
    """Totals of queues, stages and releases, minute by minute, of a run that begins at a whole minute."""
    before, live, windows = None, nobody_serves(), iter(chunks)
    while several := list(islice(windows, WINDOWS_A_MINUTE)):
        queues, releases = [], []
        for chunk in several:
            samples = _all(chunk, "queues")
            queues.append(_at(chunk, queue_rows(samples, QUEUES.partitions[0], before)))
            before = last_samples(samples)
            window = served(live, _all(chunk, "releases"))
            live = window.live
            releases.append(_at(chunk, release_rows(window, RELEASES.partitions[0])))
        stages = [_at(chunk, stage_rows(pl.concat(chunk.turns.values()))) for chunk in several if chunk.turns]
        yield [
            (family, _totals(family, pl.concat(rows)))
            for family, rows in ((QUEUES, queues), (STAGE_LATENCIES, stages), (RELEASES, releases))
            if rows
        ]


def _all(chunk: Chunk, kind: str) -> pl.DataFrame:
    return pl.concat([pl.DataFrame(schema=COLUMNS_OF[kind]), *chunk.kinds[kind].values()])


def _at(chunk: Chunk, rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(bucket_start_ms=pl.lit(chunk.start_ms, pl.Int64), version=pl.lit(1, pl.Int64))


def _totals(family: Family, rows: pl.DataFrame) -> pl.DataFrame:
    gauges = [measure.name for measure in family.measures if measure.merge == "gauge"]
    identity = ["bucket_start_ms", "slice", *family.key_names]
    measures = [*family.measure_names, "version"]
    cut = [
        rows.with_columns(slice_text(cut.dimensions)).group_by(identity).agg(pl.col(measures).sum())
        for cut in family.cuts
    ]
    return folded(pl.concat(cut), ["slice", *family.key_names], family.measure_names, MINUTE_MS, gauges)


def found_in(told: Iterable[Minute], start_ms: int) -> list[Sequence[Finding]]:
    """What is stated at the end of each minute."""
    watch = SaturationWatch(0)
    said: list[Sequence[Finding]] = []
    for number, minute in enumerate(told):
        for family, totals in minute:
            watch.tell(family, totals, start_ms)
        (statement,) = watch.statements(Knowledge(start_ms + (number + 1) * MINUTE_MS))
        said.append(decode(statement.payload).findings)
    return said
