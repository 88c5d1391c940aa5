"""What became of everything that a host handed in, and what went wrong on the way: counted, and said once.

The path on which a turn is recorded never comes here. Only what is dropped or fails does, so a lock costs nothing.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter

log = logging.getLogger("turnwatch.recorder")


class Tally:
    """Counts by kind of observation and by reason, from any thread; each kind of failure is logged once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: Counter[str] = Counter()
        self._taken: Counter[str] = Counter()
        self._dropped: Counter[tuple[str, str]] = Counter()
        self._refused: Counter[tuple[str, str]] = Counter()
        self._values: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()

    def see(self, kind: str, count: int) -> None:
        with self._lock:
            self._seen[kind] += count

    def take(self, kind: str, count: int) -> None:
        """A collector has them."""
        with self._lock:
            self._taken[kind] += count

    def drop(self, kind: str, reason: str, count: int = 1) -> None:
        """These observations will never come."""
        with self._lock:
            self._dropped[kind, reason] += count

    def refuse(self, kind: str, reason: str, count: int) -> None:
        """The collector had them and did not want them."""
        with self._lock:
            self._refused[kind, reason] += count

    def lose_values(self, reason: str, count: int) -> None:
        """Single values of observations that came all the same."""
        with self._lock:
            self._values[reason] += count

    def fail(self, what: str, sentence: str, error: BaseException | None = None, times: int = 1) -> None:
        """Something went wrong; the first time it is said, too. The name of `error` is, its text may hold values."""
        with self._lock:
            is_first = not self._failures[what]
            self._failures[what] += times
        if is_first:
            log.warning("%s: %s%s", what, sentence, f" ({type(error).__name__})" if error else "")

    def dropped(self, kind: str) -> int:
        with self._lock:
            return sum(count for (of, _), count in self._dropped.items() if of == kind)

    def totals(self) -> dict[str, int]:
        """Everything, under names such as `turns_seen`, `turns_dropped_buffer_full`, `values_not_finite`."""
        with self._lock:
            parts: list[tuple[str, int]] = [
                *((f"{kind}_seen", count) for kind, count in self._seen.items()),
                *((f"{kind}_taken", count) for kind, count in self._taken.items()),
                *((f"{kind}_dropped_{reason}", count) for (kind, reason), count in self._dropped.items()),
                *((f"{kind}_refused_{reason}", count) for (kind, reason), count in self._refused.items()),
                *((f"values_{reason}", count) for reason, count in self._values.items()),
                *((f"failures_{what}", count) for what, count in self._failures.items()),
            ]
        return dict(sorted(parts))
