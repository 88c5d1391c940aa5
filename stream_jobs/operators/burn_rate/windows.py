"""Windows of burn: sums at one decided instant, each computed once, and their rows for the table `burn_windows`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.instants import MINUTE_MS
from schemas.slices import slice_dimensions
from schemas.slos import TIME_SLICE_S, Slo, WatchedSlo
from stream_jobs.operators.burn_rate.arithmetic import shares
from stream_jobs.operators.burn_rate.error_budget import Spending, expected_budgets, histories_ms, midnight_ms, spending
from stream_jobs.operators.burn_rate.history import Counts, History
from stream_jobs.operators.totals.slice_numbers import SliceNumbers

_WINDOW_NAMES = {60: "1m", 300: "5m", 600: "10m", 1_800: "30m", 3_600: "1h", 7_200: "2h", 21_600: "6h", 86_400: "1d"}
_SHARE_STEPS = 10_000
_FINEST_MAX_S = 600
"""Up to here windows are summed from buckets that count no minutes; longer ones hold whole minutes anyway."""
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def window_name(length_s: int) -> str:
    """`5m`, `6h`, `30d`; seconds where nothing rounder fits.

    >>> [window_name(length) for length in (300, 21_600, 259_200, 90)]
    ['5m', '6h', '3d', '90s']
    """
    if length_s in _WINDOW_NAMES:
        return _WINDOW_NAMES[length_s]
    return next(f"{length_s // unit}{name}" for unit, name in _UNITS if length_s % unit == 0)


@dataclass(frozen=True, slots=True)
class Watch:
    """An SLO with the numbers of its history column and of the slices it watches.

    `is_coarse` marks slices of a one-dimensional cut; `cuts` gives each slice's cut by its place among the SLO's.
    `indicator` is the column that is judged, `minutes_of` the one of the turns behind it where it counts minutes.
    """

    watched: WatchedSlo
    indicator: int
    slices: NDArray[np.int64]
    is_coarse: NDArray[np.bool_]
    cuts: NDArray[np.int64]
    minutes_of: int | None = None

    @property
    def turns(self) -> int:
        """The column of the turns that are judged, one by one or by the minute."""
        return self.indicator if self.minutes_of is None else self.minutes_of


class Windows:
    """Window sums at one instant. Slices whose buckets are a minute wide end at `minute_end_ms`.

    Columns from `slices_from` on are of time slices, and end at the last whole minute.
    """

    def __init__(
        self,
        history: History,
        end_ms: int,
        minute_end_ms: int,
        by_minute: NDArray[np.bool_],
        slices_from: int | None = None,
    ) -> None:
        self.end_ms = end_ms
        self._history, self._minute_end_ms, self._by_minute = history, minute_end_ms, by_minute
        self._slices_from = len(history.columns) if slices_from is None else slices_from
        self._whole_ms = end_ms // MINUTE_MS * MINUTE_MS
        self._sums: dict[int, Counts] = {}
        self._today: Counts | None = None
        self._whole: dict[int, Counts] = {}

    def of(self, length_s: int) -> Counts:
        """Shape (slices, columns, 2): bad and total."""
        if length_s not in self._sums:
            sums = self._history.window(length_s * 1_000, self.end_ms)
            if self._slices_from < sums.shape[1] and (length_s <= _FINEST_MAX_S or length_s % TIME_SLICE_S):
                sums[:, self._slices_from :] = self._minutes(length_s)[:, self._slices_from :]
            if self._by_minute.any():
                coarse = self._history.window(length_s * 1_000, self._minute_end_ms, finest=1)
                sums[self._by_minute] = coarse[self._by_minute]
            self._sums[length_s] = sums
        return self._sums[length_s]

    def of_minutes(self, length_s: int) -> Counts:
        """The same with everything up to the last whole minute: the turns that time slices were told from."""
        if length_s not in self._whole:
            whole = self._minutes(length_s).copy()
            whole[self._by_minute] = self.of(length_s)[self._by_minute]
            self._whole[length_s] = whole
        return self._whole[length_s]

    def _minutes(self, length_s: int) -> Counts:
        return self._history.window(length_s * 1_000, self._whole_ms, finest=1)

    def histories_ms(self, slices: SliceNumbers, numbers: NDArray[np.int64], column: int) -> NDArray[np.int64]:
        """For how long each of these slices has been counted in a column: since it was seen first, or the column began."""
        since_ms = self._history.counted_since_ms(column, self.end_ms)
        return np.minimum(histories_ms(self.end_ms, slices.first_seen_ms, numbers), self.end_ms - since_ms)

    def today(self) -> Counts:
        """The same since 00:00 UTC, which is on a bucket of every resolution that is summed."""
        if self._today is None:
            self._today = self._since_midnight(self.end_ms, 0)
            if self._slices_from < self._today.shape[1]:
                whole = self._since_midnight(self._whole_ms, 1)
                self._today[:, self._slices_from :] = whole[:, self._slices_from :]
            if self._by_minute.any():
                coarse = self._since_midnight(self._minute_end_ms, 1)
                self._today[self._by_minute] = coarse[self._by_minute]
        return self._today

    def _since_midnight(self, end_ms: int, finest: int) -> Counts:
        """Up to `end_ms`: nothing where that lies before the midnight of the decided instant."""
        return self._history.window(max(0, end_ms - midnight_ms(self.end_ms)), end_ms, finest)


def window_rows(watch: Watch, windows: Windows, slices: SliceNumbers, completeness: float) -> pl.DataFrame | None:
    """Windows of every slice of the coarsest cut, and of any other slice that spends faster than allowed."""
    slo, lengths = watch.watched.slo, window_lengths(watch.watched)
    counts = np.stack([windows.of(length)[watch.slices, watch.indicator] for length in lengths])
    burns = shares(counts) / float(slo.budget_rate)
    chosen = np.flatnonzero(watch.is_coarse | (burns.max(axis=0) > 1))
    if len(chosen) == 0:
        return None
    counts, numbers = counts[:, chosen], watch.slices[chosen]
    budgets = expected_budgets(
        counts[lengths.index(slo.period_s), :, 1], windows.histories_ms(slices, numbers, watch.indicator), slo
    )
    spent = spending(windows.today()[numbers, watch.indicator], budgets)
    return window_columns(slo, lengths, counts, spent).with_columns(
        pl.Series("slice", [slices.texts[number] for number in numbers] * len(lengths)),
        decided_ms=pl.lit(windows.end_ms, pl.Int64),
        decided_at=pl.lit(windows.end_ms, pl.Int64).cast(pl.Datetime("ms", "UTC")),
        completeness=pl.lit(completeness),
        version=pl.lit(windows_version(windows.end_ms, completeness), pl.Int64),
    )


def window_lengths(watched: WatchedSlo) -> list[int]:
    """The windows, in seconds, that are told of an objective: those of its rows, and its period."""
    return sorted({length for row in watched.rows for length in (row.long_s, row.short_s)} | {watched.slo.period_s})


def window_columns(slo: Slo, lengths: Sequence[int], counts: Counts, spent: Spending) -> pl.DataFrame:
    """What is told of windows of these lengths, window by window, from `counts` of shape (lengths, n, 2); the period is one."""
    burns = shares(counts) / float(slo.budget_rate)
    left = np.broadcast_to(1 - burns[list(lengths).index(slo.period_s)], burns.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        exhausted_in_s = np.where(burns > 0, np.maximum(left, 0) * float(slo.period_s) / burns, np.nan)
    told = counts.shape[1]
    return pl.DataFrame(
        {
            "window": np.repeat([window_name(length) for length in lengths], told),
            "window_s": np.repeat(np.array(lengths, dtype=np.int64), told),
            "bad": counts[..., 0].ravel(),
            "total": counts[..., 1].ravel(),
            "burn": burns.ravel(),
            "budget_left": left.ravel(),
            "exhausted_in_s": exhausted_in_s.ravel(),
            "spent_today": np.tile(spent.today, len(lengths)),
            "one_failure_costs": np.tile(spent.one_failure, len(lengths)),
        }
    ).with_columns(pl.col("exhausted_in_s", "spent_today", "one_failure_costs").fill_nan(None), slo=pl.lit(slo.name))


def windows_version(end_ms: int, completeness: float) -> int:
    """Grows with the instant, and for one instant with the share of volume it is told on.

    >>> windows_version(1_700_000_000_000, 1.0) > windows_version(1_700_000_000_000, 0.62)
    True
    """
    return end_ms * _SHARE_STEPS + int(completeness * (_SHARE_STEPS - 1))


def is_coarse(text: str) -> bool:
    return len(slice_dimensions(text)) == 1
