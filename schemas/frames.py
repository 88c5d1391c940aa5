"""Frames: the unit on the wire. One frame is one window of one privacy partition of one family from one producer.

The payload is an Arrow IPC stream (lz4), or NDJSON from producers that have no Arrow; everything else is in Kafka
headers, so that a frame can be fenced, counted and refused without opening it. Its identity is (producer, incarnation,
family, sequence), its Kafka key the producer. `docs/contract.md` states this page in prose.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from re import compile as pattern
from typing import Any, Literal

import pyarrow as pa
import xxhash
from pydantic import ValidationError

from schemas.arrow_streams import READ_OPTIONS, UNREADABLE, Measured, holds_schema_alone, measured
from schemas.content_fields import is_content_field
from schemas.failures import Undecodable
from schemas.families import FAMILIES, Family, PrivacyPartition
from schemas.private_values import is_host_name
from schemas.rejections import Reason, Rejected
from schemas.rows import arrow_schema, row_adapter
from schemas.upgrades import UPGRADES

SCHEMA_MAJOR, SCHEMA_MINOR = 1, 2
FRAME_BYTES_MAX = 900_000
"""Largest payload; Kafka's default message limit leaves room for headers above it."""
FRAME_ROWS_MAX = 20_000
FRAME_DECODED_BYTES_MAX = 16_000_000
"""Largest payload after decompression: a small frame must not be able to fill a worker's memory."""
FRAME_BATCHES_MAX = 200
"""Record batches in a frame: opening one costs as much as reading hundreds of rows."""
FRAME_SCHEMA_BYTES_MAX = 64_000
"""Largest description of a frame's columns: room for hundreds of them, and none for a cargo of metadata."""
NDJSON_LINE_BYTES_MAX = 16_384
"""Longest line: several times the longest row, and short enough that all that is wrong in one fits in memory."""

ContentType = Literal["application/vnd.apache.arrow.stream", "application/x-ndjson"]
_LZ4 = pa.Codec("lz4", compression_level=9)
"""A tenth smaller than at the level that is the default, and read as fast; a frame is written once."""

ARROW: ContentType = "application/vnd.apache.arrow.stream"
NDJSON: ContentType = "application/x-ndjson"

# To be matched in full: `$` would let a line break pass behind the value.
_PRODUCER = pattern(r"[a-z0-9][a-z0-9._-]{0,62}")
_NUMBER = pattern(r"[0-9]{1,18}")
_VERSION = pattern(r"([0-9]{1,4})\.([0-9]{1,4})")

_HEADERS = (
    "tw-schema",
    "tw-content-type",
    "tw-producer",
    "tw-incarnation",
    "tw-family",
    "tw-sequence",
    "tw-privacy-partition",
    "tw-window-start-ms",
    "tw-k-window-s",
    "tw-checksum",
)


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """What is known of a frame before it is opened.

    `incarnation` grows with every start of the producer (its start in ms since the epoch serves); `sequence` counts
    from 0 per (producer, incarnation, family). `window_start_ms` is a multiple of the k-window.
    """

    family: Family
    partition: PrivacyPartition
    producer: str
    incarnation: int
    sequence: int
    window_start_ms: int
    content_type: ContentType = ARROW
    minor: int = SCHEMA_MINOR
    major: int = SCHEMA_MAJOR

    @property
    def window_end_ms(self) -> int:
        return self.window_start_ms + self.partition.k_window_s * 1_000


