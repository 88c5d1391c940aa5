"""How long does a worker take to recover the state of days?

The state is burn_rate's, which dwarfs the others: every bucket of every resolution of its history full for so many days,
written by the operator's own `unsaved_blocks` into the changelog of a real Kafka, each slice in the partition that owns
it. A worker keeps counts by indicator, whichever SLOs share one; for SLOs of an indicator each, there are so many more
slices that the counts are as many. A worker as anybody runs it then starts; what is timed is from its process to its
telling that it knows every slice.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from aiokafka import AIOKafkaProducer
from rich.console import Console

from schemas.families import INDICATORS
from schemas.instants import DAY_MS, HOUR_MS
from schemas.kafka import KafkaAddress
from schemas.slices import shard_of
from schemas.topics import PARTITIONS_DEFAULT, changelog
from schemas.warehouse import ClickHouseAddress
from stack.failures import StackFailure
from stack.local import start_stack
from stream_jobs.operators.burn_rate.history import History
from stream_jobs.operators.totals.blocks import Block
from stream_jobs.operators.totals.slice_numbers import SliceNumbers
from stream_jobs.sinks.migrate import migrate
from turnwatch.prepare import create_topics
from turnwatch.surroundings import counters, start_worker

LIMIT_S = 30.0
PATIENCE_S = 120.0
PERIOD_S = 30 * 86_400


@dataclass(slots=True)
class Filled:
    """What was put into the changelog."""

    slices: int = 0
    blocks: int = 0
    size: int = 0


def run_recovery(slices: int, slos: int, days: int) -> int:
    """Prints the figures; 1 when recovery takes longer than we promise."""
    with tempfile.TemporaryDirectory(prefix="turnwatch-bench-") as folder:
        return asyncio.run(_bench(Console(), Path(folder), slices, slos, days))


async def _bench(console: Console, folder: Path, slices: int, slos: int, days: int) -> int:
    with start_stack(folder) as stack:
        kafka = KafkaAddress(stack.kafka.bootstrap)
        await create_topics(kafka, PARTITIONS_DEFAULT)
        await asyncio.to_thread(migrate, ClickHouseAddress(stack.clickhouse.url))
        with console.status("filling the changelog"):
            filled = await _fill(kafka, slices, slos, days)
        began = time.perf_counter()
        worker, metrics_url = await start_worker(stack)
        try:
            await _until_known(metrics_url, filled.slices)
            recovery_s = time.perf_counter() - began
        finally:
            worker.stop()
    console.print(
        f"{filled.slices:,} slices of {len(INDICATORS)} indicators over {days} days in {PARTITIONS_DEFAULT} partitions: "
        f"{filled.blocks:,} blocks, {filled.size / 1e6:.1f} MB as packed"
    )
    print(f"recovery_s={recovery_s:.1f} limit_s={LIMIT_S:.0f} ratio={recovery_s / LIMIT_S:.2f}")
    return 0 if recovery_s <= LIMIT_S else 1


async def _until_known(metrics_url: str, slices: int) -> None:
    """Returns once the worker tells that it knows every slice: ready alone would not say with what."""
    deadline = time.monotonic() + PATIENCE_S
    while (known := (await counters(metrics_url)).get("turnwatch_slices", 0)) < slices:
        if time.monotonic() > deadline:
            raise StackFailure(f"The worker knew {known:.0f} of {slices} slices after {PATIENCE_S:.0f} s of work.")
        await asyncio.sleep(0.1)


async def _fill(kafka: KafkaAddress, slices: int, slos: int, days: int) -> Filled:
    """Puts the state of all shards into the changelog, as a worker that had counted for so long would have left it."""
    now_ms = int(time.time() * 1_000) // HOUR_MS * HOUR_MS
    filled = Filled()
    producer = AIOKafkaProducer(**kafka.aiokafka_options(), acks="all", linger_ms=20, max_batch_size=512 * 1024)
    await producer.start()
    try:
        for shard, texts in sorted(_owned(max(1, slices * slos // len(INDICATORS))).items()):
            filled.slices += len(texts)
            for block in _state(texts, now_ms, days, shard):
                filled.blocks += 1
                filled.size += len(block.value or b"")
                await producer.send(changelog("burn_rate"), block.value, key=block.key, partition=shard)
        await producer.flush()
    finally:
        await producer.stop()
    return filled


def _owned(slices: int) -> dict[int, list[str]]:
    """Slices by the shard that owns them."""
    owned: dict[int, list[str]] = {}
    for number in range(slices):
        text = f"pool=realtime,region=eu-west-1,bundle=v{number}"
        owned.setdefault(shard_of(text, PARTITIONS_DEFAULT), []).append(text)
    return owned


def _state(texts: list[str], now_ms: int, days: int, seed: int) -> Iterator[Block]:
    """The slices of one shard, then their counts; drawn at random, for equal ones would pack to nothing."""
    rng = np.random.default_rng(seed)
    numbers = SliceNumbers(PERIOD_S * 1_000)
    numbers.hear(pl.DataFrame({"slice": texts, "bucket_start_ms": [now_ms] * len(texts)}))
    yield from numbers.unsaved_blocks(0)
    history = History([each.name for each in INDICATORS], PERIOD_S)
    places = numbers.of(texts)
    for level, resolution in enumerate(history.resolutions):
        first_ms = resolution.start(now_ms - min(resolution.keep_ms, days * DAY_MS))
        for start_ms in range(first_ms, now_ms, resolution.width_ms):
            total = rng.integers(0, 1_000, (len(texts), len(INDICATORS)))
            counts = np.stack([rng.binomial(total, 0.01), total], axis=-1)
            history.assign(level, start_ms, places, counts)
    yield from history.unsaved_blocks(0)
