"""Fences: has this frame been applied already?

A producer numbers its frames from 0 in each incarnation. A fence keeps the contiguous mark (everything below it came)
and a bitmap of what came above it, so that repeats and reorderings are harmless. The bitmap is bounded: a frame too far
above the mark moves it up, and the numbers passed over are given up as missing, counted, and refused if they come after
all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import xxhash

HOLES_MAX = 4_096
"""How far above its contiguous mark a fence remembers."""

Passage = Literal["fresh", "repeated", "expired"]


@dataclass(slots=True)
class Fence:
    """What came of one (producer, incarnation, family).

    `mark`: the lowest number that has not come. `above`: bit i is set when mark + 1 + i came. `given_up`: numbers below
    the mark that never came.

    >>> fence = Fence()
    >>> [fence.admit(number) for number in (0, 2, 2, 1, 0)]
    ['fresh', 'fresh', 'repeated', 'fresh', 'repeated']
    >>> fence.mark
    3
    """

    mark: int = 0
    above: int = 0
    given_up: int = 0
    given_up_below: int = 0
    last_window_end_ms: int = 0

    def admit(self, sequence: int) -> Passage:
        """Notes that `sequence` came, and says whether it was news."""
        if sequence < self.mark:
            return "expired" if sequence < self.given_up_below else "repeated"
        place = sequence - self.mark - 1
        if place >= 0 and self.above >> place & 1:
            return "repeated"
        if place >= HOLES_MAX:
            self._give_up(sequence - HOLES_MAX)
            place = sequence - self.mark - 1
        if place < 0:
            self.mark += 1
            self._settle()
        else:
            self.above |= 1 << place
        return "fresh"

    def _give_up(self, new_mark: int) -> None:
        """Moves the mark up to `new_mark` or beyond, over numbers that have not come."""
        passed = new_mark - self.mark
        # The bitmap is short, but a broken producer's number may be anything: no mask is made as long as that.
        known = min(passed - 1, self.above.bit_length())
        came = (self.above & ((1 << known) - 1)).bit_count()
        self.given_up += passed - came
        self.above >>= passed - 1
        self.mark = self.given_up_below = new_mark
        self._settle()

    def _settle(self) -> None:
        """Moves a mark that bit 0 stands for past everything that came, and lets bit 0 stand for what follows it."""
        while self.above & 1:
            self.mark += 1
            self.above >>= 1
        self.above >>= 1


FENCE_IDLE_MS = 24 * 3_600_000
"""A fence that nothing passed for so long, in event time, is forgotten."""
INCARNATIONS_MAX = 8
"""Fences kept per producer: one that starts over and over must not fill the state."""
PAGES = 64


class Fences:
    """The fences of one family in one source partition, by producer and incarnation; saved in pages of producers."""

    def __init__(self) -> None:
        self._of: defaultdict[str, dict[int, Fence]] = defaultdict(dict)
        self._unsaved: set[int] = set()
        self._judged_until: dict[int, int] = {}

    def admit(self, producer: str, incarnation: int, sequence: int, window_end_ms: int) -> tuple[Passage, int]:
        """How the frame passes, and how many numbers were given up as missing on the way.

        An incarnation older than the newest `INCARNATIONS_MAX` is expired: its fence is gone, and a repeat could not
        be told from news.
        """
        of_producer = self._of[producer]
        if incarnation not in of_producer and len(of_producer) >= INCARNATIONS_MAX:
            if incarnation < min(of_producer):
                return "expired", 0
            del of_producer[min(of_producer)]
        fence = of_producer.setdefault(incarnation, Fence())
        given_up = fence.given_up
        passage = fence.admit(sequence)
        fence.last_window_end_ms = max(fence.last_window_end_ms, window_end_ms)
        self._unsaved.add(_page_of(producer))
        return passage, fence.given_up - given_up

    def forget_idle(self, newest_ms: int) -> None:
        for producer in list(self._of):
            kept = {
                name: fence
                for name, fence in self._of[producer].items()
                if fence.last_window_end_ms >= newest_ms - FENCE_IDLE_MS
            }
            if len(kept) < len(self._of[producer]):
                self._unsaved.add(_page_of(producer))
                self._of[producer] = kept
            if not kept:
                del self._of[producer]

    def unsaved_pages(self) -> Iterator[tuple[int, Any]]:
        """(page number, what to store) of the pages that changed since the last call."""
        pages: defaultdict[int, list[Any]] = defaultdict(list)
        for producer, fences in self._of.items():
            page = _page_of(producer)
            if page in self._unsaved:
                pages[page] += [[producer, incarnation, *_stored(fence)] for incarnation, fence in fences.items()]
        yield from ((page, pages[page]) for page in sorted(self._unsaved))
        self._unsaved.clear()

    def have_judged(self, producer: str, offset: int) -> bool:
        """Whether what was restored has judged this record: what followed from it was saved before the fences were."""
        return offset <= self._judged_until.get(_page_of(producer), -1)

    def restore(self, page: Any, judged_until: int) -> None:
        """`judged_until`: the offset of the newest record that this page had judged when it was saved."""
        self._judged_until |= {_page_of(producer): judged_until for producer, *_ in page}
        for producer, incarnation, mark, above, given_up, given_up_below, last_ms in page:
            self._of[producer][incarnation] = Fence(mark, int(above, 36), given_up, given_up_below, last_ms)


def _page_of(producer: str) -> int:
    return xxhash.xxh3_64_intdigest(producer.encode()) % PAGES


def _stored(fence: Fence) -> list[Any]:
    return [fence.mark, _base_36(fence.above), fence.given_up, fence.given_up_below, fence.last_window_end_ms]


def _base_36(number: int) -> str:
    """Short text for a bitmap; `int(text, 36)` reads it."""
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = digits[digit] + text
    return text or "0"
