"""How far Kafka has the lines that were taken: what is said to somebody who has to go on where an outage ended a run.

Lines become rows of windows, and those go to Kafka once their windows are over. So a line is there when the ten seconds in which it
counts have been acknowledged; of windows of a minute and longer that were not over then nothing is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from producers.collector import WINDOW_MS

_NO_LINES = pl.Series(dtype=pl.Int64)


@dataclass(slots=True)
class Progress:
    """Lines that were taken and are in no acknowledged window yet, by window; and of those that are, what lies behind the first that is not."""

    _waiting: dict[int, list[pl.Series]] = field(default_factory=dict)
    _ahead: pl.Series = field(default_factory=lambda: _NO_LINES)
    until_ms: int | None = None
    """The end of the windows that Kafka has; none where it has none."""

    def note_taken(self, lines: pl.Series, times: pl.Series) -> None:
        """Takes in the numbers of lines that will be counted, and when their observations happened."""
        windows = pl.DataFrame({"line": lines, "at": times // WINDOW_MS * WINDOW_MS}).group_by("at").agg("line")
        for start_ms, own in zip(windows["at"], windows["line"], strict=True):
            self._waiting.setdefault(start_ms, []).append(own)

    def note_acknowledged(self, until_ms: int) -> None:
        """Takes in that Kafka has all windows that end by then."""
        self.until_ms = max(until_ms, self.until_ms or until_ms)
        there = [each for each in self._waiting if each + WINDOW_MS <= until_ms]
        arrived = pl.concat([self._ahead, *(own for each in there for own in self._waiting.pop(each))])
        first = self.first_waiting
        self._ahead = _NO_LINES if first is None else arrived.filter(arrived > first)

    @property
    def waiting(self) -> int:
        """How many lines were taken that Kafka has not."""
        return sum(len(own) for each in self._waiting.values() for own in each)

    @property
    def first_waiting(self) -> int | None:
        """The first of them; none where there are none."""
        return min((int(own.to_numpy().min()) for each in self._waiting.values() for own in each), default=None)

    @property
    def arrived_ahead(self) -> tuple[int, int] | None:
        """How many lines behind the first that is waiting Kafka has, and the last of those; none where there are none."""
        return (len(self._ahead), int(self._ahead.to_numpy().max())) if len(self._ahead) else None
