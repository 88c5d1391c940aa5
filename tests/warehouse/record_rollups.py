"""Records a message of rollups for every table, as this version writes it: `python -m tests.warehouse.record_rollups`.

To be run once for each format, before it is released. Files of earlier formats are never written again: that a sink still
lands them is what they are kept for.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from schemas.rollups import ROLLUPS_MAJOR, ROLLUPS_MINOR, encode
from schemas.tables import TABLES, Table
from tests.warehouse.rows import arrow_of, rows_of

RECORDED = Path(__file__).parent / "recorded"
FILE = RECORDED / f"rollups_{ROLLUPS_MAJOR}_{ROLLUPS_MINOR}.jsonl"


def recorded(table: Table) -> dict[str, Any]:
    """A message of a few rows, each of a key of its own."""
    by_key = {tuple(row[name] for name in table.order_by): row for row in rows_of(table, seed=1, count=4)}
    rows = arrow_of(table, list(by_key.values()))
    headers, payload = encode(table.name, rows)
    texts = {name: value.decode() for name, value in headers}
    return {"headers": texts, "payload": b64encode(payload).decode(), "rows": as_text(rows)}


def as_text(rows: pa.Table) -> list[dict[str, str]]:
    """Infinities and times are no JSON."""
    return [
        {name: value.isoformat() if isinstance(value, datetime) else repr(value) for name, value in row.items()}
        for row in rows.to_pylist()
    ]


def of_file(file: Path) -> Iterator[tuple[list[tuple[str, bytes]], bytes, list[dict[str, str]]]]:
    """Headers, payload and rows of every message in a recorded file."""
    for line in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
        headers = [(name, text.encode()) for name, text in line["headers"].items()]
        yield headers, b64decode(line["payload"]), line["rows"]


if __name__ == "__main__":
    FILE.write_text("".join(json.dumps(recorded(table)) + "\n" for table in TABLES.values()), encoding="utf-8")
