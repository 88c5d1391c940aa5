"""Frames: rows of one window of one privacy partition, ready to send, numbered family by family."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa

from producers import ndjson
from schemas.families import Family, PrivacyPartition
from schemas.frames import ARROW, FRAME_BYTES_MAX, FRAME_ROWS_MAX, ContentType, FrameHeader, encode
from schemas.rows import arrow_schema


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame ready to send: Kafka headers and payload, with its header and row count for whoever counts."""

    header: FrameHeader
    headers: list[tuple[str, bytes]]
    payload: bytes
    rows: int


@dataclass(slots=True)
class Framing:
    """Whose frames they are, and the next sequence number of each family."""

    producer: str
    incarnation: int
    content_type: ContentType = ARROW
    sequences: Counter[str] = field(default_factory=Counter)

    def frames(
        self, family: Family, partition: PrivacyPartition, window_start_ms: int, rows: pl.DataFrame
    ) -> Iterator[Frame]:
        """The rows in as few frames as the largest payload and row count allow; none for no rows."""
        if rows.is_empty():
            return
        table = _table(family, rows)
        for offset in range(0, len(table), FRAME_ROWS_MAX):
            yield from self._sized(family, partition, window_start_ms, table.slice(offset, FRAME_ROWS_MAX))

    def _sized(
        self, family: Family, partition: PrivacyPartition, window_start_ms: int, table: pa.Table
    ) -> Iterator[Frame]:
        """One frame, or as many as it takes for each to stay below the largest payload."""
        sequence = self.sequences[family.name]
        header = FrameHeader(
            family, partition, self.producer, self.incarnation, sequence, window_start_ms, self.content_type
        )
        headers, payload = encode(header, table) if self.content_type == ARROW else ndjson.encode(header, table)
        if len(payload) <= FRAME_BYTES_MAX:
            self.sequences[family.name] += 1
            yield Frame(header, headers, payload, len(table))
            return
        half = len(table) // 2
        assert half, "a single row exceeds the largest payload"
        yield from self._sized(family, partition, window_start_ms, table.slice(0, half))
        yield from self._sized(family, partition, window_start_ms, table.slice(half))


def _table(family: Family, rows: pl.DataFrame) -> pa.Table:
    schema = arrow_schema(family)
    absent = [pl.lit(None, pl.String).alias(name) for name in family.dimensions if name not in rows.columns]
    return rows.with_columns(absent).select(schema.names).to_arrow().cast(schema)
