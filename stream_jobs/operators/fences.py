"""Fences: has this frame been applied already?

A producer numbers its frames from 0 in each incarnation. A fence keeps the contiguous mark (everything below it came)
and a bitmap of what came above it, so that repeats and reorderings are harmless. The bitmap is bounded: a frame too far
above the mark moves it up, and the numbers passed over are given up as missing, counted, and refused if they come after
all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
        came = (self.above & ((1 << (passed - 1)) - 1)).bit_count()
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
