"""Reach: up to which instant have the producers of one source partition reported, weighted by their recent volume?

From the reaches of all source partitions a shard tells how complete a bucket is, and so when it may be decided. A
producer that has been silent for `SILENT_AFTER_MS` of event time no longer counts: one dead host does not stop the fleet.

It is saved in pages of producers, before the marker. After a crash pages may be ahead of it: what such a page has heard is
not heard again, and nothing is told before all of it has been judged again (`Intake`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from schemas.partials import Reach
from schemas.silences import LAGGING_MAX_MS, REMEMBERED_MS
from stream_jobs.operators.totals.fences import page_of

SILENT_AFTER_MS = 60_000
"""In live traffic. A replay runs ahead unevenly, and waits longer (`Patience`)."""
DECIDING_SHARE = 0.95
_RECENT_WEIGHT = 0.2
_PAGES = 16
_WINDOWS_REMEMBERED = 3
_UNHEARD = 2**63
"""An offset that no saved page has heard."""


def remembered_ms(k_window_s: int) -> int:
    """For how long, in event time, a producer that fell silent counts as missing volume: some windows, where those are wide.

    >>> remembered_ms(10), remembered_ms(3_600)
    (900000, 10800000)
    """
    return max(REMEMBERED_MS, _WINDOWS_REMEMBERED * k_window_s * 1_000)


@dataclass(slots=True)
class ProducerReach:
    """What one producer reported last: up to when, and an exponentially weighted mean of its volume a window."""

    window_end_ms: int
    volume: float


@dataclass(slots=True)
class SourceReach:
    """The producers of one source partition, for one privacy partition. `remembered_ms`: for how long a silent one counts."""

    producers: dict[str, ProducerReach] = field(default_factory=dict)
    newest_ms: int = 0
    remembered_ms: int = REMEMBERED_MS
    _unsaved: set[int] = field(default_factory=set)
    _heard_until: dict[int, int] = field(default_factory=dict)
    _swept_ms: int = 0

    def report(self, producer: str, window_end_ms: int, volume: int, offset: int = _UNHEARD) -> None:
        self.newest_ms = max(self.newest_ms, window_end_ms)
        if self._was_heard(producer, offset):
            return
        self._unsaved.add(_page_of(producer))
        known = self.producers.get(producer)
        if known is None:
            self.producers[producer] = ProducerReach(window_end_ms, float(volume))
            return
        known.volume += _RECENT_WEIGHT * (volume - known.volume)
        known.window_end_ms = max(known.window_end_ms, window_end_ms)

    def hear_again(self, producer: str, window_end_ms: int, volume: int, offset: int = _UNHEARD) -> bool:
        """Takes in a report that may have been taken in before, volume and all; whether it was news."""
        known = self.producers.get(producer)
        if self._was_heard(producer, offset):
            self.newest_ms = max(self.newest_ms, window_end_ms)
            return False
        if known is not None and known.window_end_ms >= window_end_ms:
            return False
        if known is None:
            known = self.producers[producer] = ProducerReach(window_end_ms, float(volume))
        known.window_end_ms = window_end_ms
        self.newest_ms = max(self.newest_ms, window_end_ms)
        self._unsaved.add(_page_of(producer))
        return True

    def forget_silent(self) -> None:
        if self.newest_ms == self._swept_ms:
            return
        self._swept_ms = self.newest_ms
        oldest_ms = self.newest_ms - self.remembered_ms
        for name in [name for name, reach in self.producers.items() if reach.window_end_ms < oldest_ms]:
            del self.producers[name]
            self._unsaved.add(_page_of(name))

    def _was_heard(self, producer: str, offset: int) -> bool:
        return bool(self._heard_until) and offset <= self._heard_until.get(_page_of(producer), -1)

    def summary(self) -> Reach:
        volumes: defaultdict[int, float] = defaultdict(float)
        for producer in self.producers.values():
            volumes[producer.window_end_ms] += producer.volume
        return tuple((end_ms, max(1, round(volume))) for end_ms, volume in sorted(volumes.items()))

    def unsaved_pages(self, marked: int) -> Iterator[tuple[int, Any]]:
        """(page number, what to store) of the pages that changed since the last call; those ahead of the marker wait."""
        ahead = {page for page in self._unsaved if self._heard_until.get(page, marked) > marked}
        pages: dict[int, dict[str, Any]] = {page: {} for page in sorted(self._unsaved - ahead)}
        for name, reach in self.producers.items() if pages else ():
            page = pages.get(_page_of(name))
            if page is not None:
                page[name] = [reach.window_end_ms, reach.volume]
        self._unsaved = ahead
        yield from pages.items()

    def restore(self, newest_ms: int, pages: dict[int, tuple[int, Any]]) -> None:
        """`pages`: by number, the offset of the newest record that each had heard when it was saved, and what it holds."""
        self.newest_ms = newest_ms
        for page, (heard_until, content) in pages.items():
            for name in [name for name in self.producers if _page_of(name) == page]:
                del self.producers[name]
            self._unsaved.discard(page)
            self._heard_until[page] = heard_until
            self.producers |= {name: ProducerReach(end_ms, volume) for name, (end_ms, volume) in content.items()}

    @classmethod
    def of_marker(cls, stored: Any, remembered_ms: int = REMEMBERED_MS) -> SourceReach:
        """The whole reach as format 1 and 2 kept it in the marker; all of it is to be saved in pages."""
        producers = {name: ProducerReach(end_ms, volume) for name, (end_ms, volume) in stored.items()}
        reach = cls(producers, remembered_ms=remembered_ms)
        reach.newest_ms = max((producer.window_end_ms for producer in reach.producers.values()), default=0)
        reach._unsaved = set(map(_page_of, reach.producers))
        return reach


def _page_of(producer: str) -> int:
    return page_of(producer) % _PAGES


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a shard waits, in event time: for a silent producer, and for the rest of a bucket (`grace_ms`).

    With `follows_wall_clock` the grace counts from now, otherwise from the newest report: in accelerated or replayed
    event time the wall clock says nothing.
    """

    silent_after_ms: int = SILENT_AFTER_MS
    grace_ms: int = 2_000
    follows_wall_clock: bool = True


