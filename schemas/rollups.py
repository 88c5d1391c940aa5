"""Rollups: rows on their way from a question to a ClickHouse table, as Arrow in the table's column order.

A message says which format it is of, `major.minor`. A table or a column that is added raises the minor version; what a
sink of another minor version could not land right (a new sorting key, another type) raises the major one. Messages lie
in Kafka for days, so a sink meets older ones after every deploy, and newer ones while it is under way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import pyarrow as pa

from schemas.arrow_streams import LZ4, MESSAGE_DECODED_BYTES_MAX, read_table
from schemas.failures import Foreseen, Undecodable
from schemas.rejections import Reason, Rejected
from schemas.tables import TABLES, Column, Table

ROLLUPS_MAJOR, ROLLUPS_MINOR = 1, 2

_FORMAT = re.compile(rb"([1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})")
_FORMAT_UNSAID = b"1.0"
"""Of messages without the header: so were all before there was one."""


class Rollup(NamedTuple):
    """The rows of one message as this version declares them. `dropped`: columns that only a newer one declares."""

    table: str
    rows: pa.Table
    dropped: int = 0


def encode(table: str, rows: pa.Table) -> tuple[list[tuple[str, bytes]], bytes]:
    """Headers and payload of `rows` for `table`; the rows have the table's Arrow schema."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, TABLES[table].arrow_schema, options=LZ4) as writer:
        writer.write_table(rows)
    written = f"{ROLLUPS_MAJOR}.{ROLLUPS_MINOR}".encode()
    return [("tw-table", table.encode()), ("tw-format", written)], sink.getvalue().to_pybytes()


def decode(headers: Mapping[str, bytes], payload: bytes) -> Rollup | Rejected:
    """Reads what this version or an older one wrote; refuses what none did, and stops at what only a newer one knows."""
    written = _FORMAT.fullmatch(headers.get("tw-format", _FORMAT_UNSAID) or b"")
    if written is None:
        return Rejected(Reason.MALFORMED_HEADER, "The message's header tw-format is not major.minor, as sinks know it.")
    major, minor = int(written[1]), int(written[2])
    if major > ROLLUPS_MAJOR:
        raise _newer(f"of format {major}.{minor}")
    name = (headers.get("tw-table") or b"").decode("ascii", "replace")
    table = TABLES.get(name)
    if table is None and minor > ROLLUPS_MINOR:
        raise _newer(f"of format {major}.{minor}, for a table that is not declared here,")
    if table is None:
        return Rejected(Reason.UNKNOWN_FAMILY, "The message names no table, though its format is one that is known.")
    try:
        rows = read_table(payload, MESSAGE_DECODED_BYTES_MAX)
    except Undecodable as error:
        return Rejected(Reason.MALFORMED_PAYLOAD, f"The message for table {name} cannot be read. {error}")
    return _declared(table, rows, minor)


def _newer(which: str) -> Foreseen:
    return Foreseen(
        f"A rollup {which} was read by a sink that knows {ROLLUPS_MAJOR}.{ROLLUPS_MINOR}: deploy the newer worker, or "
        "let this one go on without its sink (`turnwatch worker --sink without`); rows wait in Kafka."
    )


def _declared(table: Table, rows: pa.Table, minor: int) -> Rollup | Rejected:
    """The declared columns: one declared since has its default, one that only a newer minor version declares is dropped."""
    expected, names = table.arrow_schema, rows.column_names
    if rows.schema.equals(expected):
        return Rollup(table.name, rows)
    declared, found = set(table.column_names), set(names)
    is_other = (
        len(found) < len(names)
        or any(rows.schema.field(name).type != expected.field(name).type for name in found & declared)
        or (bool(found - declared) and minor <= ROLLUPS_MINOR)
        or (bool(declared - found) and minor >= ROLLUPS_MINOR)
        or not found.issuperset((*table.order_by, table.time_column, "version"))
    )
    if is_other:
        return Rejected(Reason.WRONG_TYPE, f"The message's columns are not those of table {table.name}.")
    for column in table.columns:
        if column.name not in found:
            rows = rows.append_column(column.name, pa.repeat(_default_of(column), rows.num_rows))
    return Rollup(table.name, rows.select(expected.names).cast(expected), len(found - declared))


def _default_of(column: Column) -> pa.Scalar:
    """What ClickHouse has in a row that was written before the column was there."""
    if column.type.startswith("Nullable"):
        return pa.scalar(None, column.arrow)
    return pa.scalar("" if pa.types.is_string(column.arrow) else 0, column.arrow)
