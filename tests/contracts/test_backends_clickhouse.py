"""What a warehouse promises, kept by those in memory (a dictionary, and how worlds read rollups) and by ClickHouse alike."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pytest
import pytest_asyncio

from schemas.rollups import encode
from schemas.tables import TABLES, Table
from schemas.topics import ROLLUPS
from schemas.views import VIEWS
from schemas.warehouse import ClickHouseAddress
from stack.clickhouse import ClickHouseServer
from stream_jobs.sinks.batches import Message, batch_of
from stream_jobs.sinks.clickhouse import ClickHouseWarehouse, Warehouse, WarehouseError, connect
from stream_jobs.sinks.migrate import migrate
from tests.stack_fixtures import own_database
from tests.warehouse.memory import MemoryWarehouse
from tests.warehouse.rows import Row, arrow_of, expected, final_rows, key_of, rows_of
from tests.worlds.landed import newest_rows
from tests.worlds.logs import Cluster
from tests.worlds.plant import run
from tests.worlds.sendings import Disturbance, World

SEED = 20_261_121
TABLE = TABLES["burn_rate_10s"]

Read = Callable[[str], list[Row]]
Opened = tuple[Warehouse, Read]


@dataclass(slots=True)
class WorldsWarehouse:
    """A log of rollups, read as the worlds' tests do."""

    cluster: Cluster = field(default_factory=Cluster)

    async def write(self, table: str, rows: pa.Table) -> None:
        headers, payload = encode(table, rows)
        self.cluster.append((ROLLUPS, 0), None, payload, tuple(headers))

    async def close(self) -> None: ...

    def final(self, table: str) -> list[Row]:
        return by_key(TABLES[table], newest_rows(self.cluster)[table])


@pytest.fixture(scope="module")
def tables(clickhouse_server: ClickHouseServer) -> Iterator[ClickHouseAddress]:
    """A database with all tables, gone after these tests."""
    with own_database(clickhouse_server) as address:
        migrate(address)
        yield address


@pytest.fixture
def database(tables: ClickHouseAddress) -> Iterator[ClickHouseAddress]:
    """A database with all tables and no rows."""
    yield tables
    client = connect(tables)
    for name in TABLES:
        client.command(f"TRUNCATE TABLE {name}")
    client.close()


@pytest_asyncio.fixture(params=["memory", "worlds", "clickhouse"])
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Opened]:
    """A warehouse, and how to read a table of it: each row once, by key."""
    if request.param == "clickhouse":
        address: ClickHouseAddress = request.getfixturevalue("database")
        warehouse = ClickHouseWarehouse(address)
        yield warehouse, lambda table: final_rows(address, table)
        await warehouse.close()
        return
    remembered = MemoryWarehouse() if request.param == "memory" else WorldsWarehouse()
    yield remembered, remembered.final


refuses = pytest.mark.parametrize("opened", ["memory", "clickhouse"], indirect=True)
"""Worlds read what was encoded for a table, and that cannot be refused."""


def by_key(table: Table, rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: repr(key_of(table, row)))


def one_row(**changed: object) -> Row:
    return rows_of(TABLE, SEED, count=1)[0] | changed


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
    newer, older = one_row(version=9, bad=5), one_row(version=8, bad=4)
    await warehouse.write(TABLE.name, arrow_of(TABLE, [newer]))
    await warehouse.write(TABLE.name, arrow_of(TABLE, [older]))
    assert read(TABLE.name) == [newer]


async def test_of_equal_versions_the_last_written_counts_in_one_write_and_over_several(opened: Opened) -> None:
    warehouse, read = opened
    for seen, bads in ((2, [1, 2]), (7, [9, 7]), (3, [3])):
        await warehouse.write(TABLE.name, arrow_of(TABLE, [one_row(version=4, bad=bad) for bad in bads]))
        assert [row["bad"] for row in read(TABLE.name)] == [seen]


async def test_versions_are_compared_as_numbers_up_to_the_largest(opened: Opened) -> None:
    warehouse, read = opened
    for version in (2**63, 9, 2**64 - 1, 10, 2**63 + 1):
        await warehouse.write(TABLE.name, arrow_of(TABLE, [one_row(version=version)]))
    assert [row["version"] for row in read(TABLE.name)] == [2**64 - 1]


async def test_a_write_without_rows_is_taken(opened: Opened) -> None:
    warehouse, read = opened
    await warehouse.write(TABLE.name, arrow_of(TABLE, []))
    assert read(TABLE.name) == []


# -- what it does not take ---------------------------------------------------------------------------------------------


@refuses
async def test_a_write_to_no_table_is_an_error_that_stays_and_touches_nothing_else(opened: Opened) -> None:
    warehouse, read = opened
    row = one_row()
    for _ in range(2):
        error = await refusal(warehouse, "no_such_table", arrow_of(TABLE, [row]))
        assert (error.code, error.name, error.is_about_rows) == (60, "UNKNOWN_TABLE", False)
        await warehouse.write(TABLE.name, arrow_of(TABLE, [row]))
    assert read(TABLE.name) == [row]


