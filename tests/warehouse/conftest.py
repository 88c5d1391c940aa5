"""Empty tables and a topic of its own for every test, on the servers that all tests share, and sinks between them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from clickhouse_connect.driver.client import Client
from prometheus_client import CollectorRegistry

from schemas.kafka import KafkaAddress
from schemas.metrics import WorkerMetrics
from schemas.rollups import encode
from schemas.topics import ROLLUPS
from schemas.warehouse import ClickHouseAddress
from stack.clickhouse import ClickHouseServer
from stack.kafka import KafkaBroker
from stream_jobs.sinks.batches import DeadLetter
from stream_jobs.sinks.clickhouse import connect
from stream_jobs.sinks.migrate import migrate
from stream_jobs.sinks.rollups import SinkSettings, run_sink
from tests.stack_fixtures import own_database
from tests.warehouse.rows import Row, arrow_of
from tests.warehouse.sinks import PARTITIONS, PATIENCE, TABLE, Running, Send, Start


@pytest.fixture
def no_database(clickhouse_server: ClickHouseServer) -> Iterator[ClickHouseAddress]:
    """The address of a database that does not exist yet, and is gone after the test."""
    with own_database(clickhouse_server) as address:
        yield address


@pytest.fixture(scope="session")
def tables(clickhouse_server: ClickHouseServer) -> Iterator[ClickHouseAddress]:
    """The address of a database with all tables, which tests share one after the other: to make them takes a second."""
    with own_database(clickhouse_server) as address:
        migrate(address)
        yield address


@pytest.fixture
def address(tables: ClickHouseAddress) -> ClickHouseAddress:
    """The address of a database with all tables, and no rows. Tests do not change tables: for that there is `no_database`."""
    client = connect(tables)
    filled = client.query("SELECT name FROM system.tables WHERE database = currentDatabase() AND total_rows > 0")
    for (name,) in filled.result_rows:
        if name != "schema_migrations":
            client.command(f"TRUNCATE TABLE {name}")
    client.close()
    return tables


@pytest.fixture
def client(address: ClickHouseAddress) -> Iterator[Client]:
    client = connect(address)
    yield client
    client.close()


@pytest.fixture
def settings() -> SinkSettings:
    name = f"{ROLLUPS}-{uuid.uuid4().hex[:12]}"
    return SinkSettings(topic=name, group=name, linger_s=0.05, patience=PATIENCE)


@pytest_asyncio.fixture
async def kafka(kafka_broker: KafkaBroker, settings: SinkSettings) -> AsyncIterator[KafkaAddress]:
    """Kafka with a topic of rollups that is this test's own."""
    address = KafkaAddress(kafka_broker.bootstrap)
    admin = AIOKafkaAdminClient(**address.aiokafka_options())
    await admin.start()
    await admin.create_topics([NewTopic(settings.topic, PARTITIONS, 1)])
    yield address
    await admin.delete_topics([settings.topic])
    await admin.close()


@pytest_asyncio.fixture
async def start(kafka: KafkaAddress, settings: SinkSettings) -> AsyncIterator[Start]:
    started: list[Running] = []

    def start_sink(clickhouse: ClickHouseAddress) -> Running:
        stop, registry, letters = asyncio.Event(), CollectorRegistry(), list[DeadLetter]()

        async def keep(letter: DeadLetter) -> None:
            letters.append(letter)

        work = run_sink(kafka, clickhouse, WorkerMetrics(registry), stop, keep, settings)
        started.append(Running(asyncio.create_task(work), stop, registry, letters))
        return started[-1]

    yield start_sink
    for running in started:
        await running.end()


@pytest_asyncio.fixture
async def send(kafka: KafkaAddress, settings: SinkSettings) -> AsyncIterator[Send]:
    """Sends rows of `TABLE` in messages of five, over all partitions; returns how many rows those were."""
    producer = AIOKafkaProducer(acks="all", **kafka.aiokafka_options())
    await producer.start()

    async def send_rows(rows: list[Row]) -> int:
        for place in range(0, len(rows), 5):
            headers, payload = encode(TABLE.name, arrow_of(TABLE, rows[place : place + 5]))
            await producer.send_and_wait(settings.topic, payload, headers=headers, partition=place // 5 % PARTITIONS)
        return len(rows)

    yield send_rows
    await producer.stop()
