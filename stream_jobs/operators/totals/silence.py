"""Silence: which producers of a source partition have stopped reporting, family by family.

A producer is silent in a family when others of its source partition have gone on for `silent_after_ms` of event time
without it. Where the wall clock counts, a whole source partition that brings nothing newer for as long is silent, too:
then nobody's event time goes on that could tell.

Only families that report within a minute are watched: a bill of ten minutes or a label of an hour may come hours later,
and says nothing of whether its producer is alive.

Quiet is not silent. A producer that serves nobody sends heartbeats and nothing else, so as long as its heartbeats come
it is silent in no family.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from schemas.families import FAMILIES, HEARTBEATS
from schemas.silences import LISTED_MAX, Silence, SilentProducer
from stream_jobs.operators.totals.reach import LIVE, Patience, SourceReach

RESTATED_MS = 10_000
"""How often, by the clock, a statement is made again in live traffic: the pulse by which the clock is trusted, too."""
RESTATED_EVENT_MS = 60_000
"""How often, in event time, it is made again with other volumes."""
DEAF_MS = 10_000
"""After so long without a look nobody could have been heard: the worker stood still, or Kafka was away."""

WATCHED_K_WINDOW_MAX_S = 60
PARTITION_OF = {
    name: partition.name
    for name, family in FAMILIES.items()
    for partition in (min(family.partitions, key=lambda each: each.k_window_s),)
    if partition.k_window_s <= WATCHED_K_WINDOW_MAX_S
}
"""The privacy partition by which a family's producers are judged: the one they report most often. Of watched families."""


@dataclass(frozen=True, slots=True)
class Reported:
    """What one family of a source partition has heard, as of `version` records."""

    version: int
    reach: SourceReach


@dataclass(slots=True)
class _Hearing:
    """When by the clock something newer was heard last. `is_sure`: since we began, rather than before."""

    newest_ms: int
    heard_ms: int
    is_sure: bool = False


class SilenceWatch:
    """The producers of one source partition, in every family."""

    def __init__(self, source_partition: int, patience: Patience = LIVE) -> None:
        self._source_partition = source_partition
        self._patience = patience
        self._hearing: dict[str, _Hearing] = {}
        self._told: dict[str, tuple[Silence, int]] = {}
        self._looked_ms = 0

    def look(self, reported: Mapping[str, Reported], now_ms: int) -> Iterator[Silence]:
        """Statements that are news, or due again. `now_ms` is the shell's clock."""
        was_deaf = now_ms - self._looked_ms > DEAF_MS
        self._looked_ms = now_ms
        for family, heard in reported.items():
            self._hear(family, heard.reach.newest_ms, now_ms, was_deaf)
        silent = {family: self._silent(family, heard.reach, now_ms) for family, heard in reported.items()}
        alive = self._alive(reported, silent)
        for family, heard in reported.items():
            if heard.reach.producers and self._knows(family, now_ms):
                statement = self._statement(family, heard, silent[family] - alive)
                if self._is_due(statement, now_ms):
                    self._told[family] = (statement, now_ms)
                    yield statement

    def _hear(self, family: str, newest_ms: int, now_ms: int, was_deaf: bool) -> None:
        known = self._hearing.get(family)
        if known is None:
            self._hearing[family] = _Hearing(newest_ms, now_ms, is_sure=not self._patience.follows_wall_clock)
        elif newest_ms > known.newest_ms:
            self._hearing[family] = _Hearing(newest_ms, now_ms, is_sure=True)
        elif was_deaf:
            known.heard_ms = now_ms

    def _knows(self, family: str, now_ms: int) -> bool:
        """After a start nobody is said to report again before they have, or have not for long enough."""
        return self._hearing[family].is_sure or self._has_gone_silent(family, now_ms)

    def _has_gone_silent(self, family: str, now_ms: int) -> bool:
        patience = self._patience
        return patience.follows_wall_clock and now_ms - self._hearing[family].heard_ms >= patience.silent_after_ms

    def _silent(self, family: str, reach: SourceReach, now_ms: int) -> set[str]:
        if self._has_gone_silent(family, now_ms):
            return set(reach.producers)
        oldest_ms = reach.newest_ms - self._patience.silent_after_ms
        return {name for name, producer in reach.producers.items() if producer.window_end_ms < oldest_ms}

    def _alive(self, reported: Mapping[str, Reported], silent: Mapping[str, set[str]]) -> set[str]:
        """Producers whose heartbeats come."""
        beats = reported.get(HEARTBEATS.name)
        return set(beats.reach.producers) - silent[HEARTBEATS.name] if beats else set()

    def _statement(self, family: str, heard: Reported, silent: set[str]) -> Silence:
        producers = heard.reach.producers
        ordered = sorted(silent, key=lambda name: (-producers[name].volume, name))
        listed, others = ordered[:LISTED_MAX], ordered[LISTED_MAX:]
        return Silence(
            family=family,
            source_partition=self._source_partition,
            version=heard.version,
            newest_ms=heard.reach.newest_ms,
            volume=sum(producer.volume for producer in producers.values()),
            silent=tuple(
                SilentProducer(producer=name, since_ms=producers[name].window_end_ms, volume=producers[name].volume)
                for name in listed
            ),
            unlisted=len(others),
            unlisted_volume=sum(producers[name].volume for name in others),
        )

    def _is_due(self, statement: Silence, now_ms: int) -> bool:
        told, told_ms = self._told.get(statement.family, (None, 0))
        if told is None or _names(told) != _names(statement) or told.unlisted != statement.unlisted:
            return True
        is_live = self._patience.follows_wall_clock
        return statement.newest_ms - told.newest_ms >= RESTATED_EVENT_MS or (
            is_live and now_ms - told_ms >= RESTATED_MS
        )


def _names(statement: Silence) -> set[str]:
    return {each.producer for each in statement.silent}
