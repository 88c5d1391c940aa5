"""Windows of one privacy partition that are not over: their cells so far, and pools that are held below k.

Observations are folded into cells as the operational windows end, so what waits is bounded by cells and not by
observations. When the partition's own window ends, it passes the gate together with what was held. What came late passes
it under its own window where k sessions of its pool came late together, and joins the window that ends now where not.

The state is plain: numbers, lists and tables that never change, so that a collector can write it down.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from producers.cells import OBSERVATIONS, SESSIONS, joined, no_cells, pool_of
from producers.gate import gate
from schemas.families import Family, PrivacyPartition

_PARTS_MAX = 8
"""Foldings of one window that are kept apart; then they become one table."""


@dataclass(frozen=True, slots=True)
class Closed:
    """One window of the partition as it leaves: cells of k sessions, and how many observations each one counts."""

    window_start_ms: int
    released: pl.DataFrame


@dataclass(slots=True)
class OpenWindows:
    """The cells of each window that is not over, by its start, and those of the pools that are held."""

    parts: dict[int, list[pl.DataFrame]] = field(default_factory=dict)
    held: list[pl.DataFrame] = field(default_factory=list)

    def fold(
        self, window_start_ms: int, cells: pl.DataFrame, family: Family, partition: PrivacyPartition, k: int
    ) -> None:
        """Takes in the cells of some observations of that window."""
        parts = self.parts.setdefault(window_start_ms, [])
        parts.append(cells)
        if len(parts) > _PARTS_MAX:
            self.parts[window_start_ms] = [joined(parts, family, partition, k)]

    def summed(self, family: Family, partition: PrivacyPartition) -> Iterator[Closed]:
        """Ends every window of a partition that identifies nobody, oldest first."""
        for start_ms, parts in sorted(self.parts.items()):
            yield Closed(start_ms, joined(parts, family, partition, 0).drop(SESSIONS))
        self.parts = {}

    def gated(self, window_start_ms: int, family: Family, partition: PrivacyPartition, k: int) -> Iterator[Closed]:
        """Ends the window that starts there, and what came late for others before it, oldest first."""
        if not self.held and not self.parts:
            return
        now = [*self.held, *self.parts.pop(window_start_ms, [])]
        for start_ms, parts in sorted(self.parts.items()):
            late = joined(parts, family, partition, k)
            alone = _pools_of_k(late, pool_of(family, partition), k)
            yield Closed(start_ms, gate(alone, family, partition, k).released)
            now.append(_without_pools(late, alone, pool_of(family, partition)))
        self.parts = {}
        gated = gate(joined(now, family, partition, k), family, partition, k)
        self.held = [] if gated.held.is_empty() else [gated.held]
        yield Closed(window_start_ms, gated.released)

    def held_cells(self, family: Family, partition: PrivacyPartition) -> pl.DataFrame:
        return pl.concat([no_cells(family, partition), *self.held])

    @property
    def unfinished(self) -> int:
        """Observations in windows that are not over."""
        return sum(int(part[OBSERVATIONS].sum()) for parts in self.parts.values() for part in parts)

    @property
    def observations(self) -> int:
        """Observations that wait, for their window's end or for more sessions."""
        tables = [*self.held, *(part for parts in self.parts.values() for part in parts)]
        return sum(int(table[OBSERVATIONS].sum()) for table in tables)


def _pools_of_k(cells: pl.DataFrame, pool: tuple[str, ...], k: int) -> pl.DataFrame:
    """The cells of pools that k sessions share."""
    sessions = (
        cells.select(*pool, SESSIONS).explode(SESSIONS).group_by(pool).agg(pl.col(SESSIONS).drop_nulls().n_unique())
    )
    return cells.join(sessions.filter(pl.col(SESSIONS) >= k).select(pool), on=pool, how="semi", nulls_equal=True)


def _without_pools(cells: pl.DataFrame, others: pl.DataFrame, pool: tuple[str, ...]) -> pl.DataFrame:
    return cells.join(others.select(pool).unique(), on=pool, how="anti", nulls_equal=True)
