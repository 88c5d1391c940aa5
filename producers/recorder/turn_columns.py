"""From the lists that turns left behind to the columns of kind `turns`, many turns at once.

What is no number or claim, below zero, or of no known name is dropped and counted, and the turn goes on without it. A turn without
a session, or with a dimension's value that is not allowed, is refused. A stage that was timed twice, and an amount that
was noted twice, add up.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from producers.observations import LATENCIES, TURN_COLUMNS, TURN_DIMENSIONS
from producers.recorder.amounts import TURNS, Allowed, allowed_in, are_claims, as_float, is_number, wrong
from producers.recorder.cells import Cells, Misplaced, Refusals, counted_in, pool_told, reasons_of_fields
from producers.recorder.clock import EventTime
from producers.recorder.sessions import Keys, is_nobody, require_names
from producers.recorder.turns import HEAD, STEP, TAIL
from producers.refusing import known_pools
from schemas.arrays import Flags, Floats, Integers
from schemas.misplaced import misplaced
from schemas.refusals import Refusal

VALUES_MAX = 256
"""Things told of one turn; what comes after them is dropped, counted."""

FACTS = tuple(name for name in TURN_COLUMNS if name not in ("ended_at_ms", "session", *TURN_DIMENSIONS))
_PLACE = {name: place for place, name in enumerate(FACTS)}
_CODES: dict[Any, int] = {stage: _PLACE[column] for stage, column in LATENCIES.items()} | {
    name: place for name, place in _PLACE.items() if name not in LATENCIES.values()
}
_IS_LATENCY = np.array([name in LATENCIES.values() for name in FACTS])
_IN_MS = allowed_in(TURNS, FACTS)
_ALLOWED = Allowed(
    _IN_MS.is_claim, _IN_MS.is_whole, _IN_MS.is_signed, np.where(_IS_LATENCY, _IN_MS.largest / 1_000, _IN_MS.largest)
)
"""Of latencies in seconds, as they are told."""
_KNOWN_OF_EVERY_TURN = {"is_error", "is_abandoned", "is_cancelled"}
"""False where nobody says otherwise; other outcomes are unknown then, and amounts are none."""

_UNKNOWN, _NO_NUMBER, _NOTHING, _REFUSED = -1, -2, -3, -4
"""Codes of what is no fact: of no such name, no number, and told as `None`; from the last one down of what is refused, by why."""
_CODE_OF = {reason: _REFUSED - rank for rank, reason in enumerate(Refusal)}
_REASON_OF = {code: reason for reason, code in _CODE_OF.items()}

Pools = NDArray[np.object_]
"""Of each row the pool that it is told in."""


@dataclass(frozen=True, slots=True)
class Columned:
    """Observations as columns, those refused by pool and reason, single values that were dropped of others, and how many times of
    events had to be put right."""

    rows: pl.DataFrame
    refused: Refusals
    lost_values: Refusals
    repaired: int


def turn_columns(rows: Sequence[list[Any]], sessions: Keys, cells: Cells, event_time: EventTime) -> Columned:
    """Raises whatever a value that is nothing at all raises; the caller then tries with fewer rows."""
    named = [row for row in rows if not is_nobody(row[0])]
    placed = cells.place([(row[1], row[2]) for row in named])
    kept = np.flatnonzero(placed.places >= 0)
    sound = [named[place] for place in kept.tolist()]
    names = [row[0] for row in sound]
    require_names(names)
    began = np.array([row[HEAD - 1] for row in sound], np.float64)
    ended = np.array([row[-TAIL] for row in sound], np.float64)
    ended_at_ms, repaired = event_time.event_ms(ended)
    dimensions = placed.cells[placed.places[kept]]
    facts, lost = _facts(sound, ended - began, known_pools(dimensions).to_numpy())
    columns = {
        "ended_at_ms": pl.Series(ended_at_ms),
        "session": pl.Series(sessions.of(names), dtype=pl.UInt64),
        **dimensions.to_dict(),
        **facts,
    }
    refused = placed.refused() + refused_of([row for row in rows if is_nobody(row[0])], Refusal.NO_SESSION)
    return Columned(pl.DataFrame(columns).select(list(TURN_COLUMNS)), refused, lost + placed.dropped, repaired)


def refused_of(rows: Sequence[list[Any]], reason: Refusal) -> Refusals:
    """All of these observations, each in the pool that it says."""
    return Counter((pool_told(defaults, given), reason) for _, defaults, given, *_ in rows)


def _facts(rows: list[list[Any]], whole_s: Floats, pools: Pools) -> tuple[dict[str, pl.Series], Refusals]:
    """Every column that is neither time, session nor dimension."""
    places, values, lost = _sound_values(rows, pools)
    size, shape = len(rows) * len(FACTS), (len(rows), len(FACTS))
    sums = np.bincount(places, values, size).astype(np.float64).reshape(shape)
    is_told = np.bincount(places, minlength=size).reshape(shape) > 0
    whole = _PLACE[LATENCIES["turn"]]
    lost += counted_in(pools, np.flatnonzero(whole_s < 0), Refusal.CLOCK_BACKWARDS)
    sums[:, whole] = np.where(is_told[:, whole], sums[:, whole], np.maximum(whole_s, 0.0))
    is_told[:, whole] |= whole_s >= 0
    for name, kind in (("is_error", Exception), ("is_cancelled", CancelledError)):
        sums[:, _PLACE[name]] += [row[-1] is not None and issubclass(row[-1], kind) for row in rows]
    return {name: _column(name, sums[:, at], is_told[:, at]) for name, at in _PLACE.items()}, lost


def _sound_values(rows: list[list[Any]], pools: Pools) -> tuple[Integers, Floats, Refusals]:
    """What may be counted of what was told: the place of each value (row by row, fact by fact), and the value."""
    end = HEAD + STEP * VALUES_MAX
    told = [row[HEAD : min(end, len(row) - TAIL)] for row in rows]
    flat = list(chain.from_iterable(told))
    names, noted = flat[::STEP], flat[1::STEP]
    row_of = np.repeat(np.arange(len(rows)), _things(len(each) for each in told))
    codes = np.fromiter(map(_CODES.get, names, repeat(_UNKNOWN)), np.int64, len(names))
    values = _numbers(noted, codes)
    codes[np.fromiter((each is None for each in noted), np.bool_, len(codes))] = _NOTHING
    _say_why(codes, names, noted)
    why = _why_lost(codes, values, are_claims(noted))
    beyond = np.repeat(np.arange(len(rows)), _things(max(0, len(row) - TAIL - end) for row in rows))
    lost = counted_in(pools, beyond, Refusal.TOO_LARGE)
    for reason, is_lost in why.items():
        lost += counted_in(pools, row_of[is_lost], reason)
    is_sound = ~np.logical_or.reduce([codes < 0, *why.values()])
    return (row_of * len(FACTS) + codes)[is_sound], values[is_sound], lost


def _things(entries: Iterable[int]) -> Integers:
    """How many things so many entries of a turn's list are."""
    return np.fromiter(entries, np.int64) // STEP


