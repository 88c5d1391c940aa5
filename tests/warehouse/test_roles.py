"""Roles of ClickHouse: each may do what it is for and nothing else, on the real engine.

chDB keeps no roles, but it holds its one user to the grants that its configuration gives. So each role's grants are
given to that user in turn, and then the product's own code does that role's work. What the engine cannot show (that
`CREATE ROLE` and `GRANT … TO` are carried out, and distributed tables) is parsed by it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from schemas import roles
from schemas.ddl import Layout
from schemas.hourly_tables import HOURLY
from schemas.roles import ADMIN, READER, READER_LIMITS, READONLY, WRITER, Limit
from schemas.tables import TABLES
from schemas.views import VIEWS
from schemas.warehouse import ClickHouseAddress
from stack.clickhouse import CHECKOUT, ClickHouseServer, answers_ok
from stack.machine import choose_ports
from stream_jobs.sinks.clickhouse import ClickHouseWarehouse, WarehouseError, connect
from stream_jobs.sinks.migrate import DIRECTORY, migrate, migrations_in, statements_of
from tests.warehouse.rows import arrow_of, rows_of
from turnwatch.export import EXPORT_TIMEOUT_S
from turnwatch.query import QueryRefused, ask

DATABASE = "turnwatch"
LAYOUTS: tuple[Layout, ...] = ("single", "cluster")
NOT_ALLOWED = "Not enough privileges"
MAKER = "maker"
"""Another user, with the admin's role: who made the views that carry rows on has to be somebody else than who writes."""


