"""Judging: which rows of an objective are exceeded at one decided instant, slice by slice, and on what evidence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from schemas.burns import Burn, Quiet
from schemas.slos import PolicyRow, WatchedSlo
from stream_jobs.operators.burn_arithmetic import budget_left, burn, evidence_is_enough, exceeds, exhausted_in_s
from stream_jobs.operators.burn_windows import Watch, Windows
from stream_jobs.operators.history import Counts
from stream_jobs.operators.slice_numbers import SliceNumbers

HISTORY_KNOWN_MS = 3_600_000
"""How much history it takes before the period's expected traffic counts as known."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What one objective's rows say: `burns` exceed one on enough evidence; of `quiet` nobody knows."""

    burns: tuple[Burn, ...]
    quiet: tuple[Quiet, ...]


def judge(watch: Watch, windows: Windows, slices: SliceNumbers) -> Judged:
    """Evaluates every row of an objective on every slice it watches."""
    return Judged(tuple(_burns(watch, windows, slices)), tuple(_quiet(watch, windows, slices)))


def strongest(burns: Iterable[Burn]) -> list[Burn]:
    """Of each slice and severity the row that burns fastest; of equal ones the shortest window."""
    best: dict[tuple[str, str], Burn] = {}
    for each in sorted(burns, key=lambda each: (-each.long_burn, each.long_s, each.row)):
        best.setdefault((each.slice, each.severity), each)
    return list(best.values())


def _burns(watch: Watch, windows: Windows, slices: SliceNumbers) -> Iterator[Burn]:
    for row in watch.watched.rows:
        long = windows.of(row.long_s)[watch.slices, watch.indicator]
        short = windows.of(row.short_s)[watch.slices, watch.indicator]
        for place in np.flatnonzero(exceeds(long, row.threshold) & exceeds(short, row.threshold)):
            number = int(watch.slices[place])
            if row.short_s * 1_000 >= slices.bucket_ms(number):
                found = _burn(watch, row, number, long[place], short[place], windows, slices)
                if found:
                    yield found


def _quiet(watch: Watch, windows: Windows, slices: SliceNumbers) -> Iterator[Quiet]:
    """Slices that were bad and have gone silent: their silence is no good news."""
    for row in watch.watched.rows:
        long = windows.of(row.long_s)[watch.slices, watch.indicator]
        short = windows.of(row.short_s)[watch.slices, watch.indicator]
        for place in np.flatnonzero(exceeds(long, row.threshold) & (short[:, 1] == 0)):
            text = slices.texts[int(watch.slices[place])]
            yield Quiet(slo=watch.watched.slo.name, slice=text, severity=row.severity)


def _burn(
    watch: Watch, row: PolicyRow, number: int, long: Counts, short: Counts, windows: Windows, slices: SliceNumbers
) -> Burn | None:
    slo = watch.watched.slo
    period = windows.of(slo.period_s)[number, watch.indicator]
    history_ms = windows.end_ms - slices.first_seen_ms[number]
    expected = expected_budget(int(period[1]), history_ms, watch.watched)
    is_exempt = row.kind == "any_event"
    if not is_exempt and not evidence_is_enough(
        int(long[0]), int(long[1]), row.threshold, expected, watch.watched.low_traffic
    ):
        return None
    left = budget_left(int(period[0]), int(period[1]), slo.objective)
    long_burn = burn(int(long[0]), int(long[1]), slo.objective)
    known_budget = expected if expected is not None else float(period[1] * slo.budget_rate)
    return Burn(
        slo=slo.name,
        slice=slices.texts[number],
        row=row.name,
        severity=row.severity,
        factor=float(row.factor),
        threshold=float(row.threshold),
        long_s=row.long_s,
        short_s=row.short_s,
        long_bad=int(long[0]),
        long_total=int(long[1]),
        short_bad=int(short[0]),
        short_total=int(short[1]),
        long_burn=long_burn,
        short_burn=burn(int(short[0]), int(short[1]), slo.objective),
        budget_left=left,
        exhausted_in_s=exhausted_in_s(left, long_burn, slo.period_s),
        one_failure_costs=1 / known_budget if known_budget else 1.0,
    )


def expected_budget(period_total: int, history_ms: int, watched: WatchedSlo) -> float | None:
    """Bad turns that the period's expected traffic allows, from the trailing mean; `None` before an hour of history."""
    history_ms = min(history_ms, watched.slo.period_s * 1_000)
    if history_ms < HISTORY_KNOWN_MS:
        return None
    return period_total * (watched.slo.period_s * 1_000 / history_ms) * float(watched.slo.budget_rate)
