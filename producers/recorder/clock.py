"""Two clocks, given and not read from under the code: one for how long things take, one for when they happened.

Durations come from a monotonic clock alone. Event times come from the wall, but are not read turn by turn: at every
flush the two clocks are read together, and until the next one an event time is the monotonic instant plus their
difference. So within a flush interval no event time jumps, whatever somebody does to the wall clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BACKWARDS_S_MAX = 120.0
"""A wall clock that is set back by no more is waited for; this is how late windows are still counted in place."""
STEP_S_MIN = 0.001
"""What two readings may differ by without anybody having set the clock."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds since the epoch, and seconds since some instant that never go back."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.perf_counter


class EventTime:
    """Event times of monotonic instants. They never run backwards unless the wall clock is set back by a long way.

    A wall clock that goes back by at most `BACKWARDS_S_MAX` is repaired: event time stands still where it was until the
    wall has caught up. Beyond that the wall is followed, for it was wrong before.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead_s = clock.wall() - clock.monotonic()
        self._floor_s = 0.0

    @property
    def hour(self) -> int:
        """Hours since the epoch, by the wall: keys change on the hour."""
        return int(self._clock.wall() // 3_600)

    def event_ms(self, instants_s: NDArray[np.float64]) -> tuple[NDArray[np.int64], int]:
        """Whole milliseconds since the epoch, and how many of them had to be repaired."""
        wall_s = instants_s + self._ahead_s
        repaired = int(np.count_nonzero(wall_s < self._floor_s))
        return np.floor(np.maximum(wall_s, self._floor_s) * 1_000).astype(np.int64), repaired

    def read_again(self) -> None:
        """Takes the difference of the clocks as it is now, for what happens from now on."""
        monotonic_s = self._clock.monotonic()
        told_s = max(monotonic_s + self._ahead_s, self._floor_s)
        self._ahead_s = self._clock.wall() - monotonic_s
        back_s = told_s - (monotonic_s + self._ahead_s)
        self._floor_s = told_s if STEP_S_MIN < back_s <= BACKWARDS_S_MAX else 0.0
