"""Migrations: each once, in order, and never onto a database that the code does not understand."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from schemas.ddl import contract
from schemas.warehouse import ClickHouseAddress
from stream_jobs.sinks.clickhouse import WarehouseError, connect
from stream_jobs.sinks.migrate import (
    DIRECTORY,
    Migration,
    MigrationError,
    migrate,
    migrations_in,
    pending,
    statements_of,
)

FIRST = "CREATE TABLE IF NOT EXISTS first (a UInt8) ENGINE = MergeTree ORDER BY a;\n"
SECOND = "ALTER TABLE first ADD COLUMN IF NOT EXISTS b UInt8;\nALTER TABLE first ADD COLUMN IF NOT EXISTS c UInt8;\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text(FIRST)
    return tmp_path


def columns_of(address: ClickHouseAddress, table: str) -> list[str]:
    client = connect(address)
    try:
        question = "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String}"
        return [name for (name,) in client.query(question, {"table": table}).result_rows]
    finally:
        client.close()


def definitions(client: Client) -> Mapping[str, str]:
    """How ClickHouse itself spells every table and view, without the database's name."""
    rows = client.query(
        "SELECT name, replaceAll(create_table_query, concat(currentDatabase(), '.'), '') FROM system.tables "
        "WHERE database = currentDatabase() AND name != 'schema_migrations'"
    ).result_rows
    return {name: definition for name, definition in rows}  # noqa: C416  # The client gives sequences, not pairs.


def test_all_migrations_give_exactly_the_contract(address: ClickHouseAddress, client: Client) -> None:
    """Tables, views, columns, types, comments, codecs, keys, partitions, retention and settings."""
    fresh = ClickHouseAddress(f"{address.url}_contract")
    client.command(f"CREATE DATABASE {fresh.database}")
    derived = connect(fresh)
    try:
        for statement in statements_of(contract()):
            derived.command(statement)
        assert definitions(client) == definitions(derived), (
            "the migrations in schemas/clickhouse/ do not lead to the tables of schemas/tables.py: write the next migration"
        )
    finally:
        derived.command(f"DROP DATABASE {fresh.database}")
        derived.close()


def test_migrations_are_applied_once_and_recorded(no_database: ClickHouseAddress) -> None:
    known = migrations_in(DIRECTORY)
    assert migrate(no_database) == known
    assert migrate(no_database) == ()
    client = connect(no_database)
    recorded = client.query("SELECT number, name, checksum FROM schema_migrations ORDER BY number").result_rows
    client.close()
    assert recorded == [(migration.number, migration.name, migration.checksum) for migration in known]


def test_a_database_moves_forward_by_number(no_database: ClickHouseAddress, directory: Path) -> None:
    migrate(no_database, directory)
    (directory / "0002_second.sql").write_text(SECOND)
    assert [migration.number for migration in migrate(no_database, directory)] == [2]
    assert columns_of(no_database, "first") == ["a", "b", "c"]


def test_a_table_that_somebody_dropped_is_made_again(no_database: ClickHouseAddress) -> None:
    migrate(no_database)
    client = connect(no_database)
    before = definitions(client)
    client.command("DROP TABLE burn_rate_1m")
    client.command("DROP VIEW burn_rate")
    assert migrate(no_database) == migrations_in(DIRECTORY)
    assert definitions(client) == before
    assert migrate(no_database) == ()
    client.close()


def test_two_that_migrate_at_once_do_no_harm(no_database: ClickHouseAddress) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: migrate(no_database), range(4)))
    client = connect(no_database)
    numbers = client.query("SELECT number FROM schema_migrations FINAL ORDER BY number").result_rows
    client.close()
    assert numbers == [(migration.number,) for migration in migrations_in(DIRECTORY)]


def test_a_migration_that_failed_half_way_is_taken_up_again(no_database: ClickHouseAddress, directory: Path) -> None:
    (directory / "0002_second.sql").write_text(SECOND + "ALTER TABLE no_such_table ADD COLUMN d UInt8;\n")
    with pytest.raises(WarehouseError, match="no_such_table"):
        migrate(no_database, directory)
    (directory / "0002_second.sql").write_text(SECOND)
    assert [migration.number for migration in migrate(no_database, directory)] == [2]
    assert columns_of(no_database, "first") == ["a", "b", "c"]


def test_a_database_newer_than_the_code_is_refused(no_database: ClickHouseAddress, directory: Path) -> None:
    (directory / "0002_second.sql").write_text(SECOND)
    migrate(no_database, directory)
    (directory / "0002_second.sql").unlink()
    with pytest.raises(MigrationError, match="is at migration 2 and this version of turnwatch knows 1: deploy"):
        migrate(no_database, directory)


def test_an_applied_file_that_changed_is_refused(no_database: ClickHouseAddress, directory: Path) -> None:
    migrate(no_database, directory)
    (directory / "0001_first.sql").write_text(FIRST.replace("UInt8", "UInt16"))
    with pytest.raises(MigrationError, match=r"0001_first\.sql was applied with another text .* next number"):
        migrate(no_database, directory)


def test_how_lines_end_is_no_change() -> None:
    assert Migration(1, "a", FIRST).checksum == Migration(1, "a", FIRST.replace("\n", "\r\n")).checksum


def test_a_hole_in_the_record_is_refused() -> None:
    known = [Migration(number, "a", FIRST) for number in (1, 2)]
    with pytest.raises(MigrationError, match="record of migrations is damaged"):
        pending(known, {2: frozenset({known[1].checksum})})


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["0002_a.sql"], "numbered from 1"),
        (["0001_a.sql", "0003_b.sql"], "numbered from 1"),
        (["0001_a.sql", "0001_b.sql"], "numbered from 1"),
        (["first.sql"], "not named like"),
    ],
)
def test_files_that_are_not_a_sequence_are_refused(tmp_path: Path, names: list[str], said: str) -> None:
    for name in names:
        (tmp_path / name).write_text(FIRST)
    with pytest.raises(MigrationError, match=said):
        migrations_in(tmp_path)


def test_statements_end_where_a_line_ends_with_a_semicolon() -> None:
    text = "-- why; this;\nCREATE TABLE a (b String COMMENT 'x; y')\n  ENGINE = Null;\n\nDROP TABLE b;\n"
    assert statements_of(text) == ["CREATE TABLE a (b String COMMENT 'x; y')\n  ENGINE = Null", "DROP TABLE b"]
    with pytest.raises(MigrationError, match="no semicolon"):
        statements_of("DROP TABLE a")
