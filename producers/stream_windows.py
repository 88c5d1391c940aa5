"""Streams, window by window: who is live, and the starts and ends of each second.

A change that comes late counts in the first second that is still open: the number of active streams is right from there
on. Starts from before the collector opened are streams that were active already.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from producers.aggregate import stream_rows
from producers.observations import no_stream_changes
from schemas.families import OPERATIONAL


@dataclass(frozen=True, slots=True)
class StreamsClosed:
    """Rows of family `streams`, how many changes were judged, and how many of them were dropped."""

    rows: pl.DataFrame
    seen: int
    dropped: int


@dataclass(slots=True)
class StreamWindows:
    """The streams that are live at the start of the window that is open."""

    live: pl.DataFrame = field(default_factory=no_stream_changes)

    def closed(self, changes: pl.DataFrame, window_start_ms: int, opens_at_ms: int) -> StreamsClosed:
        """Ends the window, of which these are the changes, earlier ones that came late included."""
        if changes.is_empty() and self.live.is_empty():
            return StreamsClosed(pl.DataFrame(), 0, 0)
        starts, ends = self._paired(changes.sort("at_ms", maintain_order=True))
        is_first = window_start_ms <= opens_at_ms
        already = starts.filter(pl.col("at_ms") < opens_at_ms) if is_first else starts.clear()
        rows = stream_rows(
            pl.concat([self.live, already]),
            _in_seconds(starts.join(already, on="session", how="anti"), window_start_ms),
            _in_seconds(ends, window_start_ms),
        )
        self.live = pl.concat([self.live, starts]).join(ends, on="session", how="anti")
        return StreamsClosed(rows, len(changes), len(changes) - len(starts) - len(ends))

    def _paired(self, changes: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Starts of streams that were not live, and ends of those that were; the rest is dropped."""
        starts = (
            changes.filter("is_start")
            .unique("session", keep="first", maintain_order=True)
            .join(self.live, on="session", how="anti")
        )
        known = pl.concat([self.live, starts]).select("session", *OPERATIONAL.dimensions, started_at_ms="at_ms")
        ends = (
            changes.filter(~pl.col("is_start"))
            .unique("session", keep="first", maintain_order=True)
            .select("at_ms", "session", "is_start")
            .join(known, on="session")
            .with_columns(at_ms=pl.max_horizontal("at_ms", "started_at_ms"))
            .select(changes.columns)
        )
        return starts, ends


def _in_seconds(changes: pl.DataFrame, window_start_ms: int) -> pl.DataFrame:
    second = ((pl.max_horizontal("at_ms", pl.lit(window_start_ms)) - window_start_ms) // 1_000).cast(pl.Int32)
    return changes.with_columns(second=second)
