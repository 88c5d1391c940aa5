"""The GPUs of one stage of one bundle in one region: who waits for them and for how long, and what an engine would show.

A station has `lanes` (GPUs × places that each works on at once), taken in turn, first come first served. With S the running
sum of service times of a lane, the k-th request that it takes ends at S_k + max(free, max over j ≤ k of a_j − S_(j−1)):
Lindley's recursion without a loop. So waits are exact for the arrivals that there were, and depths, arrivals and busy time
are counted from the same waits. What arrives late in one step and early in the next may change places; nobody is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.arrays import Floats


@dataclass(frozen=True, slots=True)
class Sample:
    """What a station shows of one window: counts of it, and depths at its first and last instant.

    `depth_to` − `depth_from` = `arrivals` − `begun`, and `running` grows by `begun` − `served`. `busy_ms` is GPU time,
    `servers` GPUs. `waited_ms` are the waits of those that began to be served; `waiting_ms` is the time that requests spent
    waiting within the window, so its mean per ms is the mean depth.
    """

    depth_from: int
    depth_to: int
    arrivals: int
    begun: int
    served: int
    running_from: int
    running: int
    busy_ms: float
    servers: int
    waited_ms: float
    waiting_ms: float


@dataclass(slots=True)
class Station:
    """The state of a station between windows: when each lane is free, and who has not been served to the end."""

    gpus: int
    slots: int
    free_ms: Floats = field(default_factory=lambda: np.empty(0))
    next_lane: int = 0
    open: Floats = field(default_factory=lambda: np.empty((3, 0)))
    """Arrival, start and end of each request that is not done."""

    def resized(self, gpus: int, now_ms: float) -> None:
        """GPUs are added empty; those that go are the last, and what they were at is done elsewhere in no time."""
        lanes, had = gpus * self.slots, len(self.free_ms)
        if lanes != had:
            added = np.full(max(0, lanes - had), now_ms)
            self.free_ms = np.concatenate([self.free_ms[:lanes], added])
            self.gpus, self.next_lane = gpus, self.next_lane % lanes

    def serve(self, arrived_ms: Floats, service_ms: Floats) -> Floats:
        """The wait of each request, of those that come in this order."""
        lanes, count = len(self.free_ms), len(arrived_ms)
        rows = -(-count // lanes)
        arrived, service = (np.full(rows * lanes, fill) for fill in (-np.inf, 0.0))
        arrived[:count], service[:count] = arrived_ms, service_ms
        by_lane, taken = arrived.reshape(rows, lanes), service.reshape(rows, lanes)
        free = np.roll(self.free_ms, -self.next_lane)
        worked = np.cumsum(taken, axis=0)
        latest = np.maximum.accumulate(np.vstack([free, by_lane - (worked - taken)]), axis=0)
        ends = worked + latest[1:]
        self.free_ms = np.roll(ends[-1] if rows else free, self.next_lane)
        self.next_lane = (self.next_lane + count) % lanes
        started = (ends - taken).reshape(-1)[:count]
        # A sum and its parts differ in the last bits: nobody waits for less than a microsecond.
        started = np.where(started - arrived_ms < 1e-3, arrived_ms, started)
        self.open = np.concatenate([self.open, np.stack([arrived_ms, started, started + service_ms])], axis=1)
        return started - arrived_ms

    def sample(self, begin_ms: float, end_ms: float) -> Sample:
        """What the window shows; afterwards only requests that outlive it are kept."""
        arrived, started, ended = self.open
        is_begun = _within(started, begin_ms, end_ms)
        inside = np.clip(np.minimum(ended, end_ms) - np.maximum(started, begin_ms), 0, None)
        waiting = np.clip(np.minimum(started, end_ms) - np.maximum(arrived, begin_ms), 0, None)
        shown = Sample(
            depth_from=int(((arrived < begin_ms) & (started >= begin_ms)).sum()),
            depth_to=int(((arrived < end_ms) & (started >= end_ms)).sum()),
            arrivals=int(_within(arrived, begin_ms, end_ms).sum()),
            begun=int(is_begun.sum()),
            served=int(_within(ended, begin_ms, end_ms).sum()),
            running_from=int(((started < begin_ms) & (ended >= begin_ms)).sum()),
            running=int(((started < end_ms) & (ended >= end_ms)).sum()),
            busy_ms=float(inside.sum()) / self.slots,
            servers=self.gpus,
            waited_ms=float((started - arrived)[is_begun].sum()),
            waiting_ms=float(waiting.sum()),
        )
        self.open = self.open[:, ended >= end_ms]
        return shown


def _within(at_ms: Floats, begin_ms: float, end_ms: float) -> NDArray[np.bool_]:
    return (at_ms >= begin_ms) & (at_ms < end_ms)
