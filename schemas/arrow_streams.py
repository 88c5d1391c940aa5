"""Arrow IPC streams are measured before they are opened.

A compressed stream of 900 KB can unpack to gigabytes, for its buffers may overlap, and Arrow allocates what the prefix
of a buffer claims before it has seen the buffer. So the stream's own metadata is read first, a few numbers for each
record batch: how many rows it says it has, and how many bytes its buffers say they become. Arrow refuses a buffer that
becomes anything else, so what was measured is what will be allocated.

The layout is Arrow's columnar format: messages of (marker, metadata size, metadata, body), the metadata a
flatbuffer (`Message.fbs`), compressed buffers led by their decompressed size. What Arrow would read beyond that is
refused here: streams from before version 0.15, dictionaries, and bytes behind the end of the stream, which nobody reads.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct, unpack_from
from typing import Any, Literal, NamedTuple, NoReturn

import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from schemas.failures import Undecodable

READ_OPTIONS = pa.ipc.IpcReadOptions(use_threads=False)
"""A stream is small: handing its columns to threads takes six times as long as reading them (55 against 340 us)."""
LZ4 = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
ZSTD = pa.ipc.IpcWriteOptions(compression="zstd", use_threads=False)
"""For writing them: to hand each column of a few rows to a thread takes four times as long as LZ4 takes for all of them."""

UNREADABLE = (pa.ArrowException, OSError, ValueError, TypeError, OverflowError, MemoryError, RecursionError)
"""What Arrow raises for bytes that are no stream, or no longer one."""

MESSAGE_DECODED_BYTES_MAX = 64_000_000
"""Largest record of our own topics after decompression: several times what stages put into one."""

Codec = Literal["none", "lz4", "zstd", "several"]

_PREFIX, _U32, _I32, _U16 = Struct("<ii"), Struct("<I"), Struct("<i"), Struct("<H")
_I64 = Struct("<q")
_MARKER = -1
_VERSION_5 = 4
_SCHEMA, _RECORD_BATCH = 1, 3
# Places of the fields in their flatbuffer tables.
_MESSAGE_VERSION, _MESSAGE_KIND, _MESSAGE_HEADER, _MESSAGE_BODY_BYTES, _MESSAGE_CUSTOM = range(5)
_BATCH_ROWS, _BATCH_BUFFERS, _BATCH_COMPRESSION = 0, 2, 3
_AS_IT_IS = -1
"""Prefix of a buffer that was not worth compressing."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a stream says it becomes. `schema_bytes` is the size of its schema's message, metadata included.

    Its record batches lie in [`begin`, `end`) of the payload; what is before them is the schema.
    """

    rows: int
    decoded_bytes: int
    batches: int
    schema_bytes: int
    codec: Codec
    begin: int
    end: int


class _Message(NamedTuple):
    """Which kind of message, where its table and its body lie, and where it ends."""

    kind: int
    header: int
    metadata_bytes: int
    body: int
    end: int


def measured(payload: bytes) -> Measured:
    """What the stream would unpack to, before anything is allocated; raises `Undecodable` where it is no stream."""
    try:
        return _measured(payload)
    except (struct.error, IndexError, OverflowError):
        raise Undecodable("The Arrow stream is cut off, or a part of it points out of it.") from None


def read_table(payload: bytes, decoded_bytes_max: int) -> pa.Table:
    """All rows of a stream that we wrote ourselves; raises `Undecodable` for any other bytes."""
    size_bytes = measured(payload).decoded_bytes
    if size_bytes > decoded_bytes_max:
        raise Undecodable(f"The Arrow stream unpacks to {size_bytes} bytes, above {decoded_bytes_max}.")
    return read_measured(payload, "The payload")


def holds_schema_alone(message: bytes, expected: pa.Schema) -> bool:
    """Whether these bytes are the one message that describes these columns, and nothing else."""
    try:
        schema = next(_messages(message), None)
        is_alone = schema is not None and schema.kind == _SCHEMA and schema.body == schema.end == len(message)
        return is_alone and pa.ipc.read_schema(pa.py_buffer(message)).equals(expected)
    except (Undecodable, struct.error, IndexError, *UNREADABLE):
        return False


def read_measured(payload: bytes, what: str) -> pa.Table:
    """All rows of a stream whose size was looked at; raises `Undecodable` that `what` is none."""
    try:
        with pa.ipc.open_stream(payload, options=READ_OPTIONS) as reader:
            table = reader.read_all()
        table.validate(full=True)
        return table
    except UNREADABLE:
        raise Undecodable(f"{what} is not a readable Arrow IPC stream.") from None


def _measured(payload: bytes) -> Measured:
    messages = _messages(payload)
    schema = next(messages, None)
    if schema is None or schema.kind != _SCHEMA:
        _refuse("does not begin with a schema")
    rows = decoded_bytes = batches = 0
    end = schema.end
    codec: Codec | None = None
    for message in messages:
        if message.kind != _RECORD_BATCH:
            _refuse("holds something other than record batches, such as a dictionary")
        more_rows, more_bytes, codec_of_batch = _batch(payload, message)
        rows, decoded_bytes, batches = rows + more_rows, decoded_bytes + more_bytes, batches + 1
        codec = codec_of_batch if codec in (None, codec_of_batch) else "several"
        end = message.end
    return Measured(rows, decoded_bytes, batches, schema.end - _PREFIX.size, codec or "none", schema.end, end)


def _messages(payload: bytes) -> Iterator[_Message]:
    """Every message up to the end of the stream, which is the end of the payload."""
    position = 0
    while position < len(payload):
        marker, metadata_bytes = _PREFIX.unpack_from(payload, position)
        metadata = position + _PREFIX.size
        if marker != _MARKER or metadata_bytes < 0 or metadata_bytes % 8:
            _refuse("is not made of messages as Arrow 0.15 and later write them")
        if metadata_bytes == 0 and metadata != len(payload):
            _refuse("goes on behind its end")
        if metadata_bytes == 0:
            return
        message = _message(payload, metadata, metadata_bytes)
        position = message.end
        if position > len(payload):
            _refuse("is cut off")
        yield message


def _message(payload: bytes, metadata: int, metadata_bytes: int) -> _Message:
    """The message whose metadata lies there."""
    table = _behind(payload, metadata)
    version = _field(payload, table, _MESSAGE_VERSION)
    # Only version 4 may say in custom metadata that buffers are compressed; nothing but Arrow 0.17 wrote that.
    is_plain = version and (payload[version] == _VERSION_5 or not _field(payload, table, _MESSAGE_CUSTOM))
    kind, header = _field(payload, table, _MESSAGE_KIND), _field(payload, table, _MESSAGE_HEADER)
    if not is_plain or not kind or not header:
        _refuse("holds a message of a kind that is not read here")
    size = _field(payload, table, _MESSAGE_BODY_BYTES)
    body_bytes = _I64.unpack_from(payload, size)[0] if size else 0
    if body_bytes < 0 or body_bytes % 8:
        _refuse("holds a message of an impossible size")
    body = metadata + metadata_bytes
    return _Message(payload[kind], _behind(payload, header), metadata_bytes, body, body + body_bytes)


def _batch(payload: bytes, message: _Message) -> tuple[int, int, Codec]:
    """Rows that a record batch says it has, bytes that it unpacks to at most, and how it is compressed."""
    length = _field(payload, message.header, _BATCH_ROWS)
    rows = _I64.unpack_from(payload, length)[0] if length else 0
    buffers = _field(payload, message.header, _BATCH_BUFFERS)
    places = _places(payload, buffers) if buffers else ()
    if rows < 0 or min(places, default=0) < 0:
        _refuse("counts below zero")
    sizes = [size for size in places[1::2] if size]
    compression = _field(payload, message.header, _BATCH_COMPRESSION)
    if not compression:
        return rows, sum(sizes), "none"
    starts = [message.body + offset for offset, size in zip(places[::2], places[1::2], strict=True) if size]
    claims = [_I64.unpack_from(payload, start)[0] for start in starts]
    if min(claims, default=0) < _AS_IT_IS:
        _refuse("has a buffer that unpacks to less than nothing")
    codec = _field(payload, _behind(payload, compression), 0)
    return rows, sum(map(max, claims, sizes)), "zstd" if codec and payload[codec] else "lz4"


def _places(payload: bytes, field: int) -> tuple[int, ...]:
    """Offset and size of each buffer, one after the other."""
    vector = _behind(payload, field)
    count = _U32.unpack_from(payload, vector)[0]
    if count * 16 > len(payload):
        _refuse("has more buffers than room for them")
    return unpack_from(f"<{2 * count}q", payload, vector + _U32.size)


def _behind(payload: bytes, position: int) -> int:
    """Where the flatbuffer offset at `position` points to."""
    offset: int = _U32.unpack_from(payload, position)[0]
    return position + offset


def _field(payload: bytes, table: int, number: int) -> int:
    """Where a field of a flatbuffer table lies; 0 where it is absent, and so has its default."""
    vtable = table - _I32.unpack_from(payload, table)[0]
    if vtable < 0:
        _refuse("points out of itself")
    place = 4 + 2 * number
    if place >= _U16.unpack_from(payload, vtable)[0]:
        return 0
    offset: int = _U16.unpack_from(payload, vtable + place)[0]
    return table + offset if offset else 0


def _refuse(what: str) -> NoReturn:
    raise Undecodable(f"The Arrow stream {what}.")


def columns_of(table: pa.Table, names: Collection[str]) -> dict[str, NDArray[Any]]:
    """Columns without nulls as arrays, by way of polars: `ChunkedArray.to_numpy` imports all of pandas where that is installed."""
    columns = pl.DataFrame(pl.from_arrow(table.select(list(names))))
    return {name: columns[name].to_numpy() for name in names}


def table_of(rows: Sequence[Mapping[str, object]], schema: pa.Schema) -> pa.Table:
    """Rows that are few and our own, as a table; by way of polars too, for `pyarrow.array` of a list imports pandas as well."""
    if not rows:
        return schema.empty_table()
    unsigned = {field.name: pl.UInt64() for field in schema if pa.types.is_uint64(field.type)}
    columns = pl.from_dicts(rows, schema_overrides=unsigned, infer_schema_length=None)
    return columns.select(schema.names).to_arrow().cast(schema)


def declared_columns(told: pa.Table, expected: pa.Schema, measures: Collection[str], what: str) -> pa.Table:
    """The declared columns in their order; a measure that another minor version has declared is dropped, or counts as zero.

    Raises `Undecodable` of `what` where a column stands twice, is missing, or is of another type.
    """
    names = told.column_names
    if len(set(names)) < len(names):
        raise Undecodable(f"The {what} names one column twice.")
    for field in expected:
        if field.name not in names and field.name in measures:
            told = told.append_column(field, pa.repeat(pa.scalar(0, field.type), told.num_rows))
        elif field.name not in names or told.schema.field(field.name).type != field.type:
            raise Undecodable(f"The {what} has no column {field.name}, or one of another type than {field.type}.")
    return told if told.schema.equals(expected) else told.select(expected.names).cast(expected)
