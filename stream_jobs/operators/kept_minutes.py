"""The newest hour of a family's minutes in one shard, for watches that compare the last ones with those before.

What is told of a minute is told as a whole, so a later telling replaces it. Of a minute only the `slices_max` slices with
the most of one measure are kept; how many are not is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from schemas.families import Family
from schemas.instants import MINUTE_MS
from stream_jobs.operators.saved_rows import SavedRows
from stream_jobs.operators.totals.blocks import Block

KEPT_MINUTES = 60
STATED_MAX = 15
"""Minutes that are stated at once after a pause; of older ones nobody asks any more."""
SAVED_AFTER_MS = 2 * MINUTE_MS
"""Minutes that are not decided yet are saved before the ledger lets go of them, which is after three minutes."""
_KIND = "minutes"


def newly_ended(decided_ms: int, until_ms: int) -> range:
    """The ends of the minutes that are over at `until_ms` and come after those decided; before any is decided the newest alone.

    There is none while nobody has reported, when `until_ms` is 0: it would be as new at every look.

    >>> [end_ms // 60_000 for end_ms in newly_ended(120_000, 299_999)], list(newly_ended(120_000, 179_999)), list(newly_ended(0, 0))
    ([3, 4], [], [])
    """
    newest_ms = until_ms // MINUTE_MS * MINUTE_MS
    if newest_ms <= decided_ms:
        return range(0)
    first_ms = decided_ms + MINUTE_MS if decided_ms else newest_ms
    return range(max(first_ms, newest_ms - (KEPT_MINUTES - 1) * MINUTE_MS), newest_ms + 1, MINUTE_MS)


class KeptMinutes:
    """Rows by minute and `identity`, which begins with the slice, with `measures` (Int64); the most is of the measure `most`."""

    def __init__(
        self, family: Family, identity: Sequence[str], measures: Sequence[str], most: str, slices_max: int
    ) -> None:
        self._identity, self._measures = list(identity), list(measures)
        self._most, self._slices_max = most, slices_max
        self._prefix = f"{family.name}|{_KIND}"
        self._schema = dict.fromkeys(identity, pl.String) | dict.fromkeys(measures, pl.Int64)
        self._nothing = pl.DataFrame(schema=self._schema)
        self._minutes: dict[int, pl.DataFrame] = {}
        self._unsaved: set[int] = set()
        self._saved: dict[int, SavedRows] = {}
        self._forgotten: list[bytes] = []
        self.left_out = 0
        """Slices that were not kept of the newest minute told."""

    def keep(self, start_ms: int, minute: pl.DataFrame) -> None:
        """Takes a whole minute as it is known now."""
        self._minutes[start_ms] = self._largest(minute.select(*self._schema))
        self._unsaved.add(start_ms)

    def __contains__(self, start_ms: int) -> bool:
        return start_ms in self._minutes

    @property
    def newest_ms(self) -> int:
        """When the newest minute that was told begins; 0 before any."""
        return max(self._minutes, default=0)

    def at(self, start_ms: int) -> pl.DataFrame:
        """The rows of one minute; none of what was not heard of."""
        return self._minutes.get(start_ms, self._nothing)

    def between(self, from_ms: int, until_ms: int) -> pl.DataFrame:
        """All that begins in this span, by minute, with `minute_ms`."""
        named = [
            minute.with_columns(minute_ms=pl.lit(start_ms, pl.Int64))
            for start_ms, minute in sorted(self._minutes.items())
            if from_ms <= start_ms < until_ms
        ]
        return pl.concat([self._nothing.with_columns(minute_ms=pl.lit(0, pl.Int64)), *named])

    def age(self, decided_ms: int) -> None:
        """Lets go of what is older than anybody asks for once minutes up to this are decided."""
        oldest_ms = decided_ms - KEPT_MINUTES * MINUTE_MS
        for start_ms in [start_ms for start_ms in self._minutes if start_ms < oldest_ms]:
            del self._minutes[start_ms]
            self._unsaved.discard(start_ms)
            if start_ms in self._saved:
                self._forgotten += self._saved.pop(start_ms).keys

    def unsaved_blocks(self, applied_offset: int, decided_ms: int) -> Iterator[Block]:
        """Minutes that changed since the last call, and are decided or will be soon; younger ones are told again after a start."""
        until_ms = max(decided_ms, self.newest_ms - SAVED_AFTER_MS)
        for start_ms in sorted(each for each in self._unsaved if each < until_ms):
            saved = self._saved.setdefault(start_ms, self._saved_rows(start_ms))
            yield from saved.blocks(self._minutes[start_ms], applied_offset)
            self._unsaved.discard(start_ms)

    def forgotten_blocks(self) -> Iterator[Block]:
        """The keys of what is kept no more."""
        forgotten, self._forgotten = self._forgotten, []
        yield from (Block(key, None) for key in forgotten)

    def restore(self, stored: dict[bytes, bytes]) -> None:
        """Takes up what `unsaved_blocks` wrote, among other blocks."""
        prefix = f"{self._prefix}|".encode()
        for start_ms in sorted({int(key.split(b"|")[2]) for key in stored if key.startswith(prefix)}):
            saved = self._saved[start_ms] = self._saved_rows(start_ms)
            rows = saved.restored(stored, self._measures)
            # Older versions left a later place of a smaller telling as it was.
            self._minutes[start_ms] = rows.unique(self._identity, keep="first", maintain_order=True)

    def _saved_rows(self, start_ms: int) -> SavedRows:
        return SavedRows(f"{self._prefix}|{start_ms}", self._schema)

    def _largest(self, minute: pl.DataFrame) -> pl.DataFrame:
        """The rows of the slices with the most, and first by name of equal ones."""
        self.left_out = max(0, minute["slice"].n_unique() - self._slices_max)
        if not self.left_out:
            return minute
        slices = minute.group_by("slice").agg(pl.col(self._most).sum())
        ordered = slices.sort(self._most, "slice", descending=[True, False])
        return minute.join(ordered.head(self._slices_max), on="slice", how="semi")
