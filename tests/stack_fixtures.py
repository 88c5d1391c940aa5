"""The servers of the local stack for tests that want the real thing: each starts once per session, on free ports.

Tests share them, so they name their topics, tables and databases uniquely.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import tests.one_thread  # noqa: F401  # isort: skip  # First of all: what follows imports polars.

import pytest

from schemas.kafka import KafkaAddress
from schemas.warehouse import ClickHouseAddress
from stack.alertmanager import HOW_TO_GET_IT, Alertmanager, start_alertmanager
from stack.clickhouse import ClickHouseServer, start_clickhouse
from stack.kafka import KafkaBroker, start_kafka
from stack.local import ALERTMANAGER_CONFIGURATION
from stream_jobs.sinks.clickhouse import connect
from tests import warm
from tests.topics import delete_topics
from turnwatch.prepare import create_topics

PARTITIONS = 2
"""Of every topic in the Kafka that `kafka` prepares."""


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A real broker; topics are not created by themselves."""
    broker = start_kafka(tmp_path_factory.mktemp("kafka"))
    try:
        broker.wait_until_healthy()
        yield broker
    finally:
        broker.stop()


@pytest.fixture
async def kafka(kafka_broker: KafkaBroker) -> AsyncIterator[KafkaAddress]:
    """The shared broker with topics of our names, empty, which nobody finds afterwards."""
    address = KafkaAddress(kafka_broker.bootstrap)
    try:
        await create_topics(address, PARTITIONS)
        yield address
    finally:
        await delete_topics(address)


@pytest.fixture(scope="session")
def clickhouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    """The real engine behind ClickHouse's HTTP protocol."""
    server = start_clickhouse(tmp_path_factory.mktemp("clickhouse"))
    try:
        server.wait_until_healthy()
        yield server
    finally:
        server.stop()


@contextmanager
def own_database(server: ClickHouseServer) -> Iterator[ClickHouseAddress]:
    """The address of a database that does not exist yet, and is gone afterwards."""
    address = ClickHouseAddress(f"{server.url}/test_{uuid.uuid4().hex[:12]}")
    yield address
    client = connect(ClickHouseAddress(server.url))
    client.command(f"DROP DATABASE IF EXISTS {address.database}")
    client.close()


@pytest.fixture(scope="session")
def alertmanager_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    """A real Alertmanager with the repository's configuration. Mark its tests `needs("prometheus-alertmanager")`."""
    server = start_alertmanager(tmp_path_factory.mktemp("alertmanager"), ALERTMANAGER_CONFIGURATION)
    if server is None:
        pytest.fail(HOW_TO_GET_IT)
    try:
        server.wait_until_healthy()
        yield server
    finally:
        server.stop()


def pytest_sessionfinish() -> None:
    warm.stop()
