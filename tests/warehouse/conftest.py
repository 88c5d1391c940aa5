"""A database of its own for every test, on the ClickHouse server that all tests share."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client

from schemas.warehouse import ClickHouseAddress
from stack.clickhouse import ClickHouseServer
from stream_jobs.sinks.clickhouse import connect
from stream_jobs.sinks.migrate import migrate


@pytest.fixture
def no_database(clickhouse_server: ClickHouseServer) -> Iterator[ClickHouseAddress]:
    """The address of a database that does not exist yet, and is gone after the test."""
    address = ClickHouseAddress(f"{clickhouse_server.url}/test_{uuid.uuid4().hex[:12]}")
    yield address
    server = connect(ClickHouseAddress(clickhouse_server.url))
    server.command(f"DROP DATABASE IF EXISTS {address.database}")
    server.close()


@pytest.fixture
def address(no_database: ClickHouseAddress) -> ClickHouseAddress:
    """The address of a database with all tables, and no rows."""
    migrate(no_database)
    return no_database


@pytest.fixture
def client(address: ClickHouseAddress) -> Iterator[Client]:
    client = connect(address)
    yield client
    client.close()
