"""The figures of a family in an hour, from the sums that are kept of it: ratios of measures, or shapes of stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl

from schemas.arrays import Flags, Floats
from schemas.drift_measures import RATIOS, SHAPES, DriftMeasure
from schemas.drift_policies import WatchedMeasure
from schemas.histograms import ZERO_INDEX
from stream_jobs.operators.drift.ratios import (
    Limits,
    Sums,
    compare,
    learn,
    let_go,
    plain_excess,
    squares,
    variance_given,
)
from stream_jobs.operators.drift.series import SINCE_SUMS, Series
from stream_jobs.operators.drift.shapes import (
    BINS,
    LOWEST,
    SCALE,
    divergence_bits,
    excess,
    merged,
    scaled,
    stability_index,
)
from stream_jobs.operators.drift.wander import Excess, surprising
from stream_jobs.operators.quotients import quotient


@dataclass(frozen=True, slots=True)
class Judged:
    """An hour of measures x slices: its excess, what that is of, and how it strays.

    `standard`: how far it lies above the reference itself, nothing tolerated, in standard deviations;
    `sums`: bad, total, and those of the reference, of what was compared; `hour`: the same of the hour alone.
    """

    excess: Excess
    standard: Floats
    sums: Floats
    hour: Floats
    spread: Floats
    is_enough: Flags
    divergence: Floats


class Figures(Protocol):
    """What a family is watched for."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the figures, in their order."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Sums that are kept for them; the first one says how much a slice served."""

    def rows(self, totals: pl.DataFrame) -> pl.DataFrame:
        """Totals with these columns, one row for a bucket and slice: bucket_start_ms, slice, columns, version."""

    def judge(self, series: Series, new: Floats, old: Floats, is_fixed: bool) -> Judged:
        """Compares an hour, of shape (slices, columns), with its reference; notes in `series` how figures stray that do not drift."""


class Ratios:
    """Sums over sums."""

    def __init__(self, watched: Sequence[WatchedMeasure]) -> None:
        self._measures = [RATIOS[each.name] for each in watched]
        self._limits = Limits(
            *(
                np.array(column, dtype=np.float64)[:, None]
                for column in zip(
                    *((each.tolerance, each.tolerance_absolute, each.samples_min) for each in watched), strict=True
                )
            )
        )
        named = [(each.total, each.bad, *each.squares) for each in self._measures]
        self._columns = tuple(dict.fromkeys(name for names in named for name in names))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(each.name for each in self._measures)

    @property
    def columns(self) -> tuple[str, ...]:
        return self._columns

    def rows(self, totals: pl.DataFrame) -> pl.DataFrame:
        return totals.select("bucket_start_ms", "slice", *self._columns, "version")

    def judge(self, series: Series, new: Floats, old: Floats, is_fixed: bool) -> Judged:
        counts = [(self._sums(each, new), self._sums(each, old)) for each in self._measures]
        rates = [quotient(mine.bad + its.bad, mine.total + its.total, of_nothing=0.0) for mine, its in counts]
        mine = [self._spread(each, new, rate) for each, rate in zip(self._measures, rates, strict=True)]
        its = [self._spread(each, old, rate) for each, rate in zip(self._measures, rates, strict=True)]
        both = _stacked(mine), _stacked(its)
        compared = compare(series.pending, series.waited, *both, self._limits, is_fixed)
        plain, information = plain_excess(series.pending, compared.is_enough, is_fixed)
        let_go(series.pending, series.waited, compared.is_enough)
        spread = learn(series.learnt, squares(plain, compared.sums), information, series.is_learning)
        deviation = np.sqrt(spread)
        standard = plain / deviation
        hour = np.stack([both[0].bad, both[0].total, both[1].bad, both[1].total])
        nothing = np.full(plain.shape, np.nan)
        return Judged(
            excess=surprising(series.wander, compared.excess / deviation, standard, series.weight, series.is_learning),
            standard=standard,
            sums=compared.sums,
            hour=hour,
            spread=spread,
            is_enough=compared.is_enough,
            divergence=nothing,
        )

    def _sums(self, measure: DriftMeasure, hour: Floats) -> Sums:
        bad, total = self._column(hour, measure.bad), self._column(hour, measure.total)
        return Sums(total - bad if measure.complement else bad, total, total)

    def _spread(self, measure: DriftMeasure, hour: Floats, rate: Floats) -> Sums:
        sums = self._sums(measure, hour)
        squares = tuple(self._column(hour, name) for name in measure.squares)
        return Sums(sums.bad, sums.total, variance_given(rate, sums.total, measure.spread, squares, sums.bad))

    def _column(self, hour: Floats, name: str) -> Floats:
        return hour[:, self._columns.index(name)]


class Shapes:
    """Histograms of stages. A shape's "bad" is its stability index times its observations, so that hours add up."""

    def __init__(self, watched: Sequence[WatchedMeasure]) -> None:
        self._names = tuple(each.name for each in watched)
        self._stages = [SHAPES[name] for name in self._names]
        self._tolerance = np.array([each.tolerance for each in watched])[:, None]
        self._samples_min = np.array([each.samples_min for each in watched], dtype=np.float64)[:, None]
        bins = [f"{stage}_{place}" for stage in self._stages for place in range(BINS)]
        self._columns = ("observations", *bins)

    @property
    def names(self) -> tuple[str, ...]:
        return self._names

    @property
    def columns(self) -> tuple[str, ...]:
        return self._columns

    def rows(self, totals: pl.DataFrame) -> pl.DataFrame:
        """Finer histograms go into the bins exactly, coarser ones by their upper bound."""
        mine = totals.filter(pl.col("stage").is_in(self._stages))
        upper = (pl.col("bucket_index").cast(pl.Int64) + 1) * (2.0**SCALE / 2.0 ** pl.col("scale").cast(pl.Float64))
        place = (upper.ceil() - 1 - LOWEST).clip(0, BINS - 1).cast(pl.Int64)
        is_zero = pl.col("bucket_index") == ZERO_INDEX
        named = mine.with_columns(
            cell=pl.format("{}_{}", "stage", pl.when(is_zero).then(pl.lit(0, pl.Int64)).otherwise(place))
        )
        identity = ["bucket_start_ms", "slice"]
        summed = named.group_by(*identity, "cell").agg(pl.col("observations", "version").sum())
        wide = summed.pivot("cell", index=identity, values="observations", aggregate_function="sum")
        whole = summed.group_by(identity).agg(pl.col("observations", "version").sum())
        missing = [pl.lit(0, pl.Int64).alias(name) for name in self._columns[1:] if name not in wide.columns]
        found = wide.with_columns(missing).join(whole, on=identity)
        return found.select("bucket_start_ms", "slice", *self._columns, "version").fill_null(0)

    def judge(self, series: Series, new: Floats, old: Floats, is_fixed: bool) -> Judged:
        mine, its = self._histograms(new), self._histograms(old)
        total, old_total = mine.sum(axis=-1), its.sum(axis=-1)
        merged_both = merged(mine, its)
        index = stability_index(*merged_both)
        ratio, freedom, effective = scaled(*merged_both, index)
        enough = (total >= self._samples_min) & (old_total >= self._samples_min) & np.isfinite(ratio)
        information = np.divide(effective, freedom, out=np.zeros_like(effective), where=enough)
        spread = learn(series.learnt, np.where(enough, ratio, np.nan), information, series.is_learning)
        found = excess(ratio, freedom, effective, spread, np.broadcast_to(self._tolerance, ratio.shape))
        standard = np.where(enough, excess(ratio, freedom, effective, spread, np.zeros_like(ratio)), np.nan)
        sums = np.stack([index * total, total, np.zeros_like(total), old_total])
        series.waited[:] = np.where(enough, 0.0, series.waited + (total > 0))
        return Judged(
            excess=Excess.independent(np.where(enough, found, np.nan)),
            standard=standard,
            sums=np.where(enough, sums, 0.0),
            hour=sums,
            spread=spread,
            is_enough=enough,
            divergence=divergence_bits(mine, its),
        )

    def _histograms(self, hour: Floats) -> Floats:
        """Of shape (stages, slices, bins)."""
        bins = hour[:, 1 : len(self._columns)].reshape(len(hour), len(self._stages), BINS)
        return np.asarray(bins.transpose(1, 0, 2), dtype=np.float64)


def _stacked(sums: Sequence[Sums]) -> Sums:
    return Sums(*(np.stack([getattr(each, name) for each in sums]) for name in ("bad", "total", "variance")))


assert SINCE_SUMS == 4
