"""The dimensions of observations, judged once for each combination and not once for each row.

A host uses a few combinations of dimension values and records thousands of turns with each. What a row carries is its
place among them. A value that its dimension does not allow refuses the row; a name that is no dimension is dropped; an
identifying dimension of which nothing is known is `*`. All of that is counted by whoever asks. `None` is not known: it is no
value of an identifying dimension, whatever the defaults say, and leaves the default of any other as it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from producers.observation_batches import OBSERVATIONS
from producers.refusing import HOST, POOLS, is_blank, known_pool, reasons_in
from producers.refusing_attributes import dropped_as
from schemas.dimensions import DIMENSIONS, GENERALISED, SLUG
from schemas.families import FAMILIES
from schemas.misplaced import misplaced
from schemas.private_values import private_reasons
from schemas.refusals import Refusal

_REASONS = tuple(Refusal)
Refusals = Counter[tuple[str, Refusal]]
"""How many observations were refused, or fields dropped, by pool and reason."""
CELLS_MAX = 10_000
"""Combinations that are remembered; beyond, all are judged anew."""
REMEMBERED_LENGTH_MAX = 256
"""A combination with a longer text, or with anything else that may be large, is judged each time: nothing of it stays in memory."""


@dataclass(frozen=True, slots=True, eq=False)  # One object each: compared and hashed as such, for every turn.
class Defaults:
    """Dimension values of everything that a recorder is told, unless it is told others."""

    values: Mapping[str, str] = field(default_factory=dict)

    def changed(self, dimensions: Mapping[str, str | None]) -> Defaults:
        """Of what is `None` nothing is known from then on."""
        values = {**self.values, **dimensions}
        return Defaults(MappingProxyType({name: value for name, value in values.items() if value is not None}))


@dataclass(frozen=True, slots=True)
class Placed:
    """Each row's place in `cells`, below zero where it is refused (`_place_of_refused`), and undeclared fields that were dropped."""

    places: NDArray[np.int64]
    cells: pl.DataFrame
    dropped: Refusals

    def refused(self, but: NDArray[np.bool_] | None = None) -> Refusals:
        """How many rows are refused, by pool and reason; those marked in `but` are not."""
        is_refused = self.places < 0 if but is None else (self.places < 0) & ~but
        codes, counts = np.unique(-1 - self.places[is_refused], return_counts=True)
        found = zip(*np.divmod(codes, len(POOLS)), counts, strict=True)
        return Counter({(POOLS[pool], _REASONS[rank]): int(count) for rank, pool, count in found})


@dataclass(frozen=True, slots=True)
class Text:
    """What a column of text allows, and its value where nothing is said."""

    allowed: re.Pattern[str]
    unsaid: str | None


def texts_of(kind: str, host: str) -> dict[str, Text]:
    """The columns of text of a kind of observation: dimensions, keys with a vocabulary, and which host it was."""
    return {name: _text(kind, name, host) for name, dtype in OBSERVATIONS[kind].items() if dtype == pl.String()}


@dataclass(frozen=True, slots=True)
class Misplaced:
    """Stands for a value that nothing can be looked up by, such as a list: of it only what it was is kept."""

    declared: Refusal
    undeclared: Refusal


def reasons_of_fields(fields: Sequence[tuple[object, object]]) -> list[Refusal]:
    """What fields that nobody declared are counted as: by their names, else by what they hold."""
    private = private_reasons({value for _, value in fields if type(value) is str})
    return [
        value.undeclared
        if isinstance(value, Misplaced)
        else dropped_as(name if isinstance(name, str) else "", value, private)
        for name, value in fields
    ]


def counted_in(pools: NDArray[np.object_], places: NDArray[np.int64], reason: Refusal) -> Refusals:
    """So many of one reason as there are places, by the pool at each."""
    told, counts = np.unique(pools[places], return_counts=True)
    return Counter({(str(pool), reason): int(count) for pool, count in zip(told, counts, strict=True)})


