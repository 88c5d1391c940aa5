"""Where what was recorded waits for the thread that sends it: two queues of bounded length, without a lock.

`deque.append` and `popleft` are single steps of the interpreter, so serving threads append while the sending one takes,
and nobody waits for anybody. The length is looked at before the append: with n threads a queue may be n - 1 rows longer
than its bound. What does not fit is dropped and counted, under a lock that only those who drop ever meet.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from producers.recorder.tally import Tally

TURNS = "turns"


class Buffer:
    """Finished turns, and observations of other kinds as (kind, row)."""

    def __init__(self, clock: Callable[[], float], rows_max: int, tally: Tally) -> None:
        self.clock = clock
        self.rows_max = rows_max
        self._why_full = "buffer_full"
        self._tally = tally
        self.turns: deque[list[Any]] = deque()
        self._events: deque[tuple[str, list[Any]]] = deque()
        self._lock = threading.Lock()
        self._untold: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self.turns) + len(self._events)

    def put(self, row: list[Any]) -> None:
        """A turn that has ended."""
        if len(self.turns) < self.rows_max:
            self.turns.append(row)
        else:
            self._drop(TURNS, self._why_full)

    def put_event(self, kind: str, row: list[Any]) -> None:
        if len(self._events) < self.rows_max:
            self._events.append((kind, row))
        else:
            self._drop(kind, self._why_full)

    def missed(self, what: str) -> None:
        """A value that came after its turn's end; with `internal`, the turn itself."""
        if what == "internal":
            self._drop(TURNS, what)
        else:
            self._tally.lose_values(what, 1)

    def shut(self, why: str) -> None:
        """From now on everything is dropped, for this reason."""
        self._why_full, self.rows_max = why, 0

    def fork(self, why: str, tally: Tally) -> None:
        """In the child: what waits is the parent's, and so may be whoever holds a lock."""
        self._lock, self._tally = threading.Lock(), tally
        self.turns, self._events = deque(), deque()
        self.shut(why)

    def take(self) -> tuple[list[list[Any]], dict[str, list[list[Any]]]]:
        """What waits now: turns, and other observations by kind."""
        turns = [self.turns.popleft() for _ in range(len(self.turns))]
        events: dict[str, list[list[Any]]] = {}
        for _ in range(len(self._events)):
            kind, row = self._events.popleft()
            events.setdefault(kind, []).append(row)
        return turns, events

    def take_dropped(self) -> Counter[str]:
        """How many were dropped since this was asked last, by kind."""
        with self._lock:
            dropped, self._untold = self._untold, Counter()
        return dropped

    def _drop(self, kind: str, reason: str) -> None:
        with self._lock:
            self._untold[kind] += 1
        self._tally.see(kind, 1)
        self._tally.drop(kind, reason)
