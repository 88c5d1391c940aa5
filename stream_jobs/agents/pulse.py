"""Whether a worker's event loop still runs. One that stood still may have lost its partitions without knowing it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from time import clock_gettime

from schemas.failures import Foreseen

PULSE_S = 0.2

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while the machine sleeps, where the system has such a clock: partitions are given away then, too."""


def _asleep_or_not_s() -> float:
    return clock_gettime(_CLOCK)


class StageFailure(Foreseen):
    """Something that must not happen did; the process ends and begins again from what is saved."""


@dataclass(slots=True)
class Pulse:
    """Beats while the event loop runs. One that missed a beat for long has been stopped, or did too much at once."""

    stall_max_s: float
    beat: float = field(default_factory=_asleep_or_not_s)

    async def run(self) -> None:
        while True:
            self.check()
            self.beat = _asleep_or_not_s()
            await asyncio.sleep(PULSE_S)

    def check(self) -> None:
        """Raises for good once a beat was missed for too long."""
        stood_s = _asleep_or_not_s() - self.beat
        if stood_s > self.stall_max_s:
            raise StageFailure(f"The worker stood still for {stood_s:.1f} s; its partitions may have been given away.")
