"""A batch: what the sink has read and not yet landed, table by table, newest version of each row only.

Every row remembers the message it came with, so that one message that ClickHouse refuses can be told from its neighbours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa

from schemas.rejections import Reason, Rejected
from schemas.rollups import Rollup, decode
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
class Told:
    """The rows of one message, and where it lies."""

    topic: str
    partition: int
    offset: int
    payload_bytes: int
    rows: pa.Table

    def refused(self, reason: Reason, detail: str) -> DeadLetter:
        return DeadLetter(Rejected(reason, detail), self.topic, self.partition, self.offset)


@dataclass(frozen=True, slots=True)
class TableRows:
    """Rows for one table, each key once, and the messages that told them."""

    table: str
    told: tuple[Told, ...]
    rows: pa.Table

    @classmethod
    def of(cls, table: str, told: Sequence[Told]) -> TableRows:
        rows = newest(TABLES[table], pa.concat_tables([each.rows for each in told]))
        return cls(table, tuple(told), rows)

    @property
    def covered(self) -> int:
        """How many rows were read, superseded versions included."""
        return sum(each.rows.num_rows for each in self.told)

    def cut(self, messages_max: int) -> list[TableRows]:
        """The same in pieces of so many messages at the most."""
        if len(self.told) <= messages_max:
            return [self]
        starts = range(0, len(self.told), messages_max)
        return [TableRows.of(self.table, self.told[start : start + messages_max]) for start in starts]


@dataclass(frozen=True, slots=True)
class Batch:
    """`dropped`: how many columns that only a newer version declares, by table."""

    tables: tuple[TableRows, ...]
    refused: tuple[DeadLetter, ...]
    dropped: Counter[str] = field(default_factory=Counter)


def batch_of(messages: Sequence[Message], left: Sequence[TableRows] = ()) -> Batch:
    """What an earlier batch left and then messages in log order, decoded and reduced to what has to land.

    A message that only a newer version can land ends the sink; it is read again, with what lies around it.
    """
    told = {rows.table: list(rows.told) for rows in left}
    refused: list[DeadLetter] = []
    dropped: Counter[str] = Counter()
    for message in messages:
        decoded = _decoded(message)
        if isinstance(decoded, Rejected):
            refused.append(DeadLetter(decoded, message.topic, message.partition, message.offset))
            continue
        name, rows, unknown = decoded
        dropped += Counter({name: unknown})
        if rows.num_rows:
            place = (message.topic, message.partition, message.offset)
            told.setdefault(name, []).append(Told(*place, len(message.payload), rows))
    return Batch(tuple(TableRows.of(name, each) for name, each in told.items()), tuple(refused), dropped)


def newest(table: Table, rows: pa.Table) -> pa.Table:
    """The rows with the largest version of their key; of equal versions the last one, as ClickHouse does."""
    keys = list(table.order_by)
    versions = rows.select(list(dict.fromkeys([*keys, "version"])))
    ordered = pl.DataFrame(pl.from_arrow(versions)).with_row_index("place").sort("version", maintain_order=True)
    places = ordered.unique(keys, keep="last")["place"].sort()
    return rows if len(places) == rows.num_rows else rows.take(places.to_arrow())


def _decoded(message: Message) -> Rollup | Rejected:
    decoded = decode(message.headers, message.payload)
    if isinstance(decoded, Rejected):
        return decoded
    name, rows, _ = decoded
    for column in TABLES[name].columns:
        if rows[column.name].null_count and not column.type.startswith("Nullable"):
            return Rejected(
                Reason.WRONG_TYPE, f"Column {column.name} of table {name} holds nulls, which it does not take."
            )
    return decoded
