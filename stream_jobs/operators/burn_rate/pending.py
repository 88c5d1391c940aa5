"""Pending: what is stated of slices beside those that burn, so that alerts begin on evidence and do not flap.

A slice that exceeds a row on too little evidence is *held*: its alert is pending. Everything that is near enough to a row
to keep an alert, and neither burns nor is stated as held, is *holding*; it begins none. What is held and not stated, because
there is too much of it, is listed there too, or an alert would end while its row is exceeded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.arrays import Flags
from schemas.burns import Burn, Quiet
from schemas.slos import Severity
from stream_jobs.operators.burn_rate.judging import Exceeded, Judged, burn_of
from stream_jobs.operators.burn_rate.windows import Watch, Windows
from stream_jobs.operators.totals.slice_numbers import SliceNumbers

HELD_MAX = 200
"""Of one decision of one shard: at night any fleet has hundreds of slices with a failure in a handful of turns."""

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pending:
    """`left_out`: how many are held beyond `HELD_MAX`, where those with the most bad turns are stated."""

    held: tuple[Burn, ...]
    holding: tuple[Quiet, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class _Held:
    """Slices that one severity of an objective holds, each by its strongest row; arrays go by them, most bad turns first."""

    watch: Watch
    severity: Severity
    rows: tuple[Exceeded, ...]
    row: Numbers
    place: Numbers
    number: Numbers
    bad: Numbers


def pending(watching: Sequence[Watch], judged: Sequence[Judged], windows: Windows, slices: SliceNumbers) -> Pending:
    """What is held and what is holding, of all objectives of a shard together."""
    found = [
        (held, _numbers(rows, [row.burns for row in rows]))
        for watch, one in zip(watching, judged, strict=True)
        for severity, rows in _by_severity(one.rows)
        for held in [_held(watch, severity, rows)]
    ]
    every = [
        (-int(bad), at, each) for at, (held, _) in enumerate(found) for each, bad in enumerate(held.bad[:HELD_MAX])
    ]
    stated = [(found[at][0], each) for _, at, each in sorted(every)[:HELD_MAX]]
    return Pending(
        tuple(_burn(held, each, windows, slices) for held, each in stated),
        tuple(
            kept
            for held, burning in found
            for kept in _holding(held, burning, [each for one, each in stated if one is held], slices)
        ),
        sum(len(held.bad) for held, _ in found) - len(stated),
    )


def _by_severity(rows: Sequence[Exceeded]) -> Iterator[tuple[Severity, tuple[Exceeded, ...]]]:
    for severity in dict.fromkeys(row.of.row.severity for row in rows):
        yield severity, tuple(row for row in rows if row.of.row.severity == severity)


def _held(watch: Watch, severity: Severity, rows: tuple[Exceeded, ...]) -> _Held:
    """The strongest row of each slice: the one that burns fastest, of equal ones the shortest window, as for burns."""
    places = [np.flatnonzero(row.held) for row in rows]
    row = np.repeat(np.arange(len(rows)), [len(of_row) for of_row in places])
    place = np.concatenate(places)
    long = np.concatenate([each.of.long[of_row] for each, of_row in zip(rows, places, strict=True)])
    number = np.concatenate([each.of.numbers[of_row] for each, of_row in zip(rows, places, strict=True)])
    shortest_first = sorted(range(len(rows)), key=lambda at: (rows[at].of.row.long_s, rows[at].of.row.name))
    order = np.lexsort((np.argsort(shortest_first)[row], -long[:, 0] / np.maximum(long[:, 1], 1), number))
    burning = _numbers(rows, [each.burns for each in rows])
    best = order[np.unique(number[order], return_index=True)[1]]
    best = best[~np.isin(number[best], burning)]
    best = best[np.argsort(-long[best, 0], kind="stable")]
    return _Held(watch, severity, rows, row[best], place[best], number[best], long[best, 0])


def _burn(held: _Held, each: int, windows: Windows, slices: SliceNumbers) -> Burn:
    of = held.rows[int(held.row[each])].of
    return burn_of(held.watch, of, int(held.place[each]), windows, slices)


def _holding(held: _Held, burning: Numbers, stated: list[int], slices: SliceNumbers) -> Iterator[Quiet]:
    """What keeps an alert, but for what burns or is stated as held."""
    keeps = np.union1d(_numbers(held.rows, [row.keeps for row in held.rows]), held.number)
    others = np.concatenate([burning, held.number[stated]])
    slo = held.watch.watched.slo.name
    for number in keeps[~np.isin(keeps, others)].tolist():
        yield Quiet(slo=slo, slice=slices.texts[number], severity=held.severity)


def _numbers(rows: Sequence[Exceeded], flags: Sequence[Flags]) -> Numbers:
    """The slices for which any row says so, once each."""
    return np.unique(np.concatenate([row.of.numbers[of_row] for row, of_row in zip(rows, flags, strict=True)]))
