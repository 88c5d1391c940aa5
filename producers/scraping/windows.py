"""A collector that takes rows which come aggregated, beside observations: they wait for the end of their window like those."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from producers.aggregated import ROW_KINDS, AggregatedRows
from producers.collector import WINDOW_MS, Collector, Frame


@dataclass(slots=True)
class RowCollector(Collector):
    """`Collector`, and kinds `rows.<family>` (`producers/aggregated.py`)."""

    _rows: AggregatedRows = field(init=False, default_factory=AggregatedRows)

    # A dataclass with slots is another class than the one that `super()` was compiled in.
    def observe(self, kind: str, rows: pl.DataFrame) -> int:
        """Takes in observations, or rows of windows, of a kind; returns how many were taken."""
        if kind not in ROW_KINDS:
            return Collector.observe(self, kind, rows)
        self._rows.add(kind, rows)
        return len(rows)

    def close(self, watermark_ms: int) -> Iterator[Frame]:
        """Frames of every window that ends at or before `watermark_ms`, oldest first, each ended by its heartbeat."""
        while self._open_ms + WINDOW_MS <= watermark_ms:
            window_end_ms = self._open_ms + WINDOW_MS
            for window in self._rows.ended(window_end_ms):
                yield from self._frames(window.family, window.partition, window.window_start_ms, window.rows)
            yield from Collector.close(self, window_end_ms)
