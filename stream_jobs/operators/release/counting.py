"""Rows of roll-ups as what a gate judges: windows in which both bundles served, slice by slice, and slices that stand alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import polars as pl

from schemas.arrays import Floats, Integers
from schemas.canary import CanaryMetric, WatchedMetric
from stream_jobs.operators.release.canary import Watched
from stream_jobs.operators.release.pairs import Pairs, Side, paired_sums
from stream_jobs.operators.release.regions import IS_PART, in_regions, numbered, told_by_region
from stream_jobs.operators.release.tails import tails_of, weighed

SLICE, WINDOW, IS_CANDIDATE, FIRST, LAST = "slice", "window_ms", "is_candidate", "first_ms", "last_ms"
"""A slice without its bundle; the begin of a window in ms; whose row it is. The measures of the metric stand beside."""
_ONE_SIDE = {
    True: "Only the candidate serves it, so there is nothing to compare it with.",
    False: "Only the baseline serves it, so nothing is known of the candidate.",
}


def counted_ratio(watched: WatchedMetric, rows: pl.DataFrame, width_ms: int) -> Watched:
    """A share or a mean; each (slice, side, window) once. Windows in which a side has nothing of the metric are left out, and so
    are regions of pools in these.
    """
    metric = watched.metric
    told = numbered(rows.filter((pl.col(metric.numerator) > 0) | (pl.col(metric.denominator) > 0)))
    mine, others = told.filter(pl.col(IS_CANDIDATE)), told.filter(~pl.col(IS_CANDIDATE))
    both = mine.join(others, on=[SLICE, WINDOW], suffix="_baseline")
    both = both.filter(pl.col(metric.denominator) + pl.col(f"{metric.denominator}_baseline") > 0)
    both = in_regions(both, told_by_region(told))
    names, place = _places(both)
    baseline, candidate = (_side(metric, both, suffix) for suffix in ("_baseline", ""))
    sums = paired_sums(
        Pairs(place, len(names), baseline, candidate, window=_windows(both)),
        factor=watched.allowed_ratio or 1.0,
        with_events=metric.kind == "share" and watched.allowed_ratio is not None,
    )
    windows = both.group_by(SLICE).agg(pl.col(WINDOW).min().alias(FIRST), pl.col(WINDOW).max().alias(LAST)).sort(SLICE)
    first_ms, last_ms = (windows[name].cast(pl.Int64).to_numpy() for name in (FIRST, LAST))
    return Watched(watched, names, first_ms, last_ms, sums, _alone(told, both))


def counted_tails(watched: Sequence[WatchedMetric], rows: pl.DataFrame, width_ms: int) -> Iterator[Watched]:
    """Quantiles of stages, each stage counted once: rows of histograms with `stage`, `scale`, `bucket_index`, `observations`.

    Their windows are blocks of time, which grow as the canary goes on, so `FIRST` tells of each row when the first bucket in it
    began, and alpha stays as it was divided, and `LAST` when the last one did; `width_ms` is of the windows by which that is counted.
    """
    for stage in dict.fromkeys(each.metric.stage for each in watched):
        told = rows.filter((pl.col("stage") == stage) & (pl.col("observations") > 0))
        yield from _of_stage([each for each in watched if each.metric.stage == stage], told, width_ms)


def _of_stage(watched: Sequence[WatchedMetric], told: pl.DataFrame, width_ms: int) -> Iterator[Watched]:
    told = numbered(told)
    regions = told_by_region(told)
    cells = _cells(in_regions(weighed(told.rename({WINDOW: "block"}), SLICE), regions))
    names, place = _places(cells)
    tails, alone = tails_of(cells.with_columns(place=place), len(names)), _alone(told, cells)
    first_ms, last_ms = (each // width_ms * width_ms for each in _spans(told, regions, cells))
    for each in watched:
        yield Watched(each, names, first_ms, last_ms, tails, alone)


def _places(rows: pl.DataFrame) -> tuple[list[str], Integers]:
    """The slices of rows in order, and of each row the place of its own."""
    codes, place = np.unique(rows[SLICE].to_physical().to_numpy(), return_inverse=True)
    slices = rows.schema[SLICE]
    assert isinstance(slices, pl.Enum)
    return slices.categories.gather(codes.astype(np.uint32)).to_list(), place.astype(np.int64)


def _windows(rows: pl.DataFrame) -> Integers | None:
    """Of each row which of the windows of all slices it is of: regions of a pool share theirs. `None` where each is one."""
    is_part = rows[IS_PART].to_numpy()
    if not is_part.any():
        return None
    codes = rows[SLICE].to_physical().to_numpy().astype(np.int64)
    of_slice_and_time = codes[is_part] * (2**43) + rows[WINDOW].to_numpy()[is_part]  # 2^43 ms are 278 years.
    alone = int((~is_part).sum())
    window = np.empty(len(rows), dtype=np.int64)
    window[~is_part] = np.arange(alone)
    window[is_part] = alone + np.unique(of_slice_and_time, return_inverse=True)[1]
    return window


def _cells(rows: pl.DataFrame) -> pl.DataFrame:
    """`weighed` rows in which a pool's buckets are the sums of its regions'."""
    key, sums = [SLICE, IS_CANDIDATE, "block", "scale", "bucket_index"], ["count", "weighed", "weighed_sq"]
    parts = rows.filter(IS_PART).group_by(key).agg(pl.col(sums).sum())
    return pl.concat([rows.filter(~pl.col(IS_PART)).select(*key, *sums), parts.select(*key, *sums)])


def _spans(told: pl.DataFrame, regions: pl.DataFrame, compared: pl.DataFrame) -> tuple[Integers, Integers]:
    """Of slices in order, when both sides had begun to serve them, and when one did last: the same at every look, however wide
    blocks are by then.
    """
    of_sides = told.group_by(SLICE, IS_CANDIDATE).agg(pl.col(FIRST).min(), pl.col(LAST).max())
    sides = in_regions(of_sides, regions).group_by(SLICE, IS_CANDIDATE).agg(pl.col(FIRST).min(), pl.col(LAST).max())
    both = sides.join(compared, on=SLICE, how="semi").group_by(SLICE).agg(pl.col(FIRST).max(), pl.col(LAST).min())
    first_ms, last_ms = (both.sort(SLICE)[name].cast(pl.Int64).to_numpy() for name in (FIRST, LAST))
    return first_ms, last_ms


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


def _alone(told: pl.DataFrame, compared: pl.DataFrame) -> Mapping[str, str]:
    """Slices that were never served by both in one window."""
    rest = told.join(compared, on=SLICE, how="anti").group_by(SLICE).agg(pl.col(IS_CANDIDATE).unique()).sort(SLICE)
    return {
        name: _ONE_SIDE[sides[0]] if len(sides) == 1 else "Both serve it, but never in the same window and region."
        for name, sides in rest.iter_rows()
    }
