"""The ledger: what a shard knows of the buckets that are still open.

A partial tells absolute totals per source partition. The ledger keeps the newest per (source partition, bucket, slice,
key), and a bucket's total is their sum, with a version that grows with each of them. Older partials after newer ones,
and the same one twice, change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from schemas.families import Family, PrivacyPartition
from schemas.partials import Partial, Reach
from stream_jobs.operators.blocks import Block, body, chunks_below_limit, pack_json, stamped, unpack_json, unpack_rows
from stream_jobs.operators.reach import LIVE, Patience, completeness, decidable_until_ms

LAG_MAX_MS = 3_600_000
"""How far one source partition may lag behind another, in event time, before its rows come too late for a total.

While a backlog is worked off, partitions advance unevenly; one without any producer left must not hold memory for ever.
"""
MINUTE_MS = 60_000

BucketKey = tuple[str, int]
"""Privacy partition and bucket start in ms."""


class Ledger:
    """Open buckets of one family in one shard.

    `keep_ms`: how long after its end a bucket may still change. `sources`: how many source partitions there are; one
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
        self._pieces: dict[tuple[str, int, int], pl.DataFrame] = {}
        self._reaches: dict[str, dict[int, tuple[int, Reach]]] = {partition.name: {} for partition in family.partitions}
        self._changed: set[BucketKey] = set()
        self._unsaved: set[tuple[str, int, int]] = set()
        self._reach_unsaved = False
        self._places: dict[tuple[str, int, int], int] = {}
        self._forgotten: list[bytes] = []

    def apply(self, partial: Partial) -> int:
        """Takes in one partial; the number of rows that were for buckets already folded, and so passed over."""
        oldest_ms = self._oldest_kept_ms(partial.partition)  # Before the reach that comes with these very rows.
        self._hear(partial)
        if not partial.rows.num_rows:
            return 0
        rows = pl.from_arrow(partial.rows)
        assert isinstance(rows, pl.DataFrame)
        kept = rows.filter(pl.col("bucket_start_ms") >= oldest_ms).with_columns(
            version=pl.lit(partial.version, pl.Int64)
        )
        kept = kept.select("bucket_start_ms", *self._no_rows().columns)
        for (start_ms,), part in kept.partition_by("bucket_start_ms", as_dict=True, include_key=False).items():
            self._put((partial.partition.name, int(start_ms), partial.source_partition), part)
        return len(rows) - len(kept)

    def changed(self) -> list[BucketKey]:
        """The buckets that changed since the last call."""
        changed = sorted(self._changed)
        self._changed.clear()
        return changed

    def totals(self, keys: list[BucketKey]) -> pl.DataFrame:
        """Columns bucket_start_ms, slice, keys, measures, version: sums over source partitions for these buckets."""
        wanted = set(keys)
        pieces = [
            piece.with_columns(bucket_start_ms=pl.lit(key[1], pl.Int64))
            for key, piece in self._pieces.items()
            if (key[0], key[1]) in wanted
        ]
        if not pieces:
            return self._no_rows().with_columns(bucket_start_ms=pl.lit(0, pl.Int64))
        return (
            pl.concat(pieces).group_by("bucket_start_ms", *self._identity).agg(pl.col(*self._measures, "version").sum())
        )

    def kept(self) -> list[BucketKey]:
        """Every bucket that may still change."""
        return sorted({(name, start_ms) for name, start_ms, _ in self._pieces})

    def minutes_whole(self, keys: list[BucketKey]) -> list[BucketKey]:
        """All kept buckets of the minutes that `keys` lie in."""
        minutes = {(name, start_ms // MINUTE_MS) for name, start_ms in keys}
        return [(name, start_ms) for name, start_ms in self.kept() if (name, start_ms // MINUTE_MS) in minutes]

    def completeness(self, partition: str, bucket_end_ms: int) -> float:
        return completeness(self._known_reaches(partition), bucket_end_ms)

    def decidable_until_ms(self, partition: PrivacyPartition, now_ms: int) -> int:
        reaches = self._known_reaches(partition.name)
        return decidable_until_ms(reaches, now_ms, partition.k_window_s * 1_000, self._patience)

    def newest_ms(self, partition: str) -> int:
        """The newest instant that any producer has reported."""
        return max((end_ms for reach in self._known_reaches(partition) for end_ms, _ in reach), default=0)

    def forget_old(self) -> None:
        """Lets go of buckets that nothing can change any more."""
        for partition in self.family.partitions:
            oldest_ms = self._oldest_kept_ms(partition)
            old = [
                key
                for key in self._pieces
                if key[0] == partition.name and key[1] < oldest_ms and (key[0], key[1]) not in self._changed
            ]
            for key in old:
                del self._pieces[key]
                self._unsaved.discard(key)
                self._forgotten += [self._stored_key(key, place) for place in range(self._places.pop(key, 0))]

    def unsaved_blocks(self, applied_offset: int) -> Iterator[Block]:
        """What changed since the last call, stamped with the newest offset applied."""
        for key in sorted(self._unsaved):
            for place, packed in enumerate(chunks_below_limit(self._pieces[key])):
                self._places[key] = max(self._places.get(key, 0), place + 1)
                yield Block(self._stored_key(key, place), stamped(applied_offset, packed))
        if self._reach_unsaved:
            yield Block(f"{self.family.name}|reach".encode(), stamped(applied_offset, pack_json(self._reaches)))
        yield from (Block(key, None) for key in self._forgotten)
        self._unsaved.clear()
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
            self._put(bucket, pl.concat(parts))
        self._unsaved.clear()

    def _restore_reaches(self, packed: bytes) -> None:
        for name, sources in unpack_json(packed).items():
            if name in self._reaches:
                self._reaches[name] = {
                    int(source): (version, tuple(map(tuple, reach))) for source, (version, reach) in sources.items()
                }

    def _hear(self, partial: Partial) -> None:
        """Notes how far the source partition has come; without a reach there are more rows of this telling to come."""
        reaches = self._reaches[partial.partition.name]
        if partial.reach and partial.version >= reaches.get(partial.source_partition, (0, ()))[0]:
            reaches[partial.source_partition] = (partial.version, partial.reach)
            self._reach_unsaved = True

    def _put(self, key: tuple[str, int, int], part: pl.DataFrame) -> None:
        known = self._pieces.get(key)
        joined = part if known is None else pl.concat([known, part.select(known.columns)])
        self._pieces[key] = joined.sort("version").unique(subset=self._identity, keep="last", maintain_order=False)
        self._changed.add((key[0], key[1]))
        self._unsaved.add(key)

    def _in_order(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.select(self._no_rows().columns)

    def _known_reaches(self, partition: str) -> list[Reach]:
        return [reach for _, reach in self._reaches[partition].values()]

    def _oldest_kept_ms(self, partition: PrivacyPartition) -> int:
        """A bucket is kept until every source partition is past it, but for one that lags by more than `LAG_MAX_MS`.

        A minute is kept whole, so that its rollup can be told again from its buckets.
        """
        newest = [reach[-1][0] for reach in self._known_reaches(partition.name) if reach]
        if not newest:
            return 0
        lagging_ms = max(newest) - LAG_MAX_MS
        slowest_ms = max(min(newest), lagging_ms) if len(newest) == self._sources else lagging_ms
        return (slowest_ms - self._keep_ms) // MINUTE_MS * MINUTE_MS

    def _no_rows(self) -> pl.DataFrame:
        keys = {key.name: pl.String if key.vocabulary else pl.Int32 for key in self.family.keys}
        counts = dict.fromkeys((*self._measures, "version"), pl.Int64)
        return pl.DataFrame(schema={"slice": pl.String, **keys, **counts})

    def _stored_key(self, key: tuple[str, int, int], place: int) -> bytes:
        return "|".join((self.family.name, "bucket", *map(str, key), str(place))).encode()
