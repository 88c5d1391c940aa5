"""Minutes of stage latencies, small enough to be kept for an hour: coarse histograms by slice and stage.

Each minute is one table of cells (slice, stage, bucket) with observations and milliseconds. Buckets are those of scale 2,
each 19 % wider than the one before; finer histograms go into them exactly, coarser ones by their upper bound. What is told
of a minute is told as a whole, so a later telling replaces it, and late data is in place like any other. Minutes that
are told no more and that nobody looks at one by one are joined five by five: those are saved, the younger ones are not.

Memory is 14 bytes a cell: 35 KB a slice whose every stage has traffic as the simulator makes it, 225 KB if latencies from
5 ms to 70 min came up in every stage and minute (`tests/operators/test_stage_minutes.py` holds it to that). Only the
`SLICES_MAX` slices of a shard with the most observations in a minute are kept of it; how many are not is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import polars as pl

from schemas.families import STAGE_LATENCIES
from schemas.growths import STAGE_NUMBER
from schemas.histograms import ZERO_INDEX
from schemas.instants import MINUTE_MS
from schemas.silences import LAGGING_MAX_MS
from stream_jobs.operators.totals.blocks import Block, body, chunks_below_limit, stamped, unpack_rows

NOW_MS = 5 * MINUTE_MS
KEPT_MS = NOW_MS + 60 * MINUTE_MS
JOINED_MS = 5 * MINUTE_MS
SLICES_MAX = 1_000
TOLD_MAX = 4
"""Minutes that may wait as they were told until somebody looks at them: as large as what the ledger has of them."""
SCALE = 2
BUCKETS = 80
_LOWEST = 8
"""The bucket that ends at 4.8 ms; it holds what is shorter, too, and the last one what is longer."""
_KIND = "minutes"
_COLUMNS = {"slice": pl.String, "cell": pl.Int16, "observations": pl.Float32, "latency_ms": pl.Float32}
_TOLD = ("bucket_start_ms", "slice", *STAGE_LATENCIES.key_names, "observations", "latency_ms_sum")
_NOTHING = pl.DataFrame(
    schema={"slice_number": pl.UInt32, **{name: kind for name, kind in _COLUMNS.items() if name != "slice"}}
)


class Piece(NamedTuple):
    """Cells of so many minutes; columns slice_number, cell, observations, latency_ms."""

    minutes: int
    cells: pl.DataFrame


class StageMinutes:
    """The newest minutes of one shard's slices."""

    def __init__(self, slices_max: int = SLICES_MAX) -> None:
        self._slices_max = slices_max
        self._told: dict[int, pl.DataFrame] = {}
        self._young: dict[int, Piece] = {}
        self._joined: dict[int, Piece] = {}
        self._joined_until_ms = 0
        self._numbers: dict[str, int] = {}
        self._next_number = 0
        self._final_before_ms = 0
        self._unsaved: set[int] = set()
        self._places: dict[int, int] = {}
        self._forgotten: list[bytes] = []
        self.left_out = 0
        """Slices that were not kept of the newest minute told."""

    def tell(self, totals: pl.DataFrame, final_before_ms: int) -> None:
        """Takes whole minutes as they are known now; columns as `STAGE_LATENCIES` has them, by minute and slice.

        Minutes that begin before `final_before_ms` are told no more after this.
        """
        self._final_before_ms = final_before_ms
        for (start_ms,), minute in totals.select(_TOLD).partition_by("bucket_start_ms", as_dict=True).items():
            if start_ms >= self._joined_until_ms:  # Or it was saved, and is told again after a crash.
                self._told[int(start_ms)] = minute
        if len(self._told) > TOLD_MAX:
            self._take_in()

    def between(self, from_ms: int, until_ms: int) -> Piece:
        """All that begins in this span, and how many minutes that is."""
        self._take_in()
        pieces = [(start_ms, piece) for start_ms, piece in self._all() if from_ms <= start_ms < until_ms]
        cells = pl.concat([_NOTHING, *(piece.cells for _, piece in pieces)])
        return Piece(sum(piece.minutes for _, piece in pieces), cells)

    def named(self, cells: pl.DataFrame) -> pl.DataFrame:
        """Cells with their slices' text in place of numbers."""
        schema = {"slice_number": pl.UInt32, "slice": pl.String}
        names = pl.DataFrame(
            {"slice_number": list(self._numbers.values()), "slice": list(self._numbers)}, schema=schema
        )
        return cells.join(names, on="slice_number").drop("slice_number")

    def age(self, decided_ms: int) -> None:
        """Joins and forgets what is old enough for that, where nothing before `decided_ms` is asked for any more."""
        self._take_in()
        self._join(min(decided_ms - NOW_MS, self._final_before_ms))
        newest_ms = max((start_ms for start_ms, _ in self._all()), default=0)
        self._forget(max(decided_ms - KEPT_MS, newest_ms - KEPT_MS - LAGGING_MAX_MS))
        if len(self._numbers) > 2 * self._slices_max:
            seen = {number for _, piece in self._all() for number in piece.cells["slice_number"].unique()}
            self._numbers = {text: number for text, number in self._numbers.items() if number in seen}

    def unsaved_blocks(self, applied_offset: int) -> Iterator[Block]:
        """Joined minutes that are not saved yet."""
        for start_ms in sorted(self._unsaved):
            minutes, cells = self._joined[start_ms]
            for place, packed in enumerate(chunks_below_limit(self.named(cells).select(*_COLUMNS))):
                self._places[start_ms] = place + 1
                yield Block(_key(start_ms, minutes, place), stamped(applied_offset, packed))
        self._unsaved.clear()

    def forgotten_blocks(self) -> Iterator[Block]:
        forgotten, self._forgotten = self._forgotten, []
        yield from (Block(key, None) for key in forgotten)

    def restore(self, stored: dict[bytes, bytes]) -> None:
        """Takes up what `unsaved_blocks` wrote, among other blocks."""
        for key, value in sorted(stored.items()):
            family, kind, *rest = key.decode().split("|")
            if (family, kind) == (STAGE_LATENCIES.name, _KIND):
                start_ms, minutes, place = map(int, rest)
                rows = unpack_rows(body(value), ()).select(pl.col(name).cast(kind) for name, kind in _COLUMNS.items())
                known = self._joined.get(start_ms, Piece(minutes, _NOTHING)).cells
                self._joined[start_ms] = Piece(minutes, pl.concat([known, self._numbered(rows)]))
                self._places[start_ms] = max(self._places.get(start_ms, 0), place + 1)
                self._joined_until_ms = max(self._joined_until_ms, start_ms + JOINED_MS)

    def _take_in(self) -> None:
        """Makes cells of what was told. A minute is told again and again while it lasts, and looked at once it is over."""
        for start_ms, minute in sorted(self._told.items()):
            self._young[start_ms] = Piece(1, self._numbered(self._largest(_cells(minute))))
        self._told.clear()

    def _all(self) -> list[tuple[int, Piece]]:
        return [*self._joined.items(), *self._young.items()]

    def _join(self, until_ms: int) -> None:
        until_ms = until_ms // JOINED_MS * JOINED_MS
        starts = sorted(start_ms for start_ms in self._young if start_ms < until_ms)
        for first_ms in sorted({start_ms // JOINED_MS * JOINED_MS for start_ms in starts}):
            pieces = [self._young.pop(start_ms) for start_ms in starts if first_ms <= start_ms < first_ms + JOINED_MS]
            cells = pl.concat([piece.cells for piece in pieces]).group_by("slice_number", "cell")
            summed = cells.agg(pl.col("observations", "latency_ms").cast(pl.Float64).sum().cast(pl.Float32))
            self._joined[first_ms] = Piece(len(pieces), summed)
            self._unsaved.add(first_ms)
        self._joined_until_ms = max(self._joined_until_ms, until_ms)

    def _forget(self, oldest_ms: int) -> None:
        self._young = {start_ms: piece for start_ms, piece in self._young.items() if start_ms >= oldest_ms}
        for start_ms in [start_ms for start_ms in self._joined if start_ms < oldest_ms]:
            minutes = self._joined.pop(start_ms).minutes
            self._unsaved.discard(start_ms)
            self._forgotten += [_key(start_ms, minutes, place) for place in range(self._places.pop(start_ms, 0))]

    def _numbered(self, cells: pl.DataFrame) -> pl.DataFrame:
        for text in cells["slice"].unique().sort().to_list():
            if text not in self._numbers:
                self._numbers[text], self._next_number = self._next_number, self._next_number + 1
        if cells.is_empty():
            return _NOTHING
        number = pl.col("slice").replace_strict(self._numbers, return_dtype=pl.UInt32).alias("slice_number")
        return cells.select(number, *list(_COLUMNS)[1:])

    def _largest(self, cells: pl.DataFrame) -> pl.DataFrame:
        """Those of the slices with the most observations, and first by name of equal ones."""
        observed = cells.group_by("slice").agg(pl.col("observations").cast(pl.Float64).sum())
        self.left_out = max(0, len(observed) - self._slices_max)
        if not self.left_out:
            return cells
        ordered = observed.sort("observations", "slice", descending=[True, False])
        return cells.join(ordered.head(self._slices_max), on="slice", how="semi")


def _cells(minute: pl.DataFrame) -> pl.DataFrame:
    """The rows of one minute by slice and cell: the stage's number times `BUCKETS`, and the bucket."""
    upper = (pl.col("bucket_index") + 1).cast(pl.Float64) * pl.lit(2.0).pow(SCALE - pl.col("scale"))
    bucket = pl.when(pl.col("bucket_index") == ZERO_INDEX).then(0).otherwise(upper.ceil() - 1 - _LOWEST)
    # Of whole turns only their number counts: their parts are what may have grown.
    within = pl.when(pl.col("stage") == "turn").then(0).otherwise(bucket.clip(0, BUCKETS - 1))
    number = pl.col("stage").replace_strict(STAGE_NUMBER, return_dtype=pl.Int16)
    return (
        minute.filter(pl.col("stage").is_in(list(STAGE_NUMBER)))
        .group_by("slice", (number * BUCKETS + within.cast(pl.Int16)).alias("cell"))
        .agg(
            pl.col("observations").sum().cast(pl.Float32),
            pl.col("latency_ms_sum").sum().cast(pl.Float32).alias("latency_ms"),
        )
    )


def bucket_upper_ms(bucket: int) -> float:
    """The latency in ms that a bucket ends at.

    >>> round(bucket_upper_ms(0), 1), bucket_upper_ms(31)
    (4.8, 1024.0)
    """
    return float(2.0 ** ((bucket + _LOWEST + 1) / 2**SCALE))


def _key(start_ms: int, minutes: int, place: int) -> bytes:
    return "|".join((STAGE_LATENCIES.name, _KIND, *map(str, (start_ms, minutes, place)))).encode()
