"""SIGTERM under load: a worker ends within its bound, has committed what it has applied and nothing else, and the next
one goes on without losing or doubling a turn.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import polars as pl
from aiokafka import AIOKafkaProducer, TopicPartition

from schemas.kafka import KafkaAddress
from schemas.topics import ROLLUPS, aggregates, changelog, partials
from stream_jobs.agents.application import GROUP
from stream_jobs.agents.reading import Reader, reading
from stream_jobs.agents.stopping import STOP_WITHIN_S
from stream_jobs.operators.totals.blocks import applied_offset
from stream_jobs.operators.totals.opening import Record
from stream_jobs.sinks.batches import Message, batch_of
from stream_jobs.sinks.delivery import is_set_within
from tests.integration.commands import begun
from tests.integration.plant import _offsets
from tests.operators.worlds import START_MS, WINDOW_MS, world
from tests.stack_fixtures import PARTITIONS

WINDOWS = 150
"""Less than an hour of event time: for so long slices wait for each other."""
BEGUN, BATCH, PAUSE_S = 30, 6, 0.25
"""How many frames are there when a worker starts; how many come at once from then on, and how often."""
POLL_S = 0.1
WITHIN_S = 60.0

READERS = {aggregates("turns"): ("intake",), partials("turns"): ("traffic", "burn_rate")}
"""The stages that read a topic: what all of them have saved may be committed, and no more."""


@asynccontextmanager
async def working(kafka: KafkaAddress, folder: Path) -> AsyncIterator[subprocess.Popen[str]]:
    """A worker of its own, without a name, so that the next one waits for it unless it leaves the group."""
    folder.mkdir()
    worker = begun(
        folder, "worker", "--sink", "without",
        TURNWATCH_KAFKA__BOOTSTRAP=kafka.bootstrap, TURNWATCH_KAFKA__PARTITIONS=str(PARTITIONS),
        TURNWATCH_CLICKHOUSE__URL="http://default@127.0.0.1:1/turnwatch", TURNWATCH_CLOCK="watermark",
    )  # fmt: skip
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()


def recent(records: Sequence[Record]) -> list[Record]:
    """The same frames an hour ago."""
    shift_ms = (int(time.time()) - 3_600) * 1_000 // WINDOW_MS * WINDOW_MS - START_MS
    starts_ms = [int(record.headers["tw-window-start-ms"]) + shift_ms for record in records]
    return [
        replace(record, headers={**record.headers, "tw-window-start-ms": str(start_ms).encode()})
        for record, start_ms in zip(records, starts_ms, strict=True)
    ]


async def feed(kafka: KafkaAddress, records: Sequence[Record], hurry: asyncio.Event) -> None:
    """Sends in order, a few at a time, with pauses until there is a hurry."""
    async with AIOKafkaProducer(**kafka.aiokafka_options()) as producer:
        for place in range(0, len(records), BATCH):
            for record in records[place : place + BATCH]:
                key, headers = record.headers["tw-producer"], list(record.headers.items())
                await producer.send(aggregates("turns"), record.payload, key=key, headers=headers)
            await is_set_within(hurry, PAUSE_S)


async def ended(worker: subprocess.Popen[str], folder: Path) -> None:
    """It ends as it should, having been asked to."""
    worker.send_signal(signal.SIGTERM)
    code = await asyncio.to_thread(worker.wait, STOP_WITHIN_S)
    said = (folder / "output.txt").read_text(encoding="utf-8")
    assert code == 0, said
    assert not any(word in said for word in ("Traceback", "stop_", "pages_untold", "faust_stop", "never retrieved")), (
        said
    )


async def committed(reader: Reader, topic: str) -> dict[int, int]:
    """What comes next, by partition."""
    places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    return {each.partition: offset for each, offset in (await reader.committed(GROUP, places)).items()}


async def applied(reader: Reader, stage: str) -> dict[int, int]:
    """What comes next by what the changelog says was applied."""
    found = dict.fromkeys(range(PARTITIONS), 0)
    async for record in reader.records(changelog(stage)):
        if record.key.startswith(b"turns|") and record.value is not None:
            found[record.partition] = max(found[record.partition], applied_offset(record.value) + 1)
    return found


async def turns_told(reader: Reader) -> int:
    """Turns of one cut in the newest version of every row, late ones included."""
    records = [record async for record in reader.records(ROLLUPS)]
    messages = [Message(ROLLUPS, each.partition, each.offset, dict(each.headers), each.value) for each in records]
    tables = {rows.table: pl.DataFrame(pl.from_arrow(rows.rows)) for rows in batch_of(messages).tables}
    of_cut = [tables[name].filter(pl.col("cut") == "pool") for name in ("traffic_10s", "turns_late") if name in tables]
    return sum(int(rows["turns"].sum()) for rows in of_cut)


async def has_come_to(worker: subprocess.Popen[str], reader: Reader, count: int) -> None:
    """Waits until so many frames are committed."""
    async with asyncio.timeout(WITHIN_S):
        while sum((await committed(reader, aggregates("turns"))).values()) < count:
            assert worker.poll() is None, "the worker has ended"
            await asyncio.sleep(POLL_S)


async def read_to_the_end(kafka: KafkaAddress) -> None:
    async with asyncio.timeout(WITHIN_S), _offsets(kafka) as unread:
        for topic in (aggregates("turns"), partials("turns")):
            while await unread(GROUP, [topic]):
                await asyncio.sleep(POLL_S)


async def test_sigterm_under_load_commits_what_is_applied_and_the_next_worker_goes_on(
    kafka: KafkaAddress, tmp_path: Path
) -> None:
    async with reading(kafka) as reader:
        sent = world(seed=11, windows=WINDOWS)
        records, hurry = recent(sent.records), asyncio.Event()
        await feed(kafka, records[:BEGUN], hurry)
        async with working(kafka, tmp_path / "first") as first:
            await has_come_to(first, reader, BEGUN)
            feeding = asyncio.create_task(feed(kafka, records[BEGUN:], hurry))
            await has_come_to(first, reader, 2 * BEGUN)
            await ended(first, tmp_path / "first")
            assert not feeding.done(), "it ended while frames flowed"
        for topic, stages in READERS.items():
            saved = [await applied(reader, stage) for stage in stages]
            by_all = {partition: min(each[partition] for each in saved) for partition in range(PARTITIONS)}
            assert await committed(reader, topic) == by_all, topic
        hurry.set()
        await feeding

        async with working(kafka, tmp_path / "second") as second:
            await read_to_the_end(kafka)
            await ended(second, tmp_path / "second")
        assert await turns_told(reader) == sent.rows["turns"].sum()
