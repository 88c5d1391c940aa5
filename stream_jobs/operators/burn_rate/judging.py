"""Judging: which rows of an objective are exceeded at one decided instant, slice by slice, and on what evidence.

Every row is asked twice: at its threshold, whether something burns; and at the lowered one below which an alert ends
(`Life.resolve_below`). What exceeds a row on too little evidence is *held*, and becomes a burn when the evidence comes;
what is above the lowered threshold only is *holding*, and keeps an alert that there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from schemas.arrays import Flags
from schemas.burns import Burn, Quiet
from schemas.instants import MINUTE_MS
from schemas.slos import PolicyRow, Slo
from stream_jobs.operators.burn_rate.arithmetic import budget_left, burn, exceeds, exhausted_in_s
from stream_jobs.operators.burn_rate.error_budget import HISTORY_KNOWN_MS, expected_budgets
from stream_jobs.operators.burn_rate.evidence import evident
from stream_jobs.operators.burn_rate.exhaustion import exhausting_shares, exhausts
from stream_jobs.operators.burn_rate.history import Counts
from stream_jobs.operators.burn_rate.time_slices import minutes_are_evident
from stream_jobs.operators.burn_rate.windows import Watch, Windows
from stream_jobs.operators.totals.slice_numbers import SliceNumbers

__all__ = ["HISTORY_KNOWN_MS", "Candidates", "Exceeded", "Judged", "burn_of", "judge", "strongest"]


@dataclass(frozen=True, slots=True)
class Candidates:
    """The slices, by number, whose long window is above a row's lowered threshold; every array goes by them.

    `thresholds` are the row's own, as shares of turns; `budgets` the bad turns that each period's expected traffic allows.
    Of time slices all counts are minutes; `turns` are those of the long window, behind them.
    """

    row: PolicyRow
    numbers: NDArray[np.int64]
    long: Counts
    short: Counts
    period: Counts
    thresholds: NDArray[np.float64]
    budgets: NDArray[np.float64]
    turns: Counts


@dataclass(frozen=True, slots=True)
class Exceeded:
    """What a row says of its candidates: `burns` exceed it on enough evidence, and `held` on too little.

    `keeps` exceed the lowered row on enough evidence for that. `quiet` were bad, and have no traffic any more.
    """

    of: Candidates
    burns: Flags
    held: Flags
    keeps: Flags
    quiet: Flags


@dataclass(frozen=True, slots=True)
class Judged:
    """What one objective's rows say: `burns` exceed one on enough evidence; of `quiet` nobody knows."""

    burns: tuple[Burn, ...]
    quiet: tuple[Quiet, ...]
    rows: tuple[Exceeded, ...] = ()


def judge(watch: Watch, windows: Windows, slices: SliceNumbers) -> Judged:
    """Evaluates every row of an objective on every slice it watches."""
    candidates = [_candidates(watch, row, windows, slices) for row in watch.watched.rows]
    rows = tuple(_exceeded(watch, each, slices) for each in candidates if each is not None)
    burns = (burn_of(watch, row.of, int(place), windows, slices) for row in rows for place in np.flatnonzero(row.burns))
    return Judged(tuple(burns), tuple(_quiet(watch, rows, slices)), rows)


def strongest(burns: Iterable[Burn]) -> list[Burn]:
    """Of each slice and severity the row that burns fastest; of equal ones the shortest window."""
    best: dict[tuple[str, str], Burn] = {}
    for each in sorted(burns, key=lambda each: (-each.long_burn, each.long_s, each.row)):
        best.setdefault((each.slice, each.severity), each)
    return list(best.values())


