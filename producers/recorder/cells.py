"""The dimensions of observations, judged once for each combination and not once for each row.

A host uses a few combinations of dimension values and records thousands of turns with each. What a row carries is its
place among them. A value that its dimension does not allow refuses the row; a name that is no dimension is dropped; an
identifying dimension of which nothing is known is `*`. All of that is counted by whoever asks.
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
from schemas.dimensions import DIMENSIONS, GENERALISED, SLUG
from schemas.families import FAMILIES
from schemas.refusals import Refusal

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
    """Each row's place in `cells`, -1 where it is refused, and what was refused by reason."""

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
    return isinstance(value, str) and re.fullmatch(DIMENSIONS[dimension].full_pattern, value) is not None


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
        unknown = sum(self._unknown[place] for place in places[places >= 0].tolist()) if any(self._unknown) else 0
        return Placed(
            np.where(places >= 0, places, -1),
            pl.DataFrame(self._cells, schema=dict.fromkeys(self._texts, pl.String()), orient="row"),
            Counter({Refusal.OUTSIDE_VOCABULARY: int(np.count_nonzero(places < 0))}),
            Counter({Refusal.UNKNOWN_FIELD: unknown}),
        )

    def _judged(self, defaults: Defaults, given: dict[str, Any]) -> int:
        """The place of a combination that is new, -1 where a value of it is not allowed."""
        values = {**defaults.values, **given}
        if self._pseudonym is not None and isinstance(tenant := values.get("tenant"), str):
            values["tenant"] = tenant if is_allowed("tenant", tenant) else self._pseudonym(tenant)
        cell = tuple(values.get(name, text.unsaid) for name, text in self._texts.items())
        if not all(_fits(text, value) for text, value in zip(self._texts.values(), cell, strict=True)):
            return -1
        self._cells.append(cell)
        self._unknown.append(sum(name not in self._known_names for name in values))
        return len(self._cells) - 1

    def forget(self) -> None:
        """Judges all combinations anew: keys of tenants may have changed."""
        self._place_of: dict[tuple[object, ...], int] = {}
        self._cells: list[tuple[Any, ...]] = []
        self._unknown: list[int] = []


def _text(kind: str, name: str, host: str) -> Text:
    if name in DIMENSIONS:
        unsaid = GENERALISED if DIMENSIONS[name].is_identifying else None
        return Text(re.compile(DIMENSIONS[name].full_pattern), unsaid)
    if name == "host":
        return Text(re.compile(SLUG), host)
    vocabulary = next(key.vocabulary for key in FAMILIES[kind].keys if key.name == name)
    return Text(re.compile("|".join(map(re.escape, vocabulary))), None)


def _fits(text: Text, value: object) -> bool:
    return isinstance(value, str) and text.allowed.fullmatch(value) is not None
