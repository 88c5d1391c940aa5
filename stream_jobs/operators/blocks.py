"""Blocks: operator state in pieces that a changelog can keep.

A block is a small columnar piece of state under a stable key. Its stored form begins with the source offset it has
applied, so that while recovering the newest of several writes wins whatever their order in the log, and so that a row
counts only where its frame lies above its block's own offset (`faust.md`, rules 2 and 4).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa

from schemas.failures import Foreseen
from schemas.frames import READ_OPTIONS

BLOCK_BYTES_MAX = 512_000
NOTHING_APPLIED = -1
STATE_FORMAT = 1
"""Grows when an older worker could not read what a newer one writes."""
_OFFSET_BYTES = 8
_HEADER_BYTES = 1 + _OFFSET_BYTES


class NewerState(Foreseen):
    """State was written by a newer version; reading it would be a guess."""


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of state on its way to or from the changelog. `value` of `None` forgets the key."""

    key: bytes
    value: bytes | None

    def __post_init__(self) -> None:
        assert self.value is None or len(self.value) < BLOCK_BYTES_MAX, (
            f"block {self.key!r} has {len(self.value or b'')} bytes"
        )


def stamped(applied_offset: int, body: bytes) -> bytes:
    """The stored form of a block's body: state format, applied offset, body."""
    return bytes([STATE_FORMAT]) + (applied_offset + 1).to_bytes(_OFFSET_BYTES, "big") + body


def applied_offset(value: bytes) -> int:
    """The offset in a stored block; raises `NewerState` where a newer version wrote it."""
    if value[0] > STATE_FORMAT:
        raise NewerState(
            f"The state in Kafka has format {value[0]} and this worker knows {STATE_FORMAT}: deploy the newer worker again."
        )
    return int.from_bytes(value[1:_HEADER_BYTES], "big") - 1


def body(value: bytes) -> bytes:
    return value[_HEADER_BYTES:]


def pack_rows(rows: pl.DataFrame) -> bytes:
    sink = pa.BufferOutputStream()
    table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def unpack_rows(packed: bytes, measures: Sequence[str]) -> pl.DataFrame:
    """The rows, with a zero for each measure that was declared after they were written."""
    with pa.ipc.open_stream(packed, options=READ_OPTIONS) as reader:
        rows = pl.from_arrow(reader.read_all())
    assert isinstance(rows, pl.DataFrame)
    return rows.with_columns(pl.lit(0, pl.Int64).alias(name) for name in measures if name not in rows.columns)


def chunks_below_limit(rows: pl.DataFrame) -> Iterator[bytes]:
    """`rows` packed in as few pieces as stay below the limit; at least one."""
    packed = pack_rows(rows)
    if len(packed) + _HEADER_BYTES < BLOCK_BYTES_MAX or len(rows) <= 1:
        yield packed
        return
    half = len(rows) // 2
    yield from chunks_below_limit(rows[:half])
    yield from chunks_below_limit(rows[half:])


def pack_json(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def unpack_json(packed: bytes) -> Any:
    return json.loads(packed)
