"""A sink holds one batch, whatever Kafka holds: the process itself, over a backlog many times as large, with ClickHouse away."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pyarrow as pa
from aiokafka import AIOKafkaProducer

from schemas.kafka import KafkaAddress
from schemas.rejections import Rejected
from schemas.rollups import decode, encode
from schemas.tables import TABLES
from schemas.topics import PARTITIONS_DEFAULT, ROLLUPS
from schemas.warehouse import ClickHouseAddress
from stack.clickhouse import start_clickhouse
from stack.kafka import KafkaBroker
from stack.machine import choose_ports
from stack.processes import Running, start
from stream_jobs.sinks.clickhouse import connect
from stream_jobs.sinks.migrate import migrate
from stream_jobs.sinks.rollups import SinkSettings
from tests.warehouse.rows import START
from turnwatch.prepare import create_topics
from turnwatch.surroundings import counters

TABLE = TABLES["burn_rate_1m"]
BACKLOG_BYTES = int(os.environ.get("TURNWATCH_BACKLOG_MB", "80")) << 20
ROWS_IN_MESSAGE = 8_000
HELD_TIMES = 60
"""How much more than its bytes in Kafka a batch takes: decoded, in every copy that is made until it is sent, and what
allocators keep of those."""


def messages(count: int) -> list[tuple[list[tuple[str, bytes]], bytes]]:
    """Messages whose rows are all different, and compress as badly as counts do."""
    chance = random.Random(count)
    made = []
    for number in range(count):
        columns = {column.name: pa.repeat(pa.scalar("v2-canary"), ROWS_IN_MESSAGE) for column in TABLE.columns}
        columns["bucket_start"] = pa.repeat(pa.scalar(START, pa.timestamp("ms", tz="UTC")), ROWS_IN_MESSAGE)
        columns["slice"] = pa.array([f"slice {number} {row}" for row in range(ROWS_IN_MESSAGE)])
        for name in ("bad", "total", "version"):
            columns[name] = pa.array(chance.choices(range(1, 2**40), k=ROWS_IN_MESSAGE), pa.uint64())
        made.append(encode(TABLE.name, pa.table(columns).cast(TABLE.arrow_schema)))
    return made


async def fill(kafka: KafkaAddress) -> tuple[int, int]:
    """Sends distinct messages again and again until there are so many bytes; how many messages, and what bytes they
    would take, packed and decoded."""
    producer = AIOKafkaProducer(acks="all", max_batch_size=1 << 20, **kafka.aiokafka_options())
    await producer.start()
    told = messages(20)
    sent = packed_bytes = 0
    while packed_bytes < BACKLOG_BYTES:
        headers, payload = told[sent % len(told)]
        await producer.send(ROLLUPS, payload, headers=headers, partition=sent % PARTITIONS_DEFAULT)
        sent, packed_bytes = sent + 1, packed_bytes + len(payload)
    await producer.flush()
    await producer.stop()
    return sent, packed_bytes + sent * decoded_bytes(*told[0])


def decoded_bytes(headers: list[tuple[str, bytes]], payload: bytes) -> int:
    decoded = decode(dict(headers), payload)
    assert not isinstance(decoded, Rejected)
    return int(decoded.rows.nbytes)


@asynccontextmanager
async def sink_process(
    folder: Path, kafka: KafkaAddress, clickhouse: ClickHouseAddress
) -> AsyncIterator[tuple[Running, str]]:
    (port,) = choose_ports((0,))
    environment = {
        "TURNWATCH_KAFKA__BOOTSTRAP": kafka.bootstrap,
        "TURNWATCH_CLICKHOUSE__URL": clickhouse.url,
        "TURNWATCH_METRICS__PORT": str(port),
        "TURNWATCH_RUN_DIR": str(folder),
    }
    command = [sys.executable, "-m", "turnwatch", "worker", "--sink", "only"]
    sink = start("sink", command, folder / "sink.log", "parent", environment)
    try:
        yield sink, f"http://127.0.0.1:{port}/metrics"
    finally:
        sink.stop()


async def reached(url: str, counter: str, least: float) -> None:
    while (await counters(url)).get(counter, 0.0) < least:
        await asyncio.sleep(0.1)


def resident_bytes(process: Running) -> int:
    (child,) = [psutil.Process(process.pid)]
    return int(child.memory_info().rss)


async def test_a_backlog_in_kafka_is_not_a_backlog_in_memory(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    kafka = KafkaAddress(kafka_broker.bootstrap)
    await create_topics(kafka, PARTITIONS_DEFAULT)
    server = start_clickhouse(tmp_path)
    server.wait_until_healthy()
    clickhouse = ClickHouseAddress(server.url)
    migrate(clickhouse)
    server.stop()
    async with sink_process(tmp_path, kafka, clickhouse) as (sink, url):
        await reached(url, "turnwatch_sink_waiting_seconds", 0.0)
        while not await counters(url):
            await asyncio.sleep(0.1)
        idle_bytes = resident_bytes(sink)
        sent, size_bytes = await fill(kafka)
        await reached(url, "turnwatch_sink_retries_total", 3)
        waiting_bytes = resident_bytes(sink)
        server = start_clickhouse(tmp_path, port=server.port)
        try:
            server.wait_until_healthy()
            await reached(url, "turnwatch_rollup_rows_landed_total", sent * ROWS_IN_MESSAGE)
            client = connect(clickhouse)
            landed = client.query(f"SELECT count(), uniqExact(slice) FROM {TABLE.name} FINAL").result_rows
            client.close()
        finally:
            server.stop()
        peak_bytes = peak_resident_bytes(sink)
    print(
        f"backlog {size_bytes >> 20} MB, idle {idle_bytes >> 20}, waiting {waiting_bytes >> 20}, peak {peak_bytes >> 20} MB"
    )
    assert landed == [(20 * ROWS_IN_MESSAGE, 20 * ROWS_IN_MESSAGE)]
    held_max = HELD_TIMES * SinkSettings().batch_bytes_max
    assert waiting_bytes - idle_bytes < held_max < size_bytes
    assert peak_bytes - idle_bytes < held_max


def peak_resident_bytes(process: Running) -> int:
    """The most that the process ever had, as the system accounts for it."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) * 1_024
