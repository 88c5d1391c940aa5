"""Judging one slice of a series: what the rows of an objective say of it at every decided instant.

Equal to `stream_jobs/operators/burn_rate/judging.py` on the same buckets, and with its own arithmetic where instants are few: a
row is above a threshold p ÷ q where Σ(bad × q - total × p) > 0 over the window, one running sum compared with itself a
window earlier, and only where that says so of the long window and the lowered threshold is anything else looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from schemas.arrays import Flags, Floats
from schemas.instants import MINUTE_MS
from schemas.slos import PolicyRow, WatchedSlo
from stream_jobs.operators.burn_rate.arithmetic import exceeds, shares
from stream_jobs.operators.burn_rate.error_budget import expected_budgets
from stream_jobs.operators.burn_rate.evidence import evident
from stream_jobs.operators.burn_rate.exhaustion import exhausting_shares, exhausts
from stream_jobs.operators.burn_rate.history import Counts
from stream_jobs.operators.burn_rate.time_slices import minutes_are_evident, slice_counts
from turnwatch.backtest.instants import Instants, Sums
from turnwatch.backtest.series import Series

_INT64_SAFE = 2**62

Turns = tuple[NDArray[np.integer], NDArray[np.integer]]
"""Bad ones and all, by bucket."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a row says at the instants at which the slice is near it; every array goes by these `places`.

    `burns`: exceeded on enough evidence; `above`: on any; `keeps`: above the lowered row on enough evidence for that;
    `quiet`: bad, and without any traffic since.
    """

    row: PolicyRow
    places: Sums
    long: Counts
    above: Flags
    burns: Flags
    keeps: Flags
    quiet: Flags


class Slice:
    """One slice of a series under an objective, which counts its turns or its minutes."""

    def __init__(self, text: str, first_ms: int, turns: Turns, watched: WatchedSlo, instants: Instants) -> None:
        self.text = text
        self._first_ms, self._turns, self._watched, self._instants = first_ms, turns, watched, instants
        target = watched.slo.time_slice_target
        self._bad, self._total = turns if target is None else in_minutes(turns, instants.ends_ms, target)

    def without(self, bad: NDArray[np.integer], total: NDArray[np.integer]) -> Slice:
        """The same less these turns of each bucket; a minute that loses some is judged by the others."""
        turns = self._turns[0] - bad, self._turns[1] - total
        return Slice(self.text, self._first_ms, turns, self._watched, self._instants)

    def counts(self, length_s: int, places: Sums) -> Counts:
        """Bad and total of the window that ends at each of these instants."""
        return np.stack([self._instants.sums(sums, length_s, places) for sums in self._sums], axis=1)

    def burns(self, length_s: int) -> Floats:
        """The burn over a window at every instant; 0 without traffic."""
        counts = self.counts(length_s, np.arange(len(self._bad)))
        return shares(counts) / float(self._watched.slo.budget_rate)

    def factors(self, row: PolicyRow) -> Floats:
        """The burn that the row fires above, at every instant."""
        if row.within_s is None:
            return np.full(len(self._bad), float(row.factor))
        slo = self._watched.slo
        period = self.counts(slo.period_s, np.arange(len(self._bad)))
        return exhausting_shares(period, slo, row.within_s) / float(slo.budget_rate)

    def says(self, row: PolicyRow, is_decided: Flags) -> Said | None:
        """What the row says at the decided instants; nothing where the slice is nowhere near it."""
        part = Fraction(self._watched.life.resolve_below)
        places = np.flatnonzero(self._rises(row.long_s, Fraction(row.threshold) * part) & is_decided)
        if not len(places):
            return None
        slo = self._watched.slo
        long, short = self.counts(row.long_s, places), self.counts(row.short_s, places)
        period = self.counts(slo.period_s, places)
        is_bad = self._is_above(row, long, period, part)
        is_fine = row.short_s * 1_000 >= MINUTE_MS or not self._instants.is_wide
        near = is_bad & self._is_above(row, short, period, part) & is_fine
        above = near & self._is_above(row, long, period, Fraction(1)) & self._is_above(row, short, period, Fraction(1))
        burns = self._with_evidence(row, places, above, long, period, 1.0)
        keeps = self._with_evidence(row, places, near, long, period, float(part))
        return Said(row, places, long, above, burns, keeps, is_bad & (short[:, 1] == 0))

    @cached_property
    def _sums(self) -> tuple[Sums, Sums]:
        return _running(self._bad), _running(self._total)

    @cached_property
    def _turn_sums(self) -> tuple[Sums, Sums]:
        return _running(self._turns[0]), _running(self._turns[1])

    @cached_property
    def _whole(self) -> int:
        return int(self._total.sum(dtype=np.int64))

    def _rises(self, length_s: int, share: Fraction) -> Flags:
        """Where the bad share of the window is above that."""
        bad, total = self._bad.astype(np.int64), self._total.astype(np.int64)
        if max(self._whole, 1) * max(share.numerator, share.denominator) >= _INT64_SAFE:
            bad, total = bad.astype(object), total.astype(object)
        weights = bad * share.denominator
        weights -= total * share.numerator
        return self._instants.rises(_running(weights), length_s)

    def _is_above(self, row: PolicyRow, counts: Counts, period: Counts, part: Fraction) -> Flags:
        if row.within_s is not None:
            return exhausts(counts, period, self._watched.slo, row.within_s, part)
        return exceeds(counts, Fraction(row.threshold) * part)

    def _with_evidence(
        self, row: PolicyRow, places: Sums, flags: Flags, long: Counts, period: Counts, part: float
    ) -> Flags:
        """Those of the flagged instants whose long window holds enough failures for that part of the threshold."""
        chosen = np.flatnonzero(flags)
        if row.kind == "any_event" or not len(chosen):
            return flags
        slo, rule = self._watched.slo, self._watched.low_traffic
        ends_ms = self._instants.ends_ms[places[chosen]]
        budgets = expected_budgets(period[chosen, 1], ends_ms - self._first_ms, slo)
        thresholds = self._thresholds(row, period[chosen]) * part
        if slo.time_slice_target is None:
            enough = evident(long[chosen], thresholds, budgets, rule)
        else:
            windows = [self._instants.sums(sums, row.long_s, places[chosen]) for sums in self._turn_sums]
            turns = np.stack(windows, axis=1)
            enough = minutes_are_evident(turns, long[chosen], thresholds, slo.turns_allowed, budgets, rule)
        holds = np.zeros(len(flags), dtype=bool)
        holds[chosen] = enough
        return holds

    def _thresholds(self, row: PolicyRow, period: Counts) -> Floats:
        if row.within_s is not None:
            return exhausting_shares(period, self._watched.slo, row.within_s)
        return np.full(len(period), float(row.threshold))


def told_in_minutes(series: Series, target: Decimal) -> Series:
    """The series with minutes in place of turns."""
    told = [in_minutes(turns, series.ends_ms, target) for turns in zip(series.bad, series.total, strict=True)]
    bad, total = (np.array([each[part] for each in told]).reshape(series.bad.shape) for part in (0, 1))
    return replace(series, bad=bad, total=total)


def in_minutes(turns: Turns, ends_ms: Sums, target: Decimal) -> Turns:
    """Bad minutes and minutes of these turns, each in the bucket that it ends with; one that has not ended counts nothing."""
    firsts = np.flatnonzero(np.diff((ends_ms - 1) // MINUTE_MS, prepend=-1))
    told = np.stack([np.add.reduceat(each.astype(np.int64), firsts) for each in turns], axis=1)
    lasts = np.append(firsts[1:], len(ends_ms)) - 1
    has_ended = ends_ms[lasts] % MINUTE_MS == 0
    counts = np.zeros((len(ends_ms), 2), dtype=np.int64)
    counts[lasts[has_ended]] = slice_counts(told[has_ended], target)
    return counts[:, 0], counts[:, 1]


def _running(counts: NDArray[np.generic]) -> Sums:
    """Sums of all before each bucket, and of all of them."""
    dtype = object if counts.dtype == object else np.int64
    sums = np.zeros(len(counts) + 1, dtype=dtype)
    np.cumsum(counts, dtype=dtype, out=sums[1:])
    return sums