def burn_of(watch: Watch, of: Candidates, place: int, windows: Windows, slices: SliceNumbers) -> Burn:
    """What is stated of one slice that exceeds a row."""
    slo, row, number = watch.watched.slo, of.row, int(of.numbers[place])
    (long_bad, long_total), (short_bad, short_total) = of.long[place].tolist(), of.short[place].tolist()
    period_bad, period_total = of.period[place].tolist()
    left = budget_left(period_bad, period_total, slo.objective)
    long_burn = burn(long_bad, long_total, slo.objective)
    expected = float(of.budgets[place])
    known = expected if expected >= 0 else float(period_total * slo.budget_rate)
    today_bad = int(windows.today()[number, watch.indicator, 0])
    threshold = float(of.thresholds[place])
    return Burn(
        slo=slo.name,
        slice=slices.texts[number],
        row=row.name,
        severity=row.severity,
        factor=float(row.factor) if row.within_s is None else threshold / float(slo.budget_rate),
        threshold=threshold,
        long_s=row.long_s,
        short_s=row.short_s,
        long_bad=long_bad,
        long_total=long_total,
        short_bad=short_bad,
        short_total=short_total,
        long_burn=long_burn,
        short_burn=burn(short_bad, short_total, slo.objective),
        budget_left=left,
        exhausted_in_s=exhausted_in_s(left, long_burn, slo.period_s),
        one_failure_costs=1 / known if known else 1.0,
        spent_today=today_bad / expected if expected > 0 else None,
        within_s=row.within_s,
        unit=slo.unit,
    )


def _candidates(watch: Watch, row: PolicyRow, windows: Windows, slices: SliceNumbers) -> Candidates | None:
    """None where no slice is above the lowered threshold: so it is nearly always."""
    slo, lowered = watch.watched.slo, _part_of(row.threshold, watch.watched.life.resolve_below)
    everywhere = windows.of(row.long_s)[watch.slices, watch.indicator]
    places = np.flatnonzero(exceeds(everywhere, lowered))
    if not len(places):
        return None
    numbers = watch.slices[places]
    short, period = (windows.of(length_s)[numbers, watch.indicator] for length_s in (row.short_s, slo.period_s))
    budgets = expected_budgets(period[:, 1], windows.histories_ms(slices, numbers, watch.indicator), slo)
    long = everywhere[places]
    turns = long if slo.time_slice_target is None else windows.of_minutes(row.long_s)[numbers, watch.turns]
    return Candidates(row, numbers, long, short, period, _thresholds(row, period, slo), budgets, turns)


@lru_cache(maxsize=4_096)
def _part_of(threshold: Decimal, part: Decimal) -> Fraction:
    return Fraction(threshold) * Fraction(part)


def _thresholds(row: PolicyRow, period: Counts, slo: Slo) -> NDArray[np.float64]:
    if row.within_s is not None:
        return exhausting_shares(period, slo, row.within_s)
    return np.full(len(period), float(row.threshold))


def _exceeded(watch: Watch, of: Candidates, slices: SliceNumbers) -> Exceeded:
    whole, part = Fraction(1), Fraction(watch.watched.life.resolve_below)
    is_fine = (of.row.short_s * 1_000 >= MINUTE_MS) | ~slices.by_minute[of.numbers]
    is_bad = _is_above(watch, of, of.long, part)
    near = is_bad & is_fine & _is_above(watch, of, of.short, part)
    above = near & _is_above(watch, of, of.long, whole) & _is_above(watch, of, of.short, whole)
    burns = above & _is_evident(watch, of, whole)
    keeps = near & _is_evident(watch, of, part)
    return Exceeded(of, burns, held=above & ~burns, keeps=keeps, quiet=is_bad & (of.short[:, 1] == 0))


def _is_above(watch: Watch, of: Candidates, counts: Counts, part: Fraction) -> Flags:
    """Whether these windows of the candidates are above that part of the row's threshold, exactly."""
    if of.row.within_s is not None:
        return exhausts(counts, of.period, watch.watched.slo, of.row.within_s, part)
    return exceeds(counts, Fraction(of.row.threshold) * part)


def _is_evident(watch: Watch, of: Candidates, part: Fraction) -> Flags:
    if of.row.kind == "any_event":
        return np.ones(len(of.numbers), dtype=bool)
    slo, thresholds, rule = watch.watched.slo, of.thresholds * float(part), watch.watched.low_traffic
    if slo.time_slice_target is not None:
        return minutes_are_evident(of.turns, of.long, thresholds, slo.turns_allowed, of.budgets, rule)
    return evident(of.long, thresholds, of.budgets, rule)


def _quiet(watch: Watch, rows: Iterable[Exceeded], slices: SliceNumbers) -> Iterator[Quiet]:
    """Slices that were bad and have gone silent: their silence is no good news."""
    for row in rows:
        for number in row.of.numbers[row.quiet].tolist():
            yield Quiet(slo=watch.watched.slo.name, slice=slices.texts[number], severity=row.of.row.severity)
