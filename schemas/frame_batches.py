"""Frames read together: the record batches of many as one Arrow stream.

To open a stream costs as much as to read a hundred rows, and each time Arrow gives the interpreter away, which a busy
worker gets back milliseconds later. Frames of one family nearly always begin with the same bytes, their schema, so what
follows it can be put one behind the other and read at once. Where Arrow finds a contradiction in that, and for a frame that
is anything else, each is read by itself, and the one to blame is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

import pyarrow as pa

from schemas.arrow_streams import READ_OPTIONS, UNREADABLE
from schemas.frame_rows import decode_rows, measured_plain
from schemas.frames import FrameHeader
from schemas.rejections import Rejected
from schemas.rows import arrow_schema


class Frame(NamedTuple):
    """A frame whose headers were read."""

    header: FrameHeader
    headers: Mapping[str, bytes]
    payload: bytes


@dataclass(slots=True)
class DecodedFrames:
    """`tables`: all rows in the frames' order. `frames`: how many rows each frame has, or why it is refused. `columns_dropped`: columns
    of newer minor versions, by what they counted as."""

    tables: list[pa.Table] = field(default_factory=list)
    frames: list[int | Rejected] = field(default_factory=list)
    columns_dropped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Plain:
    """The parts of a payload that can be read together with others: `schema` as it is written, and the batches behind it."""

    schema: bytes
    batches: memoryview
    rows: int


def decode_many(frames: Sequence[Frame]) -> DecodedFrames:
    """What `decode_rows` makes of each of these frames of one family, with the rows of all in few tables."""
    decoded = DecodedFrames()
    for is_plain, alike in groupby(((frame, _plain(frame)) for frame in frames), key=_schema):
        together = list(alike)
        rows = _read_together(frames[0].header, [plain for _, plain in together if plain]) if is_plain else None
        if rows is not None:
            decoded.tables.append(rows)
            decoded.frames += [plain.rows for _, plain in together if plain]
        else:
            _read_singly((frame for frame, _ in together), decoded)
    return decoded


def _schema(each: tuple[Frame, _Plain | None]) -> bytes | None:
    return each[1].schema if each[1] else None


def _plain(frame: Frame) -> _Plain | None:
    stream = measured_plain(*frame)
    if stream is None:
        return None
    return _Plain(frame.payload[: stream.begin], memoryview(frame.payload)[stream.begin : stream.end], stream.rows)


def _read_together(header: FrameHeader, plain: Sequence[_Plain]) -> pa.Table | None:
    """All rows, once Arrow has found no contradiction in them; none where it has."""
    stream = b"".join([plain[0].schema, *(each.batches for each in plain)])
    try:
        with pa.ipc.open_stream(stream, options=READ_OPTIONS) as reader:
            read = reader.read_all()
        read.validate(full=True)
    except UNREADABLE:
        return None
    # What a schema may say beside its columns stays out, or tables would differ.
    rows = pa.Table.from_arrays(read.columns, schema=arrow_schema(header.family))
    return rows if rows.num_rows == sum(each.rows for each in plain) else None


def _read_singly(frames: Iterator[Frame], decoded: DecodedFrames) -> None:
    for frame in frames:
        read = decode_rows(*frame)
        if isinstance(read, Rejected):
            decoded.frames.append(read)
            continue
        rows, dropped = read
        decoded.tables.append(rows)
        decoded.frames.append(rows.num_rows)
        decoded.columns_dropped.update(reason.value for reason in dropped)
