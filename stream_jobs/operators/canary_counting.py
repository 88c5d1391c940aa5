"""Rows of roll-ups as what a gate judges: windows in which both bundles served, slice by slice, and slices that stand alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.canary import CanaryMetric, WatchedMetric
from stream_jobs.operators.canary_gate import Watched
from stream_jobs.operators.canary_pairs import Pairs, Side, paired_sums
from stream_jobs.operators.canary_tails import tails_of

Floats = NDArray[np.float64]

SLICE, WINDOW, IS_CANDIDATE, FIRST, LAST = "slice", "window_ms", "is_candidate", "first_ms", "last_ms"
"""A slice without its bundle; the begin of a window in ms; whose row it is. The measures of the metric stand beside."""
_ONE_SIDE = {
    True: "Only the candidate serves it, so there is nothing to compare it with.",
    False: "Only the baseline serves it, so nothing is known of the candidate.",
}


def counted_ratio(watched: WatchedMetric, rows: pl.DataFrame, width_ms: int) -> Watched:
    """A share or a mean; each (slice, side, window) once. Windows in which a side has nothing of the metric are left out."""
    metric = watched.metric
    told = rows.filter((pl.col(metric.numerator) > 0) | (pl.col(metric.denominator) > 0))
    mine, others = told.filter(pl.col(IS_CANDIDATE)), told.filter(~pl.col(IS_CANDIDATE))
    both = mine.join(others, on=[SLICE, WINDOW], suffix="_baseline")
    both = both.filter(pl.col(metric.denominator) + pl.col(f"{metric.denominator}_baseline") > 0)
    names, place = _places(both)
    sides = (_side(metric, both, suffix) for suffix in ("_baseline", ""))
    sums = paired_sums(
        Pairs(place, len(names), *sides),
        factor=watched.allowed_ratio or 1.0,
        with_events=metric.kind == "share" and watched.allowed_ratio is not None,
    )
    windows = both.group_by(SLICE).agg(pl.col(WINDOW).min().alias(FIRST), pl.col(WINDOW).max().alias(LAST)).sort(SLICE)
    first_ms, last_ms = (windows[name].cast(pl.Int64).to_numpy() for name in (FIRST, LAST))
    return Watched(watched, names, first_ms, last_ms, sums, _alone(told, names))


def counted_tails(watched: Sequence[WatchedMetric], rows: pl.DataFrame, width_ms: int) -> Iterator[Watched]:
    """Quantiles of stages, each stage counted once: rows of histograms with `stage`, `scale`, `bucket_index`, `observations`.

    Their windows are blocks of time, which grow as the canary goes on, so `FIRST` tells of each row when the first bucket in it
    began, and alpha stays as it was divided, and `LAST` when the last one did; `width_ms` is of the windows by which that is counted.
    """
    for stage in dict.fromkeys(each.metric.stage for each in watched):
        told = rows.filter((pl.col("stage") == stage) & (pl.col("observations") > 0))
        yield from _of_stage([each for each in watched if each.metric.stage == stage], told, width_ms)


def _of_stage(watched: Sequence[WatchedMetric], told: pl.DataFrame, width_ms: int) -> Iterator[Watched]:
    served = told.group_by(SLICE, WINDOW).agg(pl.col(IS_CANDIDATE).n_unique().alias("sides"))
    both = served.filter(pl.col("sides") == 2)
    names, _ = _places(both)
    placed = pl.DataFrame({SLICE: names, "place": np.arange(len(names))}, schema={SLICE: pl.String, "place": pl.Int64})
    tails = tails_of(told.rename({WINDOW: "block"}).join(placed, on=SLICE), len(names))
    appeared_ms, alone = _appeared_ms(told, names, width_ms), _alone(told, names)
    ended = told.filter(pl.col(SLICE).is_in(names)).group_by(SLICE, IS_CANDIDATE).agg(pl.col(LAST).max())
    last_ms = ended.group_by(SLICE).agg(pl.col(LAST).min()).sort(SLICE)[LAST].cast(pl.Int64).to_numpy()
    for each in watched:
        yield Watched(each, names, appeared_ms, last_ms // width_ms * width_ms, tails, alone)


def _places(rows: pl.DataFrame) -> tuple[Sequence[str], NDArray[np.int64]]:
    """The slices of rows in order, and of each row the place of its own."""
    names = rows[SLICE].unique().sort()
    order = pl.DataFrame({SLICE: names, "place": np.arange(len(names))}, schema={SLICE: pl.String, "place": pl.Int64})
    return names.to_list(), rows.select(SLICE).join(order, on=SLICE, how="left", maintain_order="left")[
        "place"
    ].to_numpy()


def _appeared_ms(told: pl.DataFrame, names: Sequence[str], width_ms: int) -> NDArray[np.int64]:
    """The begin of the first window at which both sides had begun to serve each slice: the same at every look."""
    begun = told.filter(pl.col(SLICE).is_in(names)).group_by(SLICE, IS_CANDIDATE).agg(pl.col(FIRST).min())
    appeared = begun.group_by(SLICE).agg(pl.col(FIRST).max()).sort(SLICE)
    return np.asarray(appeared[FIRST].to_numpy() // width_ms * width_ms, dtype=np.int64)


def _side(metric: CanaryMetric, rows: pl.DataFrame, suffix: str) -> Side:
    def column(name: str) -> Floats:
        return rows[f"{name}{suffix}"].cast(pl.Float64).to_numpy()

    numerator, denominator = column(metric.numerator), column(metric.denominator)
    if metric.direction == "higher_is_better":
        numerator = denominator - numerator
    return Side(numerator, denominator, column(metric.counted), _squares(metric, numerator, denominator, column))


def _squares(
    metric: CanaryMetric, numerator: Floats, denominator: Floats, column: Callable[[str], Floats]
) -> tuple[Floats, Floats, Floats] | None:
    """Of a share they are the counts themselves, as units are 0 or 1."""
    if metric.kind == "share":
        return numerator, denominator, numerator
    if metric.squares is None:
        return None
    of_denominator, product = metric.squares.denominator, metric.squares.product
    return (
        column(metric.squares.numerator),
        column(of_denominator) if of_denominator else denominator,
        column(product) if product else numerator,
    )


def _alone(told: pl.DataFrame, names: Sequence[str]) -> Mapping[str, str]:
    """Slices that were never served by both in one window."""
    rest = told.filter(~pl.col(SLICE).is_in(names)).group_by(SLICE).agg(pl.col(IS_CANDIDATE).unique()).sort(SLICE)
    return {
        name: _ONE_SIDE[sides[0]] if len(sides) == 1 else "Both serve it, but never in the same window."
        for name, sides in rest.iter_rows()
    }
