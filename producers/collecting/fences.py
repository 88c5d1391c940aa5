"""Which batches have come: for each recorder, incarnation and kind a contiguous mark and a bounded set of holes.

A batch counts once. A number at or above the mark that has not come is new, however late; so are the numbers of another
incarnation, which has a fence of its own. Where too many numbers are missing the oldest are given up: should one of
them come after all, it is refused and not counted, for nobody could tell it from a repeat.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from producers.observation_batches import BatchHeader, OfNewerVersion

HOLES_MAX = 4_096
"""Numbers of one fence that may be missing below its newest."""
SOURCES_MAX = 50_000
"""Fences in all: about 15 MB."""
FORGOTTEN_AFTER_MS = 7 * 86_400_000
"""As old as the oldest frame that intake takes."""
FORGOTTEN_IF_FULL_AFTER_MS = 3_600_000

Source = tuple[str, int, str]
Verdict = Literal["new", "repeated", "expired", "too_many"]


@dataclass(slots=True)
class Fence:
    """`following` is above all numbers that have come, `holes` are those below it that have not.

    Below `given_up_below` are numbers that were given up, between others that came: which is which is not known anymore.
    """

    following: int = 0
    holes: set[int] = field(default_factory=set)
    given_up_below: int = 0
    dropped: int = 0
    heard_ms: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    withheld: dict[str, int] = field(default_factory=dict)

    @property
    def mark(self) -> int:
        """Every number below has come, or was given up."""
        return min(self.holes, default=self.following)

    def judge(self, sequence: int) -> Verdict:
        if sequence >= self.following or sequence in self.holes:
            return "new"
        return "expired" if sequence < self.given_up_below else "repeated"

    def note(self, sequence: int) -> None:
        """Takes a new number."""
        if sequence >= self.following:
            self.holes.update(range(max(self.following, sequence - HOLES_MAX), sequence))
            if sequence - self.following > HOLES_MAX:
                self.given_up_below = sequence - HOLES_MAX
            self.following = sequence + 1
        self.holes.discard(sequence)
        self._bound()

    def _bound(self) -> None:
        if len(self.holes) > HOLES_MAX:
            given_up = sorted(self.holes)[: len(self.holes) - HOLES_MAX]
            self.holes.difference_update(given_up)
            self.given_up_below = max(self.given_up_below, given_up[-1] + 1)


_HOLES = [each.name for each in fields(Fence)].index("holes")


@dataclass(slots=True)
class Fences:
    """All fences of a collector; `expired` holds, by recorder, the newest incarnation that was forgotten."""

    sources: dict[Source, Fence] = field(default_factory=dict)
    expired: dict[str, int] = field(default_factory=dict)

    def judge(self, header: BatchHeader, now_ms: int) -> Verdict:
        fence = self.sources.get(_source(header))
        if fence is not None:
            return fence.judge(header.sequence)
        if header.incarnation <= self.expired.get(header.recorder, -1):
            return "expired"
        return "new" if self._has_room(now_ms) else "too_many"

    def note(self, header: BatchHeader, now_ms: int) -> BatchHeader:
        """Takes a batch that is new; returns its header, `dropped`, `refused` and `withheld` being what the recorder says that
        it did not say before."""
        fence = self.sources.setdefault(_source(header), Fence())
        fence.note(header.sequence)
        fence.heard_ms = max(fence.heard_ms, now_ms)
        dropped, refused, withheld = fence.dropped, Counter(fence.refused), Counter(fence.withheld)
        fence.dropped = max(dropped, header.dropped)
        fence.refused, fence.withheld = (
            dict(refused | Counter(header.refused)),
            dict(withheld | Counter(header.withheld)),
        )
        return replace(
            header,
            dropped=fence.dropped - dropped,
            refused=dict(Counter(fence.refused) - refused),
            withheld=dict(Counter(fence.withheld) - withheld),
        )

    def forget_idle(self, now_ms: int, after_ms: int = FORGOTTEN_AFTER_MS) -> None:
        for source in [each for each, fence in self.sources.items() if now_ms - fence.heard_ms > after_ms]:
            recorder, incarnation, _ = source
            self.expired[recorder] = max(incarnation, self.expired.pop(recorder, -1))
            del self.sources[source]
        while len(self.expired) > SOURCES_MAX:
            del self.expired[next(iter(self.expired))]

    def as_json(self) -> dict[str, Any]:
        """What a file holds; `fences_of` reads it."""
        sources = [[*source, *_written(each)] for source, each in self.sources.items()]
        return {"sources": sources, "expired": self.expired}

    def _has_room(self, now_ms: int) -> bool:
        if len(self.sources) >= SOURCES_MAX:
            self.forget_idle(now_ms, FORGOTTEN_IF_FULL_AFTER_MS)
        return len(self.sources) < SOURCES_MAX


def fences_of(saved: dict[str, Any]) -> Fences:
    return Fences(dict(map(_read, saved["sources"])), dict(saved["expired"]))


def _written(fence: Fence) -> list[Any]:
    """What there is nothing of at the end is left out: a version that does not know of it reads the rest."""
    values = [getattr(fence, each.name) for each in fields(Fence)]
    values[_HOLES] = sorted(fence.holes)
    while values[-1] == {}:
        del values[-1]
    return values


def _read(entry: Sequence[Any]) -> tuple[Source, Fence]:
    """An entry of before refusals, or dropped fields, were told has none. Raises `OfNewerVersion`."""
    (recorder, incarnation, kind), values = entry[:3], list(entry[3:])
    if len(values) > len(fields(Fence)):
        raise OfNewerVersion("A fence says something that only a newer version knows.")
    values[_HOLES] = set(values[_HOLES])
    return (recorder, incarnation, kind), Fence(*values)


def _source(header: BatchHeader) -> Source:
    return header.recorder, header.incarnation, header.kind
