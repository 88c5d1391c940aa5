"""What drift remembers of a family in a shard: sums by the hour, slice by slice, for a week and as long as labels may come.

An hour that may still change is kept bucket by bucket, as it was told: a bucket replaces what was told of it before, so
repeats and disorder change nothing. When nothing can come for it any more an hour is folded into one array; what is told of
it again, after a crash, is what it has. Memory is slices x columns x 8 bytes x (hours kept + open buckets + sums of hours that are
open): for 1,000 slices 55 MB of `quality` (169 hours, 78 open ones and their 78 sums, of 21 columns) and 31 MB of `outcomes` (173
hours and 125 minutes of 13).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from schemas.arrays import Floats, Integers
from schemas.instants import HOUR_MS
from stream_jobs.operators.drift.slices import DriftSlices
from stream_jobs.operators.totals.blocks import Block, body, chunks_below_limit, stamped, unpack_rows

KINDS = ("hour", "minutes")


@dataclass(frozen=True, slots=True)
class Spans:
    """In ms: how wide a bucket is, for how long after the newest one it may change, how soon before that it is saved, and
    for how long whole hours are kept."""

    width: int
    open: int
    saved: int
    kept: int


class DriftBuckets:
    """The sums of one family in one shard; `columns` of them, and as the last one the version of what they are of."""

    def __init__(self, prefix: str, columns: Sequence[str], spans: Spans, slices: DriftSlices) -> None:
        self._prefix, self.columns, self._spans, self.slices = prefix, tuple(columns), spans, slices
        self._buckets: dict[int, Floats] = {}
        self._hours: dict[int, Floats] = {}
        self._cached: dict[int, Floats] = {}
        self.changed: dict[int, set[int]] = {}
        """By hour: the slices of which anything changed since whoever reads this cleared it."""
        self.newest_ms = self.folded_before_ms = self.began_ms = 0
        self.held = range(0)
        """Hours that are kept however old they are: those of a frozen reference."""
        self._unsaved: set[tuple[str, int]] = set()
        self._places: dict[tuple[str, int], int] = {}
        self._forgotten: list[bytes] = []

    def tell(self, rows: pl.DataFrame) -> None:
        """Takes buckets as they are known now: bucket_start_ms, slice, `columns` and version, one row for a bucket and slice."""
        rows = rows.filter(pl.col("bucket_start_ms") >= self.folded_before_ms)
        if rows.is_empty():
            return
        named = rows.with_columns(number=pl.Series(self.slices.numbers(rows), dtype=pl.Int64)).filter(
            pl.col("number") >= 0
        )
        for (start_ms,), bucket in named.partition_by("bucket_start_ms", as_dict=True).items():
            self._put(int(start_ms), bucket["number"].to_numpy(), self._values(bucket))
            self.hour(int(start_ms) // HOUR_MS * HOUR_MS)  # Summed while there is little of it, and kept up to date.
        self.newest_ms = max(self.newest_ms, int(rows["bucket_start_ms"].max()))  # type: ignore[arg-type]
        first_ms = int(rows["bucket_start_ms"].min()) // HOUR_MS * HOUR_MS  # type: ignore[arg-type]
        self.began_ms = min(self.began_ms or first_ms, first_ms)
        self._fold()

    def hour(self, start_ms: int) -> Floats | None:
        """The sums of an hour, of shape (slices, columns and version); `None` where nothing was told of it."""
        found = self._hours.get(start_ms)
        if found is None:
            found = self._cached.get(start_ms)
        if found is None:
            ends_ms = start_ms + HOUR_MS
            buckets = [bucket for at_ms, bucket in self._buckets.items() if start_ms <= at_ms < ends_ms]
            if not buckets:
                return None
            found = self._cached[start_ms] = sum(map(self._padded, buckets), np.zeros((len(self.slices), self._width)))
        return self._padded(found)

    def __contains__(self, start_ms: object) -> bool:
        return isinstance(start_ms, int) and self.hour(start_ms) is not None

    @property
    def position(self) -> tuple[int, int, int]:
        """How far it has come, to be saved."""
        return self.newest_ms, self.folded_before_ms, self.began_ms

    def set_out_from(self, newest_ms: int, folded_before_ms: int, began_ms: int) -> None:
        """Takes up a `position`, after `restore`; hours and buckets may be of later than it."""
        self.newest_ms = max(newest_ms, self.newest_ms)
        self.folded_before_ms = max(folded_before_ms, self.folded_before_ms)
        self.began_ms = min(began_ms, self.began_ms) if began_ms and self.began_ms else began_ms or self.began_ms

    def is_final(self, start_ms: int) -> bool:
        """Whether nothing of an hour can change any more."""
        return start_ms < self.folded_before_ms

    def hours(self) -> list[int]:
        """The hours of which anything is kept, in order."""
        return sorted({*self._hours, *(at_ms // HOUR_MS * HOUR_MS for at_ms in self._buckets)})

    def forget_old(self) -> list[int]:
        """Lets go of hours that nobody asks for any more; the numbers of slices that are free now."""
        oldest_ms = self.newest_ms - self._spans.kept
        for start_ms in [each for each in self._hours if each < oldest_ms and each not in self.held]:
            del self._hours[start_ms]
            self._let_go("hour", start_ms)
        in_held = [self._padded(self._hours[each])[:, -1] > 0 for each in self._hours if each in self.held]
        is_free = self.slices.last_ms < oldest_ms
        return self.slices.forget(is_free & ~np.any(in_held, axis=0) if in_held else is_free, oldest_ms)

    def unsaved_blocks(self, applied_offset: int, decided_ms: int) -> Iterator[Block]:
        """Hours that were folded, and buckets that will be soon; younger ones are told again after a start."""
        until_ms = max(decided_ms, self.newest_ms) - self._spans.open + self._spans.saved
        for kind, start_ms in sorted(self._unsaved):
            if kind == "minutes" and start_ms >= until_ms:
                continue
            stored = self._hours[start_ms] if kind == "hour" else self._buckets[start_ms]
            for place, packed in enumerate(chunks_below_limit(self._frame(stored))):
                self._places[kind, start_ms] = max(self._places.get((kind, start_ms), 0), place + 1)
                yield Block(self._key(kind, start_ms, place), stamped(applied_offset, packed))
            self._unsaved.discard((kind, start_ms))

    def forgotten_blocks(self) -> Iterator[Block]:
        forgotten, self._forgotten = self._forgotten, []
        yield from (Block(key, None) for key in forgotten)

    def restore(self, stored: dict[bytes, bytes]) -> None:
        """Takes up what `unsaved_blocks` wrote, among other blocks."""
        for key, value in sorted(stored.items()):
            words = key.decode().split("|")
            if words[1] in KINDS and words[:1] + words[2:-2] == self._prefix.split("|"):
                start_ms, place = int(words[-2]), int(words[-1])
                self._places[words[1], start_ms] = max(self._places.get((words[1], start_ms), 0), place + 1)
                self._restore(words[1], start_ms, unpack_rows(body(value), (*self.columns, "version")))
        for start_ms in [each for each in self._buckets if each // HOUR_MS * HOUR_MS in self._hours]:
            del self._buckets[start_ms]  # They are in the hour: a crash kept them from being forgotten.
            self._let_go("minutes", start_ms)
        self.newest_ms = max(self._buckets, default=0)
        self.folded_before_ms = max((start_ms + HOUR_MS for start_ms in self._hours), default=0)
        self.began_ms = min((start_ms // HOUR_MS * HOUR_MS for start_ms in (*self._hours, *self._buckets)), default=0)
        self._unsaved.clear()
        self.changed.clear()

    @property
    def _width(self) -> int:
        return len(self.columns) + 1

    def _put(self, start_ms: int, numbers: Integers, values: Floats) -> None:
        bucket = self._padded(self._buckets.get(start_ms, np.zeros((0, self._width))))
        added = values - bucket[numbers]
        is_other = (added != 0).any(axis=1)
        bucket[numbers] = values
        self._buckets[start_ms] = bucket
        if is_other.any():
            hour_ms = start_ms // HOUR_MS * HOUR_MS
            if hour_ms in self._cached:  # Whole numbers: sums of them are the same in any order.
                self._cached[hour_ms] = self._padded(self._cached[hour_ms])
                self._cached[hour_ms][numbers] += added
            self.changed.setdefault(hour_ms, set()).update(numbers[is_other].tolist())
            self._unsaved.add(("minutes", start_ms))

    def _fold(self) -> None:
        """Makes one array of each hour that nothing can come for any more."""
        before_ms = (self.newest_ms - self._spans.open) // HOUR_MS * HOUR_MS
        if before_ms <= self.folded_before_ms:
            return
        for start_ms in sorted({at_ms // HOUR_MS * HOUR_MS for at_ms in self._buckets if at_ms < before_ms}):
            sums = self.hour(start_ms)
            assert sums is not None
            self._hours[start_ms] = sums
            self._cached.pop(start_ms, None)
            self._unsaved.add(("hour", start_ms))
        for at_ms in [at_ms for at_ms in self._buckets if at_ms < before_ms]:
            del self._buckets[at_ms]
            self._let_go("minutes", at_ms)
        self.folded_before_ms = before_ms

    def _values(self, rows: pl.DataFrame) -> Floats:
        return rows.select(pl.col(*self.columns, "version").cast(pl.Float64)).to_numpy()

    def _padded(self, sums: Floats) -> Floats:
        missing = len(self.slices) - len(sums)
        return np.pad(sums, ((0, missing), (0, 0))) if missing else sums

    def _frame(self, sums: Floats) -> pl.DataFrame:
        """Its rows with anything in them, by the text of their slice."""
        sums = self._padded(sums)
        living = np.flatnonzero(sums[:, -1] > 0)
        columns = dict(zip((*self.columns, "version"), sums[living].T.astype(np.int64), strict=True))
        texts = [self.slices.texts[number] for number in living.tolist()]
        return pl.DataFrame({"slice": texts, **columns}, schema_overrides={"slice": pl.String}).filter(
            pl.col("slice") != ""
        )

    def _restore(self, kind: str, start_ms: int, rows: pl.DataFrame) -> None:
        into = self._hours if kind == "hour" else self._buckets
        numbers = self.slices.numbers(rows.with_columns(bucket_start_ms=pl.lit(start_ms, pl.Int64)))
        sums = self._padded(into.get(start_ms, np.zeros((0, self._width)))).copy()
        values = self._values(rows)[numbers >= 0]
        numbers = numbers[numbers >= 0]
        # A later place of a smaller telling is stale: of one row what has the newer version counts.
        newer = values[:, -1] >= sums[numbers, -1]
        sums[numbers[newer]] = values[newer]
        into[start_ms] = sums

    def _let_go(self, kind: str, start_ms: int) -> None:
        self._unsaved.discard((kind, start_ms))
        places = self._places.pop((kind, start_ms), 0)
        self._forgotten += [self._key(kind, start_ms, place) for place in range(places)]

    def _key(self, kind: str, start_ms: int, place: int) -> bytes:
        family, *rest = self._prefix.split("|")
        return "|".join((family, kind, *rest, str(start_ms), str(place))).encode()
