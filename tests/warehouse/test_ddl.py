"""Statements derived from the contract: what every table has to have, on one machine and on a cluster."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.client import Client

from schemas.ddl import NEWEST_RELEASED, Layout, contract, render
from schemas.dimensions import DIMENSIONS
from schemas.hourly_tables import HOURLY
from schemas.tables import TABLES, Table
from schemas.views import VIEWS
from schemas.warehouse import ClickHouseAddress
from stack.clickhouse import ClickHouseServer
from stream_jobs.sinks.clickhouse import connect
from stream_jobs.sinks.migrate import DIRECTORY, migrations_in, statements_of

LAYOUTS: tuple[Layout, ...] = ("single", "cluster")


@pytest.mark.parametrize("path", sorted(render()) or [pytest.param("", marks=pytest.mark.skip("all are released"))])
def test_the_first_migration_is_what_the_contract_gives(path: str) -> None:
    committed = (DIRECTORY / path).read_text(encoding="utf-8")
    assert committed == render()[path], f"schemas/clickhouse/{path} is stale: run `turnwatch render`."


def test_released_migrations_are_never_rendered() -> None:
    numbers = {int(path.rpartition("/")[2][:4]) for path in render()}
    assert all(number > NEWEST_RELEASED for number in numbers)


def test_both_layouts_have_the_same_migrations() -> None:
    single, cluster = migrations_in(DIRECTORY), migrations_in(DIRECTORY / "cluster")
    assert [migration.file_name for migration in single] == [migration.file_name for migration in cluster]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_clickhouse_reads_every_statement(clickhouse_server: ClickHouseServer, layout: Layout) -> None:
    server = connect(ClickHouseAddress(clickhouse_server.url))
    statements = statements_of(contract(layout))
    formatted = server.query("SELECT formatQuery(arrayJoin({statements:Array(String)}))", {"statements": statements})
    server.close()
    per_table = {"single": 1, "cluster": 2}[layout]
    assert (
        formatted.row_count == len(statements) == per_table * len(TABLES) + (per_table + 1) * len(HOURLY) + len(VIEWS)
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_migration_statement_can_be_run_twice(layout: Layout) -> None:
    for migration in migrations_in(DIRECTORY / "cluster" if layout == "cluster" else DIRECTORY):
        for statement in statements_of(migration.text):
            assert " IF NOT EXISTS " in statement or " IF EXISTS " in statement or "OR REPLACE" in statement, statement


def test_versions_of_a_row_meet_in_one_partition(client: Client) -> None:
    """ClickHouse merges within partitions only, so what a table is partitioned by has to be part of the key."""
    found = client.query(
        "SELECT name, is_in_partition_key, is_in_sorting_key, table FROM system.columns "
        "WHERE database = currentDatabase() AND is_in_partition_key"
    ).result_rows
    assert {table for *_, table in found} == {*TABLES, *HOURLY}
    assert all(in_key for _, _, in_key, _ in found)


def test_every_table_and_column_says_what_it_is(client: Client) -> None:
    tables = client.query("SELECT name, comment FROM system.tables WHERE database = currentDatabase()").result_rows
    assert all(comment for _, comment in tables)
    columns = client.query(
        "SELECT table, name, comment FROM system.columns WHERE database = currentDatabase()"
    ).result_rows
    assert all(comment for table, _, comment in columns if table in {*TABLES, *HOURLY})


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_the_key_of_a_table_is_the_identity_of_its_rows(table: Table) -> None:
    """Every name that is not read from the slice tells rows apart; a window is told by its length, a producer by its frame."""
    assert set(table.order_by) <= set(table.column_names)
    told_by_slice = {"cut", *DIMENSIONS}
    names = {column.name for column in table.columns if column.type == "LowCardinality(String)"} - told_by_slice
    beside = {
        "pages": {"slo", "slice", "severity", "state", "scope", "incident", "policy_row"},
        "findings": {"question", "severity", "state", "incident"},  # The finding names what tells it apart.
        "drift_1h": {"state", "reference", "reference_slice"},  # What is said of a figure in an hour.
        "releases": {"slice", "artifact_kind"},  # Whose owner, lineage and way back a row tells: its artifact names it.
        "verdicts": {"baseline", "decision", "outcome", "reason", "unit", "policy", "policy_version"},
    }
    assert names - beside.get(table.name, {"window", "producer"}) <= set(table.order_by)
