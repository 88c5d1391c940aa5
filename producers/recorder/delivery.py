"""Batches to collectors: numbered, sent, and kept on disk while a collector is away.

Each batch is numbered before it is sent for the first time, and keeps its number until a collector has taken it or refused
it for good. While something waits for a collector, what is new waits behind it, so numbers arrive in order. A collector that is
away, or says that it has no room (429), is asked again after 1, 2, 4, … 30 s, or when it says. A batch at which a collector fails while it
takes others does not hold them up (`producers/recorder/suspects.py`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from producers.observation_batches import (
    BATCH_BYTES_MAX,
    BATCH_ROWS_MAX,
    OBSERVATIONS,
    Answer,
    BatchHeader,
    encode_batch,
    headers_of,
    refusal_name,
)
from producers.recorder.buffer import TURNS
from producers.recorder.spool import Entry, NoSpool, Outgoing, SpoolDamaged, SpoolUnwritable
from producers.recorder.suspects import Suspects
from producers.recorder.tally import Tally
from producers.refusing import is_withheld
from schemas.families import UNKNOWN
from schemas.refusals import Refusal

_REASONS = frozenset(Refusal)
PAUSE_S_MIN, PAUSE_S_MAX = 1.0, 30.0
ANSWER_TIMEOUT_S = 5.0
QUIET_S_MAX = 300.0
"""A collector ends the streams of a recorder that it has not heard of for 15 min."""


class Post(Protocol):
    def __call__(self, address: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Answer: ...


@dataclass(slots=True)
class _Patience:
    """When a collector is asked again, on the monotonic clock."""

    pause_s: float = 0.0
    not_before_s: float = 0.0


class Delivery:
    """What one incarnation of a recorder sends, and what earlier ones left in the spool."""

    def __init__(
        self,
        recorder: str,
        incarnation: int,
        addresses: Sequence[str],
        post: Post,
        spool: NoSpool,
        tally: Tally,
        monotonic: Callable[[], float],
    ) -> None:
        self._recorder, self._incarnation = recorder, incarnation
        self._addresses, self._post, self._spool, self._tally = tuple(addresses), post, spool, tally
        self._monotonic = monotonic
        self._sequences: Counter[tuple[str, str]] = Counter()
        self._seen: Counter[tuple[str, str]] = Counter()
        self._dropped: Counter[tuple[str, str]] = Counter()
        self._told_dropped: Counter[tuple[str, str]] = Counter()
        self._refused: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._withheld: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._told_withheld: Counter[tuple[str, str]] = Counter()
        self._heard_s = dict.fromkeys(addresses, monotonic())
        self._told: Counter[str] = Counter()
        self._patience = {address: _Patience() for address in addresses}
        self._suspects = {address: Suspects() for address in addresses}
        self._lose_what_nobody_takes()

    def count_dropped(self, address: str, kind: str, count: int) -> None:
        """Observations that were dropped before they could be numbered; the next batch tells this collector."""
        if kind in OBSERVATIONS:
            self._seen[address, kind] += count
            self._dropped[address, kind] += count

    def count_refused(self, address: str, kind: str, pool: str, reason: Refusal, count: int) -> None:
        """The same of those that this recorder refused; the next batch tells why, too. What is of no known kind is told with turns."""
        if kind in OBSERVATIONS:
            self.count_dropped(address, kind, count)
            self._refused[address, kind][refusal_name(kind, pool, reason)] += count
        else:
            self._withheld[address, TURNS][refusal_name(UNKNOWN, pool, reason)] += count

    def count_withheld(self, address: str, kind: str, pool: str, reason: Refusal, count: int) -> None:
        """Fields that were dropped of observations which go on; the next batch tells why, unless they were only unknown."""
        if is_withheld(reason):
            self._withheld[address, kind][refusal_name(kind, pool, reason)] += count

    def send(self, address: str, kind: str, rows: pl.DataFrame, deadline_s: float) -> None:
        """Numbers the rows, and sends them now, or keeps them for later."""
        for offset in range(0, max(1, len(rows)), BATCH_ROWS_MAX):
            for batch in self._batches(address, kind, rows.slice(offset, BATCH_ROWS_MAX)):
                is_first = not self._in_line(address)
                if not (is_first and self._is_due(address, deadline_s) and self._answer(batch, deadline_s).is_final):
                    self._keep(batch)

    def send_waiting(self, deadline_s: float) -> None:
        """Sends what waits, oldest first, to every collector that is due, for as long as there is time."""
        for address in self._addresses:
            while self._is_due(address, deadline_s) and (line := self._in_line(address)):
                if not self._is_sent(line[0], deadline_s):
                    break

    def tell(self, deadline_s: float, is_last: bool = False) -> None:
        """Tells collectors, without any rows, of drops that no batch has told them of, and after a while that we live.

        Where nothing waits, that is; at the end in any case.
        """
        for address, kind in sorted({*self._dropped, *self._withheld, *self._sequences}):
            is_free = not self._in_line(address) and self._is_due(address, deadline_s)
            is_news = (
                self._dropped_of(address, kind) > self._told_dropped[address, kind]
                or self._withheld_of(address, kind) > self._told_withheld[address, kind]
            )
            is_quiet = self._monotonic() - self._heard_s[address] >= QUIET_S_MAX and not is_last
            if (is_news or is_quiet) and (is_free or is_last):
                self.send(address, kind, pl.DataFrame(schema=OBSERVATIONS[kind]), deadline_s)

    def try_at_once(self) -> None:
        """Forgets that collectors were away: there is no later."""
        self._patience = {address: _Patience() for address in self._addresses}

    def _batches(self, address: str, kind: str, rows: pl.DataFrame) -> list[Outgoing]:
        """One batch, or as many as it takes for each to stay below the largest body."""
        stream, lost = (address, kind), self._lost(address, kind)
        seen, dropped = self._seen[stream] + len(rows), self._dropped_of(address, kind)
        number, refused, withheld = self._sequences[stream], dict(self._refused[stream]), dict(self._withheld[stream])
        header = BatchHeader(kind, self._recorder, self._incarnation, number, seen, dropped, refused, withheld)
        payload = encode_batch(header, rows)[1]
        if len(payload) > BATCH_BYTES_MAX and len(rows) > 1:
            half = len(rows) // 2
            return [*self._batches(address, kind, rows.head(half)), *self._batches(address, kind, rows[half:])]
        self._seen[stream] += len(rows)
        self._told_dropped[stream] = dropped
        self._told_withheld[stream] = self._withheld_of(*stream)
        self._sequences[stream] += 1
        return [Outgoing(address, header, len(rows), lost, payload)]

    def _lost(self, address: str, kind: str) -> int:
        header = BatchHeader(kind, self._recorder, self._incarnation, 0, 0, 0)
        return self._spool.lost(Outgoing(address, header, 0, 0, b"").stream)

    def _dropped_of(self, address: str, kind: str) -> int:
        return self._dropped[address, kind] + self._lost(address, kind)

    def _withheld_of(self, address: str, kind: str) -> int:
        return self._withheld[address, kind].total()

    def _is_due(self, address: str, deadline_s: float) -> bool:
        return self._patience[address].not_before_s <= self._monotonic() < deadline_s

    def _is_sent(self, entry: Entry, deadline_s: float) -> bool:
        try:
            batch = self._spool.read(entry)
        except SpoolDamaged:
            self._tally.fail("spool_damaged", "a batch in the spool cannot be read and is dropped")
            self._lose(entry.batch, "spool_damaged")
            self._spool.forget(entry, "dropped_damaged")
            return True
        answer = self._answer(batch, deadline_s)
        if answer.is_final:
            self._spool.forget(entry, "sent" if answer.is_taken else "dropped_refused")
            self._suspects[entry.batch.address].note_done(entry)
        elif self._suspects[entry.batch.address].note_failed(entry, answer, self._monotonic()):
            self._tally.fail(
                "batch_failing", "a collector fails at one batch and takes others; it is tried again later"
            )
        return answer.is_final

    def _in_line(self, address: str) -> list[Entry]:
        return self._suspects[address].in_line(self._spool.waiting(address), self._monotonic())

    def _answer(self, batch: Outgoing, deadline_s: float) -> Answer:
        """What the collector says to the batch, which is counted where that is final: it has it, or will never take it."""
        timeout_s = max(0.1, min(ANSWER_TIMEOUT_S, deadline_s - self._monotonic()))
        try:
            answer = self._post(batch.address, headers_of(batch.header), batch.payload, timeout_s)
        except Exception as error:
            self._tally.fail("post_failed", "a batch could not be posted", error)
            answer = Answer(0)
        if not answer.is_final:
            self._wait(batch.address, answer)
            return answer
        self._patience[batch.address] = _Patience()
        self._heard_s[batch.address] = self._monotonic()
        if answer.is_taken:
            self._told[batch.stream] = batch.lost
            self._count(batch, answer)
        else:
            self._tally.fail("batch_refused", f"a collector refused a batch with status {answer.status}")
            self._lose(batch, "batch_refused")
        return answer

    def _count(self, batch: Outgoing, answer: Answer) -> None:
        refused, kind = answer.refused, batch.header.kind
        if min(refused.values(), default=0) < 0 or sum(refused.values()) > batch.rows:
            self._tally.fail("answer_inconsistent", "a collector refused more observations than it was sent")
            refused = {}
        for reason, count in refused.items():
            self._tally.refuse(kind, reason if reason in _REASONS else "other", count)
        self._tally.take(kind, batch.rows - sum(refused.values()))

    def _wait(self, address: str, answer: Answer) -> None:
        patience = self._patience[address]
        patience.pause_s = min(PAUSE_S_MAX, max(PAUSE_S_MIN, 2 * patience.pause_s))
        asked_s = min(float(answer.retry_after_s or 0), PAUSE_S_MAX)
        patience.not_before_s = self._monotonic() + max(patience.pause_s, asked_s)
        what = "collector_full" if answer.status == 429 else "collector_away"
        self._tally.fail(
            what, f"a collector does not take batches now (status {answer.status}); they wait in the spool"
        )

    def _keep(self, batch: Outgoing) -> None:
        try:
            self._drop_for_room(self._spool.keep(batch))
        except SpoolUnwritable as error:
            self._tally.fail("spool_unwritable", "the spool cannot be written; what cannot be sent is dropped", error)
            self._drop_for_room(error.gone)
            self._lose(batch, "spool_unwritable")

    def _drop_for_room(self, gone: list[Outgoing]) -> None:
        for lost in gone:
            self._tally.drop(lost.header.kind, "spool_full", lost.rows)
        self._tell_instead(gone)

    def _lose(self, batch: Outgoing, reason: str) -> None:
        self._tally.drop(batch.header.kind, reason, batch.rows)
        try:
            self._spool.lose(batch)
        except OSError as error:
            self._tally.fail("spool_unwritable", "the spool cannot be written", error)
        self._tell_instead([batch])

    def _tell_instead(self, gone: list[Outgoing]) -> None:
        """What an earlier incarnation lost with its last batch, this one tells: as seen, and as dropped."""
        for batch in gone:
            header, address, stream = batch.header, batch.address, batch.stream
            is_ours = (header.recorder, header.incarnation) == (self._recorder, self._incarnation)
            if is_ours or any(entry.batch.stream == stream for entry in self._spool.waiting(address)):
                continue
            home = address if address in self._addresses else self._addresses[0]
            self.count_dropped(home, header.kind, self._spool.lost(stream) - self._told[stream])
            self._told[stream] = self._spool.lost(stream)

    def _lose_what_nobody_takes(self) -> None:
        """Batches for a collector that is no longer named: it may have taken them, so no other is given them."""
        for address in self._spool.addresses() - set(self._addresses):
            self._tally.fail("collector_gone", "the spool holds batches for a collector that is no longer named")
            for entry in self._spool.waiting(address):
                self._spool.forget(entry, "dropped_collector_gone")
                self._lose(entry.batch, "collector_gone")
