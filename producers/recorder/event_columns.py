"""From single observations of the other kinds (changes of streams, duplex events, samples) to their columns.

An observation is a list: session, defaults, values by name, and the instant. The values are dimensions and columns of the
kind, told apart by name. What is dropped and what refused is as it is for turns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from producers.observation_batches import OBSERVATIONS
from producers.queues import PARTS, WHOLE_GAUGES
from producers.recorder.amounts import (
    Allowed,
    allowed_in,
    are_claims,
    as_float,
    is_list_of_numbers,
    is_number,
    wrong,
)
from producers.recorder.cells import Cells, Placed, counted_in
from producers.recorder.clock import EventTime
from producers.recorder.sessions import Keys, is_nobody, require_names
from producers.recorder.turn_columns import Columned, refused_of
from producers.refusing import LIST_LENGTH_MAX, known_pools
from schemas.arrays import Floats, Integers
from schemas.families import QUEUES
from schemas.refusals import Refusal, first_of

INSTANT = "at_ms"
NEEDS_SESSION = frozenset({"streams", "quality"})
"""An engine's sample and an idle replica's cost have none."""


def value_names(kind: str) -> tuple[str, ...]:
    """Columns that the host tells besides text: claims and numbers."""
    return tuple(
        name for name, dtype in OBSERVATIONS[kind].items() if dtype != pl.String() and name not in (INSTANT, "session")
    )


def misplaced_values(kind: str, told: Sequence[Mapping[str, Any]]) -> list[list[tuple[str, Any]]]:
    """Of each observation what stands where the kind declares something of another type: text for a number, a list for one number."""
    found: list[list[tuple[str, Any]]] = [[] for _ in told]
    for name in (INSTANT, *value_names(kind)):
        given = [(at, value) for at, values in enumerate(told) if (value := values.get(name)) is not None]
        for (at, value), fits in zip(given, _are_of(kind, name, [value for _, value in given]), strict=True):
            if not fits:
                found[at].append((name, value))
    return found


def _are_of(kind: str, name: str, values: list[Any]) -> list[bool]:
    """Which of the values are what the column takes; what cannot be counted all the same, such as NaN, is."""
    if isinstance(OBSERVATIONS[kind][name], pl.List):
        return [is_list_of_numbers(value) for value in values]
    numbers = np.array([as_float(value) for value in values], np.float64)
    is_wrong = wrong(numbers, are_claims(values), _allowed(kind, name))[Refusal.MALFORMED].tolist()
    return [is_number(value) and not misplaced for value, misplaced in zip(values, is_wrong, strict=True)]


@cache
def _allowed(kind: str, name: str) -> Allowed:
    return allowed_in(kind, [name])


Lost = dict[Refusal, Integers]
"""At which rows a value was dropped, by reason."""
_VALUES = frozenset(name for kind in OBSERVATIONS for name in value_names(kind))


def event_columns(
    kind: str, rows: Sequence[list[Any]], sessions: Keys, cells: Cells, event_time: EventTime
) -> tuple[Columned, pl.Series]:
    """The columns, and the sessions to choose collectors by, null where there is none. Raises as `turn_columns` does, and where
    a value is of another type than its column."""
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
    instants, repaired = _instants(sound, event_time)
    texts = _gathered(placed, kept)
    columns, lost = {INSTANT: instants, **texts}, placed.dropped
    pools = known_pools(pl.DataFrame(texts)).to_numpy()
    for name in value_names(kind):
        columns[name], places_of = _values(kind, name, [row[2].get(name) for row in sound])
        for reason, places in places_of.items():
            lost = lost + counted_in(pools, places, reason)
    for part, whole in PARTS.items() if is_sample else ():
        is_told = pl.Series([part in row[2] for row in sound], dtype=pl.Boolean)
        columns[whole] = columns[whole].set(is_told & columns[part].is_null(), None)
    hashes = pl.Series(_hash_each(sound, sessions), dtype=pl.UInt64)
    if "session" in OBSERVATIONS[kind]:
        columns["session"] = hashes
    nobody = [row for row in rows if needs_session and is_nobody(row[0])]
    refused += placed.refused(but=is_end) + refused_of(nobody, Refusal.NO_SESSION)
    return Columned(pl.DataFrame(columns).select(list(OBSERVATIONS[kind])), refused, lost, repaired), hashes


def _why_no_sample(values: Mapping[str, Any]) -> Refusal | None:
    """Why an engine's sample says of a gauge what cannot be, or that it is not known. Without the value it would say that there are
    none."""
    gauges = [values[name] for name in WHOLE_GAUGES if name in values]
    if any(value is None for value in gauges):
        return Refusal.MALFORMED
    if not all(map(is_number, gauges)):
        return None  # What it is instead is told of the whole observation.
    why = wrong(np.array([as_float(value) for value in gauges]), are_claims(gauges), _allowed(QUEUES.name, "depth"))
    return first_of(reason for reason, found in why.items() if found.any())


def _hash_each(rows: list[list[Any]], sessions: Keys) -> list[int | None]:
    named = [row[0] for row in rows if not is_nobody(row[0])]
    require_names(named)
    hashes = iter(sessions.of(named).tolist())
    return [None if is_nobody(row[0]) else next(hashes) for row in rows]


def _texts(values: dict[str, Any]) -> dict[str, Any]:
    """What tells combinations apart, or is of no known name; a claim or a number does not."""
    return {name: value for name, value in values.items() if name not in _VALUES and name != INSTANT}


def _instants(rows: list[list[Any]], event_time: EventTime) -> tuple[pl.Series, int]:
    """Now, or the `at_ms` that was told: a label tells of a call of yesterday. And how often the clock had to be put right."""
    now_ms, repaired = event_time.event_ms(np.array([row[3] for row in rows], np.float64))
    told = [row[2].get(INSTANT) for row in rows]
    at_ms = [now if at is None else _whole(at) for now, at in zip(now_ms.tolist(), told, strict=True)]
    return pl.Series(at_ms, dtype=pl.Int64()), repaired


def _whole(at: Any) -> int:
    """An instant as it was told; raises where it is no whole number."""
    if isinstance(at, bool | np.bool_) or at != int(at):
        raise TypeError("an instant is a whole number of milliseconds")
    return int(at)


def _gathered(placed: Placed, kept: NDArray[np.int64]) -> dict[str, pl.Series]:
    """The text of each row; null in the end of a stream that says nothing."""
    places = placed.places[kept]
    at = pl.Series(places, dtype=pl.Int64()).set(pl.Series(places < 0), None)
    return {series.name: series.gather(at) for series in placed.cells}


def _values(kind: str, name: str, told: list[Any]) -> tuple[pl.Series, Lost]:
    """One column, without what cannot be; raises where a value is of another type, so that its row is found and dropped."""
    dtype = OBSERVATIONS[kind][name]
    if dtype == pl.Boolean():
        return pl.Series(told, dtype=dtype, strict=True), {}
    if isinstance(dtype, pl.List):
        return _lists(kind, name, told)
    if any(isinstance(each, str | bytes) for each in told):
        raise TypeError("text is no number, whatever it looks like")
    places = np.flatnonzero([each is not None for each in told])
    numbers = [told[at] for at in places.tolist()]
    sound, lost = _sound(np.array(numbers, np.float64), numbers, places, _allowed(kind, name))
    values = np.full(len(told), np.nan)
    values[places] = np.rint(sound) if dtype.is_integer() else sound
    return pl.Series(values).fill_nan(None).cast(dtype), lost


def _lists(kind: str, name: str, told: list[Any]) -> tuple[pl.Series, Lost]:
    """The same of lists, each without the numbers that cannot be; of one as long as those that models make nothing is kept."""
    is_long = [each is not None and len(each) > LIST_LENGTH_MAX for each in told]
    lists = [None if each is None or long else each for each, long in zip(told, is_long, strict=True)]
    if not all(each is None or is_list_of_numbers(each) for each in lists):
        raise TypeError("a list of numbers holds nothing else")
    lengths = [0 if each is None else len(each) for each in lists]
    numbers = list(chain.from_iterable(each for each in lists if each is not None))
    places = np.repeat(np.arange(len(told)), np.array(lengths, np.int64))
    sound, lost = _sound(np.array(numbers, np.float64), numbers, places, _allowed(kind, name))
    parts = np.split(sound, np.cumsum(lengths)[:-1]) if lists else []
    kept = [None if each is None else part[~np.isnan(part)].tolist() for each, part in zip(lists, parts, strict=True)]
    return pl.Series(kept, dtype=OBSERVATIONS[kind][name]), lost | {Refusal.EMBEDDING: np.flatnonzero(is_long)}


def _sound(values: Floats, numbers: list[Any], places: Integers, allowed: Allowed) -> tuple[Floats, Lost]:
    """The values with NaN instead of what cannot be; raises where that is of another type."""
    if values.ndim > 1:
        raise TypeError("a list is no number, also where there are only lists")
    why = wrong(values, are_claims(numbers), allowed)
    if why.pop(Refusal.MALFORMED).any():
        raise TypeError("a claim is no number, and half of anything no count")
    is_lost = np.logical_or.reduce(list(why.values()))
    return np.where(is_lost, np.nan, values), {reason: places[is_wrong] for reason, is_wrong in why.items()}