@refuses
async def test_a_column_that_the_table_does_not_have_is_an_error_that_stays(opened: Opened) -> None:
    """It says nothing about the rows: a table that is older than its writer takes none of them."""
    warehouse, read = opened
    rows = arrow_of(TABLE, [one_row()])
    for _ in range(2):
        error = await refusal(warehouse, TABLE.name, rows.append_column("no_such_column", pa.array([1])))
        assert (error.code, error.name, error.is_about_rows) == (16, "NO_SUCH_COLUMN_IN_TABLE", False)
    assert read(TABLE.name) == []


@refuses
async def test_a_refused_write_leaves_none_of_its_rows(opened: Opened) -> None:
    warehouse, read = opened
    rows = arrow_of(TABLE, [one_row(slice=f"slice {number}") for number in range(3)])
    bad = pa.array(["1", "2", "not a number"])
    error = await refusal(warehouse, TABLE.name, rows.set_column(rows.column_names.index("bad"), "bad", bad))
    assert (error.code, error.name, error.is_about_rows) == (6, "CANNOT_PARSE_TEXT", True)
    assert read(TABLE.name) == []


@refuses
async def test_what_is_missing_lands_as_zero_so_whoever_writes_has_to_refuse_it(opened: Opened) -> None:
    """Nulls and whole columns: `stream_jobs.sinks.batches` lets neither through."""
    warehouse, read = opened
    null, absent = one_row(slice="null", bad=None), one_row(slice="absent")
    await warehouse.write(TABLE.name, arrow_of(TABLE, [null]))
    await warehouse.write(TABLE.name, arrow_of(TABLE, [absent]).drop_columns(["bad"]))
    assert [(row["slice"], row["bad"]) for row in read(TABLE.name)] == [("absent", 0), ("null", 0)]


@refuses
async def test_a_null_stays_one_where_the_table_takes_nulls(opened: Opened) -> None:
    warehouse, read = opened
    nullable = [column.name for column in TABLES["pages"].columns if column.type.startswith("Nullable")]
    row = rows_of(TABLES["pages"], SEED, count=1)[0] | dict.fromkeys(nullable)
    await warehouse.write("pages", arrow_of(TABLES["pages"], [row]))
    assert nullable and read("pages") == [row]


@refuses
async def test_columns_are_taken_by_name_in_whatever_order(opened: Opened) -> None:
    warehouse, read = opened
    row = one_row()
    await warehouse.write(TABLE.name, arrow_of(TABLE, [row]).select(TABLE.column_names[::-1]))
    assert read(TABLE.name) == [row]


async def refusal(warehouse: Warehouse, table: str, rows: pa.Table) -> WarehouseError:
    with pytest.raises(WarehouseError) as refused:
        await warehouse.write(table, rows)
    return refused.value


# -- what a whole world tells ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lived() -> Cluster:
    """The logs of a world in which rows were told again, corrected, and came late."""
    disturbances = tuple(Disturbance("delayed", place, 14) for place in range(0, 12, 3))
    return run(World(SEED, 2, 2, (10, 150, 300, 60), disturbances=disturbances)).cluster


async def test_what_a_world_told_shows_in_clickhouse_as_its_tests_read_it(
    lived: Cluster, database: ClickHouseAddress
) -> None:
    """Through the sink's own batches, and several times; views show each row once, and what came late with it."""
    keep_for_ever(database)
    messages = [
        Message(ROLLUPS, partition, offset, dict(record.headers), record.value or b"")
        for partition, log in enumerate(lived.of_topic(ROLLUPS))
        for offset, record in enumerate(log)
    ]
    warehouse = ClickHouseWarehouse(database)
    for told in (messages, messages[len(messages) // 2 :]):
        batch = batch_of(told)
        assert batch.refused == ()
        for each in batch.tables:
            await warehouse.write(each.table, each.rows)
    await warehouse.close()
    wanted = newest_rows(lived)
    assert wanted["turns_late"] and sum(1 for rows in wanted.values() if rows) > 8
    unlike = [name for name, rows in wanted.items() if final_rows(database, name) != by_key(TABLES[name], rows)]
    assert unlike == []
    assert turns_of_view(database) == sum(row["turns"] for name in ("traffic_1m", "turns_late") for row in wanted[name])


def keep_for_ever(address: ClickHouseAddress) -> None:
    """A world is of 2023, and long past what tables keep: ClickHouse would let go of its rows as it takes them."""
    client = connect(address)
    for name in TABLES:
        client.command(f"ALTER TABLE {name} REMOVE TTL")
    client.close()


def turns_of_view(address: ClickHouseAddress) -> int:
    """All turns that the view of traffic shows: in time, and late."""
    assert "traffic" in VIEWS
    client = connect(address)
    try:
        ((turns,),) = client.query("SELECT sum(turns) FROM traffic").result_rows
        return int(turns)
    finally:
        client.close()
