"""Cells of the board's further tables: how they are drawn, grouped into the cuts of a family, and landed."""

from __future__ import annotations

from itertools import product
from typing import Protocol

import numpy as np
import polars as pl
import pyarrow as pa

from schemas.families import Family
from schemas.slices import slice_text
from schemas.tables import TABLES

MINUTE_MS, TEN_MINUTES_MS, HOUR_MS = 60_000, 600_000, 3_600_000
DAY_MS = 24 * HOUR_MS
FINE_MS = 30 * MINUTE_MS
"""For how long before the end there are buckets of 10 s."""


class Timed(Protocol):
    """When the world began and ended, and when its incident began."""

    @property
    def end_ms(self) -> int: ...

    @property
    def incident_ms(self) -> int: ...


def total(frame: pl.DataFrame, column: str) -> int:
    """What all rows of a column add up to."""
    return int(frame.select(pl.col(column).sum()).item())


def by_cut(frame: pl.DataFrame, family: Family, keys: tuple[str, ...], measures: tuple[str, ...]) -> pl.DataFrame:
    """The rows of every cut of the family whose dimensions `frame` has."""
    parts = []
    for cut in family.cuts:
        if set(cut.dimensions) <= set(frame.columns):
            told = frame.drop_nulls(cut.dimensions)
            sums = told.group_by(*cut.dimensions, *keys, "bucket_ms").agg(pl.col(measures).sum())
            parts.append(sums.with_columns(slice_text(cut.dimensions), cut=pl.lit(cut.name)))
    return pl.concat(parts, how="diagonal")


def landed(table: str, frame: pl.DataFrame) -> pa.Table:
    """As the table has it; texts that the frame has not are empty, versions 1."""
    known = TABLES[table]
    if "bucket_ms" in frame.columns:
        frame = frame.with_columns(bucket_start=pl.from_epoch("bucket_ms", "ms").dt.replace_time_zone("UTC"))
    absent = [pl.lit(1 if name == "version" else "").alias(name) for name in known.column_names if name not in frame]
    texts = pl.selectors.string().fill_null("")
    return frame.with_columns(absent).with_columns(texts).select(known.column_names).to_arrow().cast(known.arrow_schema)


def cells_of(buckets: pl.DataFrame, **values: tuple[str, ...]) -> pl.DataFrame:
    cells = pl.DataFrame(list(product(*values.values())), schema=list(values), orient="row")
    return cells.join(buckets, how="cross")


def hours_of(world: Timed, hours: int) -> pl.DataFrame:
    newest = world.end_ms // HOUR_MS * HOUR_MS
    return pl.DataFrame({"bucket_ms": newest - np.arange(hours, 0, -1) * HOUR_MS})