def encode(header: FrameHeader, rows: pa.Table) -> tuple[list[tuple[str, bytes]], bytes]:
    """Kafka headers and payload of a frame whose rows have the family's Arrow schema."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=_LZ4, use_threads=False)
    with pa.ipc.new_stream(sink, arrow_schema(header.family), options=options) as writer:
        writer.write_table(rows)
    payload = sink.getvalue().to_pybytes()
    return headers_of(header, payload), payload


def headers_of(header: FrameHeader, payload: bytes) -> list[tuple[str, bytes]]:
    values = (
        f"{header.major}.{header.minor}",
        header.content_type,
        header.producer,
        header.incarnation,
        header.family.name,
        header.sequence,
        header.partition.name,
        header.window_start_ms,
        header.partition.k_window_s,
        checksum(payload),
    )
    return [(name, str(value).encode()) for name, value in zip(_HEADERS, values, strict=True)]


def checksum(payload: bytes) -> str:
    """The xxh3 64-bit hash of the payload, 16 hexadecimal digits."""
    return xxhash.xxh3_64_hexdigest(payload)


def decode_header(
    topic_family: str, headers: Sequence[tuple[str, bytes]] | Mapping[str, bytes]
) -> FrameHeader | Rejected:
    """Reads the headers of a frame that arrived on the topic of `topic_family`."""
    raw = dict(headers)
    missing = next((name for name in _HEADERS if name not in raw), None)
    if missing:
        return Rejected(
            Reason.MISSING_HEADER,
            f"The frame has no header {missing}; producers have to send all of {', '.join(_HEADERS)}.",
        )
    try:
        text = {name: raw[name].decode("ascii") for name in _HEADERS}
    except (UnicodeDecodeError, AttributeError):
        return Rejected(Reason.MALFORMED_HEADER, "A header of the frame is not ASCII text.")
    version = _VERSION.fullmatch(text["tw-schema"])
    if version is None:
        return _malformed("tw-schema", "major.minor")
    if int(version[1]) not in (SCHEMA_MAJOR, *UPGRADES):
        return Rejected(
            Reason.UNSUPPORTED_VERSION,
            f"The frame's schema major version is not {SCHEMA_MAJOR}; deploy a worker of that version, then redrive.",
        )
    for name in ("tw-incarnation", "tw-sequence", "tw-window-start-ms", "tw-k-window-s"):
        if not _NUMBER.fullmatch(text[name]):
            return _malformed(name, "a non-negative integer below 10^18")
    if not _PRODUCER.fullmatch(text["tw-producer"]):
        return _malformed("tw-producer", "lower-case letters, digits, '.', '_' and '-', 63 at most")
    if not is_host_name(text["tw-producer"]):
        return _malformed("tw-producer", "the name of a host, which no telephone number, key or identifier is")
    return _header(topic_family, text, int(version[1]), int(version[2]))


def decode_rows(header: FrameHeader, headers: Mapping[str, bytes], payload: bytes) -> tuple[pa.Table, int] | Rejected:
    """The rows of a frame in the family's schema, and how many unknown columns of a newer minor version were dropped.

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
    if not is_plain or _later_measures(header.family, header.minor) or _not_as_sent(headers, payload):
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


def _header(topic_family: str, text: Mapping[str, str], major: int, minor: int) -> FrameHeader | Rejected:
    family = FAMILIES.get(text["tw-family"])
    if family is None or family.name != topic_family:
        return Rejected(
            Reason.UNKNOWN_FAMILY, f"Header tw-family does not name the family of this topic, {topic_family}."
        )
    partition = next((known for known in family.partitions if known.name == text["tw-privacy-partition"]), None)
    if partition is None:
        return Rejected(
            Reason.UNKNOWN_PRIVACY_PARTITION, f"Header tw-privacy-partition names none of family {family.name}."
        )
    window_start_ms, k_window_s = int(text["tw-window-start-ms"]), int(text["tw-k-window-s"])
    if k_window_s != partition.k_window_s or window_start_ms % (k_window_s * 1_000):
        return Rejected(
            Reason.WINDOW_MISALIGNED,
            f"Partition {partition.name} has windows of {partition.k_window_s} s that start at multiples of it; the frame's does not.",
        )
    if text["tw-content-type"] not in (ARROW, NDJSON):
        return Rejected(Reason.UNKNOWN_CONTENT_TYPE, f"Header tw-content-type is neither {ARROW} nor {NDJSON}.")
    content_type = ARROW if text["tw-content-type"] == ARROW else NDJSON
    return FrameHeader(
        family,
        partition,
        text["tw-producer"],
        int(text["tw-incarnation"]),
        int(text["tw-sequence"]),
        window_start_ms,
        content_type,
        minor,
        major,
    )


def _read_arrow(header: FrameHeader, payload: bytes) -> tuple[pa.Table, int] | Rejected:
    expected = arrow_schema(header.family)
    try:
        refused = _above_bounds(measured(payload))
        if refused:
            return refused
        with pa.ipc.open_stream(payload, options=READ_OPTIONS) as reader:
            if reader.schema.equals(expected) and not _later_measures(header.family, header.minor):
                return _sound(reader, expected), 0
            sent = reader.schema
        refused = _schema_difference(header, sent, expected)
        return refused or _read_declared(header, payload, sent, expected)
    except Undecodable as error:
        return Rejected(Reason.MALFORMED_PAYLOAD, str(error))
    except UNREADABLE:
        return Rejected(Reason.MALFORMED_PAYLOAD, "The payload is not a readable Arrow IPC stream.")


