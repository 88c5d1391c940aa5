"""One question of `turnwatch bench questions`: the rounds that it is told, how it is measured, and what it is held to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import polars as pl

from stream_jobs.operators.totals.blocks import Block

ROWS_PER_S_MIN = 1_000_000
DECOMPOSED_S_MAX = 1.0
DRIFT_S_MAX = 0.2
TURN_S_MAX = 0.1


@dataclass(frozen=True, slots=True)
class Round:
    """One round of a question: the rows that it is told, and what takes them in and says what there is to say."""

    rows: pl.DataFrame
    answer: Callable[[], object]
    timed: Callable[[Callable[[], object]], float] = field(default=lambda answer: timed(answer))
    """Seconds of processor time that count of an answer."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is measured. `saved` gives the blocks that changed since it was asked last; `state_of` says what state spans."""

    name: str
    rounds: Iterable[Round]
    saved: Callable[[], Iterator[Block]] = lambda: iter(())
    state_of: str = "none"
    rows_per_s_min: int | None = None
    seconds_max: float | None = None
    counted: int = 5
    """Rounds at the end that count; more of those that take only milliseconds."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One question's figures; `peer_s` is what the plain sum of a round's rows took."""

    question: Question
    slices: int
    rows: int
    seconds: float
    peer_s: float
    state_bytes: int

    @property
    def rows_per_s(self) -> float:
        return self.rows / self.seconds

    @property
    def ratio(self) -> float | None:
        """How far it is above its limit: at 1.0 it just holds. `None` without one."""
        if self.question.seconds_max is not None:
            return self.question.seconds_max / self.seconds
        if self.question.rows_per_s_min is not None:
            return self.rows_per_s / self.question.rows_per_s_min
        return None

    @property
    def line(self) -> str:
        """As `name=value` pairs."""
        limit = "" if self.ratio is None else f" limit={self._limit} ratio={self.ratio:.2f}"
        return (
            f"question={self.question.name} slices={self.slices} rows_per_s={self.rows_per_s:.0f} "
            f"seconds={self.seconds:.4f} times_the_sum={self.seconds / self.peer_s:.1f} "
            f"state_bytes_per_slice={self.state_bytes / self.slices:.0f} state_of={self.question.state_of}{limit}"
        )

    @property
    def _limit(self) -> str:
        seconds = self.question.seconds_max
        return f"{self.question.rows_per_s_min}_rows_per_s" if seconds is None else f"{seconds}_s"


def measured(question: Question, slices: int) -> Measured:
    """Goes through the rounds; the last ones count, when there is as much to look back at as there will be."""
    seconds, peers, held = [], [], dict[bytes, int]()
    rows = 0
    for each in question.rounds:
        seconds.append(each.timed(each.answer))
        peers.append(timed(lambda rows=each.rows: _sum(rows)))  # type: ignore[misc]  # Bound now, called now.
        rows = len(each.rows)
        for block in question.saved():
            held[block.key] = len(block.key) + len(block.value) if block.value is not None else 0
    return Measured(
        question, slices, rows, min(seconds[-question.counted :]), min(peers[-question.counted :]), sum(held.values())
    )


def _sum(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.group_by("slice").agg(pl.col(pl.Int64).sum())


def timed(make: Callable[[], object]) -> float:
    started = time.process_time()
    make()
    return time.process_time() - started
