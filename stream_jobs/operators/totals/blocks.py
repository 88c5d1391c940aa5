"""Blocks: operator state in pieces that a changelog can keep.

A block is a small columnar piece of state under a stable key. Its stored form begins with the source offset it has
applied, so that while recovering the newest of several writes wins whatever their order in the log, and so that a row
counts only where its frame lies above its block's own offset (`faust.md`, rules 2 and 4).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import polars as pl
import pyarrow as pa
from pydantic import BaseModel, ValidationError

from schemas.arrow_streams import LZ4, ZSTD, read_table
from schemas.failures import Foreseen, Undecodable

BLOCK_BYTES_MAX = 512_000
NOTHING_APPLIED = -1
BLOCK_DECODED_BYTES_MAX = 128_000_000
"""Largest block once it is unpacked; rows that would be more are cut into several."""
QUICK_BYTES_MAX = 256_000
"""Up to here rows are packed by LZ4: a tenth of the time that ZSTD takes for few of them, whose many short columns it has to
begin with one by one. Half of what a block may have, so that whatever LZ4 makes of them fits into one."""
STATE_FORMAT = 4
"""Grows when an older worker could not read what a newer one writes. 2: pages of slices say when each was last seen.
3: fences know what is missing for a week, intake's reach lies in pages, and its totals in pieces.
4: chunks of history name their columns."""
KINDS = (
    "marker", "reach", "slices", "fences", "gaps", "totals", "bucket", "history", "decided", "decided_share", "silence", "silent",
    "minutes", "held", "found", "finding", "hour", "day", "judged",
)  # fmt: skip
"""Words in block keys that say what a block holds."""
Model = TypeVar("Model", bound=BaseModel)
_OFFSET_BYTES = 8
_HEADER_BYTES = 1 + _OFFSET_BYTES


class NewerState(Foreseen):
    """State was written by a newer version; reading it would be a guess."""


class UnreadableState(Foreseen):
    """State is not what was written. It cannot be diverted as a record can: nobody else has it."""


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
    if len(value) < _HEADER_BYTES or value[0] == 0:
        raise unreadable_state()
    if value[0] > STATE_FORMAT:
        raise NewerState(
            f"The state in Kafka has format {value[0]} and this worker knows {STATE_FORMAT}: deploy the newer worker again."
        )
    return int.from_bytes(value[1:_HEADER_BYTES], "big") - 1


def state_format(value: bytes) -> int:
    """The format in which a stored block was written."""
    return value[0]


def body(value: bytes) -> bytes:
    return value[_HEADER_BYTES:]


def pack_rows(rows: pl.DataFrame) -> bytes:
    sink = pa.BufferOutputStream()
    table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    with pa.ipc.new_stream(sink, table.schema, options=LZ4 if table.nbytes <= QUICK_BYTES_MAX else ZSTD) as writer:
        writer.write_table(table)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def unpack_rows(packed: bytes, measures: Sequence[str]) -> pl.DataFrame:
    """The rows, with a zero for each measure that was declared after they were written."""
    try:
        table = read_table(packed, BLOCK_DECODED_BYTES_MAX)
    except Undecodable as error:
        raise unreadable_state(str(error)) from None
    if not all(map(_is_kept, table.schema.types)) or len(set(table.schema.names)) < table.num_columns:
        raise unreadable_state("It holds columns that no state has.")
    rows = pl.DataFrame(pl.from_arrow(table))
    return rows.with_columns(pl.lit(0, pl.Int64).alias(name) for name in measures if name not in rows.columns)


def chunks_below_limit(rows: pl.DataFrame) -> Iterator[bytes]:
    """`rows` packed in as few pieces as stay below the limit; at least one."""
    packed = pack_rows(rows)
    fits = len(packed) + _HEADER_BYTES < BLOCK_BYTES_MAX and rows.estimated_size() < BLOCK_DECODED_BYTES_MAX // 2
    if fits or len(rows) <= 1:
        yield packed
        return
    half = len(rows) // 2
    yield from chunks_below_limit(rows[:half])
    yield from chunks_below_limit(rows[half:])


def key_kind(key: bytes | None) -> str:
    """What the block of this key holds, in our own words only: a key that nobody of us wrote may hold anything.

    >>> key_kind(b"turns|marker"), key_kind(b"turn_latency|pool=realtime|page"), key_kind(b"x")
    ('marker', 'alert', 'unknown')
    """
    words = (key or b"").decode(errors="replace").split("|")
    if len(words) == 3 and words[2] in ("page", "ticket"):
        return "alert"
    return next((word for word in words if word in KINDS), "unknown")


def pack_json(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def unpack_json(packed: bytes) -> Any:
    try:
        return json.loads(packed)
    except (ValueError, RecursionError):
        raise unreadable_state("It holds no JSON.") from None


def unpack_model(packed: bytes, model: type[Model]) -> Model:
    """The model that a block holds as JSON. One with a state or a field that nobody here knows is of a newer version."""
    try:
        return model.model_validate_json(packed)
    except ValidationError as error:
        if any(each["type"] == "json_invalid" for each in error.errors(include_url=False, include_input=False)):
            raise unreadable_state("It holds no JSON.") from None
    raise NewerState(
        f"The state in Kafka has fields or words in {model.__name__} that this worker does not know: deploy the newer worker again, "
        "or restore the changelog topic if no newer one has run."
    )


def _is_kept(kind: pa.DataType) -> bool:
    """Whether state has columns of this type."""
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return text or any(is_of(kind) for is_of in (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean))


def unreadable_state(why: str = "") -> UnreadableState:
    """To be raised. `why` is a sentence, and repeats nothing of what was read."""
    sentence = (
        "The state in Kafka holds a block that cannot be read: restore its changelog topic, or delete it and let the "
        "worker begin anew."
    )
    return UnreadableState(f"{sentence} {why}".rstrip())
