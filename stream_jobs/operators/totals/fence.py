"""A fence: which numbers of one producer's incarnation came, so that repeats and reorderings are harmless.

A producer numbers its frames from 0 in each incarnation. A fence keeps the contiguous mark (everything below it came, or
was passed over) and a bitmap of what came above it. A frame too far above the mark moves it up. What it passes over is
remembered as missing, in gaps of `GAP_NUMBERS` numbers each: a frame that was refused can be put through again for as long
as windows that old are taken in at all, and counts once then.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

AHEAD_MAX = 1_024
"""How far above its mark a fence remembers what came."""
GAP_NUMBERS = 4_096
NUMBERS_KEPT = 131_072
"""How far below its mark a fence remembers what is missing: at 13 frames a minute these are 7 days; `turns` sends 7."""
NUMBERS_KEPT_AT_FIRST = 4_096
"""The same below the first number that came at all: a fence begun anew would else miss a week of each producer."""

Passage = Literal["fresh", "repeated", "expired", "crowded", "judged"]
"""`crowded`: of a producer for whom there is no room. `judged`: refused when it was judged, before a crash."""


def end_of_gap(gap: int) -> int:
    """The first number after those of a gap."""
    return (gap + 1) * GAP_NUMBERS


@dataclass(slots=True)
class Fence:
    """What came of one (producer, incarnation, family).

    `mark`: everything below it came, or is in `gaps`, or was given up. `above`: bit i is set when mark + 1 + i came.
    `gaps`: by number // GAP_NUMBERS, which numbers below the mark are missing. `missing`: how many were ever passed over,
    `given_up`: how many of these are forgotten; all of those are below `given_up_below`. `touched`: gaps that changed.

    >>> fence = Fence()
    >>> [fence.admit(number) for number in (0, 2, 2, 1, 0)]
    ['fresh', 'fresh', 'repeated', 'fresh', 'repeated']
    >>> fence.mark
    3
    """

    mark: int = 0
    above: int = 0
    missing: int = 0
    given_up: int = 0
    given_up_below: int = 0
    last_window_end_ms: int = 0
    gaps: dict[int, int] = field(default_factory=dict)
    touched: tuple[int, ...] = ()

    def admit(self, sequence: int) -> Passage:
        """Notes that `sequence` came, and says whether it was news."""
        if sequence < self.mark:
            return self._admit_below(sequence)
        place = sequence - self.mark - 1
        if place >= 0 and self.above >> place & 1:
            return "repeated"
        if place >= AHEAD_MAX:
            self._pass_over(sequence - AHEAD_MAX // 2)
            place = sequence - self.mark - 1
        if place < 0:
            self.mark += 1
            self._settle()
        else:
            self.above |= 1 << place
        return "fresh"

    def came(self, sequence: int) -> bool:
        if sequence < self.mark:
            gap, place = divmod(sequence, GAP_NUMBERS)
            return sequence >= self.given_up_below and not self.gaps.get(gap, 0) >> place & 1
        return sequence > self.mark and bool(self.above >> (sequence - self.mark - 1) & 1)

    def give_up_below(self, number: int) -> None:
        """Forgets which numbers are missing in all gaps that begin below `number`."""
        number = min(number, self.mark)
        for gap in [gap for gap in self.gaps if gap * GAP_NUMBERS < number]:
            self.given_up += self.gaps.pop(gap).bit_count()
            self.touched += (gap,)
        self.given_up_below = max(self.given_up_below, number)

    def shorten(self) -> None:
        """Lets a bitmap that an older version kept be as short as it is now."""
        if self.above.bit_length() > AHEAD_MAX:
            self._pass_over(self.mark + self.above.bit_length() - AHEAD_MAX // 2)

    def restore_gap(self, gap: int, missing: int) -> None:
        """Takes up a saved gap, which may know more than this fence: of what is not below the mark it says nothing yet."""
        begins = gap * GAP_NUMBERS
        missing &= (1 << max(0, min(GAP_NUMBERS, self.mark - begins))) - 1
        given_up = max(0, min(GAP_NUMBERS, self.given_up_below - begins))
        missing = missing >> given_up << given_up
        if missing:
            self.gaps[gap] = missing

    def _admit_below(self, sequence: int) -> Passage:
        gap, place = divmod(sequence, GAP_NUMBERS)
        missing = self.gaps.get(gap, 0)
        if missing >> place & 1:
            self.gaps[gap] = missing ^ 1 << place
            self.touched += (gap,)
            return "fresh"
        return "expired" if sequence < self.given_up_below else "repeated"

    def _pass_over(self, new_mark: int) -> None:
        """Moves the mark up to `new_mark` or beyond, over numbers that have not come."""
        is_first = not (self.mark or self.above)
        kept = NUMBERS_KEPT_AT_FIRST if is_first else NUMBERS_KEPT
        floor = max(0, new_mark - kept) // GAP_NUMBERS * GAP_NUMBERS
        begins = max(self.mark, floor)
        passed = self._missing_up_to(new_mark)
        self.missing += passed
        if begins > self.mark:
            self.given_up += self._missing_up_to(begins)
        for gap in range(begins // GAP_NUMBERS, (new_mark - 1) // GAP_NUMBERS + 1):
            self._open_gap(gap, max(begins, gap * GAP_NUMBERS), min(new_mark, end_of_gap(gap)))
        self.above >>= new_mark - self.mark - 1
        self.mark = new_mark
        self.give_up_below(floor)
        self._settle()

    def _missing_up_to(self, number: int) -> int:
        """How many from the mark to below `number` have not come."""
        between = number - self.mark - 1
        # The bitmap is short, but a broken producer's number may be anything: no mask is made as long as that.
        known = min(between, self.above.bit_length())
        return between + 1 - (self.above & ((1 << known) - 1)).bit_count()

    def _open_gap(self, gap: int, first: int, end: int) -> None:
        """Notes which numbers from `first` to below `end`, all in one gap, have not come."""
        came = self.above << 1 if first == self.mark else self.above >> (first - self.mark - 1)
        missing = ~came & ((1 << (end - first)) - 1)
        if missing:
            self.gaps[gap] = self.gaps.get(gap, 0) | missing << (first - gap * GAP_NUMBERS)
            self.touched += (gap,)

    def _settle(self) -> None:
        """Moves a mark that bit 0 stands for past everything that came, and lets bit 0 stand for what follows it."""
        while self.above & 1:
            self.mark += 1
            self.above >>= 1
        self.above >>= 1
