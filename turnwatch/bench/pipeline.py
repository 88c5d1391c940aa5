"""How many rows a second go through the whole pipeline, next to the limit of this machine?

Frames of 200 rows are put into a real Kafka first. The limit: consume them, decode them, one polars group-by, nothing
else, in this process. The pipeline: a worker as anybody runs it (intake, traffic, burn_rate, incidents, sink) works the
same frames off, until every turn is in ClickHouse. The limit is timed from
the first batch taken, the pipeline from the worker being ready to the last turn being in ClickHouse. The same is done with
a worker that does not wait for the broker's confirmations, which shows what being exact costs.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from rich.console import Console
from rich.progress import Progress

from schemas.families import OPERATIONAL, TURNS
from schemas.frame_rows import decode_rows
from schemas.frames import FrameHeader, decode_header, encode
from schemas.kafka import KafkaAddress
from schemas.rejections import Rejected
from schemas.rows import arrow_schema
from schemas.topics import PARTITIONS_DEFAULT, aggregates
from schemas.warehouse import ClickHouseAddress
from stack.failures import StackFailure
from stack.local import start_stack
from stream_jobs.sinks.clickhouse import connect
from stream_jobs.sinks.migrate import migrate
from turnwatch.prepare import create_topics
from turnwatch.surroundings import counters, start_worker

ROWS_PER_FRAME = 200
PRODUCERS = 500
"""So that a window holds many frames, as in a large fleet, and event time stays short."""
BATCH_FRAMES = 500
PATIENCE_S = 300.0
RATIO_MIN = 0.3
APPLIED = "turnwatch_frames_applied_total"
HEALTHY_BAD_SHARE, BURNING_BAD_SHARE, BURNING_CELLS = 0.0003, 0.3, 2
"""A fleet that is well, but for two cells that page all the time."""
COST_MAX = 0.15
"""What waiting for the broker's confirmations may cost, next to a worker that does not."""
FENCED = ("-m", "turnwatch", "worker")
UNFENCED = ("-m", "turnwatch.bench.unfenced")


def run_pipeline(frames: int, slices: int) -> int:
    """Prints the figures; 1 when the ratio is below, or what exactness costs is above, what we promise."""
    console, rows = Console(), frames * ROWS_PER_FRAME
    limit_s, unfenced_s = _measured(console, frames, slices, UNFENCED)
    fenced_limit_s, pipeline_s = _measured(console, frames, slices, FENCED)
    limit_s = min(limit_s, fenced_limit_s)
    console.print(
        f"{frames:,} frames, {rows:,} rows, {slices} cells; limit {limit_s:.1f} s, pipeline {pipeline_s:.1f} s, "
        f"without acknowledgement fences {unfenced_s:.1f} s"
    )
    cost, ratio = pipeline_s / unfenced_s - 1, limit_s / pipeline_s
    print(f"unfenced_rows_per_s={rows / unfenced_s:.0f} exactness_costs={cost:.2f} allowed={COST_MAX:.2f}")
    print(f"rows_per_s={rows / pipeline_s:.0f} limit_rows_per_s={rows / limit_s:.0f} ratio={ratio:.2f}")
    return 0 if ratio >= RATIO_MIN and cost <= COST_MAX else 1


def _measured(console: Console, frames: int, slices: int, worker: Sequence[str]) -> tuple[float, float]:
    """Seconds of the limit and of the pipeline, on a stack of their own."""
    with tempfile.TemporaryDirectory(prefix="turnwatch-bench-") as folder:
        return asyncio.run(_bench(console, Path(folder), frames, slices, worker))


async def _bench(
    console: Console, folder: Path, frames: int, slices: int, worker: Sequence[str]
) -> tuple[float, float]:
    with start_stack(folder) as stack:
        kafka, clickhouse = KafkaAddress(stack.kafka.bootstrap), ClickHouseAddress(stack.clickhouse.url)
        await create_topics(kafka, PARTITIONS_DEFAULT)
        await asyncio.to_thread(migrate, clickhouse)
        turns = await _produce(console, kafka, frames, slices)
        limit_s = await _limit(console, kafka, frames)
        running, metrics_url = await start_worker(stack, worker)
        try:
            return limit_s, await _pipeline(console, metrics_url, clickhouse, frames, turns)
        finally:
            running.stop()


async def _produce(console: Console, kafka: KafkaAddress, frames: int, slices: int) -> int:
    """Fills the topic; how many turns are in it."""
    producer = AIOKafkaProducer(**kafka.aiokafka_options(), acks="all", linger_ms=20, max_batch_size=512 * 1024)
    await producer.start()
    turns = 0
    try:
        with Progress(console=console, transient=True) as bar:
            task = bar.add_task("producing frames", total=frames)
            for header, table in _frames(frames, slices):
                headers, payload = encode(header, table)
                await producer.send(aggregates("turns"), payload, key=header.producer.encode(), headers=headers)
                turns += int(np.sum(table.column("turns").to_numpy()))
                bar.advance(task)
            await producer.flush()
    finally:
        await producer.stop()
    return turns