@contextmanager
def warehouse_as(role: str, folder: Path, *further: str) -> Iterator[ClickHouseAddress]:
    """A ClickHouse on the data in `folder` whose user has the grants of `role`, and those that are given."""
    limits = READER_LIMITS if role == READER else {}
    (folder / "config.xml").write_text("<clickhouse><users_config>users.xml</users_config></clickhouse>")
    (folder / "users.xml").write_text(users((*(grant.on(DATABASE) for grant in roles.grants(role)), *further), limits))
    (port,) = choose_ports((0,))
    command = [sys.executable, "-m", "stack.clickhouse_http", "--data", str(folder / "data"), "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        while not answers_ok(port, "/ping"):
            assert server.poll() is None, (folder / "log").read_text()
        yield ClickHouseAddress(f"http://127.0.0.1:{port}/{DATABASE}")
    finally:
        server.terminate()
        server.wait(60)


def users(granted: tuple[str, ...], limits: Mapping[str, Limit]) -> str:
    queries = "".join(f"<query>{escape(each)}</query>" for each in granted)
    profile = "".join(f"<{name}>{limit.default}</{name}>" for name, limit in limits.items())
    profile += f"<readonly>{READONLY}</readonly>" if limits else ""
    bounds = "".join(f"<{name}><min>1</min><max>{limit.most}</max></{name}>" for name, limit in limits.items())
    return f"""<clickhouse>
        <profiles><default>{profile}<constraints>{bounds}</constraints></default></profiles>
        <users><default>
            <password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
            <grants>{queries}</grants>
        </default><{MAKER}>
            <password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
            <grants>{"".join(f"<query>{escape(each.on(DATABASE))}</query>" for each in roles.grants(ADMIN))}</grants>
        </{MAKER}></users>
        <quotas><default></default></quotas>
    </clickhouse>"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of a warehouse that the admin's role has brought to today's tables."""
    folder = tmp_path_factory.mktemp("roles")
    with warehouse_as(ADMIN, folder) as address:
        assert migrate(address), "the admin makes database, tables and views"
        assert migrate(address) == (), "and finds them made"
    with warehouse_as(ADMIN, folder, f"GRANT SET DEFINER ON {MAKER}") as address:
        client = connect(address)
        for each in HOURLY.values():
            client.command(f"ALTER TABLE {each.view} MODIFY SQL SECURITY DEFINER DEFINER = {MAKER}")
        client.close()
    return folder


async def test_the_writer_lands_rows_and_does_nothing_else(folder: Path) -> None:
    with warehouse_as(WRITER, folder) as address:
        warehouse = ClickHouseWarehouse(address)
        for table in TABLES.values():
            await warehouse.write(table.name, arrow_of(table, rows_of(table, seed=1)))
        await warehouse.close()
        client = connect(address)
        for statement in (f"SELECT * FROM {name} LIMIT 1" for name in (*TABLES, *HOURLY, *VIEWS)):
            with pytest.raises(Exception, match=NOT_ALLOWED):
                client.query(statement)
        refuse_changes(address, but=())
        client.close()


def test_the_reader_asks_every_table_and_view_and_changes_none(folder: Path) -> None:
    with warehouse_as(READER, folder) as address:
        for name in (*TABLES, *HOURLY, *VIEWS):
            assert ask(address, f"SELECT count() FROM {name}", "csv")
        client = connect(address)
        assert client.query("SELECT getSetting('readonly')").result_rows == [(2,)]
        client.query("SELECT 1", settings={"max_threads": 1, "max_execution_time": int(EXPORT_TIMEOUT_S)})
        for beyond in (
            "max_memory_usage = 0",
            "max_memory_usage = 9000000000",
            "max_execution_time = 0",
            "readonly = 0",
        ):
            with pytest.raises(Exception, match=r"shouldn't be (less|greater) than|readonly"):
                client.query(f"SELECT 1 SETTINGS {beyond}")
        with pytest.raises(QueryRefused):
            ask(address, "SELECT * FROM schema_migrations", "csv")
        with pytest.raises(Exception, match=r"readonly|privileges"):
            client.command(f"INSERT INTO {next(iter(TABLES))} (version) VALUES (1)")
        refuse_changes(address, but=())
        client.close()


def refuse_changes(address: ClickHouseAddress, but: tuple[str, ...]) -> None:
    client = connect(address)
    table, view = next(iter(TABLES)), next(iter(VIEWS))
    for statement in (
        f"DROP TABLE {table}",
        f"TRUNCATE TABLE {table}",
        f"ALTER TABLE {table} ADD COLUMN x UInt8",
        f"ALTER TABLE {table} DELETE WHERE 1",
        f"DROP VIEW {view}",
        "CREATE TABLE mine (n UInt8) ENGINE = MergeTree ORDER BY n",
        f"DROP DATABASE {DATABASE}",
        "CREATE DATABASE mine",
        "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    ):
        with pytest.raises(Exception, match=r"Not enough privileges|readonly"):
            client.command(statement)
    client.close()


def test_the_admin_reaches_nothing_beyond_the_database(folder: Path) -> None:
    with warehouse_as(ADMIN, folder) as address:
        client = connect(address)
        client.command("CREATE TABLE next_migration (n UInt8) ENGINE = MergeTree ORDER BY n")
        client.command("ALTER TABLE next_migration ADD COLUMN m UInt8")
        client.command("DROP TABLE next_migration")
        for statement in (
            "CREATE DATABASE mine",
            "CREATE TABLE system.mine (n UInt8) ENGINE = Memory",
            "SELECT * FROM file('/etc/passwd', 'LineAsString')",
            "CREATE USER mallory",
            "GRANT ALL ON *.* TO default",
        ):
            with pytest.raises(Exception, match=NOT_ALLOWED):
                client.command(statement)
        client.close()


def test_what_a_role_may_not_do_is_a_sentence(folder: Path) -> None:
    with (
        warehouse_as(READER, folder) as address,
        pytest.raises(WarehouseError, match=r"only reading is allowed|refused"),
    ):
        migrate(replace(address, cluster=None))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_clickhouse_reads_every_statement(clickhouse_server: ClickHouseServer, layout: Layout) -> None:
    client = connect(ClickHouseAddress(clickhouse_server.url))
    statements = statements_of(roles.statements(layout))
    assert len(statements) == 4 + sum(len(roles.grants(role, layout)) for role in (WRITER, READER, ADMIN))
    parsed = client.query("SELECT formatQuery(arrayJoin({statements:Array(String)}))", {"statements": statements})
    assert len(parsed.result_rows) == len(statements)
    client.close()


@pytest.mark.parametrize("path", roles.render())
def test_the_committed_files_are_what_the_contract_gives(path: str) -> None:
    assert (DIRECTORY / path).read_text(encoding="utf-8") == roles.render()[path], (
        f"{path} is stale: `turnwatch render`."
    )


def test_on_a_cluster_grants_reach_what_stands_behind_a_distributed_table() -> None:
    for role, targets in ((WRITER, [*TABLES]), (READER, [*TABLES, *HOURLY, *VIEWS])):
        single = {grant.target for grant in roles.grants(role)}
        assert single == set(targets)
        assert {grant.target for grant in roles.grants(role, "cluster")} == single | {
            f"{name}_local" for name in targets if name not in VIEWS
        }


def test_roles_are_no_migration() -> None:
    for directory in (DIRECTORY, DIRECTORY / "cluster"):
        assert (directory / roles.FILE_NAME).is_file()
        assert roles.FILE_NAME not in {migration.file_name for migration in migrations_in(directory)}
