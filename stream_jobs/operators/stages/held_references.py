"""References that are held: of a slice in which a stage grew, what it was compared with when it began to grow.

Otherwise the growth would become its own reference before a slow burn pages. A reference is held while the growth goes
on, over `PAUSE_MS` in which it does not show, and `HELD_MS` at most: what is slow for longer is how it is now. Five rows
of 50 bytes a slice.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from schemas.families import STAGE_LATENCIES
from schemas.instants import MINUTE_MS
from stream_jobs.operators.saved_rows import SavedRows
from stream_jobs.operators.totals.blocks import Block

PAUSE_MS = 5 * MINUTE_MS
HELD_MS = 6 * 60 * MINUTE_MS
"""As long as the longest window that pages."""
_COLUMNS = {
    "slice": pl.String,
    "stage": pl.Int16,
    "observed_before": pl.Float64,
    "latency_ms_before": pl.Float64,
    "tail_bucket": pl.Int16,
    "above_before": pl.Float64,
    "before_s": pl.Int64,
    "since_ms": pl.Int64,
}
"""Of a reference. `since_ms` is when it was first grown beyond."""


class HeldReferences:
    """The held references of one shard, by slice and stage."""

    def __init__(self) -> None:
        held = _COLUMNS | {"named_ms": pl.Int64}
        self._held = pl.DataFrame(schema=held)
        self._is_unsaved = False
        self._saved = SavedRows(f"{STAGE_LATENCIES.name}|held", held)

    def in_place_of(self, references: pl.DataFrame, end_ms: int) -> pl.DataFrame:
        """These references, but for slices with a held one that one."""
        is_held = (pl.col("named_ms") >= end_ms - PAUSE_MS) & (pl.col("since_ms") > end_ms - HELD_MS)
        self._held = self._held.filter(is_held)
        others = references.select(_COLUMNS.keys()).cast(_COLUMNS).join(self._held, on="slice", how="anti")  # type: ignore[arg-type]
        return pl.concat([others, self._held.select(_COLUMNS.keys())])

    def hold(self, references: pl.DataFrame, named: set[str], end_ms: int) -> None:
        """Holds what was compared with where something is named, and goes on to hold what was."""
        now = references.filter(pl.col("slice").is_in(list(named))).with_columns(named_ms=pl.lit(end_ms, pl.Int64))
        before, self._held = self._held, pl.concat([self._held.join(now, on="slice", how="anti"), now])
        self._is_unsaved = self._is_unsaved or not (before.is_empty() and self._held.is_empty())

    def unsaved_blocks(self, applied_offset: int) -> Iterator[Block]:
        """All of them where something changed since the last call."""
        if self._is_unsaved:
            self._is_unsaved = False
            yield from self._saved.blocks(self._held, applied_offset)

    def restore(self, stored: dict[bytes, bytes]) -> None:
        """Takes up what `unsaved_blocks` wrote, among other blocks."""
        self._held = self._saved.restored(stored)
