"""The slices of a shard by number: arrays of counts are addressed by it.

Numbers are given in the order of the shard's log. When the history has let go of the last bucket that counted a slice,
and of a day more, its number is free, and the lowest free one is given next. Stored counts are of a bucket: those of a
number's former slice lie in buckets from before any window of the next one, whatever a crash leaves of the writes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.families import FAMILIES, INDICATORS_OF, OPERATIONAL
from schemas.instants import HOUR_MS, MINUTE_MS
from schemas.slices import cut_of
from stream_jobs.operators.totals.blocks import Block, body, pack_json, stamped, state_format, unpack_json

NO_NUMBER = -1
_PAGE_SLICES = 2_000
_PARTITION_OF_CUT = {cut.name: cut.partition for name in INDICATORS_OF for cut in FAMILIES[name].cuts}
"""A cut of one name is of a partition of one name, whichever family with objectives has it."""


class SliceNumbers:
    """`texts[number]` and `first_seen_ms[number]` tell of a slice; a free number has an empty text.

    `kept_ms`: for how long after its last bucket something is kept of a slice.
    """

    def __init__(self, kept_ms: int) -> None:
        self.texts: list[str] = []
        self.first_seen_ms: list[int] = []
        self.changes = 0
        """Grows whenever a number comes to mean something else."""
        self._last_hours: list[int] = []
        self._kept_hours = -(-kept_ms // HOUR_MS)
        self._numbers: dict[str, int] = {}
        self._free: list[int] = []
        self._hour = 0
        self._unsaved: set[int] = set()
        self._by_minute: tuple[int, NDArray[np.bool_]] = (0, np.zeros(0, dtype=bool))

    def __len__(self) -> int:
        """How many numbers there are, free ones included."""
        return len(self.texts)

    @property
    def living(self) -> int:
        return len(self._numbers)

    def hear(self, rows: pl.DataFrame) -> None:
        """Numbers what these rows (slice and bucket_start_ms) name for the first time, and frees what is long gone."""
        first = pl.col("bucket_start_ms").min() // MINUTE_MS * MINUTE_MS
        last = pl.col("bucket_start_ms").max() // HOUR_MS
        named = rows.group_by("slice").agg(first=first, last=last).sort("slice")
        hour = max(named["last"], default=0)
        if hour > self._hour:
            self._hour = hour
            self._free_old()
        for text, first_ms, last_hour in named.iter_rows():
            number = self._numbers.get(text)
            if number is None:
                number = self._admit(text, first_ms)
            if last_hour > self._last_hours[number]:
                self._last_hours[number] = last_hour
                self._unsaved.add(number // _PAGE_SLICES)

    def first_seen_since(self, known_ms: int, numbers: Iterable[int]) -> list[int | None]:
        """When each was first seen; `None` where the history was younger than `known_ms` then, so that it is no news."""
        begin_ms = min(first_ms for text, first_ms in zip(self.texts, self.first_seen_ms, strict=True) if text)
        seen = [self.first_seen_ms[number] for number in numbers]
        return [first_ms if first_ms - begin_ms >= known_ms else None for first_ms in seen]

    def of(self, texts: Iterable[str]) -> NDArray[np.int64]:
        """The numbers of these slices; `NO_NUMBER` for one that was let go."""
        return np.array([self._numbers.get(text, NO_NUMBER) for text in texts], dtype=np.int64)

    @property
    def by_minute(self) -> NDArray[np.bool_]:
        """By number: whether the slice's buckets are a minute wide (its cut has an identifying dimension)."""
        if self._by_minute[0] != self.changes:
            wide = np.array([bool(text) and _is_wide(text) for text in self.texts], dtype=bool)
            self._by_minute = (self.changes, wide)
        return self._by_minute[1]

    def bucket_ms(self, number: int) -> int:
        """How wide the finest buckets of a slice are."""
        return MINUTE_MS if self.by_minute[number] else OPERATIONAL.k_window_s * 1_000

    def is_fine(self, rows: pl.DataFrame) -> pl.Series:
        """Which of these rows are of slices that have buckets of 10 s."""
        wide = [text for text in rows["slice"].unique() if _is_wide(text)]
        return ~rows["slice"].is_in(wide)

    def unsaved_blocks(self, applied_offset: int) -> Iterator[Block]:
        """The pages that changed since the last call."""
        for page in sorted(self._unsaved):
            members = slice(page * _PAGE_SLICES, (page + 1) * _PAGE_SLICES)
            columns = (self.texts[members], self.first_seen_ms[members], self._last_hours[members])
            rows = list(zip(*columns, strict=True))
            yield Block(f"slices|{page}".encode(), stamped(applied_offset, pack_json(rows)))
        self._unsaved.clear()

    def restore(self, stored: dict[bytes, bytes], newest_ms: int) -> None:
        """Takes up the pages. Those of format 1 do not say when a slice was last seen: it counts as just seen."""
        pages = {int(key.split(b"|")[1]): value for key, value in stored.items() if key.startswith(b"slices|")}
        for page, value in sorted(pages.items()):
            self._fill_up_to(page * _PAGE_SLICES)
            for row in unpack_json(body(value)):
                text, first_ms, last_hour = row if state_format(value) > 1 else (*row, newest_ms // HOUR_MS)
                self._append(text, first_ms, last_hour)
        self._numbers = {text: number for number, text in self._by_age() if text}
        for number, text in enumerate(self.texts):
            if text and self._numbers[text] != number:
                self._forget(number)
        self._free = [number for number, text in enumerate(self.texts) if not text]
        self._hour = max(self._last_hours, default=0)
        self.changes += 1

    def _by_age(self) -> list[tuple[int, str]]:
        """By when they were last seen. A crash between two pages can leave a slice under a number it had before, too."""
        return sorted(enumerate(self.texts), key=lambda each: self._last_hours[each[0]])

    def _forget(self, number: int) -> None:
        self.texts[number] = ""
        self._unsaved.add(number // _PAGE_SLICES)
        self.changes += 1

    def _admit(self, text: str, first_ms: int) -> int:
        if self._free:
            number = heapq.heappop(self._free)
            self.texts[number], self.first_seen_ms[number], self._last_hours[number] = text, first_ms, 0
        else:
            number = len(self.texts)
            self._append(text, first_ms, 0)
        self._numbers[text] = number
        self._unsaved.add(number // _PAGE_SLICES)
        self.changes += 1
        return number

    def _append(self, text: str, first_ms: int, last_hour: int) -> None:
        self.texts.append(text)
        self.first_seen_ms.append(first_ms)
        self._last_hours.append(last_hour)

    def _fill_up_to(self, size: int) -> None:
        """A page that a crash kept from landing: its numbers are given again as the log names their slices."""
        while len(self.texts) < size:
            self._append("", 0, 0)

    def _free_old(self) -> None:
        gone = np.flatnonzero(np.array(self._last_hours, dtype=np.int64) + 1 + self._kept_hours < self._hour)
        for number in map(int, gone):
            text = self.texts[number]
            if not text:
                continue
            del self._numbers[text]
            self._forget(number)
            heapq.heappush(self._free, number)


@lru_cache(maxsize=200_000)
def _is_wide(text: str) -> bool:
    return _PARTITION_OF_CUT.get(cut_of(text)) != OPERATIONAL.name
