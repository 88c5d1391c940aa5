"""What went through a spool, in rows and bytes: found there or kept, and then sent, dropped, or waiting still."""

from __future__ import annotations

from collections import Counter
from typing import Literal

Came = Literal["found", "kept"]
Left = Literal["sent", "dropped_full", "dropped_refused", "dropped_damaged", "dropped_collector_gone"]
_CAME = frozenset(("found", "kept"))


class SpoolFlow:
    """Totals of one spool: found + kept = sent + dropped + waiting, of rows and of bytes. One thread counts, any may ask."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def count(self, what: Came | Left, rows: int, size: int) -> None:
        """Takes in a batch of so many rows and bytes that came, or left."""
        self._counts["rows", what] += rows
        self._counts["bytes", what] += size

    def totals(self) -> dict[str, int]:
        """By names such as `spool_rows_kept`; what waits is what came and has not left."""
        counts = dict(self._counts)  # One step to other threads.
        for unit in ("rows", "bytes"):
            of_unit = [(what, count) for (of, what), count in counts.items() if of == unit]
            counts[unit, "waiting"] = sum(count if what in _CAME else -count for what, count in of_unit)
        return {f"spool_{unit}_{what}": count for (unit, what), count in sorted(counts.items())}