def _reader(header: FrameHeader) -> Callable[[FrameHeader, bytes], tuple[pa.Table, int] | Rejected]:
    if header.major != SCHEMA_MAJOR:
        return _read_former
    return _read_arrow if header.content_type == ARROW else _read_ndjson


def _read_former(header: FrameHeader, payload: bytes) -> tuple[pa.Table, int] | Rejected:
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
        return _schema_difference(upgraded, rows.schema, expected) or (rows.select(expected.names).cast(expected), 0)
    except Undecodable as error:
        return Rejected(Reason.MALFORMED_PAYLOAD, str(error))
    except (KeyError, *UNREADABLE):  # An upgrade looks for columns that a broken frame has not got.
        return Rejected(Reason.MALFORMED_PAYLOAD, "The payload is not a readable Arrow IPC stream.")


def _above_bounds(stream: Measured) -> Rejected | None:
    """Nothing has been unpacked yet: what a frame would become is judged by what it says of itself."""
    if stream.codec not in ("none", "lz4"):
        return Rejected(Reason.MALFORMED_PAYLOAD, "The frame is compressed by something other than lz4.")
    if stream.decoded_bytes > FRAME_DECODED_BYTES_MAX:
        return _too_large(f"decompresses to more than {FRAME_DECODED_BYTES_MAX} bytes; split it into several frames")
    if stream.rows > FRAME_ROWS_MAX:
        return _too_large(f"has {stream.rows} rows, above {FRAME_ROWS_MAX}; split it into several frames")
    if stream.batches > FRAME_BATCHES_MAX:
        return _too_large(f"has {stream.batches} record batches, above {FRAME_BATCHES_MAX}; write larger ones")
    if stream.schema_bytes > FRAME_SCHEMA_BYTES_MAX:
        return _too_large(f"describes its columns in more than {FRAME_SCHEMA_BYTES_MAX} bytes; leave metadata out")
    return None


def _read_declared(header: FrameHeader, payload: bytes, sent: pa.Schema, expected: pa.Schema) -> tuple[pa.Table, int]:
    """The declared columns of a frame that has others, or has them in another order; what is unknown is not unpacked."""
    declared = set(expected.names)
    places = [place for place, name in enumerate(sent.names) if name in declared]
    options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=places)
    with pa.ipc.open_stream(payload, options=options) as reader:
        rows = _sound(reader, pa.schema([sent.field(place) for place in places]))
    return _with_later_measures(header, rows).select(expected.names).cast(expected), len(sent) - len(places)


def _sound(reader: pa.RecordBatchStreamReader, schema: pa.Schema) -> pa.Table:
    """All rows, once Arrow has found no contradiction in them."""
    batches = list(reader)
    for batch in batches:
        batch.validate(full=True)
    return pa.Table.from_batches(batches, schema)


def _schema_difference(header: FrameHeader, schema: pa.Schema, expected: pa.Schema) -> Rejected | None:
    if len(set(schema.names)) != len(schema.names):
        return Rejected(Reason.MALFORMED_PAYLOAD, "The frame names one column twice.")
    if any(map(is_content_field, set(schema.names) - set(expected.names))):
        return _CONTENT
    later = _later_measures(header.family, header.minor)
    for field in expected:
        if field.name not in schema.names and field.name in later:
            continue
        if field.name not in schema.names:
            return Rejected(Reason.MISSING_COLUMN, f"Column {field.name} of family {header.family.name} is missing.")
        if schema.field(field.name).type != field.type:
            return Rejected(Reason.WRONG_TYPE, f"Column {field.name} has to be {field.type}.")
    unknown = len(set(schema.names) - (set(expected.names) - later))
    if unknown and header.minor <= SCHEMA_MINOR:
        return Rejected(
            Reason.UNKNOWN_COLUMN,
            f"The frame has {unknown} columns that version {SCHEMA_MAJOR}.{header.minor} of {header.family.name} does not declare.",
        )
    return None


@cache
def _later_measures(family: Family, minor: int) -> frozenset[str]:
    """Measures that were declared after that version; a frame of it does not know them."""
    return frozenset(measure.name for measure in family.measures if measure.since_minor > minor)


def _with_later_measures(header: FrameHeader, table: pa.Table) -> pa.Table:
    for name in sorted(_later_measures(header.family, header.minor) - set(table.column_names)):
        table = table.append_column(name, pa.repeat(pa.scalar(0, pa.int64()), table.num_rows))
    return table


