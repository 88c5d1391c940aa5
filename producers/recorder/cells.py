"""The dimensions of observations, judged once for each combination and not once for each row.

A host uses a few combinations of dimension values and records thousands of turns with each. What a row carries is its
place among them. A value that its dimension does not allow, or that may not leave the host, refuses the row; a name that
is no dimension is dropped; an identifying dimension of which nothing is known is `*`. All of that is counted by whoever asks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from producers.observation_batches import OBSERVATIONS
from producers.refusing import HOST, reasons_in
from schemas.content_fields import is_content_field
from schemas.dimensions import DIMENSIONS, GENERALISED, SLUG
from schemas.families import FAMILIES
from schemas.refusals import Refusal

_REASONS = {-1 - place: reason for place, reason in enumerate(Refusal)}
"""Places of combinations that are refused."""

CELLS_MAX = 10_000
"""Combinations that are remembered; beyond, all are judged anew."""


@dataclass(frozen=True, slots=True, eq=False)  # One object each: compared and hashed as such, for every turn.
class Defaults:
    """Dimension values of everything that a recorder is told, unless it is told others."""

    values: Mapping[str, str] = field(default_factory=dict)

    def changed(self, dimensions: Mapping[str, str]) -> Defaults:
        return Defaults(MappingProxyType({**self.values, **dimensions}))


@dataclass(frozen=True, slots=True)
class Placed:
    """Each row's place in `cells`, below 0 where it is refused, and what was refused by reason."""

    places: NDArray[np.int64]
    cells: pl.DataFrame
    refused: Counter[Refusal]
    lost_values: Counter[Refusal]


@dataclass(frozen=True, slots=True)
class Text:
    """What a column of text allows, and its value where nothing is said."""

    allowed: re.Pattern[str]
    unsaid: str | None


def texts_of(kind: str, host: str) -> dict[str, Text]:
    """The columns of text of a kind of observation: dimensions, keys with a vocabulary, and which host it was."""
    return {name: _text(kind, name, host) for name, dtype in OBSERVATIONS[kind].items() if dtype == pl.String()}


def is_allowed(dimension: str, value: object) -> bool:
    return isinstance(value, str) and not reasons_in(dimension, [value])


def refused_of(places: NDArray[np.int64]) -> Counter[Refusal]:
    """Why those of the places that are none were refused."""
    return Counter(_REASONS[place] for place in places[places < 0].tolist())


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
        self._known_names = frozenset((*texts, *DIMENSIONS, *also_allowed))
        self.forget()

    def place(self, told: list[tuple[Defaults, dict[str, Any]]]) -> Placed:
        """Raises `TypeError` where a value is nothing that could be a dimension's, such as a list."""
        if len(self._place_of) > CELLS_MAX:
            self.forget()
        known, place_of = self._place_of, self._place_of.get
        keys = [(defaults, *given.items()) for defaults, given in told]
        places = np.empty(len(keys), np.int64)
        for row, key in enumerate(keys):
            place = place_of(key)
            places[row] = place if place is not None else known.setdefault(key, self._judged(*told[row]))
        unknown = _times(self._unknown, places[places >= 0]) if any(self._unknown) else Counter()
        return Placed(
            places,
            pl.DataFrame(self._cells, schema=dict.fromkeys(self._texts, pl.String()), orient="row"),
            refused_of(places),
            unknown,
        )

    def _judged(self, defaults: Defaults, given: dict[str, Any]) -> int:
        """The place of a combination that is new, below 0 where a value of it is not allowed: `_REASONS` says why."""
        values = {**defaults.values, **given}
        if self._pseudonym is not None and isinstance(tenant := values.get("tenant"), str):
            values["tenant"] = tenant if is_allowed("tenant", tenant) else self._pseudonym(tenant)
        cell = tuple(values.get(name, text.unsaid) for name, text in self._texts.items())
        wrong = {_refusal(name, text, value) for (name, text), value in zip(self._texts.items(), cell, strict=True)}
        if wrong != {None}:
            return max(place for place, reason in _REASONS.items() if reason in wrong)  # The first in order.
        self._cells.append(cell)
        self._unknown.append(Counter(_dropped(name) for name in values if name not in self._known_names))
        return len(self._cells) - 1

    def forget(self) -> None:
        """Judges all combinations anew: keys of tenants may have changed."""
        self._place_of: dict[tuple[object, ...], int] = {}
        self._cells: list[tuple[Any, ...]] = []
        self._unknown: list[Counter[Refusal]] = []


def _text(kind: str, name: str, host: str) -> Text:
    if name in DIMENSIONS:
        unsaid = GENERALISED if DIMENSIONS[name].is_identifying else None
        return Text(re.compile(DIMENSIONS[name].full_pattern), unsaid)
    if name == "host":
        return Text(re.compile(SLUG), host)
    vocabulary = next(key.vocabulary for key in FAMILIES[kind].keys if key.name == name)
    return Text(re.compile("|".join(map(re.escape, vocabulary))), None)


def _refusal(name: str, text: Text, value: object) -> Refusal | None:
    """Why a value may not stand in a column of text, if so; it is looked at once for each combination."""
    if not isinstance(value, str):
        return Refusal.OUTSIDE_VOCABULARY
    private = reasons_in(name, [value]) if name in DIMENSIONS or name == HOST else {}
    return private.get(value) or (None if text.allowed.fullmatch(value) else Refusal.OUTSIDE_VOCABULARY)


def _dropped(name: object) -> Refusal:
    return Refusal.CONTENT_FIELD if is_content_field(str(name)) else Refusal.UNKNOWN_FIELD


def _times(unknown: list[Counter[Refusal]], places: NDArray[np.int64]) -> Counter[Refusal]:
    """What was dropped of all rows, each of which is one of the combinations."""
    total: Counter[Refusal] = Counter()
    for place, times in enumerate(np.bincount(places, minlength=len(unknown)).tolist()):
        for reason, count in unknown[place].items():
            total[reason] += count * times
    return total
