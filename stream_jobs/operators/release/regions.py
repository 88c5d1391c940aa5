"""Pools, told region by region: a canary that begins in one region is not compared with the turns of others.

Regions differ in users, networks and hosts. A candidate of one region beside a baseline of all of them would be rolled back,
or go on, by what sets these apart. So a pool is compared within its regions, as it is within windows: what is common to both
sides of a region cancels, and regions that one side does not serve say nothing of it.
"""

from __future__ import annotations

import re

import polars as pl

IS_PART = "is_part"
_OF_REGION = re.compile(r"(pool=[^,]+),region=[^,]+")


def numbered(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows whose `slice` is an `Enum`, in the order of texts, which knows the pools of regions besides."""
    names = rows["slice"].unique().to_list()
    pools = {found[1] for name in names if (found := _OF_REGION.fullmatch(name))}
    return rows.with_columns(pl.col("slice").cast(pl.Enum(sorted({*names, *pools}))))


def told_by_region(rows: pl.DataFrame) -> pl.DataFrame:
    """Slices of regions, with their pool, where both sides tell of some region of it; of `numbered` rows with `is_candidate`."""
    sides = rows.select("slice", "is_candidate").unique()
    named = sides.with_columns(pool=pl.col("slice").cast(pl.String).str.extract(f"^{_OF_REGION.pattern}$")).drop_nulls()
    both = named.filter(pl.col("is_candidate").n_unique().over("pool") == 2)
    return both.select("slice", pl.col("pool").cast(rows.schema["slice"])).unique()


def in_regions(rows: pl.DataFrame, regions: pl.DataFrame) -> pl.DataFrame:
    """Rows in which pools are told by their regions, each a row of its own that `IS_PART`; slices of regions stay besides."""
    whole = rows.join(regions.select(slice="pool").unique(), on="slice", how="anti")
    parts = rows.join(regions, on="slice").with_columns(slice="pool")
    either = {False: whole, True: parts.select(whole.columns)}
    return pl.concat([each.with_columns(pl.lit(is_part).alias(IS_PART)) for is_part, each in either.items()])
