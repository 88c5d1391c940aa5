"""A collector that survives `kill -9`: what it has answered 200 to is counted exactly once.

A batch is on disk before it is observed and answered. Closing windows writes frames and the state that goes with them
in one commit, and only then are frames sent. A process that begins again takes the newest state, observes what the
journal holds beyond it, and sends the frames that Kafka may not have under the numbers that they had: intake knows
repeats. Time is given with every call; calls come one after the other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
from xxhash import xxh3_64_hexdigest

from producers.collecting.abandoned import Owners
from producers.collecting.fences import Fences, Verdict, fences_of
from producers.collecting.journal import Journal, read_journal
from producers.collecting.packing import parts_of_state
from producers.collecting.records import packed
from producers.collecting.store import Store
from producers.collector import WINDOW_MS, Collector
from producers.counting import sifted
from producers.kinds import KINDS
from producers.observation_batches import Answer, Batch, BatchHeader, MalformedBatch, decode_batch
from schemas.dimensions import DIMENSIONS
from schemas.failures import BadInput
from schemas.families import FAMILIES
from schemas.refusals import Refusal, Refused

FORMAT = 1
WINDOWS_AT_ONCE = 30
"""Most windows of one commit: one that was away for a day takes batches while it catches up."""
AHEAD_MS_MAX = 60_000
"""How far behind a recorder's clock ours may be; what is of a later time would wait for it, and is refused."""
AGE_MS_MAX = 7 * 86_400_000 - 3_600_000
"""Older observations are refused: intake would refuse their frames."""
RETRY_AFTER_S = 2

_POOLS = DIMENSIONS["pool"].vocabulary


class OtherState(BadInput):
    """The folder holds the state of another collector, or of another version. The message is a sentence for the user."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`grace_ms`: how long a window waits for its last observations. Beyond a bound batches are not taken for now."""

    grace_ms: int = 2_000
    disk_bytes_max: int = 1 << 30
    rows_max: int = 2_000_000


@dataclass(frozen=True, slots=True)
class Received:
    """A batch as it came, and when."""

    batch: Batch
    body: bytes
    at_ms: int


@dataclass(frozen=True, slots=True)
class Recovered:
    """What beginning again found: batches and rows in the journal, bytes of it that were being written at the end."""

    batches: int = 0
    rows: int = 0
    unread_batches: int = 0
    unfinished_bytes: int = 0


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
    def opened(cls, folder: Path, producer: str, region: str, now_ms: int, limits: Limits) -> DurableCollector:
        """Raises `Foreseen` where the folder is in use, damaged, or another collector's."""
        store = Store(folder)
        try:
            state = store.read_state()
            first = 0 if state is None else int(state["segment"])
            fences = Fences() if state is None else fences_of(json.loads(state["fences"]))
            begun = _begun(state, producer, region, now_ms)
            opened = cls(store, Journal(folder, first), begun, fences, limits)
            opened.owners.parts = [] if state is None else state["owners"]
            opened._observe_journal(first)
            if state is None:
                opened._commit([], first)
            return opened
        except BaseException:
            store.close()
            raise

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
            self._journal.append([_journalled(each) for each in fresh.values()])
        except OSError as error:
            return [_not_now(f"The collector's disk did not take the batch ({error.strerror}).")] * len(received)
        return [self._answered(each, is_fresh=fresh.get(_identity(each)) is each) for each in received]

    def close(self, now_ms: int) -> int:
        """Closes what is due, at most some windows at once; returns how many. What it returns from is on disk."""
        begun_ms = self.collector.open_ms
        due_ms = now_ms - self._limits.grace_ms
        self._close_to(min(due_ms, begun_ms + WINDOWS_AT_ONCE * WINDOW_MS))
        return (self.collector.open_ms - begun_ms) // WINDOW_MS

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
            "format": FORMAT,
            "layout": _layout(),
            "identity": _identity_of(self.collector),
            "segment": segment,
            "fences": json.dumps(self.fences.as_json()),
            "owners": self.owners.parts,
            "collector": self.collector.state(),
        }
        self.store.commit(frames, state)
        self._journal.forget_before(segment)

    def _fresh(self, received: Sequence[Received]) -> dict[tuple[object, ...], Received]:
        """Those that have not come before, each once."""
        fresh: dict[tuple[object, ...], Received] = {}
        for each in received:
            if self.fences.judge(each.batch.header, each.at_ms) == "new":
                fresh.setdefault(_identity(each), each)
        return fresh

    def _answered(self, each: Received, is_fresh: bool) -> Answer:
        if is_fresh:
            refused = self._observe(each.batch, each.at_ms)
            return Answer(200, len(each.batch.rows) - sum(refused.values()), refused)
        return _passed_over(self.fences.judge(each.batch.header, each.at_ms))

    def _observe(self, batch: Batch, at_ms: int) -> dict[str, int]:
        """Takes in a batch that is on disk; returns how many rows were refused, by reason."""
        kind = batch.header.kind
        is_timely = _is_timely(kind, at_ms)
        timely, untimely = batch.rows.filter(is_timely), batch.rows.filter(~is_timely)
        self.collector.note_dropped(kind, self.fences.note(batch.header, at_ms) + len(untimely))
        kept = self.collector.observe(kind, timely)
        if kind == "streams":
            self.owners.note(batch.header, timely)
        self.waiting_rows += kept
        unsound = sifted(kind, timely).reasons if kept < len(timely) else Refused()
        return (self._refused(kind, untimely) + unsound).as_dict()

    def _refused(self, kind: str, untimely: pl.DataFrame) -> Refused:
        """Tells of rows that contradict the clock, pool by pool."""
        refused = Refused()
        for pool, count in untimely["pool"].value_counts().rows():
            contradicting = Refused(((Refusal.INCONSISTENT, count),))
            self.collector.note_refused(kind, pool if pool in _POOLS else _POOLS[0], contradicting)
            refused += contradicting
        return refused

    def _observe_journal(self, first: int) -> None:
        """What was taken and is in no state yet."""
        batches = rows = unread = unfinished = 0
        for records, unread_bytes in read_journal(self.store.folder, first):
            unfinished += unread_bytes
            for record in records:
                header, at_ms = BatchHeader(**record.head["header"]), int(record.head["at_ms"])
                try:
                    batch = decode_batch(header, record.body)
                except MalformedBatch:
                    unread += 1
                    continue
                self._observe(batch, at_ms)
                batches, rows = batches + 1, rows + len(batch.rows)
        self.recovered = Recovered(batches, rows, unread, unfinished)

    @property
    def why_full(self) -> str:
        """A sentence for whoever is told to come again."""
        if self.disk_bytes >= self._limits.disk_bytes_max:
            return f"{self.disk_bytes >> 20} MiB wait on the collector's disk for windows to close, or for Kafka."
        return f"{self.waiting_rows} observations wait for their windows to close."


