"""Cells: what a privacy partition has counted in a window that is still open, or holds, and who is behind it.

One row a cell: the partition's dimensions, the family's keys if it has any, its measures, and two columns that never
leave the collector: how many observations the cell counted, and its distinct sessions. A set of sessions stops growing
at k: whether k sessions share a cell, alone or merged with others, is exact all the same, for a cell with fewer has all
of them. So a cell takes at most 8 k bytes of session keys (160 at k = 20), whatever it counts.
"""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from schemas.dimensions import DIMENSIONS, GENERALISED
from schemas.families import Family, PrivacyPartition

OBSERVATIONS = "_observations"
SESSIONS = "_sessions"


def identifying(partition: PrivacyPartition) -> tuple[str, ...]:
    """The partition's identifying dimensions, in the order in which they give way."""
    order = {name: DIMENSIONS[name].generalise_order for name in partition.dimensions}
    return tuple(
        sorted((name for name, place in order.items() if place is not None), key=lambda name: order[name] or 0)
    )


def pool_of(family: Family, partition: PrivacyPartition) -> tuple[str, ...]:
    """What a cell never gives up: the dimensions that identify nobody, and the family's keys."""
    return (*(name for name in partition.dimensions if not DIMENSIONS[name].is_identifying), *family.key_names)


def of_nobody_generalised(observations: pl.DataFrame, partition: PrivacyPartition) -> pl.DataFrame:
    """What no session did (an idle replica) tells nothing that identifies: it counts under `*`, and in no set."""
    if observations["session"].null_count() == 0:
        return observations
    is_nobody = pl.col("session").is_null()
    return observations.with_columns(
        pl.when(is_nobody).then(pl.lit(GENERALISED)).otherwise(pl.col(name)).alias(name)
        for name in identifying(partition)
    )


def cells_of(
    observations: pl.DataFrame, rows: pl.DataFrame, family: Family, partition: PrivacyPartition, k: int
) -> pl.DataFrame:
    """The cells of some observations, of which `rows` are the measures (one row a cell)."""
    cell = [*partition.dimensions, *family.key_names]
    behind = observations.group_by(cell).agg(
        pl.len().cast(pl.Int64).alias(OBSERVATIONS), pl.col("session").drop_nulls().unique().head(k).alias(SESSIONS)
    )
    return rows.join(behind, on=cell, how="left", nulls_equal=True).select(_columns(family, partition))


def no_cells(family: Family, partition: PrivacyPartition) -> pl.DataFrame:
    texts = {*partition.dimensions, *(key.name for key in family.keys if key.vocabulary)}
    types: dict[str, pl.DataType] = {name: pl.String() for name in texts}
    types |= {key.name: pl.Int32() for key in family.keys if not key.vocabulary}
    types[SESSIONS] = pl.List(pl.UInt64())
    return pl.DataFrame(schema={name: types.get(name, pl.Int64()) for name in _columns(family, partition)})


def joined(parts: Iterable[pl.DataFrame], family: Family, partition: PrivacyPartition, k: int) -> pl.DataFrame:
    """Cells together: measures added, sets of sessions united."""
    cell = [*partition.dimensions, *family.key_names]
    together = pl.concat([no_cells(family, partition), *parts])
    sums = together.group_by(cell).agg(pl.col(*family.measure_names, OBSERVATIONS).sum())
    sessions = together.select(*cell, SESSIONS).explode(SESSIONS).drop_nulls(SESSIONS)
    united = sessions.group_by(cell).agg(pl.col(SESSIONS).unique().head(k))
    return sums.join(united, on=cell, how="left", nulls_equal=True).select(_columns(family, partition))


def _columns(family: Family, partition: PrivacyPartition) -> list[str]:
    return [*partition.dimensions, *family.key_names, *family.measure_names, OBSERVATIONS, SESSIONS]
