"""From the lists that turns left behind to the columns of kind `turns`, many turns at once.

What is no number, below zero, or of no known name is dropped and counted, and the turn goes on without it. A turn without
a session, or with a dimension's value that is not allowed, is refused. A stage that was timed twice, and an amount that
was noted twice, add up.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from producers.observations import LATENCIES, TURN_COLUMNS, TURN_DIMENSIONS
from producers.recorder.cells import Cells, Refusals, pool_told, reasons_of_fields
from producers.recorder.clock import EventTime
from producers.recorder.sessions import Keys, is_nobody, require_names
from producers.recorder.turns import HEAD, STEP, TAIL
from schemas.arrays import Flags, Floats
from schemas.misplaced import misplaced, numbers_in
from schemas.refusals import Refusal

VALUES_MAX = 256
"""Things told of one turn; what comes after them is dropped, counted."""
VALUE_MAX, LATENCY_S_MAX = 2.0**53, 86_400.0

FACTS = tuple(name for name in TURN_COLUMNS if name not in ("ended_at_ms", "session", *TURN_DIMENSIONS))
_PLACE = {name: place for place, name in enumerate(FACTS)}
_CODES: dict[Any, int] = {stage: _PLACE[column] for stage, column in LATENCIES.items()} | {
    name: place for name, place in _PLACE.items() if name not in LATENCIES.values()
}
_IS_LATENCY = np.array([name in LATENCIES.values() for name in FACTS])
_LARGEST = np.where(_IS_LATENCY, LATENCY_S_MAX, VALUE_MAX)
_KNOWN_OF_EVERY_TURN = {"is_error", "is_abandoned", "is_cancelled"}
"""False where nobody says otherwise; other outcomes are unknown then, and amounts are none."""

_UNKNOWN, _NO_NUMBER, _NOTHING, _REFUSED = -1, -2, -3, -4
"""Codes of what is no fact: of no such name, no number, and told as `None`; from the last one down of what is refused, by why."""
_CODE_OF = {reason: _REFUSED - rank for rank, reason in enumerate(Refusal)}
_REASON_OF = {code: reason for reason, code in _CODE_OF.items()}


@dataclass(frozen=True, slots=True)
class Columned:
    """Observations as columns, those refused by pool and reason, and single values dropped by reason."""

    rows: pl.DataFrame
    refused: Refusals
    lost_values: Counter[Refusal]


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
    facts, lost = _facts(sound, ended - began)
    columns = {
        "ended_at_ms": pl.Series(ended_at_ms),
        "session": pl.Series(sessions.of(names), dtype=pl.UInt64),
        **placed.cells[placed.places[kept]].to_dict(),
        **facts,
    }
    lost += placed.lost_values + Counter({Refusal.CLOCK_BACKWARDS: repaired})
    refused = placed.refused() + refused_of([row for row in rows if is_nobody(row[0])], Refusal.NO_SESSION)
    return Columned(pl.DataFrame(columns).select(list(TURN_COLUMNS)), refused, lost)


def refused_of(rows: Sequence[list[Any]], reason: Refusal) -> Refusals:
    """All of these observations, each in the pool that it says."""
    return Counter((pool_told(defaults, given), reason) for _, defaults, given, *_ in rows)


def _facts(rows: list[list[Any]], whole_s: Floats) -> tuple[dict[str, pl.Series], Counter[Refusal]]:
    """Every column that is neither time, session nor dimension."""
    places, values, lost = _sound_values(rows)
    size, shape = len(rows) * len(FACTS), (len(rows), len(FACTS))
    sums = np.bincount(places, values, size).astype(np.float64).reshape(shape)
    is_told = np.bincount(places, minlength=size).reshape(shape) > 0
    whole = _PLACE[LATENCIES["turn"]]
    lost[Refusal.CLOCK_BACKWARDS] += int(np.count_nonzero(whole_s < 0))
    sums[:, whole] = np.where(is_told[:, whole], sums[:, whole], np.maximum(whole_s, 0.0))
    is_told[:, whole] |= whole_s >= 0
    for name, kind in (("is_error", Exception), ("is_cancelled", CancelledError)):
        sums[:, _PLACE[name]] += [row[-1] is not None and issubclass(row[-1], kind) for row in rows]
    return {name: _column(name, sums[:, at], is_told[:, at]) for name, at in _PLACE.items()}, lost


def _sound_values(rows: list[list[Any]]) -> tuple[NDArray[np.int64], Floats, Counter[Refusal]]:
    """What may be counted of what was told: the place of each value (row by row, fact by fact), and the value."""
    end = HEAD + STEP * VALUES_MAX
    told = [row[HEAD : min(end, len(row) - TAIL)] for row in rows]
    flat = list(chain.from_iterable(told))
    counts = np.fromiter(map(len, told), np.int64, len(told)) // STEP
    codes = np.fromiter(map(_CODES.get, flat[::STEP], repeat(_UNKNOWN)), np.int64, len(flat) // STEP)
    values = _numbers(flat[1::STEP], codes)
    codes[np.fromiter((each is None for each in flat[1::STEP]), np.bool_, len(codes))] = _NOTHING
    _say_why(codes, flat[::STEP], flat[1::STEP])
    is_sound, lost = _judged(codes, values)
    lost[Refusal.TOO_LARGE] += sum(len(row) - TAIL - end for row in rows if len(row) - TAIL > end) // STEP
    return (np.repeat(np.arange(len(rows)), counts) * len(FACTS) + codes)[is_sound], values[is_sound], lost


def _say_why(codes: NDArray[np.int64], names: list[Any], values: list[Any]) -> None:
    """Says of unknown names, and of values that are no numbers, what they were."""
    unknown, misplaced_at = (np.flatnonzero(codes == code) for code in (_UNKNOWN, _NO_NUMBER))
    why = reasons_of_fields([(names[at], values[at]) for at in unknown.tolist()])
    codes[unknown] = [_CODE_OF[reason] for reason in why]
    codes[misplaced_at] = [_CODE_OF[reason] for reason in misplaced([values[at] for at in misplaced_at.tolist()])]


def _judged(codes: NDArray[np.int64], values: Floats) -> tuple[Flags, Counter[Refusal]]:
    """Which values may be counted, and how many may not, each under one reason."""
    is_known, is_finite = codes >= 0, np.isfinite(values)
    places = np.maximum(codes, 0)
    is_judged, is_negative, is_timed = is_known & is_finite, values < 0, _IS_LATENCY[places]
    is_large = values > _LARGEST[places]
    lost = {
        Refusal.NOT_FINITE: is_known & ~is_finite,
        Refusal.CLOCK_BACKWARDS: is_judged & is_negative & is_timed,
        Refusal.NEGATIVE: is_judged & is_negative & ~is_timed,
        Refusal.TOO_LARGE: is_judged & is_large,
    }
    counts = Counter({reason: int(np.count_nonzero(broken)) for reason, broken in lost.items()})
    counts.update(_REASON_OF[code] for code in codes[codes <= _REFUSED].tolist())
    return is_judged & ~is_negative & ~is_large, counts


def _numbers(values: list[Any], codes: NDArray[np.int64]) -> Floats:
    """The values as floats; where one is no number, its code says so from now on."""
    try:
        found = np.array(values)
    except Exception:  # Lists of several lengths, or a tensor that makes no array of itself.
        found = np.array(None)
    if (
        found.ndim == 1 and found.dtype.kind in "biuf"
    ):  # Neither text that looks like a number, nor lists of one length.
        return found.astype(np.float64)
    is_number = np.fromiter((each is None or _is_number(each) for each in values), np.bool_)
    codes[~is_number & (codes >= 0)] = _NO_NUMBER
    return np.fromiter((_float(each) for each in values), np.float64, len(values))


def _is_number(value: object) -> bool:
    """Whether it is one number of any type, such as an array of one; those of several have the method as well."""
    return hasattr(value, "__float__") and numbers_in(value) <= 1


def _float(value: object) -> float:
    """Any type's number, such as Decimal's; text is none."""
    try:
        return float(value) if hasattr(value, "__float__") else np.nan
    except OverflowError:
        return np.inf
    except Exception:  # Tensors of several numbers raise what they like.
        return np.nan


def _column(name: str, sums: Floats, is_told: Flags) -> pl.Series:
    dtype = TURN_COLUMNS[name]
    if dtype == pl.Float64():
        ms = sums * 1_000 if name in LATENCIES.values() else sums
        return pl.Series(np.where(is_told, ms, np.nan)).fill_nan(None)
    values = pl.Series(sums > 0) if dtype == pl.Boolean() else pl.Series(np.rint(sums).astype(np.int64))
    if dtype == pl.Int64() or name in _KNOWN_OF_EVERY_TURN:
        return values
    return values.set(pl.Series(~is_told), None)
