"""Who may do what in ClickHouse: three roles, whose grants are derived from the tables and views that exist.

`turnwatch_writer` is for workers, `turnwatch_reader` for boards and analysts, `turnwatch_admin` for `turnwatch prepare`.
Names without a database are those of the database that the file is applied in, so apply it there:
`clickhouse-client --database turnwatch --queries-file roles.sql`, by somebody who may create roles, and again after
every migration. Granting twice is harmless.

On a cluster a distributed table hands a query on to the `…_local` tables behind it, under the same user, so grants name
both. Roles themselves are made on every server.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.ddl import Layout
from schemas.hourly_tables import HOURLY
from schemas.tables import TABLES
from schemas.views import VIEWS

FILE_NAME = "roles.sql"
WRITER, READER, ADMIN = "turnwatch_writer", "turnwatch_reader", "turnwatch_admin"


@dataclass(frozen=True, slots=True)
class Limit:
    """What a query gets unless it says otherwise, and what it may ask for; 0, which would be no limit at all, it may not."""

    default: int
    most: int


READONLY = 2
"""No writes, but a client may still set what a query may take, as Grafana's plugin does."""

READER_LIMITS = {
    "max_execution_time": Limit(300, 1_800),
    "max_memory_usage": Limit(8_000_000_000, 8_000_000_000),
}
"""In seconds and bytes. An export may take its half hour; no question gets more memory than any other."""

_ADMIN_ON_DATABASE = (
    "CREATE DATABASE",
    "CREATE TABLE",
    "CREATE VIEW",
    "ALTER TABLE",
    "ALTER VIEW",
    "DROP TABLE",
    "DROP VIEW",
    "SELECT",
    "INSERT",
)
"""What migrations do, today's and the kind that may come. SELECT is asked of whoever creates a view."""

_ADMIN_ON_CLUSTER = ("CLUSTER", "REMOTE")
"""ON CLUSTER statements, and distributed tables."""


@dataclass(frozen=True, slots=True)
class Grant:
    """`privileges` on `target`: a table's name, `*` for every table of the database, `*.*` for the server."""

    privileges: tuple[str, ...]
    target: str

    def on(self, database: str | None = None) -> str:
        """`GRANT … ON …`, in a database that is named or in whichever one it is applied in."""
        is_everywhere = database is None or self.target == "*.*"
        return f"GRANT {', '.join(self.privileges)} ON {self.target if is_everywhere else f'{database}.{self.target}'}"


def grants(role: str, layout: Layout = "single") -> tuple[Grant, ...]:
    """What a role may do."""
    if role == ADMIN:
        on_cluster = (Grant(_ADMIN_ON_CLUSTER, "*.*"),) if layout == "cluster" else ()
        return (Grant(_ADMIN_ON_DATABASE, "*"), *on_cluster)
    if role == WRITER:
        return tuple(Grant(("INSERT",), name) for name in _tables(TABLES, layout))
    return tuple(Grant(("SELECT",), name) for name in (*_tables((*TABLES, *HOURLY), layout), *VIEWS))


def _tables(names: Iterable[str], layout: Layout) -> tuple[str, ...]:
    return tuple(name for table in names for name in ((table, f"{table}_local") if layout == "cluster" else (table,)))


def render() -> dict[str, str]:
    """Path below `schemas/clickhouse/` → text."""
    return {FILE_NAME: statements("single"), f"cluster/{FILE_NAME}": statements("cluster")}


def statements(layout: Layout = "single") -> str:
    """The roles and their grants, as a file for somebody who may create roles."""
    on_cluster = " ON CLUSTER '{cluster}'" if layout == "cluster" else ""
    limits = (f"{name} = {limit.default} MIN 1 MAX {limit.most}" for name, limit in READER_LIMITS.items())
    settings = ", ".join((f"readonly = {READONLY}", *limits))
    parts = [_OPENING[layout]]
    for role, question in _QUESTIONS.items():
        parts.append(f"\n-- {question}\nCREATE ROLE IF NOT EXISTS {role}{on_cluster};\n")
        if role == READER:
            parts.append(f"ALTER ROLE {role}{on_cluster} SETTINGS {settings};\n")
        granted = grants(role, layout)
        parts += [f"{grant.on().replace('GRANT', f'GRANT{on_cluster}', 1)} TO {role};\n" for grant in granted]
    return "".join(parts)


_QUESTIONS = {
    WRITER: "Who lands rows? Workers. They read nothing, and change no table.",
    READER: "Who asks? Boards and analysts. They write nothing, and one question cannot take the whole server.",
    ADMIN: "Who changes tables? `turnwatch prepare`, and nothing that runs all day.",
}
_OPENING: dict[Layout, str] = {
    "single": "-- Roles of turnwatch, rendered by `turnwatch render` from schemas/roles.py. Apply it in turnwatch's database, and\n"
    "-- again after every migration; docs/security.md shows how, and how users get a role.\n",
    "cluster": "-- Roles of turnwatch on a cluster, rendered by `turnwatch render` from schemas/roles.py. Put the cluster's name for\n"
    "-- {cluster}, or define that macro; apply it in turnwatch's database, and again after every migration.\n",
}