def _say_why(codes: Integers, names: list[Any], values: list[Any]) -> None:
    """Says of unknown names, and of values that are no numbers, what they were."""
    unknown, misplaced_at = (np.flatnonzero(codes == code) for code in (_UNKNOWN, _NO_NUMBER))
    why = reasons_of_fields([(names[at], values[at]) for at in unknown.tolist()])
    codes[unknown] = [_CODE_OF[reason] for reason in why]
    codes[misplaced_at] = [_CODE_OF[reason] for reason in _why_no_number([values[at] for at in misplaced_at.tolist()])]


def _why_no_number(values: list[Any]) -> list[Refusal]:
    """What they are; of some it was seen before (`Misplaced`)."""
    seen = zip(values, misplaced(values), strict=True)
    return [value.declared if isinstance(value, Misplaced) else reason for value, reason in seen]


def _why_lost(codes: Integers, values: Floats, claimed: Flags) -> dict[Refusal, Flags]:
    """Which of the values may not be counted, each under one reason."""
    places, is_known = np.maximum(codes, 0), codes >= 0
    lost = {reason: is_known & is_wrong for reason, is_wrong in wrong(values, claimed, _ALLOWED.at(places)).items()}
    # A stage that we timed ourselves is below zero where a clock went back.
    is_timed = _IS_LATENCY[places]
    lost[Refusal.CLOCK_BACKWARDS] = lost[Refusal.NEGATIVE] & is_timed
    lost[Refusal.NEGATIVE] &= ~is_timed
    for code in np.unique(codes[codes <= _REFUSED]).tolist():
        lost[_REASON_OF[code]] = lost.get(_REASON_OF[code], False) | (codes == code)
    return lost


def _numbers(values: list[Any], codes: Integers) -> Floats:
    """The values as floats; where one is no number, its code says so from now on."""
    try:
        found = np.array(values)
    except Exception:  # Lists of several lengths, or a tensor that makes no array of itself.
        found = np.array(None)
    # Neither text that looks like a number, nor lists of one length.
    if found.ndim == 1 and found.dtype.kind in "biuf":
        return found.astype(np.float64)
    are_numbers = np.fromiter((each is None or is_number(each) for each in values), np.bool_)
    codes[~are_numbers & (codes >= 0)] = _NO_NUMBER
    return np.fromiter((as_float(each) for each in values), np.float64, len(values))


def _column(name: str, sums: Floats, is_told: Flags) -> pl.Series:
    dtype = TURN_COLUMNS[name]
    if dtype == pl.Float64():
        ms = sums * 1_000 if name in LATENCIES.values() else sums
        return pl.Series(np.where(is_told, ms, np.nan)).fill_nan(None)
    values = pl.Series(sums > 0) if dtype == pl.Boolean() else pl.Series(np.rint(sums).astype(np.int64))
    if dtype == pl.Int64() or name in _KNOWN_OF_EVERY_TURN:
        return values
    return values.set(pl.Series(~is_told), None)
