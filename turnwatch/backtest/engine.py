"""The engine: what the stream would have stated and paged, over whole columns of instants.

Equal to `stream_jobs/operators/burn_rate.py` and `alerts/pages.py` on the same buckets, with everything reported in time:
shares are compared by integers, window starts round outward to state buckets, little traffic needs its evidence, and an
alert lives while a row of its severity is stated or its slice is silent. A test holds them together.

A row is exceeded where Σ(bad × q - total × p) > 0 over the window, for its threshold p ÷ q: one running sum for each row,
compared with itself a window earlier. Only where both windows exceed is anything else looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from schemas.slos import PolicyRow, Severity, WatchedSlo
from stream_jobs.operators.burn_arithmetic import burn
from stream_jobs.operators.burn_judging import HISTORY_KNOWN_MS
from stream_jobs.operators.burn_rate import BUCKET_MS, DECISIONS_BEHIND_MAX
from stream_jobs.operators.history import resolutions
from turnwatch.backtest.evidence import evidence_holds
from turnwatch.backtest.series import MINUTE_MS, Series

FROZEN_AFTER_MS = 60_000
_LONGEST_MS = (600_000, 6 * 3_600_000, 3 * 86_400_000)
"""The longest window that is summed from each resolution of the history but the coarsest."""
_INT64_SAFE = 2**62

Flags = NDArray[np.bool_]
Sums = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Alerted:
    """One alert from its first statement to its end, which is `None` if it lasts beyond the data.

    `row` is the one that burnt fastest when it began, with its long window. `frozen`: while its slice was silent.
    """

    slice: str
    severity: Severity
    row: PolicyRow
    from_ms: int
    to_ms: int | None
    burn: float
    bad: int
    total: int
    frozen: tuple[tuple[int, int | None], ...] = ()


def alerts(series: Series, watched: WatchedSlo) -> list[Alerted]:
    """Every alert that the objective's rows would have raised, in order of time."""
    judged = tuple(row for row in watched.rows if is_judged(row, series))
    instants = {wide: Instants(series, wide) for wide in (False, True)}
    when = decided(series)
    found: list[Alerted] = []
    for place in range(len(series.slices)):
        of_slice = Slice(series, place, watched, judged, instants[series.is_wide(place)])
        found += of_slice.alerts(when)
    return sorted(found, key=lambda alert: (alert.from_ms, alert.slice, alert.severity))


def is_judged(row: PolicyRow, series: Series) -> bool:
    """Whether the series' buckets are fine enough for the row's short window."""
    return row.short_s * 1_000 >= series.span.width_ms


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


class Instants:
    """Every bucket end of a series, and where the windows that end there begin and end in running sums.

    Slices of wider buckets are judged up to the last whole minute.
    """

    def __init__(self, series: Series, is_wide: bool) -> None:
        self.ends_ms = series.ends_ms
        self.is_wide = is_wide
        self._span = series.span
        width_ms = MINUTE_MS if is_wide else series.span.width_ms
        self._until_ms = self.ends_ms // width_ms * width_ms
        self.stops = (self._until_ms - self._span.start_ms) // self._span.width_ms
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


