"""Rows of frames: a payload that came as it was sent, opened within bounds, as a table in the family's schema.

What a stream of Arrow would become is judged before it is unpacked (`arrow_streams.py`). NDJSON is read in
`frame_ndjson.py`, frames of a former major version by way of `upgrades.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import pyarrow as pa

from schemas.arrow_streams import READ_OPTIONS, UNREADABLE, Measured, holds_schema_alone, measured
from schemas.failures import Undecodable
from schemas.families import Family
from schemas.frame_columns import (
    CONTENT_REFUSED,
    MODEL_DATA_REFUSED,
    dropped_columns,
    later_measures,
    schema_difference,
    text_difference,
    with_later_measures,
)
from schemas.frame_ndjson import read_ndjson
from schemas.frames import (
    ARROW,
    FRAME_BATCHES_MAX,
    FRAME_BYTES_MAX,
    FRAME_DECODED_BYTES_MAX,
    FRAME_ROWS_MAX,
    FRAME_SCHEMA_BYTES_MAX,
    SCHEMA_MAJOR,
    SCHEMA_MINOR,
    FrameHeader,
    checksum,
    too_large,
)
from schemas.refusals import Refusal
from schemas.rejections import Reason, Rejected
from schemas.rows import arrow_schema
from schemas.undeclared_columns import may_hold_text, texts_in, viewed_bytes
from schemas.upgrades import UPGRADES

Dropped = tuple[Refusal, ...]
"""As what each column counts that was dropped."""


def decode_rows(
    header: FrameHeader, headers: Mapping[str, bytes], payload: bytes
) -> tuple[pa.Table, Dropped] | Rejected:
    """The rows of a frame in the family's schema, and as what each unknown column of a newer minor version was dropped.

    Values are not checked here but for many frames at once (`rows.violations`).
    """
    refused = _not_as_sent(headers, payload)
    if refused:
        return refused
    read = _reader(header)(header, payload)
    if isinstance(read, Rejected):
        return read
    table, dropped = read
    if table.num_rows == 0:
        return Rejected(
            Reason.EMPTY_FRAME, "The frame has no rows; a producer with nothing to report sends a heartbeat only."
        )
    return table, dropped


def measured_plain(header: FrameHeader, headers: Mapping[str, bytes], payload: bytes) -> Measured | None:
    """What a frame measures that is Arrow with the declared columns and within all bounds; none where it is anything else.

    The rows of such frames can be read together (`frame_batches.py`).
    """
    is_plain = header.major == SCHEMA_MAJOR and header.content_type == ARROW
    if not is_plain or later_measures(header.family, header.minor) or _not_as_sent(headers, payload):
        return None
    try:
        stream = measured(payload)
    except Undecodable:
        return None
    if not stream.rows or _above_bounds(stream):
        return None
    return stream if _is_declared(header.family, payload[: stream.begin]) else None


@lru_cache(maxsize=256)
def _is_declared(family: Family, schema: bytes) -> bool:
    """Whether a stream that begins with this message has the declared columns; producers of one version begin alike."""
    return holds_schema_alone(schema, arrow_schema(family))


def _not_as_sent(headers: Mapping[str, bytes], payload: bytes) -> Rejected | None:
    if not payload:
        return Rejected(
            Reason.EMPTY_FRAME, "The frame has no payload; a producer with nothing to report sends a heartbeat only."
        )
    if len(payload) > FRAME_BYTES_MAX:
        return Rejected(
            Reason.FRAME_TOO_LARGE,
            f"The payload has {len(payload)} bytes, above {FRAME_BYTES_MAX}; split it into several frames.",
        )
    if checksum(payload).encode() != headers["tw-checksum"]:
        return Rejected(
            Reason.CHECKSUM_MISMATCH,
            "The payload's xxh3 checksum differs from header tw-checksum: it was changed on its way.",
        )
    return None


def _reader(header: FrameHeader) -> Callable[[FrameHeader, bytes], tuple[pa.Table, Dropped] | Rejected]:
    if header.major != SCHEMA_MAJOR:
        return _read_former
    return _read_arrow if header.content_type == ARROW else read_ndjson


def _read_arrow(header: FrameHeader, payload: bytes) -> tuple[pa.Table, Dropped] | Rejected:
    expected = arrow_schema(header.family)
    try:
        refused = _above_bounds(measured(payload))
        if refused:
            return refused
        with pa.ipc.open_stream(payload, options=READ_OPTIONS) as reader:
            if reader.schema.equals(expected) and not later_measures(header.family, header.minor):
                return _sound(reader, expected), ()
            sent = reader.schema
        refused = schema_difference(header, sent, expected)
        texts = {} if _is_about_privacy(refused) else _undeclared_texts(payload, sent, expected)
        if refused or header.minor <= SCHEMA_MINOR:
            refused = text_difference(texts) or refused
        if refused:
            return refused
        unknown = [name for name in sent.names if name not in expected.names]
        return _read_declared(header, payload, sent, expected), dropped_columns(unknown, texts)
    except Undecodable as error:
        return Rejected(Reason.MALFORMED_PAYLOAD, str(error))
    except UNREADABLE:
        return Rejected(Reason.MALFORMED_PAYLOAD, "The payload is not a readable Arrow IPC stream.")


def _read_former(header: FrameHeader, payload: bytes) -> tuple[pa.Table, Dropped] | Rejected:
    """The rows of a frame of a former major version, as what they are in this one; nothing of them is dropped."""
    if header.content_type != ARROW:
        return Rejected(
            Reason.UNSUPPORTED_VERSION,
            f"NDJSON of major version {header.major} is not taken in any more: update the producer, or send Arrow.",
        )
    try:
        refused = _above_bounds(measured(payload))
        if refused:
            return refused
        with pa.ipc.open_stream(payload, options=READ_OPTIONS) as reader:
            sent = _sound(reader, reader.schema)
        expected, rows = arrow_schema(header.family), UPGRADES[header.major](header.family.name, sent)
        upgraded = replace(header, major=SCHEMA_MAJOR, minor=SCHEMA_MINOR)
        refused = schema_difference(upgraded, rows.schema, expected)
        if not _is_about_privacy(refused):
            undeclared = set(rows.column_names) - set(expected.names)
            _refuse_large_texts([rows[name] for name in undeclared])
            refused = text_difference({name: texts_in(rows[name]) for name in undeclared}) or refused
        return refused or (rows.select(expected.names).cast(expected), ())
    except Undecodable as error:
        return Rejected(Reason.MALFORMED_PAYLOAD, str(error))
    except (KeyError, *UNREADABLE):  # An upgrade looks for columns that a broken frame has not got.
        return Rejected(Reason.MALFORMED_PAYLOAD, "The payload is not a readable Arrow IPC stream.")


def _is_about_privacy(refused: Rejected | None) -> bool:
    """Whether there is nothing to look for: a frame is refused for what is private first, and once."""
    return refused in (CONTENT_REFUSED, MODEL_DATA_REFUSED)


def _undeclared_texts(payload: bytes, sent: pa.Schema, expected: pa.Schema) -> dict[str, set[str]]:
    """What stands in the columns of a frame that nobody declared, so that what is private is counted as such. Mostly those are numbers
    of a newer version, which are not unpacked: nothing is looked for in them."""
    places = [
        place for place, field in enumerate(sent) if field.name not in expected.names and may_hold_text(field.type)
    ]
    if not places:
        return {}
    options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=places)
    with pa.ipc.open_stream(payload, options=options) as reader:
        laden = _sound(reader, pa.schema([sent.field(place) for place in places]))
    _refuse_large_texts(laden.columns)
    found: dict[str, set[str]] = {}
    for name, column in zip(laden.column_names, laden.columns, strict=True):  # A broken frame may name one twice.
        found.setdefault(name, set()).update(texts_in(column))
    return found


def _refuse_large_texts(columns: Sequence[pa.ChunkedArray]) -> None:
    if viewed_bytes(columns) > FRAME_DECODED_BYTES_MAX:
        raise Undecodable(
            f"Texts of the frame that share their bytes become more than {FRAME_DECODED_BYTES_MAX} bytes."
        )


def _above_bounds(stream: Measured) -> Rejected | None:
    """Nothing has been unpacked yet: what a frame would become is judged by what it says of itself."""
    if stream.codec not in ("none", "lz4"):
        return Rejected(Reason.MALFORMED_PAYLOAD, "The frame is compressed by something other than lz4.")
    if stream.decoded_bytes > FRAME_DECODED_BYTES_MAX:
        return too_large(f"decompresses to more than {FRAME_DECODED_BYTES_MAX} bytes; split it into several frames")
    if stream.rows > FRAME_ROWS_MAX:
        return too_large(f"has {stream.rows} rows, above {FRAME_ROWS_MAX}; split it into several frames")
    if stream.batches > FRAME_BATCHES_MAX:
        return too_large(f"has {stream.batches} record batches, above {FRAME_BATCHES_MAX}; write larger ones")
    if stream.schema_bytes > FRAME_SCHEMA_BYTES_MAX:
        return too_large(f"describes its columns in more than {FRAME_SCHEMA_BYTES_MAX} bytes; leave metadata out")
    return None


def _read_declared(header: FrameHeader, payload: bytes, sent: pa.Schema, expected: pa.Schema) -> pa.Table:
    """The declared columns of a frame that has others, or has them in another order; what is unknown is not unpacked."""
    declared = set(expected.names)
    places = [place for place, name in enumerate(sent.names) if name in declared]
    options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=places)
    with pa.ipc.open_stream(payload, options=options) as reader:
        rows = _sound(reader, pa.schema([sent.field(place) for place in places]))
    return with_later_measures(header, rows).select(expected.names).cast(expected)


def _sound(reader: pa.RecordBatchStreamReader, schema: pa.Schema) -> pa.Table:
    """All rows, once Arrow has found no contradiction in them."""
    batches = list(reader)
    for batch in batches:
        batch.validate(full=True)
    return pa.Table.from_batches(batches, schema)
