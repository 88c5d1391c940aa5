"""The ledger: what a shard knows of the buckets that are still open.

A partial tells absolute totals per source partition. The ledger keeps the newest per (source partition, bucket, slice,
key), and a bucket's total is their sum, with a version that grows with each of them. Older partials after newer ones,
and the same one twice, change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import polars as pl

from schemas.families import Family, PrivacyPartition
from schemas.instants import MINUTE_MS
from schemas.partials import Partial, Reach
from schemas.silences import LAGGING_MAX_MS
from stream_jobs.operators.totals.blocks import (
    Block,
    body,
    chunks_below_limit,
    pack_json,
    stamped,
    unpack_json,
    unpack_rows,
)
from stream_jobs.operators.totals.constant_columns import repeated
from stream_jobs.operators.totals.reach import LIVE, Patience, completeness, decidable_until_ms

LAG_MAX_MS = LAGGING_MAX_MS
"""How far one source partition may lag behind another, in event time, before its rows come too late for a total.

While a backlog is worked off, partitions advance unevenly; one without any producer left must not hold memory for ever.
"""
WINDOWS_BEHIND = 3
"""The same in buckets, where those are wide: one that has missed a bill of 10 min or a label of 1 h is not yet left behind."""
BUCKET = "bucket_start_ms"
_FLOOR = "|floor"
"""No privacy partition has this name."""

BucketKey = tuple[str, int]
"""Privacy partition and bucket start in ms."""


def _lag_max_ms(partition: PrivacyPartition) -> int:
    return max(LAG_MAX_MS, WINDOWS_BEHIND * partition.k_window_s * 1_000)


class _Heard(NamedTuple):
    """What a source partition told last of how far it has come."""

    version: int
    reach: Reach
    is_idle: bool

    @property
    def newest_ms(self) -> int:
        return self.reach[-1][0] if self.reach else 0


_NOTHING = _Heard(0, (), is_idle=False)


class Ledger:
    """Open buckets of one family in one shard.

    `keep_ms`: how long after its start a bucket may still change, at least; one is always kept for as long as intake takes
    something in for it. `sources`: how many source partitions there are; one
    that has not been heard of counts as lagging, since its rows may be on their way. `measures`: the ones to keep, all
    unless given.
    """

    def __init__(
        self,
        family: Family,
        keep_ms: int,
        sources: int,
        patience: Patience = LIVE,
        measures: Sequence[str] | None = None,
    ) -> None:
        self.family = family
        self._measures = tuple(measures or family.measure_names)
        self._patience = patience
        self._sources = sources
        self._keep_ms = keep_ms
        self._identity = ["slice", *family.key_names]
        self._columns = [*self._identity, *self._measures, "version"]
        self._pieces: dict[tuple[str, int, int], pl.DataFrame] = {}
        self._heard: dict[str, dict[int, _Heard]] = {partition.name: {} for partition in family.partitions}
        self._changed: set[BucketKey] = set()
        self._unsaved: set[tuple[str, int, int]] = set()
        self._reach_unsaved = False
        self._places: dict[tuple[str, int, int], int] = {}
        self._forgotten: list[bytes] = []
        self._folded: dict[tuple[str, int, int], pl.DataFrame] = {}
        self._nothing = self._no_rows(BUCKET)
        self._floor_ms = dict.fromkeys(self._heard, 0)
        """Buckets from before were folded, by privacy partition. Never less than it was: what was folded stays folded."""

    def apply(self, partial: Partial) -> pl.DataFrame:
        """Takes in one partial; what it tells beyond the totals of buckets that were already folded.

        That is nothing, unless the source partition lagged by more than `LAG_MAX_MS`. Columns: bucket_start_ms, slice,
        keys, measures, version; absolutes as everything, so that a later one of the same row replaces it.
        """
        oldest_ms = self._oldest_kept_ms(partial.partition)  # Before the reach that comes with these very rows.
        final_ms = self._final_before_ms(partial.partition, partial.source_partition)
        self._hear(partial)
        if not partial.rows.num_rows:
            return self._nothing
        rows = pl.from_arrow(partial.rows)
        assert isinstance(rows, pl.DataFrame)
        rows = rows.hstack([repeated("version", partial.version, len(rows))])[[BUCKET, *self._columns]]
        late = self._nothing
        if not (rows[BUCKET] >= oldest_ms).all():
            rows, late = rows.filter(pl.col(BUCKET) >= oldest_ms), rows.filter(pl.col(BUCKET) < oldest_ms)
        for (start_ms,), part in rows.partition_by(BUCKET, as_dict=True, include_key=False).items():
            self._put((partial.partition.name, int(start_ms), partial.source_partition), part)
        # A row of a final bucket was counted before it was folded, and is only sent again.
        return self._beyond(partial, late.filter(pl.col(BUCKET) >= final_ms)) if len(late) else late

    def changed(self) -> list[BucketKey]:
        """The buckets that changed since the last call."""
        changed = sorted(self._changed)
        self._changed.clear()
        return changed

    def totals(self, keys: list[BucketKey]) -> pl.DataFrame:
        """Columns bucket_start_ms, slice, keys, measures, version: sums over source partitions for these buckets."""
        wanted = set(keys)
        pieces = [
            piece.hstack([repeated(BUCKET, key[1], len(piece))])
            for key, piece in self._pieces.items()
            if (key[0], key[1]) in wanted
        ]
        if not pieces:
            return self._no_rows(BUCKET)
        return pl.concat(pieces).group_by(BUCKET, *self._identity).agg(pl.col(*self._measures, "version").sum())

    def kept(self) -> list[BucketKey]:
        """Every bucket that may still change."""
        return sorted({(name, start_ms) for name, start_ms, _ in self._pieces})

    def is_kept(self, partition: str, start_ms: int) -> bool:
        """Whether the bucket of a privacy partition that begins then may still change."""
        return any(key[:2] == (partition, start_ms) for key in self._pieces)

    def minutes_whole(self, keys: list[BucketKey]) -> list[BucketKey]:
        """All kept buckets of the minutes that `keys` lie in; a bucket wider than a minute is one of its own."""
        minutes = {(name, start_ms // MINUTE_MS) for name, start_ms in keys}
        return [(name, start_ms) for name, start_ms in self.kept() if (name, start_ms // MINUTE_MS) in minutes]

    def completeness(self, partition: str, bucket_end_ms: int) -> float:
        lag_ms = _lag_max_ms(self.family.partition(partition))
        return completeness(self._known_reaches(partition), bucket_end_ms, lag_ms)

    def decidable_until_ms(self, partition: PrivacyPartition, now_ms: int) -> int:
        bucket_ms = partition.k_window_s * 1_000
        # Who reports once a bucket is not silent before the next one.
        patience = replace(self._patience, silent_after_ms=max(self._patience.silent_after_ms, bucket_ms))
        return decidable_until_ms(self._known_reaches(partition.name), now_ms, bucket_ms, patience)

    def newest_ms(self, partition: str) -> int:
        """The newest instant that any producer has reported."""
        return max((end_ms for reach in self._known_reaches(partition) for end_ms, _ in reach), default=0)

    def forget_old(self) -> None:
        """Lets go of buckets that nothing can change any more.

        Of one that is folded although a source partition lags behind it, that source's part is kept: what it tells
        later counts only beyond this.
        """
        for partition in self.family.partitions:
            oldest_ms = self._oldest_kept_ms(partition)
            for key in [key for key in self._pieces if key[0] == partition.name and key[1] < oldest_ms]:
                if (key[0], key[1]) in self._changed:
                    continue
                piece = self._pieces.pop(key)
                if key[1] >= self._final_before_ms(partition, key[2]):
                    self._folded[key] = piece  # What of it is unsaved is saved yet: the next start counts from there.
                else:
                    self._forget(key)
            for key in [key for key in self._folded if key[0] == partition.name]:
                if key[1] < self._final_before_ms(partition, key[2]):
                    del self._folded[key]
                    self._forget(key)

    def unsaved_blocks(self, applied_offset: int) -> Iterator[Block]:
        """What changed since the last call, stamped with the newest offset applied. To be confirmed before `marker`."""
        for key in sorted(self._unsaved):
            piece = self._pieces[key] if key in self._pieces else self._folded[key]
            for place, packed in enumerate(chunks_below_limit(piece)):
                self._places[key] = max(self._places.get(key, 0), place + 1)
                yield Block(self._stored_key(key, place), stamped(applied_offset, packed))
        self._unsaved.clear()

    def marker(self, applied_offset: int) -> Iterator[Block]:
        """How far the sources have come, and the keys of folded buckets.

        Last of all: what follows from a bucket has to be saved before it goes, and before rows for it are taken to be
        sent again.
        """
        if self._reach_unsaved:
            yield Block(
                f"{self.family.name}|reach".encode(),
                stamped(applied_offset, pack_json(self._heard | {_FLOOR: self._floor_ms})),
            )
        yield from (Block(key, None) for key in self._forgotten)
        self._forgotten.clear()
        self._reach_unsaved = False

    def restore(self, stored: dict[bytes, bytes]) -> None:
        """Takes up what `unsaved_blocks` wrote; every bucket counts as changed, so that rollups are told again."""
        pieces: dict[tuple[str, int, int], list[pl.DataFrame]] = {}
        for key, value in stored.items():
            name, kind, *rest = key.decode().split("|")
            if name != self.family.name:
                continue
            if kind == "reach":
                self._restore_reaches(body(value))
            elif kind == "bucket":
                bucket = (rest[0], int(rest[1]), int(rest[2]))
                self._places[bucket] = max(self._places.get(bucket, 0), int(rest[3]) + 1)
                pieces.setdefault(bucket, []).append(self._in_order(unpack_rows(body(value), self._measures)))
        for bucket, parts in pieces.items():
            if bucket[1] < self._oldest_kept_ms(self.family.partition(bucket[0])):
                self._folded[bucket] = pl.concat(parts)
            else:
                self._put(bucket, pl.concat(parts))
        self._unsaved.clear()

    def _restore_reaches(self, packed: bytes) -> None:
        stored = unpack_json(packed)
        self._floor_ms |= stored.pop(_FLOOR, {})
        for name, sources in stored.items():
            if name in self._heard:
                self._heard[name] = {
                    int(source): _Heard(version, tuple(map(tuple, reach)), bool(is_idle and is_idle[0]))
                    for source, (version, reach, *is_idle) in sources.items()
                }

    def _hear(self, partial: Partial) -> None:
        """Notes how far the source partition has come; without a reach there are more rows of this telling to come."""
        heard = self._heard[partial.partition.name]
        is_news = partial.version >= heard.get(partial.source_partition, _NOTHING).version
        if is_news and (partial.reach or partial.is_idle):
            heard[partial.source_partition] = _Heard(partial.version, partial.reach, partial.is_idle)
            self._reach_unsaved = True

    def _put(self, key: tuple[str, int, int], part: pl.DataFrame) -> None:
        known = self._pieces.get(key)
        joined = part if known is None else pl.concat([known, part[known.columns]])
        self._pieces[key] = joined.sort("version").unique(subset=self._identity, keep="last", maintain_order=False)
        self._changed.add((key[0], key[1]))
        self._unsaved.add(key)

    def _beyond(self, partial: Partial, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows for folded buckets, without what of them was counted when those were folded."""
        if rows.is_empty():
            return rows
        counted = [
            piece.with_columns(pl.lit(key[1], pl.Int64).alias(BUCKET))
            for key, piece in (
                *self._folded.items(),
                *self._pieces.items(),
            )  # The latter until `forget_old` folds them.
            if (key[0], key[2]) == (partial.partition.name, partial.source_partition)
        ]
        if not counted:
            return rows
        known = rows.join(pl.concat(counted), on=[BUCKET, *self._identity], how="left", suffix="|counted")
        beyond = known.select(
            BUCKET,
            *self._identity,
            *(pl.col(name) - pl.col(f"{name}|counted").fill_null(0) for name in self._measures),
            "version",
        )
        return beyond.filter(pl.any_horizontal(pl.col(*self._measures) != 0))

    def _forget(self, key: tuple[str, int, int]) -> None:
        self._unsaved.discard(key)
        self._forgotten += [self._stored_key(key, place) for place in range(self._places.pop(key, 0))]

    def _in_order(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.select(self._columns)

    def _known_reaches(self, partition: str) -> list[Reach]:
        return [heard.reach for heard in self._heard[partition].values()]

    def _oldest_kept_ms(self, partition: PrivacyPartition) -> int:
        """A bucket is kept until every source partition is past it, but for idle ones and ones that lag by more than `LAG_MAX_MS`.

        A minute is kept whole, so that its rollup can be told again from its buckets.
        """
        width_ms = partition.k_window_s * 1_000
        heard = self._heard[partition.name]
        newest_ms = max((each.newest_ms for each in heard.values()), default=0)
        if not newest_ms:
            return self._floor_ms[partition.name]
        slowest_ms = newest_ms - _lag_max_ms(partition)
        if len(heard) == self._sources:
            awaited_ms = [each.newest_ms for each in heard.values() if not each.is_idle]
            slowest_ms = max(slowest_ms, min(awaited_ms, default=newest_ms))
        # Intake takes in what ends no longer ago than the lateness, so a bucket changes until its width later.
        keep_ms = max(self._keep_ms, self.family.lateness_s * 1_000 + width_ms)
        floor_ms = (slowest_ms - keep_ms) // MINUTE_MS * MINUTE_MS
        self._floor_ms[partition.name] = max(floor_ms, self._floor_ms[partition.name])
        return self._floor_ms[partition.name]

    def _final_before_ms(self, partition: PrivacyPartition, source: int) -> int:
        """Buckets that start before this cannot change any more in this source partition: what comes for them is late there."""
        newest_ms = self._heard[partition.name].get(source, _NOTHING).newest_ms
        return newest_ms - (self.family.lateness_s + partition.k_window_s) * 1_000

    def _no_rows(self, *more: str) -> pl.DataFrame:
        types = {key.name: pl.String if key.vocabulary else pl.Int32 for key in self.family.keys} | {"slice": pl.String}
        return pl.DataFrame(schema={name: types.get(name, pl.Int64) for name in (*more, *self._columns)})

    def _stored_key(self, key: tuple[str, int, int], place: int) -> bytes:
        return "|".join((self.family.name, "bucket", *map(str, key), str(place))).encode()
