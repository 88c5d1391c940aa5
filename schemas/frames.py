"""Frames: the unit on the wire. One frame is one window of one privacy partition of one family from one producer.

The payload is an Arrow IPC stream (lz4), or NDJSON from producers that have no Arrow; everything else is in Kafka
headers, so that a frame can be fenced, counted and refused without opening it. Its identity is (producer, incarnation,
family, sequence), its Kafka key the producer. What is in a payload is read in `frame_rows.py`. `docs/contract.md` states all
of it in prose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from re import compile as pattern
from typing import Literal

import pyarrow as pa
import xxhash

from schemas.families import FAMILIES, Family, PrivacyPartition
from schemas.private_values import is_host_name
from schemas.rejections import Reason, Rejected
from schemas.rows import arrow_schema
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


def too_large(what: str) -> Rejected:
    """A frame beyond a bound; `what` ends the sentence that says which."""
    return Rejected(Reason.FRAME_TOO_LARGE, f"The frame {what}.")


def _malformed(name: str, wanted: str) -> Rejected:
    return Rejected(Reason.MALFORMED_HEADER, f"Header {name} has to be {wanted}.")
