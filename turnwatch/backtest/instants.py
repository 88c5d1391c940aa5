"""Instants at which something is decided, and where in running sums the windows that end there begin and end."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.arrays import Flags
from schemas.instants import MINUTE_MS
from schemas.slos import Slo
from stream_jobs.operators.burn_rate.burn_rate import BUCKET_MS, DECISIONS_BEHIND_MAX
from stream_jobs.operators.burn_rate.history import resolutions
from turnwatch.backtest.series import Series

_LONGEST_MS = (600_000, 6 * 3_600_000, 3 * 86_400_000)
"""The longest window that is summed from each resolution of the history but the coarsest."""

Sums = NDArray[np.int64]


def decided(series: Series) -> Sums:
    """The places of the instants at which something was decided: up to the newest report, and after a pause from an
    hour before its end."""
    places = np.arange(series.span.buckets)
    reported = np.flatnonzero(series.reported)
    following = np.searchsorted(reported, places)
    is_before_a_report = following < len(reported)
    next_report = reported[np.minimum(following, len(reported) - 1)]
    behind = DECISIONS_BEHIND_MAX * BUCKET_MS // series.span.width_ms
    return np.flatnonzero(is_before_a_report & (next_report - places <= behind))


def judges_minutes(series: Series, slo: Slo, place: int) -> bool:
    """Whether a slice is judged up to the last whole minute only: its buckets are as wide, or its budget is of minutes."""
    is_finer = series.span.width_ms < MINUTE_MS
    return series.is_wide(place) or (is_finer and slo.time_slice_target is not None)


class Instants:
    """Every bucket end of a series, and where the windows that end there begin and end in running sums.

    `is_wide`: windows end at the last whole minute, and begin at one.
    """

    def __init__(self, series: Series, is_wide: bool) -> None:
        self.ends_ms = series.ends_ms
        self.is_wide = is_wide
        self._span = series.span
        width_ms = MINUTE_MS if is_wide else series.span.width_ms
        self._until_ms = self.ends_ms // width_ms * width_ms
        self.stops = np.maximum((self._until_ms - self._span.start_ms) // self._span.width_ms, 0)
        self._starts: dict[int, Sums] = {}

    def starts(self, length_s: int) -> Sums:
        if length_s not in self._starts:
            bucket_ms = state_bucket_ms(length_s, self.is_wide)
            start_ms = (self._until_ms - length_s * 1_000) // bucket_ms * bucket_ms
            self._starts[length_s] = np.maximum((start_ms - self._span.start_ms) // self._span.width_ms, 0)
        return self._starts[length_s]

    def rises(self, sums: NDArray[np.generic], length_s: int) -> Flags:
        """Whether running sums (one more than there are buckets) are higher at the window's end than at its start."""
        starts, stops = self.starts(length_s), self.stops
        lag = int(stops[-1] - starts[-1])
        if not self.is_wide and bool((stops - starts == np.minimum(stops, lag)).all()):  # Slices are far faster.
            risen = np.empty(len(stops), dtype=bool)
            np.greater(sums[1:lag], sums[0], out=risen[: lag - 1])
            np.greater(sums[lag:], sums[: len(sums) - lag], out=risen[lag - 1 :])
            return risen
        return np.asarray(np.greater(sums[stops], sums[starts]), dtype=np.bool_)

    def sums(self, sums: Sums, length_s: int, places: Sums) -> Sums:
        """Window sums at some instants."""
        return np.asarray(sums[self.stops[places]] - sums[self.starts(length_s)[places]])


def state_bucket_ms(length_s: int, is_wide: bool) -> int:
    """To which bucket of the history the start of a window is rounded outward.

    >>> [state_bucket_ms(length_s, is_wide=False) for length_s in (600, 3_600, 86_400, 30 * 86_400)]
    [10000, 60000, 600000, 3600000]
    """
    level = next((level for level, longest in enumerate(_LONGEST_MS) if length_s * 1_000 <= longest), 3)
    return resolutions(length_s)[max(level, int(is_wide))].width_ms