def is_allowed(dimension: str, value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(DIMENSIONS[dimension].full_pattern, value) is not None


def pool_told(defaults: Defaults, given: Mapping[str, Any]) -> str:
    """The pool that an observation is refused in; the first of the vocabulary where it says none that there is."""
    told = given.get("pool")
    pool = defaults.values.get("pool") if told is None else told
    return known_pool(pool)


def _place_of_refused(rank: int, pool: str) -> int:
    return -1 - (rank * len(POOLS) + POOLS.index(pool))


class Cells:
    """The combinations of one kind of observation; `also_allowed` are names besides that somebody else reads.

    With a `pseudonym` a tenant may be told by its name, which stays here.
    """

    def __init__(
        self,
        texts: Mapping[str, Text],
        also_allowed: Iterable[str] = (),
        pseudonym: Callable[[str], str] | None = None,
    ) -> None:
        self._texts, self._pseudonym = texts, pseudonym
        self._told_names = frozenset((*texts, *also_allowed))
        self._default_names = self._told_names | frozenset(DIMENSIONS)  # Defaults are for all kinds.
        self.forget()

    def place(self, told: list[tuple[Defaults, dict[str, Any]]]) -> Placed:
        """Where each combination stands among the cells, or why it is refused."""
        if max(len(self._place_of), len(self._cells)) > CELLS_MAX:
            self.forget()
        try:
            return self._place(told)
        except TypeError:  # A value is a list, or something else that has no hash.
            return self._place([(defaults, _hashable(given)) for defaults, given in told])

    def _place(self, told: list[tuple[Defaults, dict[str, Any]]]) -> Placed:
        known = self._place_of
        keys: list[tuple[Any, ...]] = [(defaults, *given.items()) for defaults, given in told]
        fresh = {key: row for row, key in enumerate(keys) if key not in known}
        if fresh:
            self._judge(list(fresh), [told[row] for row in fresh.values()])
        places = np.fromiter(map(known.__getitem__, keys), np.int64, len(keys))
        placed = Placed(
            places,
            pl.DataFrame(self._cells, schema=dict.fromkeys(self._texts, pl.String()), orient="row"),
            sum((self._undeclared[key] for key in keys if key in self._undeclared), Counter()),
        )
        for key in fresh:
            if not all(_is_small(name) and _is_small(value) for name, value in key[1:]):
                del known[key]
                self._undeclared.pop(key, None)
        return placed

    def _judge(self, keys: list[tuple[object, ...]], told: list[tuple[Defaults, dict[str, Any]]]) -> None:
        """Gives each combination its place; below zero the reason that refuses it, the first that its values break."""
        cells = [self._cell(defaults, given) for defaults, given in told]
        broken = [
            _reasons(name, text, column)
            for (name, text), column in zip(self._texts.items(), zip(*cells, strict=True), strict=True)
        ]
        for key, counts in self._counts_of_undeclared(keys, told):
            self._undeclared[key] = counts
        for key, cell, (defaults, given), reasons in zip(keys, cells, told, zip(*broken, strict=True), strict=True):
            rank = min((_REASONS.index(reason) for reason in reasons if reason), default=None)
            pool = pool_told(defaults, given)
            self._place_of[key] = len(self._cells) if rank is None else _place_of_refused(rank, pool)
            if rank is None:
                self._cells.append(cell)

    def _counts_of_undeclared(
        self, keys: list[tuple[object, ...]], told: list[tuple[Defaults, dict[str, Any]]]
    ) -> Iterator[tuple[tuple[object, ...], Refusals]]:
        """What each combination has besides, all judged at once."""
        fields = [
            [
                (name, value)
                for values, known in ((defaults.values, self._default_names), (given, self._told_names))
                for name, value in values.items()
                if name not in known and value is not None
            ]
            for defaults, given in told
        ]
        reasons = iter(reasons_of_fields([field for of_key in fields for field in of_key]))
        pools = (pool_told(defaults, given) for defaults, given in told)
        for key, of_key, pool in zip(keys, fields, pools, strict=True):
            if of_key:
                yield key, Counter((pool, reason) for reason in islice(reasons, len(of_key)))

    def _cell(self, defaults: Defaults, given: Mapping[str, Any]) -> tuple[Any, ...]:
        values = {name: self._value(name, text, defaults.values, given) for name, text in self._texts.items()}
        if self._pseudonym is not None and isinstance(tenant := values.get("tenant"), str):
            # What is blank is nobody's name: it stays what it is, and is refused.
            is_told = is_blank(tenant) or is_allowed("tenant", tenant)
            values["tenant"] = tenant if is_told else self._pseudonym(tenant)
        return tuple(values.values())

    def _value(self, name: str, text: Text, defaults: Mapping[str, str], given: Mapping[str, Any]) -> Any:
        """What is given, else what nobody's knowledge is called, else the default; a default is only hidden by a value."""
        value = given.get(name)
        if value is None and (name not in given or text.unsaid is None):
            value = defaults.get(name)
        return text.unsaid if value is None else value

    def forget(self) -> None:
        """Judges all combinations anew: keys of tenants may have changed."""
        self._place_of: dict[tuple[object, ...], int] = {}
        self._cells: list[tuple[Any, ...]] = []
        self._undeclared: dict[tuple[object, ...], Refusals] = {}


def _text(kind: str, name: str, host: str) -> Text:
    if name in DIMENSIONS:
        unsaid = GENERALISED if DIMENSIONS[name].is_identifying else None
        return Text(re.compile(DIMENSIONS[name].full_pattern), unsaid)
    if name == HOST:
        return Text(re.compile(SLUG), host)
    vocabulary = next(key.vocabulary for key in FAMILIES[kind].keys if key.name == name)
    return Text(re.compile("|".join(map(re.escape, vocabulary))), None)


def _reasons(name: str, text: Text, values: tuple[Any, ...]) -> list[Refusal | None]:
    """Why each value may not stand in this column; none where it may."""
    distinct = {value for value in values if isinstance(value, str)}
    private = reasons_in(name, distinct) if name in DIMENSIONS or name == HOST else {}
    outside = {value: Refusal.OUTSIDE_VOCABULARY for value in distinct if not text.allowed.fullmatch(value)}
    reasons = outside | private
    return [reasons.get(value) if isinstance(value, str) else _reason_of_no_text(value) for value in values]


def _reason_of_no_text(value: object) -> Refusal:
    """Why what is no text is no dimension. Nothing at all, where something has to be said, is outside of its vocabulary."""
    if isinstance(value, Misplaced):
        return value.declared
    return Refusal.OUTSIDE_VOCABULARY if value is None else misplaced([value])[0]


def _is_small(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= REMEMBERED_LENGTH_MAX
    return value is None or type(value) in (bool, int, float, Misplaced)


def _hashable(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value if _has_hash(value) else _misplaced(name, value) for name, value in given.items()}


def _has_hash(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _misplaced(name: str, value: object) -> Misplaced:
    return Misplaced(misplaced([value])[0], dropped_as(name, value, {}))