def _frames(frames: int, slices: int) -> Iterator[tuple[FrameHeader, pa.Table]]:
    """Seeded frames; the newest window has just ended."""
    rng = np.random.default_rng(7)
    windows = -(-frames // PRODUCERS)
    start_ms = (int(time.time() * 1_000) // 60_000 - 1) * 60_000 - windows * 10_000
    cells = _cells(slices)
    for number in range(frames):
        producer, window = number % PRODUCERS, number // PRODUCERS
        header = FrameHeader(TURNS, OPERATIONAL, f"bench-{producer:03d}", start_ms, window, start_ms + window * 10_000)
        yield header, _table(rng, cells)


def _cells(slices: int) -> list[tuple[str, str, str, str]]:
    regions, routes = ("eu-west-1", "us-east-1", "ap-south-1"), ("support", "sales", "booking")
    bundles = [f"v{number}" for number in range(max(1, slices // (len(regions) * len(routes)) + 1))]
    return [(region, "realtime", route, bundle) for bundle in bundles for region in regions for route in routes][
        :slices
    ]


def _table(rng: np.random.Generator, cells: list[tuple[str, str, str, str]]) -> pa.Table:
    """Rows of a fleet that is well but for the first of its cells, which burn all the time."""
    places = rng.integers(0, len(cells), ROWS_PER_FRAME)
    chosen = [cells[place] for place in places]
    columns: dict[str, Any] = {name: [None] * ROWS_PER_FRAME for name in TURNS.dimensions}
    columns |= dict(zip(OPERATIONAL.dimensions, map(list, zip(*chosen, strict=True)), strict=True))
    totals = rng.integers(1, 40, ROWS_PER_FRAME)
    columns |= {
        measure.name: totals
        if measure.part_of is None
        else rng.binomial(totals, np.where(places < BURNING_CELLS, BURNING_BAD_SHARE, HEALTHY_BAD_SHARE))
        for measure in TURNS.measures
    }
    return pa.table(columns, schema=arrow_schema(TURNS))


async def _limit(console: Console, kafka: KafkaAddress, frames: int) -> float:
    """Consume, decode, group: seconds from the first batch taken to the last one grouped."""
    consumer = AIOKafkaConsumer(
        aggregates("turns"), auto_offset_reset="earliest", fetch_max_bytes=50 * 2**20,
        max_partition_fetch_bytes=4 * 2**20, **kafka.aiokafka_options(),
    )  # fmt: skip
    await consumer.start()
    began, taken = 0.0, 0
    try:
        with console.status("measuring the limit: consume, decode, group"):
            while taken < frames:
                records = [
                    record
                    for found in (await consumer.getmany(timeout_ms=1_000, max_records=BATCH_FRAMES)).values()
                    for record in found
                ]
                began = began or time.perf_counter()
                if records:
                    _group([(dict(record.headers), record.value) for record in records])
                taken += len(records)
    finally:
        await consumer.stop()
    return time.perf_counter() - began


def _group(records: list[tuple[dict[str, bytes], bytes]]) -> pl.DataFrame:
    tables = []
    for headers, payload in records:
        header = decode_header("turns", headers)
        assert not isinstance(header, Rejected)
        read = decode_rows(header, headers, payload)
        assert not isinstance(read, Rejected)
        tables.append(read[0])
    rows = pl.DataFrame(pl.from_arrow(pa.concat_tables(tables).combine_chunks()))
    return rows.group_by(OPERATIONAL.dimensions).agg(pl.col(TURNS.measure_names).sum())


async def _pipeline(
    console: Console, metrics_url: str, clickhouse: ClickHouseAddress, frames: int, turns: int
) -> float:
    """Seconds from the worker being ready to the last turn being in ClickHouse."""
    began = time.perf_counter()
    client = await asyncio.to_thread(connect, clickhouse)
    sql = "SELECT sum(total) FROM burn_rate_10s FINAL WHERE cut = 'pool' AND indicator = 'turn_error'"
    deadline = time.monotonic() + PATIENCE_S
    with console.status("measuring the pipeline: intake, burn_rate, traffic, ClickHouse") as status:
        while time.monotonic() < deadline:
            applied = (await counters(f"{metrics_url}?name[]={APPLIED}")).get(APPLIED, 0)
            status.update(f"measuring the pipeline: {applied:,.0f} of {frames:,} frames applied")
            if applied >= frames:
                landed = int((await asyncio.to_thread(client.query, sql)).result_rows[0][0])
                if landed == turns:
                    return time.perf_counter() - began
            # Asking takes from what is measured: for one counter of thousands, and seldom until the end is near.
            await asyncio.sleep(0.1 if applied >= frames else 0.5)
    raise StackFailure(
        f"The pipeline did not land all turns within {PATIENCE_S:.0f} s; only a part of the frames was applied."
    )
