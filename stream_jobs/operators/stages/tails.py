"""Tails of stages: the 95th percentile of each stage's latency in one minute, from its histogram.

It is the end of the bucket that the percentile's rank lies in, so it is too high by what a bucket is wide: 2.2 % at the scale
that hosts count parts at.
"""

from __future__ import annotations

import polars as pl

from schemas.histograms import ZERO_INDEX

SHARE = 0.95
_PART = ["slice", "stage"]


def tails(minute: pl.DataFrame) -> pl.DataFrame:
    """From rows of `STAGE_LATENCIES` to slice, stage, observations and p95_ms, each stage of a slice once."""
    ends_ms = pl.lit(2.0).pow((pl.col("bucket_index") + 1).cast(pl.Float64) * pl.lit(2.0).pow(-pl.col("scale")))
    upper_ms = pl.when(pl.col("bucket_index") == ZERO_INDEX).then(0.0).otherwise(ends_ms)
    # Exact counts, a rounded product: 95 % of 20 has to be 19.
    reaches = pl.col("seen") >= SHARE * pl.col("observations").sum().over(_PART) - 1e-6
    return (
        minute.filter(pl.col("observations") > 0)
        .select(*_PART, "observations", upper_ms=upper_ms)
        .sort(*_PART, "upper_ms")
        .with_columns(seen=pl.col("observations").cum_sum().over(_PART))
        .with_columns(p95_ms=pl.when(reaches).then(pl.col("upper_ms")))
        .group_by(_PART)
        .agg(pl.col("observations").sum(), pl.col("p95_ms").min())
    )
