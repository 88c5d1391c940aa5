"""Whether a worker's event loop still runs. One that stood still may have lost its partitions without knowing it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from time import clock_gettime

from schemas.failures import Foreseen

PULSE_S = 0.2
WORKED_SHARE = 0.5
"""Of the time it stood still, from which on the worker itself was at work."""

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
    worked: float = field(default_factory=time.process_time)
    """Processor time of this process, at the beat."""

    async def run(self) -> None:
        while True:
            self.check()
            self.beat, self.worked = _asleep_or_not_s(), time.process_time()
            await asyncio.sleep(PULSE_S)

    def check(self) -> None:
        """Raises for good once a beat was missed for too long."""
        stood_s = _asleep_or_not_s() - self.beat
        if stood_s > self.stall_max_s:
            worked_s = time.process_time() - self.worked
            raise StageFailure(
                f"The worker stood still for {stood_s:.1f} s; its partitions may have been given away. {_why(stood_s, worked_s)}"
            )


def _why(stood_s: float, worked_s: float) -> str:
    """What a worker that stood still did meanwhile, by the processor time it got."""
    if worked_s >= WORKED_SHARE * stood_s:
        return f"It worked for {worked_s:.1f} s of them on one thing: with the log, that is a fault to report."
    return (
        f"It got the processor for {worked_s:.1f} s of them: it was stopped or paged out, the machine slept, or other "
        "processes left it no time. Give it a core of its own."
    )
