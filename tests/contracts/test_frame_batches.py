"""Frames read together say the same as frames read one by one, whatever lies among them."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.families import OPERATIONAL, TURNS
from schemas.frame_batches import Frame, decode_many
from schemas.frame_rows import decode_rows, measured_plain
from schemas.frames import FRAME_SCHEMA_BYTES_MAX, NDJSON, SCHEMA_MINOR, FrameHeader, encode, headers_of
from schemas.rejections import Reason, Rejected
from schemas.rows import arrow_schema

HEADER = FrameHeader(TURNS, OPERATIONAL, "p", 1, 0, 0)
END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


def rows(count: int, first: int) -> pa.Table:
    known: dict[str, Any] = {name: [None] * count for name in TURNS.dimensions}
    known |= {name: [text] * count for name, text in zip(OPERATIONAL.dimensions, "abcd", strict=True)}
    known |= {name: list(range(first, first + count)) for name in TURNS.measure_names}
    return pa.table(known, schema=arrow_schema(TURNS))


def written(table: pa.Table, options: pa.ipc.IpcWriteOptions | None = None, batch_rows: int | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=batch_rows)
    payload: bytes = sink.getvalue().to_pybytes()
    return payload


def framed(payload: bytes, header: FrameHeader = HEADER) -> Frame:
    return Frame(header, dict(headers_of(header, payload)), payload)


def sound(table: pa.Table) -> Frame:
    headers, payload = encode(HEADER, table)
    return Frame(HEADER, dict(headers), payload)


def with_other_checksum(table: pa.Table) -> Frame:
    frame = sound(table)
    return frame._replace(headers={**frame.headers, "tw-checksum": b"0" * 16})


def with_broken_text(table: pa.Table) -> Frame:
    """A frame that only Arrow's own look at its values finds wrong."""
    region = table.column_names.index(OPERATIONAL.dimensions[0])
    unlikely = table.set_column(region, OPERATIONAL.dimensions[0], pa.array(["QQQQQQQQ"] * table.num_rows))
    return framed(written(unlikely).replace(b"QQQQQQQQ", b"\xff" * 8))


def as_ndjson(table: pa.Table) -> Frame:
    kept = [*OPERATIONAL.dimensions, *TURNS.measure_names]
    lines = [json.dumps({name: row[name] for name in kept}) for row in table.to_pylist()]
    return framed("\n".join(lines).encode(), replace(HEADER, content_type=NDJSON))


WAYS = {
    "sound": sound,
    "uncompressed": lambda table: framed(written(table)),
    "in batches": lambda table: framed(written(table, batch_rows=1)),
    "without an end": lambda table: framed(written(table).removesuffix(END_OF_STREAM)),
    "with metadata": lambda table: framed(written(table.replace_schema_metadata({"by": "somebody"}))),
    "cut off": lambda table: framed(written(table)[:-40]),
    "another order": lambda table: framed(written(table.select(table.column_names[::-1]))),
    "a column too many": lambda table: framed(written(table.append_column("more", pa.array([1] * table.num_rows)))),
    "of a newer minor": lambda table: framed(
        written(table.append_column("more", pa.array([1] * table.num_rows))), replace(HEADER, minor=SCHEMA_MINOR + 1)
    ),
    "no rows": lambda table: framed(written(table.slice(0, 0))),
    "no payload": lambda table: framed(b""),
    "another checksum": with_other_checksum,
    "broken text": with_broken_text,
    "ndjson": as_ndjson,
}


def singly(frames: Sequence[Frame]) -> tuple[list[pa.Table], list[int | Rejected], Counter[str]]:
    tables: list[pa.Table] = []
    told: list[int | Rejected] = []
    dropped: Counter[str] = Counter()
    for frame in frames:
        read = decode_rows(*frame)
        if isinstance(read, Rejected):
            told.append(read)
        else:
            tables.append(read[0])
            told.append(read[0].num_rows)
            dropped.update(reason.value for reason in read[1])
    return tables, told, dropped


def assert_same(frames: Sequence[Frame]) -> None:
    tables, told, dropped = singly(frames)
    decoded = decode_many(frames)
    assert (decoded.frames, decoded.columns_dropped) == (told, dropped)
    together = pa.concat_tables(decoded.tables) if decoded.tables else None
    assert (together is None) == (not tables)
    if together is not None:
        assert together.equals(pa.concat_tables(tables))


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(sorted(WAYS)), st.integers(1, 5), st.integers(0, 9)), max_size=8))
def test_frames_read_together_say_what_each_says_alone(drawn: list[tuple[str, int, int]]) -> None:
    assert_same([WAYS[way](rows(count, first)) for way, count, first in drawn])


def test_sound_frames_become_one_table() -> None:
    frames = [WAYS[way](rows(3, first)) for way, first in (("sound", 0), ("sound", 5), ("in batches", 9))]
    assert len(decode_many(frames).tables) == 1
    assert decode_many(frames).frames == [3, 3, 3]


@pytest.mark.parametrize("place", range(3))
def test_one_that_arrow_finds_broken_is_refused_alone(place: int) -> None:
    frames = [with_broken_text(rows(3, 1)) if at == place else WAYS["uncompressed"](rows(3, at)) for at in range(3)]
    decoded = decode_many(frames)
    assert [isinstance(each, Rejected) for each in decoded.frames] == [at == place for at in range(3)]
    assert_same(frames)


def test_bytes_that_look_like_the_end_of_a_stream_stay_rows() -> None:
    """The last column's last eight bytes are those of an end, and the stream has none."""
    last = TURNS.measure_names[-1]
    table = rows(8, 1).set_column(len(arrow_schema(TURNS)) - 1, last, pa.array([1] * 7 + [0xFFFFFFFF], pa.int64()))
    payload = written(table).removesuffix(END_OF_STREAM)
    assert payload.endswith(END_OF_STREAM)
    assert_same([framed(payload), framed(payload), sound(rows(2, 1))])
    assert decode_many([framed(payload)]).frames == [8]


def test_a_schema_with_a_cargo_behind_it_is_too_large_to_be_remembered() -> None:
    """Schemas that were looked at are kept, so what a message carries beside its description counts as a part of it."""
    payload = with_cargo(written(rows(1, 0)), b"x" * FRAME_SCHEMA_BYTES_MAX)
    frame = framed(payload)
    assert measured_plain(*frame) is None
    refused = decode_rows(*frame)
    assert isinstance(refused, Rejected) and refused.reason is Reason.FRAME_TOO_LARGE


def with_cargo(payload: bytes, cargo: bytes) -> bytes:
    """The stream, its schema's message (version 5) behind a table of ours that says it has a body."""
    size = struct.unpack_from("<i", payload, 4)[0]
    metadata, batches = payload[8 : 8 + size], payload[8 + size :]
    root = struct.unpack_from("<I", metadata)[0]
    fields = root - struct.unpack_from("<i", metadata, root)[0]
    header = root + struct.unpack_from("<H", metadata, fields + 4 + 2 * 2)[0]
    header += struct.unpack_from("<I", metadata, header)[0]
    where = struct.pack("<6H", 12, 24, 20, 18, 4, 8)  # Of version, kind, header and size of the body.
    to_header = 4 + 12 + 24 + header - (4 + 12 + 4)
    table = struct.pack("<iIqHBBHH", 12, to_header, len(cargo), 0, 1, 0, 4, 0)
    ours = struct.pack("<I", 4 + len(where)) + where + table + metadata
    return struct.pack("<ii", -1, len(ours)) + ours + cargo + batches
