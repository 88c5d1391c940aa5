"""What outlives a worker: logs with offsets and append times, compaction, committed offsets, and writes on their way.

A write that a worker has sent is in the air until it lands in its log. When the worker dies, some of what was in the air
has landed, some is lost, and some lands later, when others have long taken over.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

Place = tuple[str, int]
"""Topic and partition."""

COMPACTION_LAG_MS = 600_000
"""`min.compaction.lag.ms` of changelogs (`schemas.topics.STATE_SETTINGS`)."""


@dataclass(frozen=True, slots=True)
class Logged:
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    append_ms: int


@dataclass(slots=True)
class InTheAir:
    """A write that was sent and has not landed. Its sender waits for `confirmed`."""

    place: Place
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    confirmed: asyncio.Future[None]


@dataclass(slots=True)
class Cluster:
    """The logs, who has read how far, and the time."""

    now_ms: int = 0
    generation: int = 0
    logs: defaultdict[Place, list[Logged]] = field(default_factory=lambda: defaultdict(list))
    committed: defaultdict[Place, int] = field(default_factory=lambda: defaultdict(int))
    strays: list[deque[InTheAir]] = field(default_factory=list)
    """What dead workers have in the air, in the order of each Kafka partition."""

    def now_s(self) -> float:
        return self.now_ms / 1_000

    def append(
        self, place: Place, key: bytes | None, value: bytes | None, headers: tuple[tuple[str, bytes], ...]
    ) -> None:
        self.logs[place].append(Logged(key, value, headers, self.now_ms))

    def land(self, write: InTheAir) -> None:
        self.append(write.place, write.key, write.value, write.headers)

    def of_topic(self, topic: str) -> Iterator[list[Logged]]:
        """The logs of a topic, by partition."""
        return (self.logs[place] for place in sorted(self.logs) if place[0] == topic)

    def changelog(self, place: Place, compacts: bool) -> list[Logged]:
        """What a reader finds now: of records above the lag, where compacted, the newest of each key by log order."""
        log = self.logs[place]
        if not compacts:
            return list(log)
        old = next((at for at, one in enumerate(log) if one.append_ms > self.now_ms - COMPACTION_LAG_MS), len(log))
        newest = {one.key: at for at, one in enumerate(log[:old])}
        return [one for at, one in enumerate(log) if at >= old or newest[one.key] == at]
