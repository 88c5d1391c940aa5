"""Sifting: which observations can be right. The others are refused, each once, under the first reason that it gives.

What cannot be right is a value outside of a dimension's vocabulary, or one that may not leave a host, a number that is none or is below zero, a part larger
than its whole. One row too many would cost the whole frame it is counted in, so nothing that breaks a bound of the contract
gets that far. Refusals hold counts, never values.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_

import polars as pl

from producers.refusing import WHY, reasons_in, refused_as
from schemas.families import Family
from schemas.refusals import Refusal, Refused

AMOUNT_MAX = 2**30
"""Largest count or amount of one observation; a thousand of these still fit into a row."""

_CLAIMS_AT_ONCE = 16

Rule = tuple[Refusal, pl.Expr]
"""Why an observation is refused, and what has to be true of it; unknown is not true."""


@dataclass(frozen=True, slots=True)
class Sifted:
    """Observations that may be counted. `why` has the reason of each that was given, null where it is sound; it is absent where all are.

    `broken` are others that had to hold the same `claims`, for whoever wants to know more (`columns_broken`).
    """

    sound: pl.DataFrame
    why: pl.Series | None = None
    broken: pl.DataFrame | None = None
    claims: Sequence[Rule] = ()

    @property
    def reasons(self) -> Refused:
        """How many were refused for which reason."""
        return refused_as(self.why)

    @property
    def refused(self) -> int:
        return self.reasons.total


def sift(rows: pl.DataFrame, rules: Sequence[Rule], dimensions: Sequence[str]) -> Sifted:
    """Keeps the rows of which every rule holds and whose values of these dimensions are allowed."""
    allowed = [rule for name in dimensions for rule in _allowed(rows[name], name)]
    claims = [(reason, claim.fill_null(False)) for reason, claim in (*rules, *allowed)]
    is_sound = _all_hold(rows, [claim for _, claim in claims])
    if is_sound.all():
        return Sifted(rows)
    broken = rows.filter(~is_sound)
    first = _first_reasons(broken, claims)
    why = pl.Series(WHY, [None], pl.String).new_from_index(0, len(rows)).scatter((~is_sound).arg_true(), first)
    return Sifted(rows.filter(is_sound), why, broken, claims)


def columns_broken(sifted: Sifted, reason: Refusal) -> tuple[str, ...]:
    """The columns for which the first of the refused observations is refused for this reason.

    A part and its whole are two. Of the columns that a rule is about, those without a value are meant where something is
    missing, and those with one where something is wrong.
    """
    if sifted.broken is None:
        return ()
    row = sifted.broken.head(1)
    broken = [claim for of, claim in sifted.claims if of is reason and not row.select(claim).item()]
    names = dict.fromkeys(name for claim in broken[:1] for name in claim.meta.root_names())
    is_missing = reason in (Refusal.MALFORMED, Refusal.NO_SESSION)
    meant = tuple(name for name in names if (row[name].item() is None) == is_missing)
    return meant or tuple(names)


def _all_hold(rows: pl.DataFrame, claims: Sequence[pl.Expr]) -> pl.Series:
    """Of which rows all claims are true, a few at a time: to plan one expression of a hundred takes longer than to ask it."""
    few = (claims[place : place + _CLAIMS_AT_ONCE] for place in range(0, len(claims), _CLAIMS_AT_ONCE))
    held = rows.select(pl.all_horizontal(some).alias(str(place)) for place, some in enumerate(few))
    return held.select(pl.all_horizontal(pl.all())).to_series()


def _first_reasons(broken: pl.DataFrame, claims: Sequence[Rule]) -> pl.Series:
    """Which reason each of the rows gives first, in the order of the vocabulary."""
    by_reason = {reason: [claim for of, claim in claims if of is reason] for reason in Refusal}
    first = pl.coalesce(
        pl.when(~reduce(and_, of_reason)).then(pl.lit(reason.value))
        for reason, of_reason in by_reason.items()
        if of_reason
    )
    return broken.select(first.alias(WHY)).to_series()


def at_least_zero(*names: str) -> Iterator[Rule]:
    """Amounts and instants: known, and not below zero."""
    for name in names:
        yield Refusal.MALFORMED, pl.col(name).is_not_null()
        yield Refusal.NEGATIVE, (pl.col(name) >= 0).fill_null(True)


def at_most(*names: str) -> Iterator[Rule]:
    """Amounts that one observation can have."""
    for name in names:
        yield Refusal.INCONSISTENT, (pl.col(name) <= AMOUNT_MAX).fill_null(True)


def within(most: float, *names: str) -> Iterator[Rule]:
    """Durations of which each is unknown or a number from 0 to `most`."""
    for name in names:
        yield Refusal.NOT_FINITE, pl.col(name).is_finite().fill_null(True)
        yield Refusal.NEGATIVE, (pl.col(name) >= 0).fill_null(True)
        yield Refusal.INCONSISTENT, (pl.col(name) <= most).fill_null(True)


def known(reason: Refusal, *names: str) -> Iterator[Rule]:
    """Columns without which nothing can be counted."""
    for name in names:
        yield reason, pl.col(name).is_not_null()


def counted(family: Family, columns: Collection[str]) -> Iterator[Rule]:
    """Amounts of a family among `columns`: not below zero, not above what one observation can be, no part above its whole."""
    for measure in family.measures:
        if measure.name in columns:
            yield from at_least_zero(measure.name)
            yield from at_most(measure.name)
            if measure.part_of is not None and measure.part_of in columns:
                yield Refusal.INCONSISTENT, (pl.col(measure.name) <= pl.col(measure.part_of)).fill_null(True)


def one_of(name: str, values: Sequence[str]) -> Rule:
    """A column of a closed vocabulary that is no dimension."""
    return Refusal.OUTSIDE_VOCABULARY, pl.col(name).is_in(list(values))


def _allowed(values: pl.Series, name: str) -> Iterator[Rule]:
    """What a dimension has to be, by why it would be refused; distinct values are looked at, not rows."""
    wrong = reasons_in(name, values.drop_nulls().unique().to_list())
    for reason in set(wrong.values()):
        yield reason, ~pl.col(name).is_in([value for value in wrong if wrong[value] is reason])
    yield Refusal.OUTSIDE_VOCABULARY, pl.col(name).is_not_null()
