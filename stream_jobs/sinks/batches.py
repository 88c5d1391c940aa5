"""A batch: what the sink has read and not yet landed, table by table, newest version of each row only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from schemas.rejections import Reason, Rejected
from schemas.rollups import decode
from schemas.tables import TABLES, Table


@dataclass(frozen=True, slots=True)
class Message:
    """One record of the rollups topic."""

    topic: str
    partition: int
    offset: int
    headers: Mapping[str, bytes]
    payload: bytes


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was refused: why, and where whoever needs its content finds it."""

    rejected: Rejected
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class TableRows:
    """Rows for one table, each key once. `covered` counts those that were read, superseded versions included."""

    table: str
    rows: pa.Table
    covered: int


@dataclass(frozen=True, slots=True)
class Batch:
    tables: tuple[TableRows, ...]
    refused: tuple[DeadLetter, ...]


def batch_of(messages: Sequence[Message]) -> Batch:
    """Messages in log order, decoded and reduced to what has to land."""
    read: dict[str, list[pa.Table]] = {}
    refused: list[DeadLetter] = []
    for message in messages:
        decoded = _decoded(message)
        if isinstance(decoded, Rejected):
            refused.append(DeadLetter(decoded, message.topic, message.partition, message.offset))
        else:
            name, rows = decoded
            read.setdefault(name, []).append(rows)
    together = {name: pa.concat_tables(parts) for name, parts in read.items()}
    tables = [TableRows(name, newest(TABLES[name], rows), rows.num_rows) for name, rows in together.items()]
    return Batch(tuple(table for table in tables if table.covered), tuple(refused))


def newest(table: Table, rows: pa.Table) -> pa.Table:
    """The rows with the largest version of their key; of equal versions the last one, as ClickHouse does."""
    keys = list(table.order_by)
    versions = rows.select(list(dict.fromkeys([*keys, "version"])))
    ordered = pl.DataFrame(pl.from_arrow(versions)).with_row_index("place").sort("version", maintain_order=True)
    places = ordered.unique(keys, keep="last")["place"].sort()
    return rows if len(places) == rows.num_rows else rows.take(places.to_arrow())


def _decoded(message: Message) -> tuple[str, pa.Table] | Rejected:
    decoded = decode(message.headers, message.payload)
    if isinstance(decoded, Rejected):
        return decoded
    name, rows = decoded
    try:
        rows.validate(full=True)
    except (pa.ArrowException, ValueError):
        return Rejected(Reason.MALFORMED_PAYLOAD, f"The message for table {name} holds broken Arrow data.")
    for column in TABLES[name].columns:
        if rows[column.name].null_count and not column.type.startswith("Nullable"):
            return Rejected(
                Reason.WRONG_TYPE, f"Column {column.name} of table {name} holds nulls, which it does not take."
            )
    return decoded
