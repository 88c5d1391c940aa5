"""From single observations of the other kinds (changes of streams, duplex events, samples) to their columns.

An observation is a list: session, defaults, values by name, and the instant. The values are dimensions and columns of the
kind, told apart by name. What is dropped and what refused is as it is for turns.
"""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from producers.observation_batches import OBSERVATIONS
from producers.queues import GAUGES
from producers.recorder.cells import Cells, Placed
from producers.recorder.clock import EventTime
from producers.recorder.sessions import Keys, is_nobody, require_names
from producers.recorder.turn_columns import VALUE_MAX, Columned, refused_of
from producers.refusing import LIST_LENGTH_MAX
from schemas.families import QUEUES
from schemas.misplaced import numbers_in
from schemas.refusals import Refusal

INSTANT = "at_ms"
MAY_BE_NEGATIVE = frozenset({"safety_lead_ms"})
NEEDS_SESSION = frozenset({"streams", "quality"})
"""An engine's sample and an idle replica's cost have none."""


def value_names(kind: str) -> tuple[str, ...]:
    """Columns that the host tells besides text: claims and numbers."""
    return tuple(
        name for name, dtype in OBSERVATIONS[kind].items() if dtype != pl.String() and name not in (INSTANT, "session")
    )


def misplaced_values(kind: str, told: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What stands where the kind declares something of another type: text for a number, a list for one number."""
    return [
        (name, value)
        for name in (INSTANT, *value_names(kind))
        if (value := told.get(name)) is not None and not _is_of(value, OBSERVATIONS[kind][name])
    ]


def _is_of(value: object, dtype: pl.DataType) -> bool:
    if isinstance(dtype, pl.List):
        return isinstance(value, list | tuple) and all(isinstance(each, float | int) for each in value)
    return hasattr(value, "__float__") and numbers_in(value) <= 1


_PARTS = {measure.name: measure.part_of for measure in QUEUES.measures if measure.merge == "gauge" and measure.part_of}
"""Gauges that are parts, and of which: where a part cannot be nothing is said of its whole, for 0 of 100 would be a full 100 free."""
_VALUES = frozenset(name for kind in OBSERVATIONS for name in value_names(kind))


def event_columns(
    kind: str, rows: Sequence[list[Any]], sessions: Keys, cells: Cells, event_time: EventTime
) -> tuple[Columned, pl.Series]:
    """The columns, and the sessions to choose collectors by, null where there is none. Raises as `turn_columns` does."""
    is_sample = kind == QUEUES.name
    unknown = {at: why for at, row in enumerate(rows) if is_sample and (why := _why_no_sample(row[2]))}
    refused = sum((refused_of([rows[at]], why) for at, why in unknown.items()), Counter[tuple[str, Refusal]]())
    rows = [row for at, row in enumerate(rows) if at not in unknown]
    needs_session = kind in NEEDS_SESSION
    named = [row for row in rows if not needs_session or not is_nobody(row[0])]
    placed = cells.place([(row[1], _texts(row[2])) for row in named])
    # The end of a stream takes the dimensions of its start.
    is_end = np.array([kind == "streams" and row[2].get("is_start") is False for row in named], np.bool_)
    kept = np.flatnonzero((placed.places >= 0) | is_end)
    sound = [named[place] for place in kept.tolist()]
    lost = placed.lost_values
    columns = {INSTANT: _instants(sound, event_time, lost)}
    columns |= _gathered(placed, kept)
    columns |= {
        name: _values(name, OBSERVATIONS[kind][name], [row[2].get(name) for row in sound], lost)
        for name in value_names(kind)
    }
    for part, whole in _PARTS.items() if is_sample else ():
        is_told = pl.Series([row[2].get(part) is not None for row in sound], dtype=pl.Boolean)
        columns[whole] = columns[whole].set(is_told & columns[part].is_null(), None)
    hashes = pl.Series(_hash_each(sound, sessions), dtype=pl.UInt64)
    if "session" in OBSERVATIONS[kind]:
        columns["session"] = hashes
    nobody = [row for row in rows if needs_session and is_nobody(row[0])]
    refused += placed.refused(but=is_end) + refused_of(nobody, Refusal.NO_SESSION)
    return Columned(pl.DataFrame(columns).select(list(OBSERVATIONS[kind])), refused, lost), hashes


def _why_no_sample(values: Mapping[str, Any]) -> Refusal | None:
    """Why an engine's sample says of a gauge what cannot be. Without the value it would say that there are none."""
    gauges = [values.get(name) for name in GAUGES if name not in _PARTS]
    numbers = [float(value) for value in gauges if value is not None and _is_of(value, pl.Int64())]
    if not all(map(math.isfinite, numbers)):
        return Refusal.NOT_FINITE
    return Refusal.NEGATIVE if any(number < 0 for number in numbers) else None


def _hash_each(rows: list[list[Any]], sessions: Keys) -> list[int | None]:
    named = [row[0] for row in rows if not is_nobody(row[0])]
    require_names(named)
    hashes = iter(sessions.of(named).tolist())
    return [None if is_nobody(row[0]) else next(hashes) for row in rows]


def _texts(values: dict[str, Any]) -> dict[str, Any]:
    """What tells combinations apart, or is of no known name; a claim or a number does not."""
    return {name: value for name, value in values.items() if name not in _VALUES and name != INSTANT}


def _instants(rows: list[list[Any]], event_time: EventTime, lost: Counter[Refusal]) -> pl.Series:
    """Now, or the `at_ms` that was told: a label tells of a call of yesterday."""
    now_ms, repaired = event_time.event_ms(np.array([row[3] for row in rows], np.float64))
    lost[Refusal.CLOCK_BACKWARDS] += repaired
    told = [row[2].get(INSTANT) for row in rows]
    return pl.Series(
        [now if at is None else operator.index(at) for now, at in zip(now_ms.tolist(), told, strict=True)],
        dtype=pl.Int64(),
    )


def _gathered(placed: Placed, kept: NDArray[np.int64]) -> dict[str, pl.Series]:
    """The text of each row; null in the end of a stream that says nothing."""
    places = placed.places[kept]
    at = pl.Series(places, dtype=pl.Int64()).set(pl.Series(places < 0), None)
    return {series.name: series.gather(at) for series in placed.cells}


def _values(name: str, dtype: pl.DataType, told: list[Any], lost: Counter[Refusal]) -> pl.Series:
    """One column; raises where a value is of another type, so that its row is found and dropped."""
    if dtype == pl.Boolean():
        return pl.Series(told, dtype=dtype, strict=True)
    if isinstance(dtype, pl.List):
        return pl.Series([None if each is None else _sound(each, lost) for each in told], dtype=dtype)
    if any(isinstance(each, str | bytes) for each in told):
        raise TypeError("text is no number, whatever it looks like")
    values = np.array([np.nan if each is None else each for each in told], np.float64)
    if values.ndim > 1:
        raise TypeError("a list is no number, also where there are only lists")
    is_finite, is_negative = np.isfinite(values), (values < 0) & (name not in MAY_BE_NEGATIVE)
    is_large = np.abs(values) > VALUE_MAX
    lost[Refusal.NOT_FINITE] += int(np.count_nonzero(~is_finite)) - told.count(None)
    lost[Refusal.NEGATIVE] += int(np.count_nonzero(is_finite & is_negative))
    lost[Refusal.TOO_LARGE] += int(np.count_nonzero(is_finite & is_large & ~is_negative))
    sound = pl.Series(np.where(is_finite & ~is_negative & ~is_large, values, np.nan)).fill_nan(None)
    return sound.round().cast(dtype) if dtype.is_integer() else sound


def _sound(numbers: Sequence[float], lost: Counter[Refusal]) -> list[float] | None:
    """The numbers that may be counted; none of a list as long as those that models make."""
    if len(numbers) > LIST_LENGTH_MAX:
        lost[Refusal.EMBEDDING] += 1
        return None
    values = np.array(numbers, np.float64)
    if values.ndim > 1:
        raise TypeError("lists are no numbers")
    is_finite = np.isfinite(values)
    is_sound = is_finite & (values >= 0)
    lost[Refusal.NOT_FINITE] += int(np.count_nonzero(~is_finite))
    lost[Refusal.NEGATIVE] += int(np.count_nonzero(is_finite & ~is_sound))
    sound: list[float] = values[is_sound].tolist()
    return sound