def _read_ndjson(header: FrameHeader, payload: bytes) -> tuple[pa.Table, int] | Rejected:
    lines = [line for each in payload.split(b"\n") if (line := each.strip(b" \t\r"))]
    refused = _not_lines(lines)
    if refused:
        return refused
    is_newer = header.minor > SCHEMA_MINOR
    adapter = row_adapter(header.family, header.partition, min(header.minor, SCHEMA_MINOR), accepts_unknown=is_newer)
    expected = arrow_schema(header.family)
    later = _later_measures(header.family, header.minor)
    declared = pa.schema([field for field in expected if field.name not in later])
    try:
        # No string can hold a line break, so none can go on from one line to the next.
        rows = adapter.validate_json(b"[" + b",\n".join(lines) + b"]")
        fields = len(header.partition.dimensions) + len(declared) - len(header.family.dimensions)
        is_plain = not is_newer and len(rows) == len(lines) and payload.count(b":") == len(rows) * fields
        unknown = set() if is_plain else _names(lines) - set(expected.names)
        if any(map(is_content_field, unknown)):
            return _CONTENT
        table = pa.Table.from_pylist(rows, schema=declared)
        return _with_later_measures(header, table).select(expected.names).cast(expected), len(unknown)
    except ValidationError as error:
        return _content_among(lines, expected) or _json_rejection(header, error)
    except (Undecodable, json.JSONDecodeError):
        return _NOT_NDJSON
    except UNREADABLE:
        return Rejected(Reason.WRONG_TYPE, "A line of the frame holds a number that its column cannot.")


_NOT_NDJSON = Rejected(
    Reason.MALFORMED_PAYLOAD, "The payload is not NDJSON: one JSON object per line, which names each field once."
)


_CONTENT = Rejected(
    Reason.CONTENT_FIELD,
    "The frame has a field that holds content (what was said, written or looked up); keep its producer from sending any.",
)


def _content_among(lines: list[bytes], expected: pa.Schema) -> Rejected | None:
    """Looked for where a frame is refused anyway, so that content is counted as such."""
    try:
        return _CONTENT if any(map(is_content_field, _names(lines) - set(expected.names))) else None
    except (Undecodable, ValueError, RecursionError):
        return None


def _not_lines(lines: list[bytes]) -> Rejected | None:
    if len(lines) > FRAME_ROWS_MAX:
        return _too_large(f"has {len(lines)} lines, above {FRAME_ROWS_MAX}; split it into several frames")
    if max(map(len, lines), default=0) > NDJSON_LINE_BYTES_MAX:
        return _too_large(f"has a line of more than {NDJSON_LINE_BYTES_MAX} bytes, which no row takes")
    if not all(line[:1] == b"{" and line[-1:] == b"}" for line in lines):
        return _NOT_NDJSON
    return None


def _names(lines: list[bytes]) -> set[str]:
    """The fields that lines name, looked at one by one: raises `Undecodable` where one is named twice.

    Only where there may be something wrong, or unknown. Otherwise each row has a colon for each of its fields, and no more.
    """
    return set().union(*(json.loads(line, object_pairs_hook=_named_once) for line in lines))


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(pairs)
    if len(named) < len(pairs):
        raise Undecodable("A line names one field twice.")
    return named


_JSON_REASONS = {
    "extra_forbidden": Reason.UNKNOWN_COLUMN,
    "missing": Reason.MISSING_COLUMN,
    "json_invalid": Reason.MALFORMED_PAYLOAD,
}


def _json_rejection(header: FrameHeader, error: ValidationError) -> Rejected:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    reason = _JSON_REASONS.get(first["type"], Reason.WRONG_TYPE)
    line = int(first["loc"][0]) + 1 if first["loc"] else 0
    declared = {*header.partition.dimensions, *header.family.key_names, *header.family.measure_names}
    field = first["loc"][1] if len(first["loc"]) > 1 and first["loc"][1] in declared else "a field"
    if reason is Reason.MALFORMED_PAYLOAD:
        return _NOT_NDJSON
    return Rejected(
        reason,
        f"Line {line}: {field} is {'not declared' if reason is Reason.UNKNOWN_COLUMN else 'missing or of a wrong type'}.",
    )


def _too_large(what: str) -> Rejected:
    return Rejected(Reason.FRAME_TOO_LARGE, f"The frame {what}.")


def _malformed(name: str, wanted: str) -> Rejected:
    return Rejected(Reason.MALFORMED_HEADER, f"Header {name} has to be {wanted}.")
