"""Minutes of queues: an hour of what each queue of a shard showed, minute by minute, to compare its last minutes with.

Memory is slices × queues × `KEPT_MINUTES` rows of 180 bytes at most (`tests/operators/test_queue_minutes.py` holds it to
that): 13 MB for 300 slices with four queues each. The slices that are kept are those with the most arrivals.
"""

from __future__ import annotations

import polars as pl

from schemas.families import QUEUES
from schemas.instants import MINUTE_MS
from stream_jobs.operators.kept_minutes import KEPT_MINUTES, KeptMinutes

SLICES_MAX = 300
MEASURES = tuple(
    name
    for name in QUEUES.measure_names
    if name not in ("running", "warm_streams", "drafts_proposed", "drafts_accepted")
)
PAIR = ["slice", "queue"]
"""What tells one queue from another."""


class QueueMinutes(KeptMinutes):
    """The newest minutes of one shard's queues: slice, queue and `MEASURES`."""

    def __init__(self, slices_max: int = SLICES_MAX) -> None:
        super().__init__(QUEUES, PAIR, MEASURES, "arrivals", slices_max)

    def tell(self, totals: pl.DataFrame) -> None:
        """Takes whole minutes as they are known now; columns as `QUEUES` has them, by minute and slice."""
        for (start_ms,), minute in totals.partition_by("bucket_start_ms", as_dict=True).items():
            self.keep(int(start_ms), minute)

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


_NO_DEPTHS = pl.DataFrame(schema=dict.fromkeys(PAIR, pl.String) | {"depth": pl.Int64, "minute_ms": pl.Int64})
