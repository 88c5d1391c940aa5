"""A series: bad and total turns of every slice in buckets of one width, gathered from rows that were checked.

Rows come in batches, in the order of their source. Within a slice time only goes forward; a bucket that has no row
between a slice's first and last counts as zero traffic, and the report says where. What is wrong is told with its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from re import fullmatch

import numpy as np
from numpy.typing import NDArray

from schemas.counted import counted
from schemas.failures import BadInput
from schemas.families import COUNT_MAX, FAMILIES
from schemas.instants import MINUTE_MS
from schemas.slices import SLICE_PATTERN, cut_of, slice_dimensions
from schemas.slos import Slo

TEN_SECONDS_MS = 10_000
CELLS_MAX = 1_500_000_000
"""Buckets of all slices together: 12 GB of counts. A range that needs more was not meant."""

Counts = NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Span:
    """Instants from `start_ms` to before `end_ms`, in buckets of `width_ms`; all of them multiples of it."""

    start_ms: int
    end_ms: int
    width_ms: int

    @property
    def buckets(self) -> int:
        return (self.end_ms - self.start_ms) // self.width_ms


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows as a source gave them. `slices` are places in `names`; `where` says where a row stands."""

    names: Sequence[str]
    slices: NDArray[np.int64]
    instants_ms: NDArray[np.int64]
    bad: NDArray[np.int64]
    total: NDArray[np.int64]
    where: Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Series:
    """Counts of shape (slices, buckets). `first_ms` is the minute in which each slice was first seen.

    `reported`: the buckets for which anything was told, of whatever slice that has buckets of 10 s in the stream.
    `notes` are sentences for the report.
    """

    span: Span
    slices: tuple[str, ...]
    bad: Counts
    total: Counts
    first_ms: NDArray[np.int64]
    reported: NDArray[np.bool_]
    notes: tuple[str, ...] = ()

    @property
    def ends_ms(self) -> NDArray[np.int64]:
        """The end of every bucket: the instants at which something can be decided."""
        return self.span.start_ms + (np.arange(self.span.buckets, dtype=np.int64) + 1) * self.span.width_ms

    def is_wide(self, place: int) -> bool:
        """Whether this slice's buckets are a minute wide in a series of finer ones."""
        return self.span.width_ms < MINUTE_MS and is_of_minutes(self.slices[place])


def is_of_minutes(text: str) -> bool:
    """Whether a slice is of a cut whose k-window is longer than 10 s, so that it has a bucket a minute.

    >>> is_of_minutes("pool=realtime,language=de"), is_of_minutes("pool=realtime")
    (True, False)
    """
    return cut_of(text) not in _FINE_CUTS


_FINE_CUTS = {
    cut.name
    for family in FAMILIES.values()
    for cut in family.cuts
    if family.partition(cut.partition).k_window_s * 1_000 <= TEN_SECONDS_MS
}


def is_watched(text: str, slo: Slo) -> bool:
    return cut_of(text) in slo.cuts and slice_dimensions(text).get("pool") == slo.pool


def fleet_of(slo: Slo) -> str:
    """The slice that rows without one are of."""
    return f"pool={slo.pool}"