class Slice:
    """One slice of a series under the rows of an objective."""

    def __init__(
        self, series: Series, place: int, watched: WatchedSlo, judged: Sequence[PolicyRow], instants: Instants
    ) -> None:
        self.text = series.slices[place]
        self._watched, self._judged, self._instants = watched, judged, instants
        self._first_ms = int(series.first_ms[place])
        self._bad, self._total = series.bad[place], series.total[place]

    @cached_property
    def bad(self) -> Sums:
        return _running(self._bad)

    @cached_property
    def total(self) -> Sums:
        return _running(self._total)

    @cached_property
    def _turns(self) -> int:
        return int(self._total.sum(dtype=np.int64))

    def alerts(self, when: Sums) -> Iterator[Alerted]:
        """The life of its alerts, over the instants that were decided."""
        stated = {row: flags for row in self._judged if (flags := self._stated(row)) is not None}
        for severity in dict.fromkeys(row.severity for row in stated):
            of_severity = {row: flags for row, flags in stated.items() if row.severity == severity}
            is_stated = np.logical_or.reduce(list(of_severity.values()))[when]
            rows = [row for row in self._judged if row.severity == severity]
            is_open = is_stated | np.logical_or.reduce([self._quiet(row) for row in rows])[when]
            for start, stop in _lives(is_stated, is_open):
                yield self._alerted(of_severity, severity, is_stated, when, start, stop)

    def burns(self, length_s: int) -> NDArray[np.float64]:
        """The burn over a window at every instant; 0 without traffic."""
        everywhere = np.arange(len(self._bad))
        bad = self._instants.sums(self.bad, length_s, everywhere)
        total = self._instants.sums(self.total, length_s, everywhere)
        share = np.divide(bad, total, out=np.zeros(len(total)), where=total > 0)
        return share / float(self._watched.slo.budget_rate)

    def _exceeds(self, row: PolicyRow) -> tuple[Flags, Flags]:
        """Whether the long and the short window are above the threshold."""
        share = Fraction(row.threshold)
        bad, total = self._bad.astype(np.int64), self._total.astype(np.int64)
        if self._turns * max(share.numerator, share.denominator) >= _INT64_SAFE:
            bad, total = bad.astype(object), total.astype(object)
        weights = bad * share.denominator
        weights -= total * share.numerator
        spent = _running(weights)
        return self._instants.rises(spent, row.long_s), self._instants.rises(spent, row.short_s)

    def _stated(self, row: PolicyRow) -> Flags | None:
        """Where the row is exceeded on enough evidence; nothing where that is nowhere."""
        if self._instants.is_wide and row.short_s * 1_000 < MINUTE_MS:
            return None
        long, short = self._exceeds(row)
        long &= short
        places = np.flatnonzero(long)
        held = places[~self._is_evident(row, places)]
        long[held] = False
        return long if len(places) > len(held) else None

    def _is_evident(self, row: PolicyRow, places: Sums) -> Flags:
        bad = self._instants.sums(self.bad, row.long_s, places)
        total = self._instants.sums(self.total, row.long_s, places)
        return evidence_holds(bad, total, row.threshold, self._expected(places), self._watched.low_traffic)

    def _expected(self, places: Sums) -> NDArray[np.float64]:
        """Bad turns that the period's expected traffic allows; not a number before an hour of history."""
        slo = self._watched.slo
        history_ms = np.minimum(self._instants.ends_ms[places] - self._first_ms, slo.period_s * 1_000)
        of_period = self._instants.sums(self.total, slo.period_s, places)
        scale = slo.period_s * 1_000 / np.maximum(history_ms, 1)
        expected = of_period * scale * float(slo.budget_rate)
        return np.where(history_ms < HISTORY_KNOWN_MS, np.nan, expected)

    def _quiet(self, row: PolicyRow) -> Flags:
        """Where the slice was bad and has gone silent."""
        long, _ = self._exceeds(row)
        return long & ~self._instants.rises(self.total, row.short_s)

    def _alerted(
        self, stated: dict[PolicyRow, Flags], severity: Severity, is_stated: Flags, when: Sums, start: int, stop: int
    ) -> Alerted:
        instant = when[start]
        counts = {row: self._long(row, int(instant)) for row, flags in stated.items() if flags[instant]}
        burns = {row: burn(*each, self._watched.slo.objective) for row, each in counts.items()}
        row = min(burns, key=lambda row: (-burns[row], row.long_s, row.name))
        ends_ms = self._instants.ends_ms[when]
        end_ms = int(ends_ms[stop]) if stop < len(when) else None
        frozen = tuple(_frozen(is_stated[start:stop], ends_ms[start:stop], end_ms))
        return Alerted(self.text, severity, row, int(ends_ms[start]), end_ms, burns[row], *counts[row], frozen)

    def _long(self, row: PolicyRow, place: int) -> tuple[int, int]:
        at = np.array([place])
        bad, total = (self._instants.sums(sums, row.long_s, at) for sums in (self.bad, self.total))
        return int(bad[0]), int(total[0])


def _running(counts: NDArray[np.generic]) -> Sums:
    """Sums of all before each bucket, and of all of them."""
    dtype = object if counts.dtype == object else np.int64
    sums = np.zeros(len(counts) + 1, dtype=dtype)
    np.cumsum(counts, dtype=dtype, out=sums[1:])
    return sums


def _lives(is_stated: Flags, is_open: Flags) -> Iterator[tuple[int, int]]:
    """From the first statement of each stretch of openness to its end."""
    statements = np.flatnonzero(is_stated)
    edges = np.flatnonzero(np.diff(is_open, prepend=False, append=False))
    for start, stop in edges.reshape(-1, 2):
        first = np.searchsorted(statements, start)
        if first < len(statements) and statements[first] < stop:
            yield int(statements[first]), int(stop)


def _frozen(is_stated: Flags, ends_ms: Sums, end_ms: int | None) -> Iterator[tuple[int, int | None]]:
    """Stretches of a life that nothing confirmed for a minute, from there to the next statement or its end."""
    statements = np.flatnonzero(is_stated)
    for place, following in zip(statements, [*statements[1:], len(is_stated)], strict=True):
        first = int(np.searchsorted(ends_ms, ends_ms[place] + FROZEN_AFTER_MS))
        if first < following:
            yield int(ends_ms[first]), int(ends_ms[following]) if following < len(ends_ms) else end_ms
