"""Intake: frames in, absolute totals per slice and bucket out.

One `Intake` is the state of one family in one source partition. A batch of records is validated, fenced, and cut into the
family's declared slices. What it keeps, block by block, is the total so far of every (slice, bucket) that is still open;
partials are those totals, as of the number of records applied, so sending them twice or in other batches changes nothing.

Everything here is a function of the log: lateness and "from the future" are judged by the broker's append times and the
windows seen before, in offset order. A record that is read again after a crash therefore meets the same fate, and a row
counts only in blocks whose own applied offset lies below its frame's.

Order of saving: blocks first, then the marker (fences, slices, reach), then partials, then acknowledgement. On recovery
the marker is never ahead of a block, so frames above it are judged anew, and each block takes only what it lacks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import polars as pl
import pyarrow as pa

from schemas.families import Family, PrivacyPartition
from schemas.partials import Partial, partial_schema
from schemas.rejections import Reason, Rejected
from schemas.rows import FRAME
from schemas.slices import slice_text
from schemas.tables import late_table
from schemas.topics import aggregates
from stream_jobs.operators.blocks import (
    NOTHING_APPLIED,
    Block,
    applied_offset,
    body,
    pack_json,
    pack_rows,
    stamped,
    unpack_json,
    unpack_rows,
)
from stream_jobs.operators.fences import Fences
from stream_jobs.operators.late_rows import Origin, late_rows
from stream_jobs.operators.opening import Opened, OpenedFrame, OpenedFrames, Record, Refusal, open_records, summed
from stream_jobs.operators.reach import SourceReach
from stream_jobs.operators.slice_register import SliceRegister

_BLOCK_ROWS = 3_000
_PARTIAL_ROWS = 4_000

BlockKey = tuple[str, int, int]
"""Privacy partition, bucket start in ms, chunk of slices."""


Admission = Literal["in time", "late", "repeated"]


@dataclass(slots=True)
class Intaken:
    """What became of a batch, in counts."""

    refusals: list[Refusal] = field(default_factory=list)
    frames_applied: int = 0
    frames_late: int = 0
    frames_repeated: int = 0
    frames_missing: int = 0
    rows_applied: int = 0
    columns_dropped: int = 0
    overflowed: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Totals:
    """One block: totals so far of a chunk of slices in one bucket."""

    rows: pl.DataFrame
    applied: int


class Intake:
    """State of one family in one source partition, and the operator on it."""

    def __init__(self, family: Family, source_partition: int, shards: int, slices_max: int = 5_000) -> None:
        self.family = family
        self.source_partition = source_partition
        self.shards = shards
        self.marked = NOTHING_APPLIED
        """Offset of the newest record judged: fences, slices and reach include it."""
        self._fences = Fences()
        self._reach: dict[str, SourceReach] = {partition.name: SourceReach() for partition in family.partitions}
        self._slices = {partition.name: SliceRegister(family, slices_max) for partition in family.partitions}
        self._blocks: dict[BlockKey, _Totals] = {}
        self._unsaved: set[BlockKey] = set()
        self._unsent: set[BlockKey] = set()
        self._closed: list[BlockKey] = []
        self._reach_changed = False
        self._late: list[pl.DataFrame] = []
        self._is_idle = False

    # -- applying ------------------------------------------------------------------------------------------------------

    def apply(self, records: Sequence[Record]) -> Intaken:
        """Takes in records in offset order; those at or below the marker were judged before and are passed over."""
        unjudged = self.unjudged(records)
        return self.take_in(open_records(self.family, unjudged)) if unjudged else Intaken()

    def unjudged(self, records: Sequence[Record]) -> list[Record]:
        """Those above the marker."""
        return [record for record in records if record.offset > self.marked]

    def take_in(self, opened: Opened) -> Intaken:
        """Takes in records that were opened elsewhere; all of them above the marker."""
        outcome = Intaken(opened.refusals, columns_dropped=opened.columns_dropped)
        self._is_idle = False
        judged = self._judged(opened, outcome)
        for frames in opened.frames:
            self._apply_frames(frames, judged, outcome)
        self.marked = opened.newest_offset
        outcome.refusals.sort(key=lambda refusal: refusal.offset)
        self._close_buckets()
        return outcome

    def rest(self) -> None:
        """The partition was read to its end and nothing comes: shards are told that they need not wait for it."""
        self._reach_changed = self._reach_changed or not self._is_idle
        self._is_idle = True

    def _apply_frames(self, opened: OpenedFrames, judged: dict[int, Admission], outcome: Intaken) -> None:
        """Adds the rows of all frames whose values keep the contract and that pass fence and lateness."""
        partition, rows, cells = opened.partition, opened.rows, opened.cells
        passing = [place for place, frame in enumerate(opened.frames) if judged.get(frame.offset) == "in time"]
        late = [place for place, frame in enumerate(opened.frames) if judged.get(frame.offset) == "late"]
        taken = [*passing, *late]
        outcome.frames_applied += len(passing)
        outcome.frames_late += len(late)
        by_offset = bool(late) or self._is_replayed(partition, opened.frames[0].offset)
        if len(taken) < len(opened.frames):
            rows = rows.filter(pl.col(FRAME).is_in(taken))
        if by_offset or len(taken) < len(opened.frames):
            cells = summed(self.family, partition, rows, by_offset)
        outcome.rows_applied += len(rows)
        if taken:
            producers = {opened.frames[place].offset: opened.frames[place].header.producer for place in late}
            self._add_cells(partition, cells, producers, opened.frames[max(taken)].offset, outcome)

    def _judged(self, opened: Opened, outcome: Intaken) -> dict[int, Admission]:
        """What becomes of each frame, by offset; what is refused is noted.

        In the order of the log: privacy partitions share their fences, and what a fence gives up must not depend on
        which records came in one batch.
        """
        frames = [(frame, of.broken.get(place)) for of in opened.frames for place, frame in enumerate(of.frames)]
        judged: dict[int, Admission] = {}
        for frame, broken in sorted(frames, key=lambda each: each[0].offset):
            if broken:
                reason, column = broken
                sentence = f"Column {column} of family {self.family.name} breaks the contract ({reason.value})."
                admitted: Rejected | Admission = Rejected(reason, sentence)
            else:
                admitted = self._admit(frame, outcome)
            if isinstance(admitted, Rejected):
                outcome.refusals.append(Refusal(frame.offset, admitted, frame.header.producer))
            else:
                judged[frame.offset] = admitted
        return judged

    def _admit(self, frame: OpenedFrame, outcome: Intaken) -> Rejected | Admission:
        """What becomes of a sound frame; a repeat is passed over, and is no fault.

        After a crash fences may have been saved by which the marker was not: they know frames above it, of which the
        reach has to hear all the same, or what is late would be judged otherwise than before the crash.
        """
        header = frame.header
        passage, missing = self._fences.admit(
            header.producer, header.incarnation, header.sequence, header.window_end_ms
        )
        outcome.frames_missing += missing
        if passage == "expired" and not self._fences.have_judged(header.producer, frame.offset):
            return Rejected(
                Reason.FENCE_EXPIRED,
                "The frame's sequence number was given up as lost long ago; it cannot be told from a repeat.",
            )
        reach = self._reach[header.partition.name]
        is_late = header.window_end_ms + self.family.lateness_s * 1_000 < reach.newest_ms
        if passage != "fresh":
            outcome.frames_repeated += 1
            may_be_news = passage == "repeated" and not is_late
            if may_be_news and reach.hear_again(header.producer, header.window_end_ms, frame.volume):
                self._reach_changed = True
            return "repeated"
        if is_late:
            return "late"
        reach.report(header.producer, header.window_end_ms, frame.volume)
        self._reach_changed = True
        return "in time"

    def _is_replayed(self, partition: PrivacyPartition, first_offset: int) -> bool:
        """Whether some block has these records already: after a crash blocks may be ahead of the marker."""
        return any(key[0] == partition.name and totals.applied >= first_offset for key, totals in self._blocks.items())

    def _add_cells(
        self, partition: PrivacyPartition, cells: pl.DataFrame, late: dict[int, str], newest: int, outcome: Intaken
    ) -> None:
        """Adds cells to the blocks of their slices, and sets those of `late` frames (producer by offset) aside."""
        sliced = pl.concat([self._cut(cells, dimensions) for dimensions in self._cuts(partition)])
        numbered = self._by_key(self._slices[partition.name].numbered(sliced, outcome.overflowed))
        if late:
            is_late = pl.col("offset").is_in(list(late))
            self._set_aside(numbered.filter(is_late), late)
            numbered = numbered.filter(~is_late)
        chunks = numbered.partition_by("bucket_start_ms", "chunk", as_dict=True, include_key=False)
        for (start_ms, chunk), part in chunks.items():
            self._add((partition.name, start_ms, chunk), part, newest)

    def _set_aside(self, rows: pl.DataFrame, producers: dict[int, str]) -> None:
        told = rows.group_by("slice", *self.family.key_names, "bucket_start_ms", "offset").agg(
            pl.col(self.family.measure_names).sum()
        )
        producer = pl.col("offset").replace_strict(producers, return_dtype=pl.String)
        self._late.append(told.with_columns(version=pl.col("offset") + 1, producer=producer))

    def _by_key(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Chunks split by a key of closed vocabulary (the stage): a histogram has thousands of rows a slice."""
        key = next((key for key in self.family.keys if key.vocabulary), None)
        if key is None:
            return rows
        place = pl.col(key.name).replace_strict(key.vocabulary, range(len(key.vocabulary)), return_dtype=pl.Int64)
        return rows.with_columns(chunk=pl.col("chunk") * len(key.vocabulary) + place)

    def _cuts(self, partition: PrivacyPartition) -> list[tuple[str, ...]]:
        return [cut.dimensions for cut in self.family.cuts if cut.partition == partition.name]

    def _cut(self, cells: pl.DataFrame, dimensions: tuple[str, ...]) -> pl.DataFrame:
        keys: list[str | pl.Expr] = [slice_text(dimensions), *self.family.key_names, "bucket_start_ms", "offset"]
        return cells.select(*keys, *self.family.measure_names)

    def _add(self, key: BlockKey, part: pl.DataFrame, newest: int) -> None:
        totals = self._blocks.get(key)
        identity = ["slice", *self.family.key_names]
        measures = pl.col(self.family.measure_names).sum()
        if totals is not None:
            part = part.filter(pl.col("offset") > totals.applied)
        added = part.select(*identity, *self.family.measure_names)
        joined = added if totals is None else pl.concat([totals.rows, added])
        applied = newest if totals is None else max(newest, totals.applied)
        self._blocks[key] = _Totals(joined.group_by(identity).agg(measures), applied)
        self._unsaved.add(key)
        self._unsent.add(key)

    def _close_buckets(self) -> None:
        for partition in self.family.partitions:
            reach = self._reach[partition.name]
            reach.forget_silent()
            oldest_end_ms = reach.newest_ms - self.family.lateness_s * 1_000
            width_ms = partition.k_window_s * 1_000
            closed = [
                key
                for key in self._blocks
                if key[0] == partition.name
                and key[1] + width_ms < oldest_end_ms
                and key not in self._unsent
                and key not in self._unsaved
            ]
            for key in closed:
                del self._blocks[key]
            self._closed += closed
        newest_ms = max((reach.newest_ms for reach in self._reach.values()), default=0)
        self._fences.forget_idle(newest_ms)

    def reach_of(self, partition: str) -> SourceReach:
        """How far the producers of a privacy partition have come."""
        return self._reach[partition]

    # -- saving and sending --------------------------------------------------------------------------------------------

    def unsent_late(self) -> Iterator[tuple[str, pa.Table]]:
        """(table, rows) of late frames since the last call. To be confirmed before the marker, or a crash would lose them."""
        if self._late:
            rows, self._late = pl.concat(self._late), []
            origin = Origin(aggregates(self.family.name), self.source_partition)
            yield late_table(self.family), late_rows(self.family, rows, origin)

    def unsaved_blocks(self) -> Iterator[Block]:
        """Blocks that changed since the last call, and the keys of closed buckets. To be confirmed before the marker."""
        for key in sorted(self._unsaved):
            totals = self._blocks[key]
            yield Block(self._stored_key(key), stamped(totals.applied, pack_rows(totals.rows)))
        for key in self._closed:
            yield Block(self._stored_key(key), None)
        self._unsaved.clear()
        self._closed.clear()

    def marker(self) -> list[Block]:
        """Fences, slices and reach as of the newest record judged. To be confirmed before partials are sent.

        The blocks of a bucket are saved before any of these, so whatever a fence here has let pass is in them; which
        of these pages a crash leaves behind therefore does not matter.
        """
        name = self.family.name
        pages = [
            Block(f"{name}|slices|{partition}|{page}".encode(), stamped(self.marked, packed) if packed else None)
            for partition, register in self._slices.items()
            for page, packed in register.unsaved_pages(self.marked)
        ]
        pages += [
            Block(f"{name}|fences|{page}".encode(), stamped(self.marked, pack_json(content)))
            for page, content in self._fences.unsaved_pages()
        ]
        reach = {partition: reach.stored() for partition, reach in self._reach.items()}
        return [*pages, Block(f"{name}|marker".encode(), stamped(self.marked, pack_json(reach)))]

    def unsent_partials(self) -> list[tuple[int, Partial]]:
        """(shard, partial) for everything that changed since the last call, and the reach to every shard."""
        if not (self._unsent or self._reach_changed) or self._is_catching_up():
            return []
        partials: list[tuple[int, Partial]] = []
        for partition in self.family.partitions:
            keys = sorted(key for key in self._unsent if key[0] == partition.name)
            partials += self._partials_of(partition, keys)
        self._unsent.clear()
        self._reach_changed = False
        return partials

    def _is_catching_up(self) -> bool:
        """After a crash blocks may be ahead of the marker. What they hold has the version of records yet to be judged
        again: until then nothing is told, nor a reach by which shards would let go of their buckets."""
        return any(self._blocks[key].applied > self.marked for key in self._unsent)

    def _partials_of(self, partition: PrivacyPartition, keys: list[BlockKey]) -> Iterator[tuple[int, Partial]]:
        schema = partial_schema(self.family)
        rows = (
            pl.concat([self._blocks[key].rows.with_columns(bucket_start_ms=pl.lit(key[1], pl.Int64)) for key in keys])
            if keys
            else None
        )
        by_shard = {} if rows is None else self._slices[partition.name].by_shard(rows, self.shards)
        for shard in range(self.shards):
            of_shard = by_shard.get(shard)
            pieces = (
                [of_shard[place : place + _PARTIAL_ROWS] for place in range(0, len(of_shard), _PARTIAL_ROWS)]
                if of_shard is not None
                else [None]
            )
            for place, piece in enumerate(pieces, start=1):
                table = schema.empty_table() if piece is None else _to_arrow(piece, schema)
                # The reach comes last: a shard that has heard it lets go of what it says is over.
                reach = self._reach[partition.name].summary() if place == len(pieces) else ()
                version = self.marked + 1
                yield (
                    shard,
                    Partial(self.family, partition, self.source_partition, version, reach, table, self._is_idle),
                )

    def _stored_key(self, key: BlockKey) -> bytes:
        return "|".join((self.family.name, "totals", *map(str, key))).encode()

    # -- recovering ----------------------------------------------------------------------------------------------------

    @classmethod
    def restored(
        cls, family: Family, source_partition: int, shards: int, stored: dict[bytes, bytes], slices_max: int = 5_000
    ) -> Intake:
        """The state as of its marker, with blocks that may be ahead of it; everything open will be sent again."""
        intake = cls(family, source_partition, shards, slices_max)
        pages: dict[str, list[tuple[str, bytes]]] = {partition.name: [] for partition in family.partitions}
        for key, value in stored.items():
            name, kind, *rest = key.decode().split("|")
            if name != family.name:
                continue
            if kind == "marker":
                intake._restore_marker(applied_offset(value), unpack_json(body(value)))
            elif kind == "slices":
                pages[rest[0]].append((rest[1], value))
            elif kind == "fences":
                intake._fences.restore(unpack_json(body(value)), applied_offset(value))
            else:
                partition, start_ms, chunk = rest
                intake._blocks[(partition, int(start_ms), int(chunk))] = _Totals(
                    _in_order(unpack_rows(body(value), family.measure_names), family), applied_offset(value)
                )
        for partition_name, register in intake._slices.items():
            register.restore(pages[partition_name], intake._reach[partition_name].newest_ms)
        intake._unsent = set(intake._blocks)
        intake._close_buckets()
        return intake

    def _restore_marker(self, applied: int, stored: Any) -> None:
        self.marked = applied
        self._reach |= {name: SourceReach.restored(reach) for name, reach in stored.items() if name in self._reach}


def _in_order(rows: pl.DataFrame, family: Family) -> pl.DataFrame:
    return rows.select("slice", *family.key_names, *family.measure_names)


def _to_arrow(rows: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    return rows.select(schema.names).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)
