"""How far Kafka has the lines that were taken: what is said to somebody who has to go on where an outage ended a run.

Lines become rows of windows, and those go to Kafka once their windows are over. So a line is there when the ten seconds in which it
counts have been acknowledged; of windows of a minute and longer that were not over then nothing is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import polars as pl

from producers.collector import WINDOW_MS


@dataclass(slots=True)
class Progress:
    """Lines that were taken and are in no acknowledged window yet: by window the first of them, and how many."""

    _first: dict[int, int] = field(default_factory=dict)
    _waiting: Counter[int] = field(default_factory=Counter)
    until_ms: int | None = None
    """The end of the windows that Kafka has; none where it has none."""

    def note_taken(self, lines: pl.Series, times: pl.Series) -> None:
        """Takes in the numbers of lines that will be counted, and when their observations happened."""
        windows = pl.DataFrame({"line": lines, "at": times // WINDOW_MS * WINDOW_MS}).group_by("at")
        for start_ms, first, count in windows.agg(pl.col("line").min(), pl.len().alias("count")).rows():
            self._first[start_ms] = min(first, self._first.get(start_ms, first))
            self._waiting[start_ms] += count

    def note_acknowledged(self, until_ms: int) -> None:
        """Takes in that Kafka has all windows that end by then."""
        self.until_ms = max(until_ms, self.until_ms or until_ms)
        for start_ms in [each for each in self._first if each + WINDOW_MS <= until_ms]:
            del self._first[start_ms], self._waiting[start_ms]

    @property
    def waiting(self) -> int:
        """How many lines were taken that Kafka has not."""
        return self._waiting.total()

    @property
    def first_waiting(self) -> int | None:
        """The first of them; none where there are none."""
        return min(self._first.values(), default=None)
