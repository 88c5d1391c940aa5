"""The engine: what the stream would have stated and paged, over whole columns of instants.

Equal to `stream_jobs/operators/burn_rate/burn_rate.py` and `alerts/pages.py` on the same buckets, with everything reported in time:
shares are compared by integers, window starts round outward to state buckets, little traffic needs its evidence, and
alerts begin, stay and end as their policy says. A test holds them together. The one difference: a shard names no more than
200 slices that want evidence (`pending.HELD_MAX`), so one beyond has not been pending there when its evidence comes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from schemas.arrays import Flags
from schemas.slos import PolicyRow, Severity, WatchedSlo
from stream_jobs.operators.burn_rate.arithmetic import burn
from stream_jobs.operators.burn_rate.time_slices import judgeable
from turnwatch.backtest.instants import Instants, Sums, decided, judges_minutes
from turnwatch.backtest.judging import Said, Slice
from turnwatch.backtest.lives import Statements, frozen, lives
from turnwatch.backtest.series import Series


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
    rows = judged_rows(watched, series)
    instants = {wide: Instants(series, wide) for wide in (False, True)}
    when = decided(series)
    found: list[Alerted] = []
    for place in range(len(series.slices)):
        of_slice = _slice(series, place, watched, instants[judges_minutes(series, watched.slo, place)])
        found += _alerts(of_slice, watched, rows, series.ends_ms, when)
    return sorted(found, key=lambda alert: (alert.from_ms, alert.slice, alert.severity))


def judged_rows(watched: WatchedSlo, series: Series) -> tuple[PolicyRow, ...]:
    """The rows whose short window the series' buckets, and what the budget counts, are fine enough for."""
    return tuple(row for row in judgeable(watched).rows if row.short_s * 1_000 >= series.span.width_ms)


def slice_at(series: Series, place: int, watched: WatchedSlo) -> tuple[Slice, Instants]:
    """One slice by itself, and the instants that it is judged at."""
    instants = Instants(series, judges_minutes(series, watched.slo, place))
    return _slice(series, place, watched, instants), instants


def _slice(series: Series, place: int, watched: WatchedSlo, instants: Instants) -> Slice:
    turns = series.bad[place], series.total[place]
    return Slice(series.slices[place], int(series.first_ms[place]), turns, watched, instants)


def _alerts(
    of_slice: Slice, watched: WatchedSlo, rows: Sequence[PolicyRow], ends_ms: Sums, when: Sums
) -> Iterator[Alerted]:
    """The life of a slice's alerts, over the instants that were decided."""
    is_decided = np.zeros(len(ends_ms), dtype=bool)
    is_decided[when] = True
    known = [said for row in rows if (said := of_slice.says(row, is_decided)) is not None]
    life = watched.life
    for severity in dict.fromkeys(said.row.severity for said in known if said.burns.any()):
        of_severity = [each for each in known if each.row.severity == severity]
        statements = _statements(of_severity, ends_ms, when)
        for start, stop in lives(statements, life.pending_s.get(severity, 0), life.keep_firing_s.get(severity, 0)):
            end_ms = int(statements.ends_ms[stop]) if stop < len(when) else None
            stretches = tuple(frozen(statements, start, min(stop, len(when))))
            begun = _begun(of_severity, watched, int(when[start]))
            yield Alerted(
                of_slice.text, severity, begun.row, int(statements.ends_ms[start]), end_ms, *begun.told, stretches
            )


def _statements(said: Sequence[Said], ends_ms: Sums, when: Sums) -> Statements:
    """What the rows of one severity say together."""

    def any_of(flags: Sequence[Flags]) -> Flags:
        together = np.zeros(len(ends_ms), dtype=bool)
        for each, of_row in zip(said, flags, strict=True):
            together[each.places[of_row]] = True
        return together[when]

    exceeding, burning = any_of([each.above for each in said]), any_of([each.burns for each in said])
    keeping, quiet = any_of([each.keeps for each in said]), any_of([each.quiet for each in said])
    near = exceeding | keeping
    return Statements(ends_ms[when], burning, exceeding, near | quiet, near | ~quiet)


@dataclass(frozen=True, slots=True)
class _Begun:
    row: PolicyRow
    told: tuple[float, int, int]
    """Burn, bad and total of the long window."""


def _begun(said: Sequence[Said], watched: WatchedSlo, instant: int) -> _Begun:
    """The row that burns fastest at an instant; of equal ones the shortest window."""
    burning: list[_Begun] = []
    for each in said:
        place = int(np.searchsorted(each.places, instant))
        if place < len(each.places) and each.places[place] == instant and each.burns[place]:
            bad, total = (int(count) for count in each.long[place])
            burning.append(_Begun(each.row, (burn(bad, total, watched.slo.objective), bad, total)))
    return min(burning, key=lambda begun: (-begun.told[0], begun.row.long_s, begun.row.name))
