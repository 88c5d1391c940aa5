"""Counters of a shard's history: what was bad and what there was since a process took it over, and they never fall.

A bucket counts once it is decided. What comes late for it counts as well, for an hour: the last hour is summed anew each
time, and only what is older is added up for good. Beginning at 0 is how Prometheus recognises a counter that begins again.
"""

from __future__ import annotations

import numpy as np

from schemas.instants import MINUTE_MS
from stream_jobs.operators.burn_rate.history import Counts, History
from stream_jobs.operators.totals.slice_numbers import SliceNumbers

SETTLED_MS = 60 * MINUTE_MS
"""How long after its end a bucket can still grow: as long as the ledger waits for the slowest source partition."""


class RunningCounts:
    """Counts by slice number and indicator, of everything up to an instant that only goes forward."""

    def __init__(self, history: History, slices: SliceNumbers, indicators: int) -> None:
        self._history, self._slices = history, slices
        self._settled_ms: int | None = None
        self._settled: Counts = np.zeros((0, indicators, 2), dtype=np.int64)
        self._counted: Counts = self._settled
        self._texts: list[str] = []
        self._changes = -1

    def up_to(self, end_ms: int, minute_end_ms: int) -> Counts:
        """The counts at `end_ms`, and at `minute_end_ms` of slices whose buckets are a minute wide; 0 the first time.

        What is returned is never changed any more.
        """
        is_first = self._settled_ms is None
        settled_ms = (end_ms - SETTLED_MS) // MINUTE_MS * MINUTE_MS
        if self._settled_ms is None:
            self._settled_ms = settled_ms
        self._fit()
        if settled_ms > self._settled_ms:
            self._settled = self._settled + self._history.between(1, self._settled_ms, settled_ms)
            self._settled_ms = settled_ms
        recent = self._recent(self._settled_ms, end_ms, minute_end_ms)
        if is_first:
            self._settled = -recent
        counted: Counts = np.maximum(self._counted, self._settled + recent)
        counted[..., 0] = counted.min(axis=-1)  # A bucket that is told smaller could leave more bad than there were.
        self._counted = counted
        return counted

    def _recent(self, from_ms: int, end_ms: int, minute_end_ms: int) -> Counts:
        """What is not settled yet: whole minutes, and what there is of the last one in finer buckets."""
        minute_ms = end_ms // MINUTE_MS * MINUTE_MS
        recent = self._history.between(1, from_ms, minute_ms) + self._history.between(0, minute_ms, end_ms)
        by_minute = self._slices.by_minute
        if minute_end_ms != minute_ms and by_minute.any():
            recent[by_minute] = self._history.between(1, from_ms, minute_end_ms)[by_minute]
        return recent

    def _fit(self) -> None:
        """Room for slices that have come since; a number that means another slice now begins at 0."""
        if self._changes == self._slices.changes:
            return
        texts = self._slices.texts
        settled = np.zeros((len(texts), *self._settled.shape[1:]), dtype=np.int64)
        counted = settled.copy()
        same = [number for number, text in enumerate(self._texts) if text and text == texts[number]]
        if same:
            settled[same], counted[same] = self._settled[same], self._counted[same]
        self._settled, self._counted = settled, counted
        self._texts, self._changes = list(texts), self._slices.changes
