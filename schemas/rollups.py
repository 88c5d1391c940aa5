"""Rollups: rows on their way from a question to a ClickHouse table, as Arrow in the table's column order."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from schemas.frames import READ_OPTIONS
from schemas.rejections import Reason, Rejected
from schemas.tables import TABLES


def encode(table: str, rows: pa.Table) -> tuple[list[tuple[str, bytes]], bytes]:
    """Headers and payload of `rows` for `table`; the rows have the table's Arrow schema."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(
        sink, TABLES[table].arrow_schema, options=pa.ipc.IpcWriteOptions(compression="lz4")
    ) as writer:
        writer.write_table(rows)
    return [("tw-table", table.encode())], sink.getvalue().to_pybytes()


def decode(headers: Mapping[str, bytes], payload: bytes) -> tuple[str, pa.Table] | Rejected:
    """The table's name and rows; a message that names no table or does not fit it is refused."""
    name = headers.get("tw-table", b"").decode("ascii", "replace")
    table = TABLES.get(name)
    if table is None:
        return Rejected(
            Reason.UNKNOWN_FAMILY, "The message names no table of this version; deploy the sink of the newer version."
        )
    try:
        with pa.ipc.open_stream(payload, options=READ_OPTIONS) as reader:
            if not reader.schema.equals(table.arrow_schema):
                return Rejected(Reason.WRONG_TYPE, f"The message's columns are not those of table {name}.")
            return name, reader.read_all()
    except (pa.ArrowException, OSError, ValueError):
        return Rejected(Reason.MALFORMED_PAYLOAD, f"The message for table {name} is not a readable Arrow IPC stream.")
