"""Brings a database to the tables of this version: numbered files, each applied once, in order.

What was applied is recorded with its checksum in `schema_migrations`. A file that has been applied never changes, and
code never works on a database newer than itself. Statements can be run twice, so two that migrate at once, or one that
died half-way, do no harm; and where a table was dropped since, all are applied again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

import schemas
from schemas import roles
from schemas.failures import Foreseen
from schemas.sql_text import identifier, quoted
from schemas.warehouse import ClickHouseAddress
from stream_jobs.sinks.clickhouse import UNKNOWN_DATABASE, WarehouseError, connect, explained

DIRECTORY = Path(schemas.__file__).parent / "clickhouse"
STATEMENT_TIMEOUT_S = 600.0

_MADE = re.compile(r"^(?P<how>CREATE|DROP) (?:TABLE|(?:MATERIALIZED )?VIEW) IF (?:NOT )?EXISTS (?P<name>\w+)")
_FILE = re.compile(r"^(?P<number>[0-9]{4})_(?P<name>[a-z0-9_]+)\.sql$")


class MigrationError(Foreseen):
    """The database and the files do not belong together; the message says how and what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    text: str

    @property
    def file_name(self) -> str:
        return f"{self.number:04}_{self.name}.sql"

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, however its lines end."""
        return hashlib.sha256("\n".join(self.text.splitlines()).encode()).hexdigest()


def migrate(address: ClickHouseAddress, directory: Path = DIRECTORY) -> tuple[Migration, ...]:
    """Applies what is pending and returns it; creates the database where there is none.

    Raises `MigrationError`, having changed nothing, or `WarehouseError`.
    """
    known = migrations_in(directory / "cluster" if address.cluster else directory)
    client = _connect(address)
    try:
        client.command(_bookkeeping(address))
        applied = applied_in(client)
        waiting = pending(known, applied)
        if missing_in(client, [migration for migration in known if migration.number in applied]):
            waiting = known
        for migration in waiting:
            for statement in statements_of(migration.text):
                client.command(_placed(statement, address))
            _note_applied(client, migration)
        return waiting
    except ClickHouseError as error:
        raise explained(error, address) from error
    finally:
        client.close()


def migrations_in(directory: Path) -> tuple[Migration, ...]:
    """The numbered files of `directory` in order; numbers run from 1 without a gap."""
    found: list[Migration] = []
    for path in sorted(path for path in directory.glob("*.sql") if path.name != roles.FILE_NAME):
        named = _FILE.match(path.name)
        if named is None:
            raise MigrationError(f"Migration {path.name} is not named like 0001_what_it_does.sql.")
        found.append(Migration(int(named["number"]), named["name"], path.read_text(encoding="utf-8")))
    numbers = [migration.number for migration in found]
    if numbers != list(range(1, len(found) + 1)):
        raise MigrationError(f"Migrations have to be numbered from 1 without gaps or repeats, and are {numbers}.")
    return tuple(found)


def applied_in(client: Client) -> dict[int, frozenset[str]]:
    """Number → checksum of every migration that the database has; more than one where two versions met."""
    rows = client.query("SELECT number, groupUniqArray(checksum) FROM schema_migrations GROUP BY number").result_rows
    return {number: frozenset(checksums) for number, checksums in rows}


def missing_in(client: Client, applied: Sequence[Migration]) -> set[str]:
    """Tables and views that these migrations made and that the database does not have any more."""
    made: dict[str, str] = {}
    for statement in (statement for migration in applied for statement in statements_of(migration.text)):
        if named := _MADE.match(statement):
            made[named["name"]] = named["how"]
    rows = client.query("SELECT name FROM system.tables WHERE database = currentDatabase()").result_rows
    return {name for name, how in made.items() if how == "CREATE"} - {name for (name,) in rows}


def pending(known: Sequence[Migration], applied: Mapping[int, frozenset[str]]) -> tuple[Migration, ...]:
    """What is to be applied; refuses a database that is newer than the files, and files changed after the fact."""
    newest_known = len(known)
    newer = sorted(number for number in applied if number > newest_known)
    if newer:
        raise MigrationError(
            f"The database is at migration {newer[-1]} and this version of turnwatch knows {newest_known}: "
            "deploy the version that migrated it, or a newer one."
        )
    for migration in known:
        if applied.get(migration.number, {migration.checksum}) != {migration.checksum}:
            raise MigrationError(
                f"Migration {migration.file_name} was applied with another text than it has now: "
                "restore the file, and make the change in a migration of the next number."
            )
    newest_applied = max(applied, default=0)
    missing = [
        migration.file_name
        for migration in known
        if migration.number < newest_applied and migration.number not in applied
    ]
    if missing:
        raise MigrationError(
            f"The database has migration {newest_applied} but not {missing[0]}: its record of migrations is damaged."
        )
    return tuple(migration for migration in known if migration.number not in applied)


def statements_of(text: str) -> list[str]:
    """The statements of a migration without their comments. Each ends where a line ends with a semicolon."""
    statements: list[str] = []
    lines: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("--") or not line.strip():
            continue
        lines.append(line)
        if line.rstrip().endswith(";"):
            statements.append("\n".join(lines).rstrip().removesuffix(";"))
            lines = []
    if lines:
        raise MigrationError(f"The last statement of a migration has no semicolon at its end: {lines[0].strip()[:80]}")
    return statements


def _note_applied(client: Client, migration: Migration) -> None:
    """One request and no more: `client.insert` asks what columns there are first, and imports pandas to look at one row."""
    row = {"number": migration.number, "name": migration.name, "checksum": migration.checksum}
    client.raw_insert("schema_migrations", list(row), json.dumps(row), fmt="JSONEachRow")


def _connect(address: ClickHouseAddress) -> Client:
    """A connection to the database, which is created where the server has none of that name."""
    try:
        return connect(address, read_timeout_s=STATEMENT_TIMEOUT_S)
    except WarehouseError as error:
        if error.code != UNKNOWN_DATABASE:
            raise
    # Naming no other database instead: whoever may do no more than make ours may not even see `default`.
    with_none = connect(address, read_timeout_s=STATEMENT_TIMEOUT_S, in_database=False)
    try:
        on_cluster = _placed(" ON CLUSTER '{cluster}'", address) if address.cluster else ""
        with_none.command(f"CREATE DATABASE IF NOT EXISTS {identifier(address.database)}{on_cluster}")
    except ClickHouseError as error:
        raise explained(error, address) from error
    finally:
        with_none.close()
    return connect(address, read_timeout_s=STATEMENT_TIMEOUT_S)


def _bookkeeping(address: ClickHouseAddress) -> str:
    """The table of what was applied; in a cluster every server has all of it."""
    on_cluster, engine = "", "ReplacingMergeTree"
    if address.cluster:
        on_cluster = " ON CLUSTER '{cluster}'"
        engine = "ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}/all', '{shard}-{replica}')"
    statement = f"""CREATE TABLE IF NOT EXISTS schema_migrations{on_cluster} (
    number UInt32,
    name String,
    checksum String COMMENT 'SHA-256 of the file',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
) ENGINE = {engine} ORDER BY (number, checksum)
COMMENT 'Which migrations has this database had?'"""
    return _placed(statement, address)


def _placed(statement: str, address: ClickHouseAddress) -> str:
    """`statement` with the cluster and the database it is for; other names in braces are the servers' macros."""
    placed = statement.replace("'{database}'", quoted(address.database))
    return placed.replace("'{cluster}'", quoted(address.cluster)) if address.cluster else placed
