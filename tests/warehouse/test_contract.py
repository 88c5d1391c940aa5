"""What a warehouse promises, kept by the dictionary in memory and by the real ClickHouse alike."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from schemas.tables import TABLES
from schemas.warehouse import ClickHouseAddress
from stream_jobs.sinks.clickhouse import ClickHouseWarehouse, Warehouse
from tests.warehouse.memory import MemoryWarehouse
from tests.warehouse.rows import Row, arrow_of, expected, final_rows, rows_of

SEED = 20_261_121

Opened = tuple[Warehouse, Callable[[str], list[Row]]]


@pytest_asyncio.fixture(params=["memory", "clickhouse"])
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Opened]:
    """A warehouse, and how to read a table of it: each row once, by key."""
    if request.param == "memory":
        memory = MemoryWarehouse()
        yield memory, memory.final
        return
    address: ClickHouseAddress = request.getfixturevalue("address")
    warehouse = ClickHouseWarehouse(address)
    yield warehouse, lambda table: final_rows(address, table)
    await warehouse.close()


@pytest.mark.parametrize("name", TABLES)
async def test_repeats_and_disorder_change_nothing(opened: Opened, name: str) -> None:
    """However rows are cut into writes, in whatever order and how often: the newest version of each is what there is."""
    warehouse, read = opened
    table, generator = TABLES[name], random.Random(SEED)
    rows = rows_of(table, SEED)
    told = rows + generator.sample(rows, len(rows) // 2)
    generator.shuffle(told)
    for place in range(0, len(told), 17):
        await warehouse.write(name, arrow_of(table, told[place : place + 17]))
    assert read(name) == expected(table, rows), f"seed {SEED}"


async def test_a_batch_written_twice_is_there_once(opened: Opened) -> None:
    warehouse, read = opened
    table = TABLES["traffic_1m"]
    rows = expected(table, rows_of(table, SEED))
    for _ in range(2):
        await warehouse.write(table.name, arrow_of(table, rows))
    assert read(table.name) == rows


async def test_an_older_version_after_a_newer_one_is_not_seen(opened: Opened) -> None:
    warehouse, read = opened
    table = TABLES["burn_rate_10s"]
    row = rows_of(table, SEED, count=1)[0]
    newer, older = row | {"version": 9, "bad": 5}, row | {"version": 8, "bad": 4}
    await warehouse.write(table.name, arrow_of(table, [newer]))
    await warehouse.write(table.name, arrow_of(table, [older]))
    assert read(table.name) == [newer]