def _begun(state: Mapping[str, Any] | None, producer: str, region: str, now_ms: int) -> Collector:
    """A new collector, or one that goes on where the state ends."""
    if state is None:
        return Collector(producer, region, now_ms, now_ms, observations_max=_UNBOUNDED)
    if state["format"] != FORMAT or state["layout"] != _layout():
        raise OtherState(
            "The collector's folder was written by a version with other columns: let that version end it with "
            "`turnwatch collector --finish`, then move the folder away and start this one."
        )
    identity = state["identity"]
    if (identity["producer"], identity["region"]) != (producer, region):
        raise OtherState(
            f"The collector's folder is that of {identity['producer']} in {identity['region']}: give it that name and "
            "region (TURNWATCH_COLLECTOR__NAME, TURNWATCH_COLLECTOR__REGION), or another folder."
        )
    begun = Collector(**identity, observations_max=_UNBOUNDED)
    begun.restore(state["collector"])
    return begun


_UNBOUNDED = 1 << 62
"""Our own limit holds before a batch is taken: what was taken is never dropped."""


def _identity_of(collector: Collector) -> dict[str, object]:
    names = ("producer", "region", "incarnation", "opens_at_ms", "content_type", "k")
    return {name: getattr(collector, name) for name in names}


@cache
def _layout() -> str:
    """Tells states apart whose tables have other columns."""
    families = {name: (each.dimensions, each.key_names, each.measure_names) for name, each in FAMILIES.items()}
    kinds = {name: {column: str(dtype) for column, dtype in kind.columns.items()} for name, kind in KINDS.items()}
    return xxh3_64_hexdigest(json.dumps([families, kinds, parts_of_state()]).encode())


def _identity(each: Received) -> tuple[object, ...]:
    header = each.batch.header
    return header.recorder, header.incarnation, header.kind, header.sequence


def _journalled(each: Received) -> bytes:
    return packed({"header": asdict(each.batch.header), "at_ms": each.at_ms}, each.body)


def _is_timely(kind: str, now_ms: int) -> pl.Expr:
    """Neither from the future, nor older than anybody takes; a time that is not known is judged later."""
    return pl.col(KINDS[kind].time).is_between(now_ms - AGE_MS_MAX, now_ms + AHEAD_MS_MAX).fill_null(True)


def _passed_over(verdict: Verdict) -> Answer:
    """The answer to a batch that is not counted."""
    match verdict:
        case "expired":
            return Answer(400, error="The batch is older than what the collector remembers: it may have been counted.")
        case "too_many":
            return _not_now("The collector knows too many recorders.")
        case _:
            return Answer(200, is_repeated=True)


def _not_now(why: str) -> Answer:
    return Answer(429, error=why, retry_after_s=RETRY_AFTER_S)
