"""Engines and deployments, window by window: what queues grew by, and which hosts serve what.

Both carry a state from window to window and identify nobody. What comes late is in no gauge, for that was said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from producers.queues import last_samples, queue_rows, without_gauges
from producers.releases import nobody_serves, release_rows, served
from schemas.families import QUEUES, RELEASES


@dataclass(slots=True)
class QueueWindows:
    """`before` is each engine's last sample of the window before the one that is open; None where there was none."""

    before: pl.DataFrame | None = None

    def closed(
        self, windows: list[tuple[int, pl.DataFrame]], window_start_ms: int
    ) -> Iterator[tuple[int, pl.DataFrame]]:
        """Rows of the window that ends, and of earlier ones whose samples came late: (start, rows), oldest first."""
        partition, before = QUEUES.partitions[0], self.before
        self.before = None
        for start_ms, samples in windows:
            if start_ms < window_start_ms:
                yield start_ms, without_gauges(queue_rows(samples, partition))
            else:
                self.before = last_samples(samples)
                yield start_ms, queue_rows(samples, partition, before)


@dataclass(slots=True)
class ReleaseWindows:
    """`live` is who serves what at the start of the window that is open."""

    live: pl.DataFrame = field(default_factory=nobody_serves)

    def closed(self, changes: pl.DataFrame) -> pl.DataFrame:
        """Rows of the window that ends, of which these are the changes, earlier ones that came late included."""
        if changes.is_empty() and self.live.is_empty():
            return pl.DataFrame()
        window = served(self.live, changes)
        self.live = window.live
        return release_rows(window, RELEASES.partitions[0])
