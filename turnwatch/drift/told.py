"""What a period told of rates, slice by slice, in one shape whether it comes of files or of ClickHouse.

A frame `told` has a row for each rate, cut and slice: `TOLD`. The row of a cut whose slice is empty is all of its slices
together, window by window, but for those that had nothing to divide by in the whole period: what they counted is of no part,
and the parts of a change sum exactly to that of all together. A slice that was told of without anything to divide by (calls without a reference word) has a row
as well, of zeros: its calls are no samples of the rate, neither its own nor of all together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.declarations import Family
from schemas.rates import Rate, rates_of
from stream_jobs.operators.drift.rate_changes import RateSums
from stream_jobs.operators.release.anytime import RatioSums

WHOLE = ""
WINDOW = "window_ms"
SQUARES = ("numerator_sq", "denominator_sq", "product")
OF_CALLS = ("calls_numerator_sq", "calls_denominator_sq", "calls_product")
SUMS = ("windows", "samples", "numerator", "denominator", *SQUARES, *OF_CALLS)
TOLD = {"rate": pl.String, "cut": pl.String, "slice": pl.String, **dict.fromkeys(SUMS, pl.Float64)}


def told_of(rows: pl.DataFrame, family: Family) -> pl.DataFrame:
    """From rows with `cut`, `slice`, `window_ms` and the family's measures: sums over windows, of slices and of all."""
    measures = [name for name in family.measure_names if name in rows.columns]
    rates = [rate for rate in rates_of(family) if {rate.numerator, rate.denominator} <= set(measures)]
    counts = rows.select("cut", "slice", WINDOW, pl.col(measures).cast(pl.Int64))
    sampled = counts.with_columns(_samples(rate, measures) for rate in rates)
    windows = sampled.group_by("cut", "slice", WINDOW).agg(pl.all().sum())
    told = [_of_rate(pl.concat([windows, _whole(windows, rate)]), rate) for rate in rates]
    return heard(pl.concat(told)) if told else pl.DataFrame(schema=TOLD)


def divided(rate: Rate) -> pl.Expr:
    """Whether the slice of a row had anything to divide by, in any window of its cut's rows."""
    return pl.col(rate.denominator).sum().over("cut", "slice") > 0


def _whole(windows: pl.DataFrame, rate: Rate) -> pl.DataFrame:
    """All slices of a cut together, window by window."""
    parts = windows.filter(divided(rate)).drop("slice")
    whole = parts.group_by("cut", WINDOW).agg(pl.all().sum()).with_columns(slice=pl.lit(WHOLE))
    return whole.select(windows.columns)


def heard(told: pl.DataFrame) -> pl.DataFrame:
    """Without rates of cuts of which no slice had anything to count or to divide by."""
    return told.filter((pl.col("windows") > 0).any().over("rate", "cut"))


def _samples(rate: Rate, measures: Sequence[str]) -> pl.Expr:
    """What a row has of what the rate rests on: nothing where there is nothing to divide by."""
    counted = pl.col(rate.samples if rate.samples in measures else rate.denominator)
    return pl.when(pl.col(rate.denominator) > 0).then(counted).otherwise(0).alias(_samples_of(rate))


def _samples_of(rate: Rate) -> str:
    return f"samples of {rate.name}"


def _of_rate(windows: pl.DataFrame, rate: Rate) -> pl.DataFrame:
    above, below = above_of(rate).cast(pl.Float64), pl.col(rate.denominator).cast(pl.Float64)
    has_squares = rate.squares is not None and set(rate.squares) <= set(windows.columns)
    of_calls = [pl.col(name).sum() for name in rate.squares or ()] if has_squares else [pl.lit(0.0)] * 3
    sums = {
        "windows": ((below > 0) | (above > 0)).sum(),
        "samples": pl.col(_samples_of(rate)).sum(),
        "numerator": above.sum(),
        "denominator": below.sum(),
        **dict(zip(SQUARES, ((above * above).sum(), (below * below).sum(), (above * below).sum()), strict=True)),
        **dict(zip(OF_CALLS, of_calls, strict=True)),
    }
    summed = windows.group_by("cut", "slice").agg(**sums)
    return summed.select(pl.lit(rate.name).alias("rate"), *list(TOLD)[1:]).cast(TOLD)  # type: ignore[arg-type]


def above_of(rate: Rate) -> pl.Expr:
    """What is divided, of rows with the family's measures."""
    counted = pl.col(rate.numerator)
    return pl.col(rate.denominator) - counted if rate.is_complement else counted


def rate_sums(told: pl.DataFrame, rate: Rate) -> RateSums:
    """The rows of one rate as columns; squares over calls count where a slice has them."""

    def column(name: str) -> NDArray[np.float64]:
        return told[name].to_numpy().astype(np.float64)

    ends = column("numerator"), column("denominator")
    windows = RatioSums(column("windows"), *ends, *map(column, SQUARES))
    has_squares = column(OF_CALLS[1]) > 0
    of_calls = (np.where(has_squares, column(name), np.nan) for name in OF_CALLS)
    calls = RatioSums(column("samples"), *ends, *of_calls) if has_squares.any() else None
    return RateSums(windows, calls, column("samples"), rate.kind)
