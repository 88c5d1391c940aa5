"""The warehouse as a dictionary. `tests/contracts` holds it to what the real one does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from schemas.tables import TABLES, Column, Table
from stream_jobs.sinks.clickhouse import WarehouseError
from tests.warehouse.rows import Row, key_of


class MemoryWarehouse:
    """Keeps the largest version of each row; of equal ones the last written. A write lands as a whole or not at all."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[tuple[Any, ...], Row]] = {name: {} for name in TABLES}

    async def write(self, table: str, rows: pa.Table) -> None:
        for row in _readable(table, rows).to_pylist():
            landed = {column.name: _or_zero(column, row.get(column.name)) for column in TABLES[table].columns}
            held, key = self._tables[table], key_of(TABLES[table], landed)
            if key not in held or landed["version"] >= held[key]["version"]:
                held[key] = landed

    async def close(self) -> None: ...

    def final(self, table: str) -> list[Row]:
        held = self._tables[table]
        return [held[key] for key in sorted(held, key=repr)]


def _readable(name: str, rows: pa.Table) -> pa.Table:
    """The rows with the table's types; refused with ClickHouse's codes where that cannot be."""
    table: Table | None = TABLES.get(name)
    if table is None:
        raise WarehouseError(f"There is no table {name}.", code=60, name="UNKNOWN_TABLE")
    if strangers := set(rows.column_names) - set(table.column_names):
        said = f"Table {name} has no column {', '.join(sorted(strangers))}."
        raise WarehouseError(said, code=16, name="NO_SUCH_COLUMN_IN_TABLE")
    try:
        return rows.cast(pa.schema([table.arrow_schema.field(column) for column in rows.column_names]))
    except pa.ArrowInvalid:
        raise WarehouseError(f"Rows for table {name} cannot be read.", code=6, name="CANNOT_PARSE_TEXT") from None


def _or_zero(column: Column, value: Any) -> Any:
    """What lands where there is none: a null if the column takes nulls, otherwise the zero of its type."""
    if value is not None or column.type.startswith("Nullable"):
        return value
    if pa.types.is_timestamp(column.arrow):
        return datetime.fromtimestamp(0, UTC)
    return "" if pa.types.is_string(column.arrow) else column.arrow.to_pandas_dtype()(0).item()
