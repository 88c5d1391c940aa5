"""ClickHouse statements, derived from the contract, and the first migration made of them.

One machine gets plain tables. A cluster gets, for each table, a replicated one on every shard (`…_local`) and a
distributed one in front of it under the table's own name, so that whoever reads or writes need not know. All versions
of a row go to one shard, because rows are sharded by slice. `'{cluster}'` and `'{database}'` are filled in when a
migration is applied; `{uuid}`, `{shard}` and `{replica}` are macros of the servers.

A row outlives its retention by one partition at most: a part is dropped whole once its newest row has expired.
"""

from __future__ import annotations

from typing import Literal

from schemas.hourly_tables import HOURLY, Hourly
from schemas.sql_text import quoted
from schemas.tables import TABLES, Column, Table
from schemas.view_declarations import View
from schemas.views import VIEWS

Layout = Literal["single", "cluster"]

NEWEST_RELEASED = 0
"""Number of the newest released migration. Released ones are frozen: a change of the contract is the next number."""

SETTINGS = {
    "ttl_only_drop_parts": 1,
    "min_age_to_force_merge_seconds": 3_600,
    "min_age_to_force_merge_on_partition_only": 1,
}
"""Expired parts are dropped, not rewritten; a partition that is no longer written becomes one part, which FINAL reads
without merging."""

_CLUSTER = "ON CLUSTER '{cluster}'"
_WEEKLY_ABOVE_D = 31
_MONTHLY_ABOVE_D = 180


def create_table(table: Table, layout: Layout = "single") -> str:
    """The statements that create `table`, each ending with a semicolon; its question leads as a comment."""
    return _create(table, layout, "ReplacingMergeTree", ("version",))


def create_hourly(hourly: Hourly, layout: Layout = "single") -> str:
    """The statements that create a table of hours, and what carries rows into it as they land.

    It has the rights of who made it: whoever may write the source writes its hours, and may read nothing by that.
    """
    table, source, on_cluster = hourly.table.name, hourly.source, ""
    if layout == "cluster":  # Both are sharded by slice, so each server makes the hours of its own rows.
        table, source, on_cluster = f"{table}_local", f"{source}_local", f" {_CLUSTER}"
    return (
        f"{_create(hourly.table, layout, 'AggregatingMergeTree')}\n"
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS {hourly.view}{on_cluster} TO {table}\n"
        f"DEFINER = CURRENT_USER SQL SECURITY DEFINER AS\n{hourly.select(source)}\n"
        f"COMMENT {quoted(f'Carries rows of {hourly.source} into {hourly.table.name} as they land.')};\n"
    )


def _create(table: Table, layout: Layout, engine: str, arguments: tuple[str, ...] = ()) -> str:
    if layout == "single":
        plain = f"{engine}({', '.join(arguments)})" if arguments else engine
        return f"-- {table.question}\n{_merge_tree(table, table.name, '', plain)};\n"
    local = f"{table.name}_local"
    named = ", ".join(("'/clickhouse/tables/{uuid}/{shard}'", "'{replica}'", *arguments))
    replicated = f"Replicated{engine}({named})"
    distributed = (
        f"CREATE TABLE IF NOT EXISTS {table.name} {_CLUSTER} AS {local}\n"
        f"ENGINE = Distributed('{{cluster}}', '{{database}}', '{local}', cityHash64(slice))\n"
        f"COMMENT {quoted(table.question)}"
    )
    return f"-- {table.question}\n{_merge_tree(table, local, f' {_CLUSTER}', replicated)};\n\n{distributed};\n"


def create_view(view: View, layout: Layout = "single") -> str:
    """The statement that creates `view`, ending with a semicolon; its question leads as a comment."""
    on_cluster = f" {_CLUSTER}" if layout == "cluster" else ""
    return (
        f"-- {view.question}\n"
        f"CREATE VIEW IF NOT EXISTS {view.name}{on_cluster} AS\n"
        f"{view.select}\n"
        f"COMMENT {quoted(view.question)};\n"
    )


def contract(layout: Layout = "single") -> str:
    """Everything that the contract asks of an empty database."""
    tables = [create_table(table, layout) for table in TABLES.values()]
    views = [create_view(view, layout) for view in VIEWS.values()]
    hours = [create_hourly(hourly, layout) for hourly in HOURLY.values()]
    return "\n".join([*tables, *hours, *views])


def render() -> dict[str, str]:
    """Path below `schemas/clickhouse/` → text, of every migration that is derived and not yet released."""
    if NEWEST_RELEASED >= 1:
        return {}
    return {
        "0001_initial.sql": f"{_opening('one machine')}\n{contract('single')}",
        "cluster/0001_initial.sql": f"{_opening('a cluster')}\n{contract('cluster')}",
    }


def _opening(where: str) -> str:
    return (
        f"-- Tables and views of turnwatch on {where}, rendered by `turnwatch render` from schemas/tables.py and views.py.\n"
        "-- A row is the total so far of its key, with a version that only grows: writing it again is harmless, the\n"
        "-- largest version wins, and tables are read with FINAL (views do). A statement ends where a line ends with a\n"
        "-- semicolon, and can be run twice.\n"
    )


def _merge_tree(table: Table, name: str, on_cluster: str, engine: str) -> str:
    columns = ",\n".join(f"    {_column(column)}" for column in table.columns)
    settings = ", ".join(f"{setting} = {value}" for setting, value in SETTINGS.items())
    return (
        f"CREATE TABLE IF NOT EXISTS {name}{on_cluster} (\n{columns}\n)\n"
        f"ENGINE = {engine}\n"
        f"PARTITION BY {_partition(table)}\n"
        f"ORDER BY ({', '.join(table.order_by)})\n"
        f"TTL toDateTime({table.time_column}, 'UTC') + INTERVAL {table.retention_d} DAY\n"
        f"SETTINGS {settings}\n"
        f"COMMENT {quoted(table.question)}"
    )


def _column(column: Column) -> str:
    codec = f" CODEC({column.codec})" if column.codec else ""
    return f"{column.name} {column.type} COMMENT {quoted(column.comment)}{codec}"


def _partition(table: Table) -> str:
    """By day, week or month of a time in the row's key, as versions of one row have to meet in one partition."""
    times = {column.name for column in table.columns if column.type.startswith("DateTime64")}
    in_key = [name for name in table.order_by if name in times]
    assert in_key, f"no time in the key of {table.name}"
    if table.retention_d > _MONTHLY_ABOVE_D:
        return f"toYYYYMM({in_key[0]}, 'UTC')"
    if table.retention_d > _WEEKLY_ABOVE_D:
        return f"toMonday({in_key[0]}, 'UTC')"
    return f"toYYYYMMDD({in_key[0]}, 'UTC')"
