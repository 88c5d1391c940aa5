"""What the sending thread does: takes what waits, turns it into columns, and gives each collector its part.

A row from which no column can be made (a session that is a list, an amount that is text) is found by halving, dropped and
counted; all others go on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from producers.observation_batches import OBSERVATIONS
from producers.recorder.buffer import TURNS, Buffer
from producers.recorder.cells import Cells, Refusals, pool_told, texts_of
from producers.recorder.clock import EventTime
from producers.recorder.delivery import Delivery
from producers.recorder.event_columns import event_columns, misplaced_values, value_names
from producers.recorder.sessions import Keys, chosen, is_nobody, names_a_session, pseudonym_of, seed_of, tenant_key_of
from producers.recorder.tally import Tally
from producers.recorder.turn_columns import Columned, refused_of, turn_columns
from schemas.misplaced import misplaced_fields
from schemas.refusals import Refusal, first_of

Rows = Sequence[list[Any]]


def _why_not(kind: str, rows: Rows) -> list[Refusal | None]:
    """Why of each row nothing can be made, at first sight: its session is named by what can name none, or values are of other types than
    their columns. The first reason of what stands where it may not."""
    misplaced = misplaced_values(kind, [row[2] for row in rows]) if kind != TURNS else [[] for _ in rows]
    for row, wrong in zip(rows, misplaced, strict=True):
        if not (is_nobody(row[0]) or names_a_session(row[0])):
            wrong.append(("session", row[0]))
    return [first_of(misplaced_fields(wrong)) for wrong in misplaced]


def _refused_each(rows: Rows, why: Sequence[Refusal | None]) -> Refusals:
    """The rows of which nothing can be made, by pool and reason."""
    each = zip(rows, why, strict=True)
    return Counter((pool_told(defaults, given), reason) for (_, defaults, given, *_), reason in each if reason)


class Sender:
    """One recorder's sending side; every method is called by one thread."""

    def __init__(
        self,
        name: str,
        addresses: tuple[str, ...],
        buffer: Buffer,
        sessions: Keys,
        event_time: EventTime,
        delivery: Delivery,
        tally: Tally,
    ) -> None:
        self._addresses, self._buffer, self._sessions = addresses, buffer, sessions
        self._event_time, self._delivery, self._tally = event_time, delivery, tally
        self._cells = {
            kind: Cells(texts_of(kind, name), () if kind == TURNS else value_names(kind), pseudonym_of(sessions))
            for kind in OBSERVATIONS
        }
        self._named_under = self._naming()
        self._home_place = int(chosen(np.array([seed_of(name)], np.uint64), addresses)[0])
        self._home = addresses[self._home_place]

    def cycle(self, deadline_s: float, is_last: bool = False) -> None:
        """Sends what waits on disk, then what has been recorded; what there is no time for is kept on disk."""
        self._delivery.send_waiting(deadline_s)
        if self._named_under != (naming := self._naming()):
            self._named_under = naming
            for cells in self._cells.values():
                cells.forget()
        turns, events = self._buffer.take()
        for kind, count in self._buffer.take_dropped().items():
            self._delivery.count_dropped(self._home, kind, count)
        for kind, rows in {TURNS: turns, **events}.items():
            self._send(kind, rows, deadline_s)
        self._delivery.tell(deadline_s, is_last)
        self._event_time.read_again()

    def _naming(self) -> tuple[object, int]:
        """What pseudonyms of tenants hold for: a key, as long as it is in force, and where keys do not say so an hour."""
        return tenant_key_of(self._sessions), self._event_time.hour

    def _send(self, kind: str, rows: Rows, deadline_s: float) -> None:
        self._tally.see(kind, len(rows))
        if kind not in OBSERVATIONS:
            if rows:
                sentence = "an observation was told of a kind that there is not, and is dropped"
                self._tally.fail("unknown_kind", sentence, times=len(rows))
            self._drop(kind, refused_of(rows, Refusal.OUTSIDE_VOCABULARY))
            return
        for columned, sessions in self._in_columns(kind, rows):
            self._drop(kind, columned.refused)
            self._lose(kind, columned)
            for address, part in self._by_collector(columned.rows, sessions):
                self._deliver(address, kind, part, deadline_s)

    def _converted(self, kind: str, rows: Rows) -> tuple[Columned, pl.Series]:
        if kind != TURNS:
            return event_columns(kind, rows, self._sessions, self._cells[kind], self._event_time)
        columned = turn_columns(rows, self._sessions, self._cells[kind], self._event_time)
        return columned, columned.rows["session"]

    def _in_columns(self, kind: str, rows: Rows) -> list[tuple[Columned, pl.Series]]:
        """Of all rows; where that fails of those that may be counted at first sight, for whoever names one session by an
        object names all of them so; and then of both halves, down to the single one of which nothing can be made."""
        if not rows:
            return []
        try:
            return [self._converted(kind, rows)]
        except Exception as error:
            at_fault = Refusal.MALFORMED if len(rows) == 1 else None
            why = [reason or at_fault for reason in _why_not(kind, rows)]
            if any(why):
                self._tally.fail("malformed", "something that was recorded is nothing that can be counted", error)
                self._drop(kind, _refused_each(rows, why))
                return self._in_columns(kind, [row for row, reason in zip(rows, why, strict=True) if reason is None])
        half = len(rows) // 2
        return [*self._in_columns(kind, rows[:half]), *self._in_columns(kind, rows[half:])]

    def _by_collector(self, rows: pl.DataFrame, sessions: pl.Series) -> list[tuple[str, pl.DataFrame]]:
        """By session; what has none goes to this recorder's own collector."""
        places = np.full(len(rows), self._home_place, np.int64)
        if len(self._addresses) > 1:
            places[sessions.is_not_null().to_numpy()] = chosen(sessions.drop_nulls().to_numpy(), self._addresses)
        parts = [(address, rows.filter(pl.Series(places == at))) for at, address in enumerate(self._addresses)]
        return [(address, part) for address, part in parts if len(part)]

    def _deliver(self, address: str, kind: str, rows: pl.DataFrame, deadline_s: float) -> None:
        try:
            self._delivery.send(address, kind, rows, deadline_s)
        except Exception as error:
            self._tally.fail("internal", "recorded observations could not be made a batch", error)
            self._tally.drop(kind, "internal", len(rows))
            self._delivery.count_dropped(address, kind, len(rows))

    def _lose(self, kind: str, columned: Columned) -> None:
        """Counts what observations go on without, and times that had to be put right."""
        for (pool, reason), count in (+columned.lost_values).items():
            self._tally.lose_values(reason.value, count)
            self._delivery.count_withheld(self._home, kind, pool, reason, count)
        if columned.repaired:
            self._tally.lose_values(Refusal.CLOCK_BACKWARDS.value, columned.repaired)

    def _drop(self, kind: str, refused: Refusals) -> None:
        for (pool, reason), count in (+refused).items():
            self._tally.drop(kind, reason.value, count)
            self._delivery.count_refused(self._home, kind, pool, reason, count)
