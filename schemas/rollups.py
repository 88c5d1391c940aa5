"""Rollups: rows on their way from a question to a ClickHouse table, as Arrow in the table's column order."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from schemas.arrow_streams import MESSAGE_DECODED_BYTES_MAX, read_table
from schemas.failures import Undecodable
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
    name = (headers.get("tw-table") or b"").decode("ascii", "replace")
    table = TABLES.get(name)
    if table is None:
        return Rejected(
            Reason.UNKNOWN_FAMILY, "The message names no table of this version; deploy the sink of the newer version."
        )
    try:
        rows = read_table(payload, MESSAGE_DECODED_BYTES_MAX)
    except Undecodable as error:
        return Rejected(Reason.MALFORMED_PAYLOAD, f"The message for table {name} cannot be read. {error}")
    if not rows.schema.equals(table.arrow_schema):
        return Rejected(Reason.WRONG_TYPE, f"The message's columns are not those of table {name}.")
    return name, rows
