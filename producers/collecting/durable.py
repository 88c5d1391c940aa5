"""A collector that survives `kill -9`: what it has answered 200 to is counted exactly once.

A batch is on disk before it is observed and answered. Closing windows writes frames and the state that goes with them
in one commit, and only then are frames sent. A process that begins again takes the newest state, observes what the
journal holds beyond it, and sends the frames that Kafka may not have under the numbers that they had: intake knows
repeats. Time is given with every call; calls come one after the other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from producers.collecting.abandoned import Owners
from producers.collecting.admission import ByPool, Received, journalled, read_again
from producers.collecting.beginning import (
    SETTINGS,
    SetBy,
    collector_of,
    head_of,
    identity_of,
    new_collector,
    require_ours,
    understood,
)
from producers.collecting.fences import Fences, fences_of
from producers.collecting.journal import Journal, read_journal
from producers.collecting.store import Store
from producers.collector import WINDOW_MS, Collector
from producers.counting import sifted
from producers.kinds import KINDS
from producers.observation_batches import Answer
from producers.refusing import refused_by_pool
from schemas.counted import counted
from schemas.families import UNKNOWN
from schemas.refusals import Refusal, Refused

WINDOWS_AT_ONCE = 30
"""Most windows of one commit: one that was away for a day takes batches while it catches up."""
AHEAD_MS_MAX = 60_000
"""How far behind a recorder's clock ours may be; what is of a later time would wait for it, and is refused."""
AGE_MS_MAX = 7 * 86_400_000 - 3_600_000
"""Older observations are refused: intake would refuse their frames."""
RETRY_AFTER_S = 2
JOURNALLED_AT_ONCE = 64
"""Batches of the journal that are observed together."""

Identity = tuple[str, int, str, int]
"""Recorder, incarnation, kind and sequence."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`grace_ms`: how long a window waits for its last observations. Beyond a bound batches are not taken for now."""

    grace_ms: int = 2_000
    disk_bytes_max: int = 1 << 30
    rows_max: int = 2_000_000


@dataclass(frozen=True, slots=True)
class Recovered:
    """What beginning again found: batches and rows in the journal, bytes of it that were being written at the end."""

    batches: int = 0
    rows: int = 0
    unread_batches: int = 0
    unfinished_bytes: int = 0

    def __add__(self, other: Recovered) -> Recovered:
        return Recovered(*(mine + others for mine, others in zip(astuple(self), astuple(other), strict=True)))


