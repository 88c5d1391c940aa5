"""From totals to the rows of a table: columns in the table's order, the slice spelled out by dimension."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pyarrow as pa

from schemas.instants import MINUTE_MS
from schemas.slices import cut_of, slice_dimensions
from schemas.tables import TABLES, Table

_TIME = pl.Datetime("ms", "UTC")


def timestamp(column: str) -> pl.Expr:
    """Milliseconds since the epoch as a UTC timestamp."""
    return pl.col(column).cast(_TIME)


def to_table(rows: pl.DataFrame, name: str) -> pa.Table:
    """`rows` as the Arrow table that `name` takes; they have its columns, but for cut and dimensions."""
    table = TABLES[name]
    named = with_dimensions(rows, table).select(table.column_names)
    return named.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(table.arrow_schema)


def with_dimensions(rows: pl.DataFrame, table: Table) -> pl.DataFrame:
    """`rows` with `cut` and one column per dimension of the table, read from `slice`."""
    distinct = rows["slice"].unique().to_list()
    values = [slice_dimensions(text) for text in distinct]
    known = {"cut", "slice", *rows.columns}
    dimensions = [column.name for column in table.columns if column.name not in known]
    lookup = {"slice": distinct, "cut": [cut_of(text) for text in distinct]}
    named = set[str]().union(*values)
    lookup |= {name: [value.get(name, "") for value in values] for name in dimensions if name in named}
    empty = [pl.lit("").alias(name) for name in dimensions if name not in named]
    return rows.join(pl.DataFrame(lookup, schema=dict.fromkeys(lookup, pl.String)), on="slice").with_columns(empty)


def per_minute(totals: pl.DataFrame, keys: Sequence[str], measures: Sequence[str]) -> pl.DataFrame:
    """Totals of all buckets of some minutes, summed minute by minute."""
    return folded(totals, keys, measures, MINUTE_MS)


def folded(
    totals: pl.DataFrame, keys: Sequence[str], measures: Sequence[str], width_ms: int, gauges: Sequence[str] = ()
) -> pl.DataFrame:
    """Totals of finer buckets as rows of `width_ms`: counters are summed, of `gauges` the last bucket counts.

    A bucket that is wider than `width_ms` stays what it is. Versions are summed, so that they grow with each of them.
    """
    start = pl.col("bucket_start_ms") // width_ms * width_ms
    counters = [name for name in measures if name not in gauges]
    last = [pl.col(name).sort_by("within_ms").last() for name in measures if name in gauges]
    return (
        totals.with_columns(within_ms=pl.col("bucket_start_ms") % width_ms)
        .group_by(start, *keys)
        .agg(pl.col(*counters, "version").sum(), *last)
    )
