"""Simulated turns as the traffic operator meets them: frames through intake, or minutes of totals as a ledger sums them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from producers.aggregate import stage_rows
from producers.anatomy import stage_latencies
from producers.observations import LATENCIES
from producers.scenarios import Scenario, canary
from producers.simulator import Chunk, simulate
from schemas.families import OPERATIONAL, STAGE_LATENCIES
from schemas.frames import FrameHeader, encode
from schemas.growths import Growths, decode
from schemas.rows import arrow_schema
from stream_jobs.operators.totals.intake import Intake
from stream_jobs.operators.totals.opening import Record
from stream_jobs.operators.totals.reach import REPLAYED
from stream_jobs.operators.totals.traffic import Traffic
from tests.operators.worlds import START_MS, WINDOW_MS, Changelog

MINUTE_MS = 60_000
Latencies = dict[str, np.ndarray]


def small_canary(stage: str | None, healthy_s: int, calls: int = 150) -> Scenario:
    """The shipped canary in one region with few calls; its slow turns wait in `stage`."""
    whole = canary(healthy_s=healthy_s, slow_stage=stage)
    region = replace(whole.regions[0], share=1.0, collectors=1)
    return replace(whole, regions=(region,), workloads=(replace(whole.workloads[0], concurrent_calls=calls),))


def records(scenario: Scenario, seconds: int, from_s: int = 0) -> Iterator[Record]:
    """One frame of family `stages` for each window of the scenario, which begins `from_s` after `START_MS`."""
    chunks = simulate(scenario, 7 + from_s, START_MS + from_s * 1_000, seconds * 1_000)
    for place, chunk in enumerate(chunks, start=from_s * 1_000 // WINDOW_MS):
        yield _record(place, chunk)


def _record(place: int, chunk: Chunk) -> Record:
    schema = arrow_schema(STAGE_LATENCIES)
    rows = stage_rows(pl.concat(list(chunk.turns.values()))).select(schema.names).to_arrow().cast(schema)
    headers, payload = encode(FrameHeader(STAGE_LATENCIES, OPERATIONAL, "host", 1, place, chunk.start_ms), rows)
    return Record(place, chunk.end_ms + 500, dict(headers), payload)


@dataclass
class Line:
    """Intake and traffic of one shard on what is saved of them."""

    changelogs: tuple[Changelog, Changelog] = field(default_factory=lambda: (Changelog(), Changelog()))
    stated: dict[int, Growths] = field(default_factory=dict)
    """By the second of the scenario."""

    def __post_init__(self) -> None:
        of_intake, of_traffic = self.changelogs
        self.intake = Intake.restored(STAGE_LATENCIES, 0, 1, of_intake.stored)
        self.traffic = Traffic(1, patience=REPLAYED)
        self.traffic.restore(of_traffic.stored)

    def restarted(self) -> Line:
        """Another process that takes up what is saved; this one goes on as well."""
        of_intake, of_traffic = self.changelogs
        return Line((Changelog(dict(of_intake.stored)), Changelog(dict(of_traffic.stored))))

    def hear(self, log: Iterable[Record]) -> None:
        """One telling and one save after each record."""
        for record in log:
            self.intake.apply([record])
            for _, partial in self.intake.unsent_partials():
                self.traffic.apply(partial)
            list(self.traffic.rollups())
            said = [decode(each.payload) for each in self.traffic.statements(now_ms=0)]
            self.stated |= {(each.decided_ms - START_MS) // 1_000: each for each in said}
            self._save(record.offset)

    def _save(self, offset: int) -> None:
        of_intake, of_traffic = self.changelogs
        for block in (*self.intake.unsaved_blocks(), *self.intake.marker()):
            of_intake.write(block)
        blocks = self.traffic.unsaved_blocks(STAGE_LATENCIES, offset)
        for block in (*blocks, *self.traffic.marker(STAGE_LATENCIES, offset)):
            of_traffic.write(block)

    def named(self) -> dict[int, dict[str, str]]:
        """Slice to stage, at every second at which something was stated."""
        return {at_s: {each.slice: each.stage for each in said.grown} for at_s, said in self.stated.items()}


def drawn(seed: int, turns: int, has_audio: bool = True) -> Latencies:
    """The stages of healthy turns as the simulator draws them, in ms; NaN where a stage did not happen."""
    rng = np.random.default_rng(seed)
    workload = canary().workloads[0]
    turn_ms = workload.latency.body.median_ms * np.exp(workload.latency.body.spread * rng.standard_normal(turns))
    columns = stage_latencies(rng, turn_ms, has_audio)
    return {stage: columns[f"{stage}_ms"].cast(pl.Float64).fill_null(float("nan")).to_numpy() for stage in LATENCIES}


def minute(number: int, slices: dict[str, Latencies]) -> pl.DataFrame:
    """Totals of one minute as `rollup_rows.per_minute` has them."""
    return minutes({number: slices})[number]


def minutes(told: dict[int, dict[str, Latencies]]) -> dict[int, pl.DataFrame]:
    """Totals of each minute, counted together: most of the time that it takes is not about turns."""
    parts = [
        pl.DataFrame({f"{stage}_ms": values for stage, values in latencies.items()}).with_columns(
            bundle=pl.lit(text), region=pl.lit(str(number))
        )
        for number, slices in told.items()
        for text, latencies in slices.items()
    ]
    others = [pl.lit("x").alias(name) for name in OPERATIONAL.dimensions if name not in ("bundle", "region")]
    others.append(pl.lit(False).alias("is_interrupted"))
    rows = stage_rows(pl.concat(parts).fill_nan(None).with_columns(others)).rename({"bundle": "slice"})
    placed = rows.with_columns(bucket_start_ms=START_MS + pl.col("region").cast(pl.Int64) * MINUTE_MS)
    return {number: placed.filter(region=str(number)).with_columns(region=pl.lit("x")) for number in told}