@dataclass(slots=True)
class Gathering:
    """Takes batches in, and becomes a series. `source` names it in sentences."""

    span: Span
    slo: Slo
    source: str
    _rows: dict[str, int] = field(default_factory=dict)
    _last: list[int] = field(default_factory=list)
    _first_ms: list[int] = field(default_factory=list)
    _bad: Counts = field(init=False)
    _total: Counts = field(init=False)
    _reported: NDArray[np.bool_] = field(init=False)
    _reported_wide: NDArray[np.bool_] = field(init=False)
    """By slices of cuts with buckets of 10 s, by which decisions go, and by the others."""
    _left_out: set[str] = field(default_factory=set)
    _absent: int = 0
    _first_gap: str = ""

    def __post_init__(self) -> None:
        self._bad = np.zeros((0, self.span.buckets), dtype=np.int32)
        self._total = self._bad.copy()
        self._reported = np.zeros(self.span.buckets, dtype=bool)
        self._reported_wide = self._reported.copy()

    def add(self, batch: Batch) -> None:
        """Takes the rows of one batch in; raises `BadInput` for the first that cannot be meant."""
        if len(batch.instants_ms) == 0:
            return
        check_counts(batch)
        self._widen(int(batch.total.max()))
        places = self._places(batch)
        is_off = places * self.span.width_ms + self.span.start_ms != batch.instants_ms
        if is_off.any():
            row = int(np.argmax(is_off))
            raise BadInput(
                f"{batch.where(row)}: {instant_text(int(batch.instants_ms[row]))} begins no bucket of "
                f"{self.span.width_ms // 1_000} s, as the others are: give buckets of one width."
            )
        for number, rows in _by_slice(batch.slices):
            self._take(batch, str(batch.names[number]), rows, places[rows])

    def hear(self, instants_ms: NDArray[np.int64]) -> None:
        """Buckets for which something was reported, though not of any slice that was taken in."""
        self._reported[(instants_ms - self.span.start_ms) // self.span.width_ms] = True

    def series(self) -> Series:
        """All that was taken in; raises `BadInput` where that is nothing the objective watches."""
        if not self._rows:
            raise BadInput(self._nothing())
        count = len(self._rows)
        return Series(
            self.span,
            tuple(self._rows),
            self._bad[:count],
            self._total[:count],
            np.array(self._first_ms, dtype=np.int64),
            self._reported if self._reported.any() else self._reported_wide,
            tuple(self._notes()),
        )

    def _take(self, batch: Batch, text: str, rows: NDArray[np.int64], places: NDArray[np.int64]) -> None:
        """The rows of one slice, in the source's order."""
        row = self._rows.get(text)
        if row is None and not fullmatch(SLICE_PATTERN, text):
            raise BadInput(f"{batch.where(int(rows[0]))}: {text!r} is no slice: write one as {fleet_of(self.slo)}.")
        (self._reported_wide if is_of_minutes(text) else self._reported)[places] = True
        if row is None and not is_watched(text, self.slo):
            self._left_out.add(text)
            return
        if row is None:
            row = self._admit(text, int(batch.instants_ms[rows[0]]))
        self._check_order(batch, text, rows, places, self._last[row])
        self._bad[row, places] = batch.bad[rows]
        self._total[row, places] = batch.total[rows]
        self._last[row] = int(places[-1])

    def _check_order(
        self, batch: Batch, text: str, rows: NDArray[np.int64], places: NDArray[np.int64], last: int
    ) -> None:
        steps = np.diff(places, prepend=last if last >= 0 else places[0] - 1)
        if steps.min() < 1:
            row = int(rows[np.argmax(steps < 1)])
            is_repeat = int(steps[np.argmax(steps < 1)]) == 0
            instant = instant_text(int(batch.instants_ms[row]))
            why = f"stands there twice for {text}: keep one of the rows" if is_repeat else "comes after a later one"
            end = "." if is_repeat else f" of {text}: sort the rows by time."
            raise BadInput(f"{batch.where(row)}: {instant} {why}{end}")
        every = MINUTE_MS // self.span.width_ms if is_of_minutes(text) else 1
        absent = int((steps // max(every, 1)).sum()) - len(steps)
        if absent > 0 and not self._first_gap:
            at = int(np.argmax(steps > every))
            self._first_gap = f"{batch.where(int(rows[at]))} ({text})"
        self._absent += max(absent, 0)

    def _admit(self, text: str, instant_ms: int) -> int:
        row = self._rows[text] = len(self._rows)
        self._last.append(-1)
        self._first_ms.append(instant_ms // MINUTE_MS * MINUTE_MS)
        if row == len(self._bad):
            size = min(max(4 * row, 64), CELLS_MAX // self.span.buckets)
            if size <= row:
                raise BadInput(
                    f"{self.source}: more than {row} slices of {self.span.buckets} buckets each is more than fits in "
                    "memory: give a shorter range, or fewer slices."
                )
            self._bad, self._total = _grown(self._bad, size), _grown(self._total, size)
        return row

    def _places(self, batch: Batch) -> NDArray[np.int64]:
        places: NDArray[np.int64] = (batch.instants_ms - self.span.start_ms) // self.span.width_ms
        assert places.min() >= 0 and places.max() < self.span.buckets, "the span was found from the same rows"
        return places

    def _widen(self, largest: int) -> None:
        if largest > np.iinfo(self._total.dtype).max:
            self._bad, self._total = self._bad.astype(np.int64), self._total.astype(np.int64)

    def _nothing(self) -> str:
        if not self._left_out:
            return f"{self.source} holds no rows of {self.slo.indicator.name}: nothing can be said about it."
        example = min(self._left_out)
        return (
            f"{self.source} holds {counted(len(self._left_out), 'slice')}, such as {example}, and none that {self.slo.name} "
            f"watches: those are of pool {self.slo.pool}, by {' '.join(self.slo.cuts)}."
        )

    def _notes(self) -> Iterator[str]:
        if self._left_out:
            example = min(self._left_out)
            unwatched = f"that {self.slo.name} does not watch"
            left_out = counted(len(self._left_out), f"slice {unwatched} is", f"slices {unwatched} are")
            yield f"{left_out} left out, such as {example}."
        if self._absent:
            unit = ("minute", "minutes") if self.span.width_ms == MINUTE_MS else ("bucket of 10 s", "buckets of 10 s")
            rowless = (f"{unit[0]} has no row and counts", f"{unit[1]} have no row and count")
            yield f"{counted(self._absent, *rowless)} as zero traffic, first at {self._first_gap}."


def check_counts(batch: Batch) -> None:
    """Counts that can be counts; a source has told what is no number at all."""
    for is_wrong, what in (
        (batch.total < 0, "total is negative"),
        (batch.bad < 0, "the bad turns are negative"),
        (batch.bad > batch.total, "more turns are bad than there were"),
        (batch.total > COUNT_MAX, f"total is above {COUNT_MAX:,}, more than any fleet serves"),
    ):
        if is_wrong.any():
            row = int(np.argmax(is_wrong))
            raise BadInput(
                f"{batch.where(row)}: {what} (bad {int(batch.bad[row])}, total {int(batch.total[row])}): correct the row."
            )


def instant_text(instant_ms: int) -> str:
    """An instant as people write it, in UTC.

    >>> instant_text(1_700_000_000_000)
    '2023-11-14 22:13:20'
    """
    return datetime.fromtimestamp(instant_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _by_slice(slices: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """The rows of each slice of a batch, in their order."""
    rows = np.arange(len(slices))
    starts = np.flatnonzero(np.diff(slices, prepend=slices[0] - 1))
    if len(np.unique(slices[starts])) < len(starts):  # They take turns, as in rows by minute.
        rows = np.argsort(slices.astype(np.uint16) if slices.max() < 2**16 else slices, kind="stable")
        starts = np.flatnonzero(np.diff(slices[rows], prepend=slices[rows[0]] - 1))
    for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
        yield int(slices[rows[start]]), rows[start:stop]


def _grown(counts: Counts, size: int) -> Counts:
    """With room for `size` slices; memory that is not written yet takes none."""
    grown = np.zeros((size, counts.shape[1]), dtype=counts.dtype)
    grown[: len(counts)] = counts
    return grown