LIVE = Patience()
REPLAYED = Patience(silent_after_ms=600_000, grace_ms=600_000, follows_wall_clock=False)


def completeness(reaches: Iterable[Reach], bucket_end_ms: int, lagging_ms: int = LAGGING_MAX_MS) -> float:
    """Which share of recent volume has reported `bucket_end_ms`; 0 where nothing is known.

    A producer that fell silent still counts, for `remembered_ms` where others of its source partition go on and for
    `lagging_ms` where none does: what it would have sent is missing.

    >>> completeness([((10_000, 30),), ((20_000, 70),)], bucket_end_ms=20_000)
    0.7
    """
    pairs = [pair for reach in _not_older(reaches, lagging_ms) for pair in reach]
    volume = sum(volume for _, volume in pairs)
    return sum(volume for end_ms, volume in pairs if end_ms >= bucket_end_ms) / volume if volume else 0.0


def decidable_until_ms(reaches: Iterable[Reach], now_ms: int, bucket_ms: int, patience: Patience = LIVE) -> int:
    """The newest bucket end that may be decided.

    That is the newest one that producers with 95 % of recent volume have reported, without those that are silent: one
    dead host does not stop the fleet; or, when later, the newest that
    some producer reported and whose grace is over.
    """
    known = _not_older(reaches, patience.silent_after_ms)
    ends = sorted({end_ms for reach in known for end_ms, _ in reach}, reverse=True)
    if not ends:
        return 0
    agreed = next((end_ms for end_ms in ends if completeness(known, end_ms) >= DECIDING_SHARE), 0)
    grace_from_ms = (now_ms if patience.follows_wall_clock else ends[0]) - patience.grace_ms
    graced = min(ends[0], grace_from_ms // bucket_ms * bucket_ms)
    return max(agreed, graced)


def _not_older(reaches: Iterable[Reach], most_ms: int) -> list[Reach]:
    """What has been reported no longer than `most_ms` before the newest of all."""
    known = list(reaches)
    newest_ms = max((end_ms for reach in known for end_ms, _ in reach), default=0)
    return [tuple(pair for pair in reach if pair[0] >= newest_ms - most_ms) for reach in known]
