"""The privacy gate: no cell with an identifying dimension leaves a producer unless enough sessions share it.

In a window, cells with fewer than k distinct sessions give up one identifying dimension at a time (`*`), in the
declared order. What is merged that way within one parent and still stays below k takes its smallest sibling with it, so
that nobody can subtract their way back to it. A cell with nothing left to give up that is still too small is held, and
joins the next window of its pool. The gate moves counts between cells; it never changes their sum.

Distinct sessions are counted over sets, not added: two small cells may be the same people. The sets never leave the
collector.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from schemas.dimensions import DIMENSIONS, GENERALISED
from schemas.families import K_SESSIONS_MIN, PrivacyPartition


@dataclass(frozen=True, slots=True)
class Cells:
    """Summed measures of each cell, and the (cell, session) pairs behind them."""

    measures: pl.DataFrame
    sessions: pl.DataFrame

    def joined_by(self, later: Cells, dimensions: tuple[str, ...]) -> Cells:
        """The two together: measures added, sets of sessions united."""
        measures = pl.concat([self.measures, later.measures]).group_by(dimensions).sum()
        return Cells(measures, pl.concat([self.sessions, later.sessions]).unique())


@dataclass(frozen=True, slots=True)
class Gated:
    released: pl.DataFrame
    held: Cells


def identifying(partition: PrivacyPartition) -> tuple[str, ...]:
    """The partition's identifying dimensions, in the order in which they give way."""
    order = {name: DIMENSIONS[name].generalise_order for name in partition.dimensions}
    return tuple(
        sorted((name for name, place in order.items() if place is not None), key=lambda name: order[name] or 0)
    )


def sessions_of(observations: pl.DataFrame, partition: PrivacyPartition) -> pl.DataFrame:
    """The distinct (cell, session) pairs of a window."""
    return observations.select(*partition.dimensions, "session").unique()


def gate(cells: Cells, partition: PrivacyPartition, k: int = K_SESSIONS_MIN) -> Gated:
    """Releases what k sessions share, generalised as little as the order allows, and holds the rest."""
    for dimension in identifying(partition):
        cells = _generalised(cells, partition, dimension, k)
    counted = cells.measures.join(
        _session_counts(cells.sessions, partition), on=partition.dimensions, how="left", nulls_equal=True
    )
    is_released = pl.col("sessions") >= k
    dimensions = list(partition.dimensions)
    held = counted.filter(~is_released).drop("sessions")
    held_sessions = cells.sessions.join(held.select(dimensions), on=dimensions, how="semi")
    return Gated(counted.filter(is_released).drop("sessions").sort(dimensions), Cells(held, held_sessions))


def _generalised(cells: Cells, partition: PrivacyPartition, dimension: str, k: int) -> Cells:
    """One step: small cells, and the sibling that a small remainder takes along, give up `dimension`."""
    counts = _session_counts(cells.sessions, partition)
    giving = _below(counts, k)
    if giving.is_empty():
        return cells
    cells_with_siblings = _taken_along(cells, counts, giving, partition, dimension, k)
    return _merged(cells, pl.concat([giving, cells_with_siblings]).unique(), partition, dimension)


def _below(counts: pl.DataFrame, k: int) -> pl.DataFrame:
    return counts.filter(pl.col("sessions") < k).drop("sessions")


def _taken_along(
    cells: Cells, counts: pl.DataFrame, giving: pl.DataFrame, partition: PrivacyPartition, dimension: str, k: int
) -> pl.DataFrame:
    """The smallest large sibling of each remainder that stays below k, by parent; equal ones by name."""
    parent = [name for name in partition.dimensions if name != dimension]
    trial = _merged(cells, giving, partition, dimension)
    remainders = _session_counts(trial.sessions, partition).filter(
        (pl.col("sessions") < k) & (pl.col(dimension) == GENERALISED)
    )
    siblings = counts.filter(pl.col("sessions") >= k).join(remainders.select(parent), on=parent, how="semi")
    return (
        siblings.sort("sessions", *partition.dimensions)
        .unique(parent, keep="first", maintain_order=True)
        .drop("sessions")
    )


def _merged(cells: Cells, giving: pl.DataFrame, partition: PrivacyPartition, dimension: str) -> Cells:
    dimensions = list(partition.dimensions)
    gives = giving.select(dimensions).with_columns(gives=pl.lit(True))
    generalise = pl.when(pl.col("gives")).then(pl.lit(GENERALISED)).otherwise(pl.col(dimension)).alias(dimension)

    def moved(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.join(gives, on=dimensions, how="left").with_columns(generalise).drop("gives")

    return Cells(moved(cells.measures).group_by(dimensions).sum(), moved(cells.sessions).unique())


def _session_counts(sessions: pl.DataFrame, partition: PrivacyPartition) -> pl.DataFrame:
    return sessions.group_by(partition.dimensions).agg(sessions=pl.len())
