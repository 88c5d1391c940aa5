"""Intake: frames in, absolute totals per slice and bucket out.

One `Intake` is the state of one family in one source partition. A batch of records is validated, fenced, and cut into the
family's declared slices. What it keeps, block by block, is the total so far of every (slice, bucket) that is still open;
partials are those totals, as of the number of records applied, so sending them twice or in other batches changes nothing.

Everything here is a function of the log: lateness and "from the future" are judged by the broker's append times and the
windows seen before, in offset order. A record that is read again after a crash therefore meets the same fate, and a row
counts only in blocks whose own applied offset lies below its frame's.

Order of saving: blocks first, then what is missing, then pages (fences, slices, reach), then the marker, then partials, then
acknowledgement. On recovery the marker is never ahead of a block, so frames above it are judged anew, and each block and
each page takes only what it lacks. Until all that had been judged before is judged again, nothing is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import polars as pl
import pyarrow as pa

from schemas.families import Family, PrivacyPartition
from schemas.partials import Partial, partial_schema
from schemas.rejections import PRODUCERS_MAX
from schemas.rows import FRAME
from schemas.tables import late_table
from schemas.topics import aggregates
from stream_jobs.operators.totals.admissions import Admission, Admissions
from stream_jobs.operators.totals.blocks import (
    NOTHING_APPLIED,
    Block,
    applied_offset,
    pack_json,
    stamped,
)
from stream_jobs.operators.totals.constant_columns import repeated
from stream_jobs.operators.totals.late_rows import Origin, late_rows
from stream_jobs.operators.totals.open_totals import BlockKey, OpenTotals
from stream_jobs.operators.totals.opening import (
    Opened,
    OpenedFrames,
    Record,
    Refusal,
    cut,
    open_records,
    summed,
)
from stream_jobs.operators.totals.reach import SourceReach
from stream_jobs.operators.totals.slice_register import SliceRegister

_PARTIAL_ROWS = 4_000
_LATER_VALUES_MAX = 1_000
"""More values than any vocabulary has."""


@dataclass(slots=True)
class Intaken:
    """What became of a batch, in counts."""

    refusals: list[Refusal] = field(default_factory=list)
    frames_applied: int = 0
    frames_late: int = 0
    frames_repeated: int = 0
    frames_missing: int = 0
    frames_given_up: int = 0
    rows_applied: int = 0
    columns_dropped: Counter[str] = field(default_factory=Counter)
    overflowed: Counter[str] = field(default_factory=Counter)


class Intake:
    """State of one family in one source partition, and the operator on it."""

    def __init__(
        self,
        family: Family,
        source_partition: int,
        shards: int,
        slices_max: int = 5_000,
        producers_max: int = PRODUCERS_MAX,
    ) -> None:
        self.family = family
        self.source_partition = source_partition
        self.shards = shards
        self.marked = NOTHING_APPLIED
        """Offset of the newest record judged: fences, slices and reach include it."""
        self.admissions = Admissions(family, producers_max)
        self._slices = {partition.name: SliceRegister(family, slices_max) for partition in family.partitions}
        self._totals = OpenTotals(family)
        self._judged_until = NOTHING_APPLIED
        self._saved_marker: tuple[int, object] | None = None
        self._late: list[pl.DataFrame] = []
        self._is_idle = False

    # -- applying ------------------------------------------------------------------------------------------------------

    def apply(self, records: Sequence[Record]) -> Intaken:
        """Takes in records in offset order; those at or below the marker were judged before and are passed over."""
        outcome = Intaken()
        if unjudged := self.unjudged(records):
            for _ in self.taking_in(open_records(self.family, unjudged), outcome):
                pass
        return outcome

    def unjudged(self, records: Sequence[Record]) -> list[Record]:
        """Those above the marker."""
        return [record for record in records if record.offset > self.marked]

    def taking_in(self, opened: Opened, outcome: Intaken) -> Iterator[None]:
        """Takes in records that were opened elsewhere, all of them above the marker, with places between blocks; nothing may be asked of
        this state until it ended, when `outcome` is whole."""
        self._is_idle = False
        admitted = self.admissions.judged(opened)
        outcome.refusals = opened.refusals + admitted.refusals
        outcome.columns_dropped = opened.columns_dropped
        outcome.frames_repeated = admitted.frames_repeated
        outcome.frames_missing = admitted.frames_missing
        outcome.frames_given_up = admitted.frames_given_up
        for frames in opened.frames:
            yield from self._apply_frames(frames, admitted.by_offset, outcome)
        self.marked = opened.newest_offset
        outcome.refusals.sort(key=lambda refusal: refusal.offset)
        self._close_buckets()
        outcome.frames_given_up += self.admissions.forget_idle()

    def rest(self) -> None:
        """The partition was read to its end and nothing comes: shards are told that they need not wait for it."""
        self.admissions.is_reach_changed |= not self._is_idle
        self._is_idle = True

    def _apply_frames(self, opened: OpenedFrames, judged: dict[int, Admission], outcome: Intaken) -> Iterator[None]:
        """Adds the rows of all frames whose values keep the contract and that pass fence and lateness."""
        partition, rows, slices = opened.partition, opened.rows, opened.slices
        passing = [place for place, frame in enumerate(opened.frames) if judged.get(frame.offset) == "in time"]
        late = [place for place, frame in enumerate(opened.frames) if judged.get(frame.offset) == "late"]
        taken = [*passing, *late]
        outcome.frames_applied += len(passing)
        outcome.frames_late += len(late)
        by_offset = bool(late) or self._totals.is_ahead_of(partition.name, opened.frames[0].offset)
        if len(taken) < len(opened.frames):
            rows = rows.filter(pl.col(FRAME).is_in(taken))
        if by_offset or len(taken) < len(opened.frames):
            slices = cut(self.family, partition, summed(self.family, partition, rows, by_offset), by_offset)
        outcome.rows_applied += len(rows)
        if taken:
            producers = {opened.frames[place].offset: opened.frames[place].header.producer for place in late}
            yield from self._add_slices(partition, slices, producers, opened.frames[max(taken)].offset, outcome)

    def _add_slices(
        self, partition: PrivacyPartition, slices: pl.DataFrame, late: dict[int, str], newest: int, outcome: Intaken
    ) -> Iterator[None]:
        """Adds slices to their blocks, and sets those of `late` frames (producer by offset) aside."""
        numbered = self._by_key(self._slices[partition.name].numbered(slices, outcome.overflowed))
        if late:
            is_late = pl.col("offset").is_in(list(late))
            self._set_aside(numbered.filter(is_late), late)
            numbered = numbered.filter(~is_late)
        chunks = numbered.partition_by("bucket_start_ms", "chunk", as_dict=True, include_key=False)
        for (start_ms, chunk), part in chunks.items():
            self._totals.add((partition.name, start_ms, chunk), part, newest)
            yield None

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
        first, chunk = key.first_values or len(key.vocabulary), pl.col("chunk")
        # Values that were declared later go below zero: where the first ones lie stays what it was in stored state.
        apart = -(chunk * _LATER_VALUES_MAX + place)
        return rows.with_columns(chunk=pl.when(place < first).then(chunk * first + place).otherwise(apart))

    def _close_buckets(self) -> None:
        for partition in self.family.partitions:
            reach = self.reach_of(partition.name)
            reach.forget_silent()
            open_ms = self.family.lateness_s * 1_000 + partition.k_window_s * 1_000
            self._totals.close(partition.name, reach.newest_ms - open_ms)

    def reach_of(self, partition: str) -> SourceReach:
        """How far the producers of a privacy partition have come."""
        return self.admissions.reach_of(partition)

    # -- saving and sending --------------------------------------------------------------------------------------------

    def unsent_late(self) -> Iterator[tuple[str, pa.Table]]:
        """(table, rows) of late frames since the last call. To be confirmed before the marker, or a crash would lose them."""
        if self._late:
            rows, self._late = pl.concat(self._late), []
            origin = Origin(aggregates(self.family.name), self.source_partition)
            yield late_table(self.family), late_rows(self.family, rows, origin)

    def unsaved_blocks(self) -> Iterator[Block]:
        """Blocks that changed since the last call, and keys of what is over. To be confirmed before the marker."""
        yield from self._totals.unsaved_blocks()
        for gap in self.admissions.filled_gaps():
            yield Block(f"{self.family.name}|gaps|{gap}".encode(), None)

    def marker(self) -> list[Block]:
        """All that says what was judged, in the order in which it has to be confirmed; see `marking`."""
        return [block for phase in self.marking() for block in phase]

    def marking(self) -> Iterator[Iterator[Block]]:
        """What is missing, then pages, then the marker, as of the newest record judged: each to be confirmed before the
        next, and all before partials are sent. Each is made as it is taken, whole before the next is asked for.

        The blocks of a bucket are saved before any of these, so whatever a fence here has let pass is in them. A page says
        up to where it has judged; which of them a crash leaves behind therefore does not matter.
        """
        name = self.family.name

        def block(kind: str, content: bytes | None) -> Block:
            return Block(f"{name}|{kind}".encode(), stamped(self.marked, content) if content is not None else None)

        yield (block(*gap) for gap in self.admissions.unsaved_gaps())
        yield (block(*page) for page in chain(self._unsaved_slices(), self.admissions.unsaved_pages(self.marked)))
        marker = (self.marked, self.admissions.marker())
        yield iter(() if marker == self._saved_marker else (block("marker", pack_json(marker[1])),))
        self._saved_marker = marker

    def _unsaved_slices(self) -> Iterator[tuple[str, bytes | None]]:
        for partition, register in self._slices.items():
            for page, content in register.unsaved_pages(self.marked):
                yield f"slices|{partition}|{page}", content or None

    def unsent_partials(self) -> list[tuple[int, Partial]]:
        """All that is told; see `telling`."""
        return list(self.telling())

    def telling(self) -> Iterator[tuple[int, Partial]]:
        """(shard, partial) for everything that changed since the last call, and the reach to every shard; made as they are
        taken. All of them are to be taken before anything else is asked of this state."""
        if not (self._totals.unsent or self.admissions.is_reach_changed) or self.is_catching_up:
            return
        for partition in self.family.partitions:
            keys = sorted(key for key in self._totals.unsent if key[0] == partition.name)
            yield from self._partials_of(partition, keys)
        self._totals.unsent.clear()
        self.admissions.is_reach_changed = False
        self._close_buckets()  # After a crash nothing may come any more: what had to be told once more is over by now.

    @property
    def is_catching_up(self) -> bool:
        """After a crash blocks and pages may be ahead of the marker. What they hold has the version of records yet to be
        judged again: until then nothing is told, nor a reach by which shards would let go of their buckets."""
        return self.marked < self._judged_until

    def _partials_of(self, partition: PrivacyPartition, keys: list[BlockKey]) -> Iterator[tuple[int, Partial]]:
        schema = partial_schema(self.family)
        of_blocks = [(key[1], self._totals.blocks[key].rows) for key in keys]
        parts = [rows.hstack([repeated("bucket_start_ms", start_ms, len(rows))]) for start_ms, rows in of_blocks]
        rows = pl.concat(parts) if parts else None
        by_shard = {} if rows is None else self._slices[partition.name].by_shard(rows, self.shards)
        for shard in range(self.shards):
            of_shard = by_shard.get(shard)
            pieces = (
                [of_shard[place : place + _PARTIAL_ROWS] for place in range(0, len(of_shard), _PARTIAL_ROWS)]
                if of_shard is not None
                else [None]
            )
            for place, piece in enumerate(pieces, start=1):
                table = pa.Table.from_batches([], schema) if piece is None else _to_arrow(piece, schema)
                # The reach comes last: a shard that has heard it lets go of what it says is over.
                reach = self.reach_of(partition.name).summary() if place == len(pieces) else ()
                version = self.marked + 1
                yield (
                    shard,
                    Partial(self.family, partition, self.source_partition, version, reach, table, self._is_idle),
                )

    # -- recovering ----------------------------------------------------------------------------------------------------

    @classmethod
    def restored(
        cls,
        family: Family,
        source_partition: int,
        shards: int,
        stored: dict[bytes, bytes],
        slices_max: int = 5_000,
        producers_max: int = PRODUCERS_MAX,
    ) -> Intake:
        """The state as of its marker, with blocks and pages that may be ahead of it; everything open will be sent again."""
        intake = cls(family, source_partition, shards, slices_max, producers_max)
        kinds: dict[str, dict[str, bytes]] = {
            kind: {} for kind in ("marker", "slices", "fences", "gaps", "reach", "totals")
        }
        for key, value in stored.items():
            name, kind, *rest = key.decode().split("|")
            if name == family.name:
                kinds[kind]["|".join(rest)] = value
                intake._judged_until = max(intake._judged_until, applied_offset(value))
        intake.marked = max(map(applied_offset, kinds["marker"].values()), default=NOTHING_APPLIED)
        intake.admissions.restore(kinds)
        intake._totals.restore(kinds["totals"])
        for partition, register in intake._slices.items():
            pages = [
                (key.partition("|")[2], value)
                for key, value in kinds["slices"].items()
                if key.partition("|")[0] == partition
            ]
            register.restore(pages, intake.reach_of(partition).newest_ms)
        intake._close_buckets()
        return intake


def _to_arrow(rows: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    return rows.select(schema.names).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)
