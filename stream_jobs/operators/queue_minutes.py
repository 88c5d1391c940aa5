"""Minutes of queues: an hour of what each queue of a shard showed, minute by minute, to compare its last minutes with.

What is told of a minute is told as a whole, so a later telling replaces it. Memory is slices × queues × `KEPT_MINUTES` rows
of 180 bytes at most (`tests/operators/test_queue_minutes.py` holds it to that): 13 MB for 300 slices with four queues each.
Of a minute only the `slices_max` slices with the most arrivals are kept; how many are not is told.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from schemas.families import QUEUES
from schemas.instants import MINUTE_MS
from stream_jobs.operators.blocks import Block, body, chunks_below_limit, stamped, unpack_rows

KEPT_MINUTES = 60
SLICES_MAX = 300
MEASURES = tuple(
    name
    for name in QUEUES.measure_names
    if name not in ("running", "warm_streams", "drafts_proposed", "drafts_accepted")
)
PAIR = ["slice", "queue"]
"""What tells one queue from another."""
_KIND = "minutes"
_COLUMNS = [*PAIR, *MEASURES]


class QueueMinutes:
    """The newest minutes of one shard's queues."""

    def __init__(self, slices_max: int = SLICES_MAX) -> None:
        self._slices_max = slices_max
        self._minutes: dict[int, pl.DataFrame] = {}
        self._unsaved: set[int] = set()
        self._places: dict[int, int] = {}
        self._forgotten: list[bytes] = []
        self.left_out = 0
        """Slices that were not kept of the newest minute told."""

    def tell(self, totals: pl.DataFrame) -> None:
        """Takes whole minutes as they are known now; columns as `QUEUES` has them, by minute and slice."""
        for (start_ms,), minute in totals.partition_by("bucket_start_ms", as_dict=True).items():
            self._minutes[int(start_ms)] = self._largest(minute.select(_COLUMNS))
            self._unsaved.add(int(start_ms))

    @property
    def newest_ms(self) -> int:
        """When the newest minute that was told begins; 0 before any."""
        return max(self._minutes, default=0)

    def at(self, start_ms: int) -> pl.DataFrame:
        """The queues of one minute: slice, queue and `MEASURES`; no row of what was not heard of."""
        return self._minutes.get(start_ms, _NOTHING)

    def between(self, from_ms: int, until_ms: int) -> pl.DataFrame:
        """All that begins in this span, by minute, with `minute_ms`."""
        named = [
            minute.with_columns(minute_ms=pl.lit(start_ms, pl.Int64))
            for start_ms, minute in sorted(self._minutes.items())
            if from_ms <= start_ms < until_ms
        ]
        return pl.concat([_NOTHING.with_columns(minute_ms=pl.lit(0, pl.Int64)), *named])

    def newest_before(self, at_ms: int, queues: pl.DataFrame) -> pl.DataFrame:
        """Of each of these queues the depth in the newest of an hour's minutes before this in which it was heard of, with `minute_ms`."""
        found, missed = [_NO_DEPTHS], queues.select(PAIR)
        oldest_ms = at_ms - (KEPT_MINUTES - 1) * MINUTE_MS
        for start_ms in sorted((each for each in self._minutes if oldest_ms <= each < at_ms), reverse=True):
            if missed.is_empty():
                break
            known = missed.join(
                self._minutes[start_ms].select(*PAIR, "depth"), on=PAIR, how="left", maintain_order="left"
            )
            found.append(known.drop_nulls("depth").with_columns(minute_ms=pl.lit(start_ms, pl.Int64)))
            missed = known.filter(pl.col("depth").is_null()).select(PAIR)
        return pl.concat(found)

    def age(self, decided_ms: int) -> None:
        """Lets go of what is older than anybody asks for once minutes up to this are decided."""
        oldest_ms = decided_ms - KEPT_MINUTES * MINUTE_MS
        for start_ms in [start_ms for start_ms in self._minutes if start_ms < oldest_ms]:
            del self._minutes[start_ms]
            self._unsaved.discard(start_ms)
            self._forgotten += [_key(start_ms, place) for place in range(self._places.pop(start_ms, 0))]

    def unsaved_blocks(self, applied_offset: int, until_ms: int) -> Iterator[Block]:
        """Minutes that begin before this and changed since the last call; younger ones are told again after a start."""
        for start_ms in sorted(each for each in self._unsaved if each < until_ms):
            for place, packed in enumerate(chunks_below_limit(self._minutes[start_ms])):
                self._places[start_ms] = max(self._places.get(start_ms, 0), place + 1)
                yield Block(_key(start_ms, place), stamped(applied_offset, packed))
            self._unsaved.discard(start_ms)

    def forgotten_blocks(self) -> Iterator[Block]:
        forgotten, self._forgotten = self._forgotten, []
        yield from (Block(key, None) for key in forgotten)

    def restore(self, stored: dict[bytes, bytes]) -> None:
        """Takes up what `unsaved_blocks` wrote, among other blocks."""
        for key, value in sorted(stored.items()):
            family, kind, *rest = key.decode().split("|")
            if (family, kind) == (QUEUES.name, _KIND):
                start_ms, place = map(int, rest)
                rows = unpack_rows(body(value), MEASURES).select(_COLUMNS)
                # A later place of a smaller telling is stale; what is told of open minutes replaces both.
                self._minutes[start_ms] = pl.concat([self._minutes.get(start_ms, _NOTHING), rows]).unique(
                    PAIR, keep="first", maintain_order=True
                )
                self._places[start_ms] = max(self._places.get(start_ms, 0), place + 1)

    def _largest(self, minute: pl.DataFrame) -> pl.DataFrame:
        """The rows of the slices with the most arrivals, and first by name of equal ones."""
        self.left_out = max(0, minute["slice"].n_unique() - self._slices_max)
        if not self.left_out:
            return minute
        slices = minute.group_by("slice").agg(pl.col("arrivals").sum())
        ordered = slices.sort("arrivals", "slice", descending=[True, False])
        return minute.join(ordered.head(self._slices_max), on="slice", how="semi")


_NO_DEPTHS = pl.DataFrame(schema=dict.fromkeys(PAIR, pl.String) | {"depth": pl.Int64, "minute_ms": pl.Int64})
_NOTHING = pl.DataFrame(schema=dict.fromkeys(PAIR, pl.String) | dict.fromkeys(MEASURES, pl.Int64))


def _key(start_ms: int, place: int) -> bytes:
    return "|".join((QUEUES.name, _KIND, str(start_ms), str(place))).encode()
