"""Seeded rows for any table of the contract, with few keys and few versions so that they collide; and reading them back."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from schemas.tables import TABLES, Column, Table
from schemas.warehouse import ClickHouseAddress
from stream_jobs.sinks.clickhouse import connect

START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=30)
"""Recent enough for every table's retention, and the rows after it reach over midnight."""

Row = dict[str, Any]


def rows_of(table: Table, seed: int, count: int = 60) -> list[Row]:
    """Rows of which one key and version are always one content, as the jobs guarantee."""
    generator = random.Random(f"{table.name} {seed}")
    rows: dict[tuple[Any, ...], Row] = {}
    for _ in range(count):
        row = {column.name: _value(column, generator, column.name in table.order_by) for column in table.columns}
        row["version"] = generator.randrange(1, 6)
        rows.setdefault((*key_of(table, row), row["version"]), row)
    return list(rows.values())


def key_of(table: Table, row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in table.order_by)


def arrow_of(table: Table, rows: list[Row]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=table.arrow_schema)


def expected(table: Table, rows: list[Row]) -> list[Row]:
    """What a table has to show after `rows` were written in any order: the newest version of each, by key."""
    newest: dict[object, Row] = {}
    for row in sorted(rows, key=lambda row: row["version"]):
        newest[key_of(table, row)] = row
    return sorted(newest.values(), key=lambda row: repr(key_of(table, row)))


def final_rows(address: ClickHouseAddress, name: str) -> list[Row]:
    """What ClickHouse shows of a table: each row once, by key."""
    client = connect(address)
    try:
        columns = ", ".join(TABLES[name].column_names)
        rows = client.query(f"SELECT {columns} FROM {name} FINAL", query_tz="UTC", tz_mode="aware").named_results()
        return sorted(rows, key=lambda row: repr(key_of(TABLES[name], row)))
    finally:
        client.close()


def _value(column: Column, generator: random.Random, in_key: bool) -> Any:
    variants = 2 if in_key else 1_000
    if column.type.startswith("Nullable") and generator.random() < 0.5:
        return None
    if pa.types.is_timestamp(column.arrow):
        return START + timedelta(
            hours=20 * generator.randrange(2), milliseconds=0 if in_key else generator.randrange(9_999)
        )
    if pa.types.is_string(column.arrow):
        return f"{column.name} {generator.randrange(variants)}, it's ü \\ 100 %"
    if pa.types.is_floating(column.arrow):
        return generator.choice([0.1, -1.5, 14.4, float("inf")])
    if pa.types.is_uint64(column.arrow):
        return generator.choice([0, 1, 2**53 + 1, 2**64 - 1])
    return generator.randrange(variants)