class DurableCollector:
    """Owns a folder. `opened` gives one that goes on where the last process with that folder ended."""

    def __init__(self, store: Store, journal: Journal, collector: Collector, fences: Fences, limits: Limits) -> None:
        self.store = store
        self.collector = collector
        self.fences = fences
        self.owners = Owners()
        self.recovered = Recovered()
        self.waiting_rows = collector.waiting_rows
        self._journal = journal
        self._limits = limits

    @classmethod
    def opened(
        cls, folder: Path, producer: str, region: str, now_ms: int, limits: Limits, set_by: SetBy = SETTINGS
    ) -> DurableCollector:
        """Raises `Foreseen` where the folder is in use, damaged, another collector's, or a newer version's."""
        store = Store(folder, set_by.folder)
        try:
            with understood(folder):
                if store.is_new:
                    fresh = cls(store, Journal(folder, 0), new_collector(producer, region, now_ms), Fences(), limits)
                    fresh._observe_journal(0)
                    fresh._commit([], fresh._journal.begin_segment())
                    return fresh
                require_ours(store.read_head(), producer, region, set_by)
                return cls._restored(store, store.read_state(), limits)
        except BaseException:
            store.remove_if_new()
            store.close()
            raise

    @classmethod
    def _restored(cls, store: Store, state: Mapping[str, Any], limits: Limits) -> DurableCollector:
        """Goes on where the state ends, and takes in what the journal holds beyond it."""
        first = int(state["segment"])
        fences = fences_of(json.loads(state["fences"]))
        restored = cls(store, Journal(store.folder, first), collector_of(state), fences, limits)
        restored.owners.parts = state["owners"]
        restored._observe_journal(first)
        return restored

    @property
    def disk_bytes(self) -> int:
        """What waits on disk: batches of open windows, and frames that Kafka does not have."""
        return self._journal.size + sum(self.store.unsent.values())

    @property
    def is_full(self) -> bool:
        """Whether batches are refused for now."""
        return self.disk_bytes >= self._limits.disk_bytes_max or self.waiting_rows >= self._limits.rows_max

    @property
    def next_close_ms(self) -> int:
        """When on the clock the next window is closed."""
        return self.collector.open_ms + WINDOW_MS + self._limits.grace_ms

    def take(self, received: Sequence[Received]) -> list[Answer]:
        """Takes batches that are new; returns, one answer for each, when they are on disk and observed."""
        if self.is_full:
            return [_not_now(self.why_full)] * len(received)
        fresh = self._fresh(received)
        try:
            self._journal.append([journalled(each) for each in fresh.values()])
        except OSError as error:
            return [_not_now(f"The collector's disk did not take the batch ({error.strerror}).")] * len(received)
        refused = self._observe(list(fresh.values()))
        return [
            _taken(each, refused[_identity(each)]) if fresh.get(_identity(each)) is each else self._passed_over(each)
            for each in received
        ]

    def close(self, now_ms: int) -> int:
        """Closes what is due, at most some windows at once; returns how many. What it returns from is on disk."""
        begun_ms = self.collector.open_ms
        due_ms = now_ms - self._limits.grace_ms
        self._close_to(min(due_ms, begun_ms + WINDOWS_AT_ONCE * WINDOW_MS))
        return (self.collector.open_ms - begun_ms) // WINDOW_MS

    def abandon(self) -> None:
        """Leaves no folder behind in which nothing was ever taken: a start in vain."""
        if not self._journal.size:
            self.store.remove_if_new()

    def shut(self) -> None:
        """Lets go of the folder."""
        self._journal.close()
        self.store.close()

    def _close_to(self, watermark_ms: int) -> None:
        frames = list(self.collector.close(watermark_ms))
        if frames:
            self.collector.observe("streams", self._abandoned(watermark_ms))
            self.fences.forget_idle(watermark_ms)
            self.waiting_rows = self.collector.waiting_rows
            self._commit(frames, self._journal.begin_segment())

    def _abandoned(self, now_ms: int) -> pl.DataFrame:
        return self.owners.abandoned(self.collector.open_streams, self.fences.sources, now_ms)

    def _commit(self, frames: Sequence[Any], segment: int) -> None:
        state = {
            "identity": identity_of(self.collector),
            "segment": segment,
            "fences": json.dumps(self.fences.as_json()),
            "owners": self.owners.parts,
            "collector": self.collector.state(),
        }
        self.store.commit(frames, head_of(self.collector), state)
        self._journal.forget_before(segment)

    def _fresh(self, received: Sequence[Received]) -> dict[Identity, Received]:
        """Those that have not come before, each once."""
        fresh: dict[Identity, Received] = {}
        for each in received:
            if self.fences.judge(each.batch.header, each.at_ms) == "new":
                fresh.setdefault(_identity(each), each)
        return fresh

    def _passed_over(self, each: Received) -> Answer:
        """The answer to a batch that is not counted."""
        match self.fences.judge(each.batch.header, each.at_ms):
            case "expired":
                why = "The batch is older than what the collector remembers: it may have been counted."
                return Answer(400, error=why)
            case "too_many":
                return _not_now("The collector knows too many recorders.")
            case _:
                return Answer(200, is_repeated=True)

    def _observe(self, fresh: Sequence[Received]) -> dict[Identity, Refused]:
        """Takes in batches that are on disk, those of one kind together; returns what of each was refused."""
        refused: dict[Identity, Refused] = {}
        for kind in KINDS:
            of_kind = [each for each in fresh if each.batch.header.kind == kind]
            if of_kind:
                refused |= self._observe_kind(kind, of_kind)
        return refused

    def _observe_kind(self, kind: str, fresh: Sequence[Received]) -> dict[Identity, Refused]:
        timely, refused = {}, {}
        for each in fresh:
            header, is_timely = each.batch.header, _is_timely(kind, each.at_ms)
            timely[_identity(each)] = rows = each.batch.rows.filter(is_timely)
            others = each.batch.rows.filter(~is_timely)
            untimely = refused_by_pool(others, pl.Series([Refusal.INCONSISTENT.value]).new_from_index(0, len(others)))
            refused[_identity(each)] = self._told(kind, each.refused) + self._told(kind, untimely)
            self._told(kind, each.withheld)
            news = self.fences.note(header, each.at_ms)
            self._told(kind, news.refused_by_pool)
            self._told(kind, news.withheld_by_pool)
            self._told(UNKNOWN, news.unknown_by_pool)
            self.collector.note_dropped(kind, news.dropped + refused[_identity(each)].total)
            if kind == "streams":
                self.owners.note(header, rows)
        together = pl.concat(timely.values())
        kept = self.collector.observe(kind, together)
        self.waiting_rows += kept
        if kept < len(together):  # Rare enough to look again, batch by batch.
            refused = {known: refused[known] + sifted(kind, rows).reasons for known, rows in timely.items()}
        return refused

    def _told(self, kind: str, refused: ByPool) -> Refused:
        """Tells family `privacy`; returns what that is in all."""
        for pool, of_pool in refused.items():
            self.collector.note_refused(kind, pool, of_pool)
        return sum(refused.values(), Refused())

    def _observe_journal(self, first: int) -> None:
        """What was taken and is in no state yet."""
        found = Recovered()
        for records, unfinished in read_journal(self.store.folder, first):
            for place in range(0, len(records), JOURNALLED_AT_ONCE):
                read = [read_again(record) for record in records[place : place + JOURNALLED_AT_ONCE]]
                fresh = [each for each in read if each is not None]
                self._observe(fresh)
                found += Recovered(len(fresh), sum(each.rows for each in fresh), len(read) - len(fresh))
            found += Recovered(unfinished_bytes=unfinished)
        self.recovered = found

    @property
    def why_full(self) -> str:
        """A sentence for whoever is told to come again."""
        if self.disk_bytes >= self._limits.disk_bytes_max:
            return f"{self.disk_bytes >> 20} MiB wait on the collector's disk for windows to close, or for Kafka."
        return f"{counted(self.waiting_rows, 'observation waits for its window', 'observations wait for their windows')} to close."


def _identity(each: Received) -> Identity:
    header = each.batch.header
    return header.recorder, header.incarnation, header.kind, header.sequence


def _is_timely(kind: str, now_ms: int) -> pl.Expr:
    """Neither from the future, nor older than anybody takes; a time that is not known is judged later."""
    return pl.col(KINDS[kind].time).is_between(now_ms - AGE_MS_MAX, now_ms + AHEAD_MS_MAX).fill_null(True)


def _taken(each: Received, refused: Refused) -> Answer:
    return Answer(200, each.rows - refused.total, refused.as_dict(), dropped=each.dropped.as_dict())


def _not_now(why: str) -> Answer:
    return Answer(429, error=why, retry_after_s=RETRY_AFTER_S)
