"""The warehouse as a dictionary: what every other warehouse has to behave like."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from schemas.tables import TABLES
from tests.warehouse.rows import Row, key_of


class MemoryWarehouse:
    """Keeps the largest version of each row; of equal ones the last written."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[tuple[Any, ...], Row]] = {name: {} for name in TABLES}

    async def write(self, table: str, rows: pa.Table) -> None:
        held = self._tables[table]
        for row in rows.to_pylist():
            key = key_of(TABLES[table], row)
            if key not in held or row["version"] >= held[key]["version"]:
                held[key] = row

    async def close(self) -> None: ...

    def final(self, table: str) -> list[Row]:
        held = self._tables[table]
        return [held[key] for key in sorted(held, key=repr)]
