"""Opening records: from bytes to rows, the finest cells, and what is wrong with them.

Nothing here looks at state, so a worker does it in a thread beside its event loop; `Intake` then judges what was opened
by fence and lateness. Frames of one privacy partition are joined, because polars is fast on many rows and slow on many
tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from schemas.families import Family, PrivacyPartition
from schemas.frame_batches import Frame, decode_many
from schemas.frames import FrameHeader, decode_header
from schemas.private_values import look_at_host_names
from schemas.rejections import Reason, Rejected
from schemas.rows import FRAME, violations
from schemas.slices import slice_text

FUTURE_MAX_MS = 30_000
"""How far a window may end after the broker appended its frame: clocks differ, but not by more."""
PAST_MAX_MS = 7 * 86_400_000
"""Older windows than this are a broken clock, not lateness."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of an aggregates topic. `append_ms` is the broker's append time."""

    offset: int
    append_ms: int
    headers: dict[str, bytes]
    payload: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that was not taken in, by position; its content stays where it is."""

    offset: int
    rejected: Rejected
    producer: str | None


@dataclass(frozen=True, slots=True)
class OpenedFrame:
    """A readable frame. `volume`: how much it reports, by its family's first measure."""

    offset: int
    header: FrameHeader
    volume: int


@dataclass(frozen=True, slots=True)
class OpenedFrames:
    """Readable frames of one privacy partition in offset order, with all of their rows.

    `broken`: which of them have values that break the contract, by place. `slices`: all rows summed to the slices of each cut;
    none where a frame is broken, for then they are summed again without it.
    """

    partition: PrivacyPartition
    frames: list[OpenedFrame]
    rows: pl.DataFrame
    slices: pl.DataFrame
    broken: dict[int, tuple[Reason, str]]


@dataclass(slots=True)
class Opened:
    """A batch of records. `newest_offset` is the last one's, `columns_dropped` are by what they counted as (`schemas.refusals.Refusal`)."""

    newest_offset: int
    frames: list[OpenedFrames] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    columns_dropped: Counter[str] = field(default_factory=Counter)


def open_records(family: Family, records: Sequence[Record]) -> Opened:
    """Reads records of a family's topic, in offset order; at least one."""
    opened = Opened(records[-1].offset)
    headed = list(_headed(family, records, opened))
    for partition in family.partitions:
        readable, rows = _rows_of([each for each in headed if each[1].header.partition is partition], opened)
        if readable:
            opened.frames.append(_joined(family, partition, readable, rows))
    return opened


def summed(family: Family, partition: PrivacyPartition, rows: pl.DataFrame, by_offset: bool = False) -> pl.DataFrame:
    """Rows summed to the finest cells, so that each cut groups few of them; each cell with its first offset."""
    keys = [*partition.dimensions, *family.key_names, "bucket_start_ms", *(["offset"] if by_offset else [])]
    first = [] if by_offset else [pl.col("offset").min()]
    return rows.group_by(keys).agg(*first, pl.col(family.measure_names).sum())


def cut(family: Family, partition: PrivacyPartition, cells: pl.DataFrame, by_offset: bool = False) -> pl.DataFrame:
    """Cells summed to the slices of each cut of their partition, each with its first offset, or apart by offset."""
    cuts = [each.dimensions for each in family.cuts if each.partition == partition.name]
    keys = ["slice", *family.key_names, "bucket_start_ms", *(["offset"] if by_offset else [])]
    parts = [
        cells.lazy().select(
            slice_text(dimensions), *family.key_names, "bucket_start_ms", "offset", *family.measure_names
        )
        for dimensions in cuts
    ]
    first = [] if by_offset else [pl.col("offset").min()]
    return pl.concat(parts).group_by(keys).agg(*first, pl.col(family.measure_names).sum()).collect()


_Headed = tuple[int, Frame]
"""Offset, and a frame whose header is sound."""
_Readable = tuple[int, FrameHeader, int]
"""Offset, header, and how many rows the frame has."""


def _headed(family: Family, records: Sequence[Record], opened: Opened) -> Iterator[_Headed]:
    names = {record.headers.get("tw-producer") or b"" for record in records}
    look_at_host_names(name.decode("ascii", "replace") for name in names)
    for record in records:
        header = decode_header(family.name, record.headers)
        if isinstance(header, Rejected):
            opened.refusals.append(Refusal(record.offset, header, None))
            continue
        misplaced = _misplaced(header, record)
        if misplaced:
            opened.refusals.append(Refusal(record.offset, misplaced, header.producer))
            continue
        yield record.offset, Frame(header, record.headers, record.payload)


def _rows_of(headed: Sequence[_Headed], opened: Opened) -> tuple[list[_Readable], list[pa.Table]]:
    """The frames that can be read, and all of their rows; why others cannot is noted."""
    decoded = decode_many([frame for _, frame in headed])
    opened.columns_dropped += decoded.columns_dropped
    readable: list[_Readable] = []
    for (offset, frame), read in zip(headed, decoded.frames, strict=True):
        if isinstance(read, Rejected):
            opened.refusals.append(Refusal(offset, read, frame.header.producer))
        else:
            readable.append((offset, frame.header, read))
    return readable, decoded.tables


def _misplaced(header: FrameHeader, record: Record) -> Rejected | None:
    """A window that no working clock would send at the time the broker appended it."""
    if header.window_end_ms > record.append_ms + FUTURE_MAX_MS:
        ahead_s = (header.window_end_ms - record.append_ms) / 1_000
        return Rejected(
            Reason.WINDOW_FROM_FUTURE,
            f"The window ends {ahead_s:.0f} s after the broker received it; set the clock of producer {header.producer}.",
        )
    if header.window_end_ms < record.append_ms - PAST_MAX_MS:
        behind_d = (record.append_ms - header.window_end_ms) / 86_400_000
        return Rejected(
            Reason.WINDOW_TOO_OLD,
            f"The window ended {behind_d:.0f} days before the broker received it; set the clock of producer {header.producer}.",
        )
    return None


def _joined(
    family: Family, partition: PrivacyPartition, frames: Sequence[_Readable], tables: Sequence[pa.Table]
) -> OpenedFrames:
    """All rows in offset order, with the frame, offset and bucket that each came with."""
    # Combined first: polars takes hundreds of small chunks over one by one, at five times the cost of the copy.
    rows = pl.from_arrow(pa.concat_tables(tables).combine_chunks())
    assert isinstance(rows, pl.DataFrame)
    lengths = [length for _, _, length in frames]

    def spread(values: Sequence[int]) -> NDArray[np.int64]:
        return np.repeat(np.array(values, dtype=np.int64), lengths)

    rows = rows.with_columns(
        pl.Series(FRAME, spread(range(len(frames)))),
        pl.Series("offset", spread([offset for offset, _, _ in frames])),
        pl.Series("bucket_start_ms", spread([header.window_start_ms for _, header, _ in frames])),
    )
    volumes = np.add.reduceat(rows[family.measure_names[0]].fill_null(0).to_numpy(), np.cumsum([0, *lengths[:-1]]))
    cells = summed(family, partition, rows)
    broken = violations(rows, cells, family, partition)
    return OpenedFrames(
        partition,
        [OpenedFrame(offset, header, int(volume)) for (offset, header, _), volume in zip(frames, volumes, strict=True)],
        rows,
        cut(family, partition, cells.clear() if broken else cells),
        broken,
    )
