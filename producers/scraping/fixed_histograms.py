"""Histograms of fixed edges, as rows of sparse base-2 buckets that say how coarse they are.

An observation of the fixed bucket (low, high] is told in a base-2 bucket at least as wide: of the finest scale whose base,
2^(2^-scale), is `high ÷ low` or more, and no finer than its stage's. It is the bucket that holds √(low · high). So the scale
is the mark of what is known: an observation lies in the bucket that is named or in one directly beside it, and the value
that a reader takes for it is wrong by a factor below base^1.5. Below the first edge and above the last one nothing bounds
it; there a factor of `OPEN_RATIO` is taken for it, and the bucket says no more than "below" or "above".

The sum of an exporter's histogram is kept exactly: it is spread over the buckets by where it says that observations lie
between their edges. Squares are of each bucket's mean, the smallest that they can be.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.families import INDICATORS, SCALE_OF_STAGE, Indicator
from schemas.histograms import ZERO_INDEX, bucket_indexes

OPEN_RATIO = 16.0
"""High ÷ low of a bucket that has only one edge: scale -2."""
LATENCY_MS_MAX = 86_400_000.0
INDICATOR = {each.name: each for each in INDICATORS}


def sparse_buckets(low_ms: NDArray[np.float64], high_ms: NDArray[np.float64], finest: int) -> NDArray[np.int32]:
    """(scale, index) of each fixed bucket (low, high] in ms; `high` of infinity is open, `low` of zero or below, too.

    >>> sparse_buckets(np.array([250.0, 500.0, 0.0]), np.array([500.0, 750.0, 300.0]), finest=5).tolist()
    [[0, 8], [0, 9], [-2, 1]]
    """
    high = np.where(np.isfinite(high_ms), high_ms, low_ms * OPEN_RATIO)
    low = np.where(low_ms > 0, low_ms, high / OPEN_RATIO)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.maximum(high / low, 1.0 + 1e-9)
        # base >= ratio holds exactly up to this scale; floor() of a logarithm may be one too fine at powers of two.
        scale = np.clip(np.floor(-np.log2(np.log2(ratio)) + 1e-12), -10, finest).astype(np.int64)
        middle = np.sqrt(low * high)
    scale = np.where(high > 0, scale, finest)
    index = np.array([int(bucket_indexes(np.array([m]), int(s))[0]) for m, s in zip(middle, scale, strict=True)])
    return np.stack([scale, np.where(high > 0, index, ZERO_INDEX)], axis=1).astype(np.int32)


def bucket_counts(grown: pl.DataFrame, cell: list[str], factor: float) -> pl.DataFrame:
    """Of each series the fixed buckets that grew: `cell`, series, low_ms, high_ms, observations, and the series' sum_ms.

    `grown` are the samples of one histogram metric, with their increases; cumulative counts that fall from one edge to the
    next contradict each other, so their series has no rows.
    """
    series = [*cell, "series"]
    totals = grown.filter(pl.col("part") == "sum").select(*series, sum_ms=pl.col("increase") * factor)
    edges = grown.filter(pl.col("part") == "bucket").sort(*series, "le")
    counted = edges.with_columns(
        high_ms=_exact(pl.col("le") * factor),
        low_ms=_exact(pl.col("le").shift(1).over(series).fill_null(0.0) * factor),
        observations=(pl.col("increase") - pl.col("increase").shift(1).over(series).fill_null(0.0))
        .round()
        .cast(pl.Int64),
    ).filter((pl.col("observations") >= 0).all().over(series))
    columns = [*series, "low_ms", "high_ms", "observations", "sum_ms"]
    return counted.join(totals, on=series, how="left").select(columns)


def stage_rows(counts: pl.DataFrame, cell: list[str], stage: str) -> pl.DataFrame:
    """Rows of family `stages` by `cell`, without other dimensions, out of `bucket_counts`."""
    filled = counts.filter(pl.col("observations") > 0).sort(*cell, "series", "high_ms")
    if filled.is_empty():
        return filled.select(*cell)
    placed = sparse_buckets(filled["low_ms"].to_numpy(), filled["high_ms"].to_numpy(), SCALE_OF_STAGE[stage])
    told = filled.with_columns(
        pl.Series("scale", placed[:, 0]), pl.Series("bucket_index", placed[:, 1]), stage=pl.lit(stage)
    )
    summed = (
        told.with_columns(spread_ms=_spread([*cell, "series"]))
        .with_columns(whole=pl.col("spread_ms").cum_sum().over([*cell, "series"]).round())
        .with_columns(latency_ms_sum=pl.col("whole") - pl.col("whole").shift(1).over([*cell, "series"]).fill_null(0.0))
        .group_by(*cell, "stage", "scale", "bucket_index")
        .agg(pl.col("observations").sum(), pl.col("latency_ms_sum").sum().cast(pl.Int64))
    )
    least = (pl.col("latency_ms_sum").cast(pl.Float64) ** 2 / pl.col("observations")).ceil().cast(pl.Int64)
    return summed.with_columns(latency_ms_sumsq=least).sort(*cell, "scale", "bucket_index")


def judged(counts: pl.DataFrame, cell: list[str], indicator: Indicator) -> pl.DataFrame | None:
    """`…_total` and `…_bad` by `cell`, or none where the histogram cannot say.

    An edge says how many were at most that long. So only an indicator that is good up to and including its threshold can
    be judged, and only where the threshold is an edge: nothing is interpolated.
    """
    if indicator.bad_when != "above" or indicator.threshold_ms is None:
        return None
    has_edge = (pl.col("high_ms") == float(indicator.threshold_ms)).any().over([*cell, "series"])
    sharp = counts.filter(has_edge)
    if sharp.is_empty():
        return None
    is_bad = pl.col("low_ms") >= float(indicator.threshold_ms)
    return sharp.group_by(cell).agg(
        pl.col("observations").sum().alias(indicator.total),
        pl.col("observations").filter(is_bad).sum().alias(indicator.bad),
    )


def _exact(ms: pl.Expr) -> pl.Expr:
    """Edges are decimals (0.3 s): what multiplying adds to them behind the picosecond is no part of them."""
    return pl.when(ms.is_finite()).then(ms.round(9)).otherwise(ms)


def _spread(series: list[str]) -> pl.Expr:
    """Each bucket's share of the series' sum in ms: every observation as far between its edges as the sum says of all."""
    observations = pl.col("observations").cast(pl.Float64)
    high = pl.when(pl.col("high_ms").is_finite()).then(pl.col("high_ms")).otherwise(pl.col("low_ms") * OPEN_RATIO)
    high = pl.max_horizontal(high, 0.0)
    least, room = observations * pl.col("low_ms"), observations * (high - pl.col("low_ms"))
    total = pl.col("sum_ms").fill_null((least + room / 2).sum().over(series))
    place = ((total - least.sum().over(series)) / room.sum().over(series)).fill_nan(0.0).clip(0.0, 1.0)
    likely = least + place * room
    scaled = likely * (total / likely.sum().over(series))
    return pl.when(likely.sum().over(series) > 0).then(scaled).otherwise(0.0)
