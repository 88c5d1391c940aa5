"""A running plant: real Kafka, real ClickHouse and a worker process, which can be killed, stopped and started anew."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import polars as pl
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from prometheus_client.parser import text_string_to_metric_families

from producers.collector import Frame
from producers.scenarios import Scenario, canary
from producers.simulation import Plan
from producers.transport import Transport
from schemas.families import FAMILIES
from schemas.kafka import KafkaAddress
from schemas.topics import BURNS, FINDINGS, GROWTHS, ROLLUPS, SILENCES, SPEND, aggregates, partials
from schemas.warehouse import ClickHouseAddress
from stack.clickhouse import start_clickhouse
from stack.local import LocalStack
from stack.processes import Running
from stream_jobs.agents.application import GROUP as WORKER_GROUP
from stream_jobs.sinks.clickhouse import connect
from stream_jobs.sinks.rollups import GROUP as SINK_GROUP
from tests.integration.oracle import CUTS, DUPLEX_CUTS
from turnwatch.surroundings import start_worker

SETTLED_WITHIN_S = 240.0
POLL_S = 0.4

FLOW = (
    (WORKER_GROUP, [aggregates(name) for name in FAMILIES]),
    (WORKER_GROUP, [partials(name) for name in FAMILIES]),
    (WORKER_GROUP, [SPEND]),
    (WORKER_GROUP, [BURNS, SILENCES, GROWTHS, FINDINGS]),
    (SINK_GROUP, [ROLLUPS]),
)
"""Who reads what, upstream first."""


@dataclass(slots=True)
class Plant:
    stack: LocalStack
    clickhouse_server: Running
    worker: Running
    metrics_url: str
    next_start_ms: int
    """Event time of the next run: state is kept by bucket, so runs that share a plant follow one another in it."""

    @property
    def kafka(self) -> KafkaAddress:
        return KafkaAddress(self.stack.kafka.bootstrap)

    @property
    def clickhouse(self) -> ClickHouseAddress:
        return ClickHouseAddress(self.stack.clickhouse.url)

    def plan(self, seed: int, minutes: int, speed: float, fleet: Scenario | None = None) -> Plan:
        """A run of a small fleet in event time of its own."""
        start_ms, self.next_start_ms = self.next_start_ms, self.next_start_ms + (minutes + 4) * 60_000
        return Plan(fleet or small_fleet(), seed, start_ms, minutes * 60_000, speed)

    def kill_worker(self) -> None:
        os.kill(self.worker.pid, signal.SIGKILL)
        self.worker.stop()

    def stop_worker(self) -> None:
        self.worker.stop()

    async def start_worker(self, *arguments: str) -> None:
        """Starts it as anybody would, or with other arguments for Python."""
        self.worker, self.metrics_url = await start_worker(self.stack, arguments or ("-m", "turnwatch", "worker"))

    def stop_clickhouse(self) -> None:
        self.clickhouse_server.stop()

    def start_clickhouse(self) -> None:
        server = start_clickhouse(self.stack.run_dir, self.stack.clickhouse.port)
        self.clickhouse_server = server.running
        server.wait_until_healthy()

    def close(self) -> None:
        for running in (self.worker, self.clickhouse_server):
            running.stop()
        self.stack.close()

    async def settled(self) -> None:
        """Returns when everything sent has gone all the way: nobody has anything left to read.

        Offsets are committed after what follows from them is confirmed, so looking upstream first misses nothing.
        """
        async with asyncio.timeout(SETTLED_WITHIN_S), _offsets(self.kafka) as unread:
            for group, topics in FLOW:
                while await unread(group, topics):
                    await asyncio.sleep(POLL_S)

    def found(self, tables: Iterable[str], start_ms: int, end_ms: int) -> dict[str, pl.DataFrame]:
        """The rows of operational cuts in a range of event time, as anybody would ask for them."""
        client = connect(self.clickhouse)
        try:
            asked = {"start": start_ms, "end": end_ms, "cuts": [",".join(cut) for cut in {*CUTS, *DUPLEX_CUTS}]}
            return {table: _frame(client.query_arrow(_SQL.format(table=table), asked)) for table in tables}
        finally:
            client.close()

    def value(self, sql: str, **parameters: object) -> int:
        client = connect(self.clickhouse)
        try:
            return int(client.query(sql, parameters).result_rows[0][0])
        finally:
            client.close()

    async def counted(self, name: str) -> dict[tuple[str, ...], float]:
        """A counter of the worker by its labels' values."""
        async with aiohttp.ClientSession() as session, session.get(self.metrics_url) as answer:
            text = await answer.text()
        return {
            tuple(sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        }


_SQL = """
    SELECT *, toUnixTimestamp64Milli(bucket_start) AS bucket_start_ms FROM {table} FINAL
    WHERE bucket_start_ms >= {{start:Int64}} AND bucket_start_ms < {{end:Int64}} AND cut IN {{cuts:Array(String)}}
"""


def _frame(table: Any) -> pl.DataFrame:
    rows = pl.from_arrow(table)
    assert isinstance(rows, pl.DataFrame)
    return rows.with_columns(pl.col(pl.Categorical, pl.Binary).cast(pl.String))


ONE_IN_EACH_REGION = {"us-east-1": 1, "eu-west-1": 1, "ap-south-1": 1}
"""Collectors of which two share a source partition and one has one for itself; a run costs by the frame."""


def small_fleet(collectors: Mapping[str, int] = ONE_IN_EACH_REGION) -> Scenario:
    """A few hundred calls with the canary's shape: short ones, so that many start and end within a window.

    `collectors` are how many each region has; all calls come from the regions named there.
    """
    scenario = canary(healthy_s=120)
    named = [region for region in scenario.regions if region.name in collectors]
    share = sum(region.share for region in named)
    regions = tuple(replace(region, share=region.share / share, collectors=collectors[region.name]) for region in named)
    sizes = {"realtime": 200.0, "batch": 40.0}
    workloads = tuple(
        replace(workload, concurrent_calls=sizes[workload.pool], call_s_mean=45) for workload in scenario.workloads
    )
    return replace(scenario, regions=regions, workloads=workloads)


@dataclass(slots=True)
class Altering:
    """A transport that lets somebody change what is sent, batch by batch."""

    onward: Transport
    alter: Callable[[int, list[Frame]], Awaitable[list[Frame]]]
    batch: int = 0

    async def send(self, frames: Iterable[Frame]) -> None:
        altered = await self.alter(self.batch, list(frames))
        self.batch += 1
        await self.onward.send(altered)


@asynccontextmanager
async def _offsets(kafka: KafkaAddress) -> AsyncIterator[Callable[[str, list[str]], Awaitable[int]]]:
    consumer = AIOKafkaConsumer(**kafka.aiokafka_options())
    admin = AIOKafkaAdminClient(**kafka.aiokafka_options())
    await consumer.start()
    await admin.start()

    async def unread(group: str, topics: list[str]) -> int:
        described = await admin.describe_topics(topics)
        partitions = [
            TopicPartition(topic["topic"], partition["partition"])
            for topic in described
            for partition in topic["partitions"]
        ]
        ends = await consumer.end_offsets(partitions)
        committed = await admin.list_consumer_group_offsets(group, partitions=partitions)
        if not all(each in ends and each in committed for each in partitions):
            return len(partitions)  # A broker that has just come back does not lead all of them yet.
        return sum(ends[each] - max(0, committed[each].offset) for each in partitions)

    try:
        yield unread
    finally:
        await admin.close()
        await consumer.stop()
