"""Refusal by contract: what arrives as a table is admitted column by column; everything else is counted and forgotten.

One rule for every way in (`producers/refusing_attributes.py` has it for attributes and labels). A field that the contract
does not declare is **dropped**, whatever it holds: the observation goes on without it, and the field counts under what it was
(`content_field`, `audio`, `embedding`, `email`, …, else `unknown_field`). An observation whose declared field holds what it
may not is **refused** whole, and counts once, under the first reason in the order of `Refusal`. Nothing that is returned,
besides the admitted rows, holds a name or a value that was sent.

Family `privacy` is told of what was refused, and of fields that were dropped unless they were only unknown (`is_withheld`).

Only distinct texts are looked at. A recorder admits rows before anything leaves the host, a collector again on what arrives.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import polars as pl

from schemas.content_fields import is_content_field
from schemas.dimensions import DIMENSIONS
from schemas.misplaced import is_time_as_text
from schemas.private_names import IDENTIFIER, private_names
from schemas.private_values import FREE_DIMENSIONS, NAME_LENGTH_MAX, private_reasons
from schemas.refusals import Refusal, Refused

LIST_LENGTH_MAX = 100
"""A declared list (the gaps in a stretch of audio) is not longer; embeddings and voiceprints are."""

HOST = "host"
"""The field that tells engines apart, and stays in the collector: pods and machines are named at random, and may be."""

_UNSEEN = re.compile(
    r"[\s\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff"
    r"\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]*"
)
"""White space, and `Default_Ignorable_Code_Point` of Unicode 15 (DerivedCoreProperties.txt)."""

POOLS = DIMENSIONS["pool"].vocabulary
WHY = "\x00why"
"""Name of a column of reasons; nothing that is declared is called that."""

_RANKS = {reason: rank for rank, reason in enumerate(Refusal)}
_NAMES = pl.Series([reason.value for reason in Refusal])


@dataclass(frozen=True, slots=True)
class AdmittedRows:
    """Rows in the declared columns and types, and which fields were dropped.

    `why` has the reason of each that was given, null where it was admitted; it is absent where all were. `dropped_why` has for each
    undeclared column that holds anything what each of its values was, null where there was none.
    """

    rows: pl.DataFrame
    why: pl.Series | None = None
    dropped_why: tuple[pl.Series, ...] = ()

    @property
    def dropped(self) -> Refused:
        """How many fields were."""
        return sum(map(refused_as, self.dropped_why), Refused())

    @property
    def withheld_why(self) -> tuple[pl.Series, ...]:
        """The same of fields that family `privacy` is told of."""
        told = (why.set(why == Refusal.UNKNOWN_FIELD.value, None) for why in self.dropped_why)
        return tuple(why for why in told if why.null_count() < len(why))

    @property
    def refused(self) -> Refused:
        """How many observations were."""
        return refused_as(self.why)


def admit_rows(rows: pl.DataFrame, declared: Mapping[str, pl.DataType]) -> AdmittedRows:
    """The rows whose declared columns hold what they may; a declared column that is absent is null.

    Whether numbers are plausible (negative, a part above its whole) is for whoever knows the kind to say.
    """
    undeclared = [dropped_why(rows[name]) for name in rows.columns if name not in declared]
    dropped = tuple(why for why in undeclared if why is not None)
    worst = _least(ranks for _, ranks in _ranks_by_name(rows, declared))
    columns = [
        in_type(rows[name], dtype) if name in rows.columns else pl.Series(name, [None] * len(rows), dtype)
        for name, dtype in declared.items()
    ]
    admitted = pl.DataFrame(columns)
    if worst is None:
        return AdmittedRows(admitted, dropped_why=dropped)
    return AdmittedRows(admitted.filter(worst.is_null()), _named(worst), dropped)


def columns_refused(rows: pl.DataFrame, declared: Mapping[str, pl.DataType], reason: Refusal) -> tuple[str, ...]:
    """The declared columns of these rows for which `admit_rows` refuses one for this reason."""
    wrong = _ranks_by_name(rows, declared)
    return tuple(name for name, ranks in wrong if (ranks == _RANKS[reason]).any())


def _ranks_by_name(rows: pl.DataFrame, declared: Mapping[str, pl.DataType]) -> Iterator[tuple[str, pl.Series]]:
    """Of each declared column that holds what it may not, the rank of each value's reason."""
    for name, dtype in declared.items():
        if name in rows.columns and (ranks := _ranks(rows[name], dtype)) is not None:
            yield name, ranks


def is_withheld(reason: Refusal) -> bool:
    """Whether family `privacy` is told of a field that was dropped for this: not of every field that is nobody's secret."""
    return reason is not Refusal.UNKNOWN_FIELD


def refused_as(why: pl.Series | None) -> Refused:
    """How many there are of each reason, in the order of the vocabulary; null, and no reasons at all, are none."""
    return Refused.of({} if why is None else dict(why.drop_nulls().value_counts().iter_rows()))


def refused_by_pool(rows: pl.DataFrame, why: pl.Series | None) -> dict[str, Refused]:
    """The same of each pool in which one of these rows is refused."""
    if why is None:
        return {}
    parts = pl.DataFrame([known_pools(rows), why.alias(WHY)]).drop_nulls().partition_by("pool", as_dict=True)
    return {str(name): refused_as(part[WHY]) for (name,), part in parts.items()}


def known_pool(pool: object) -> str:
    """The pool that a refusal is told in: the first of the vocabulary where what was said is none that there is.

    Always a word of ours, whatever type the host says it in (an enum's text is the enum's), and whatever an object answers when it is asked.
    """
    is_text = issubclass(type(pool), str)
    return next((each for each in POOLS if is_text and str.__eq__(each, pool)), POOLS[0])


def known_pools(rows: pl.DataFrame) -> pl.Series:
    """The same of each of these rows."""
    said = rows["pool"]
    if said.dtype != pl.String:
        return pl.Series("pool", [POOLS[0]]).new_from_index(0, len(rows))
    return said.set(~said.is_in(POOLS).fill_null(False), POOLS[0])


def is_blank(text: str) -> bool:
    r"""Whether there is nothing to be seen of it: white space, and code points that Unicode says to ignore where they have no glyph.

    >>> [is_blank(text) for text in ("", " \t", "\u200b\ufeff", "\u200bcall-1", "0")]
    [True, True, True, False, False]
    """
    return _UNSEEN.fullmatch(text) is not None


def refused_counts(reasons: Iterable[Refusal]) -> Refused:
    """How often each reason occurs, in the order of precedence."""
    return Refused.of(Counter(reasons))


def reasons_in(field: str, values: Iterable[str]) -> dict[str, Refusal]:
    """Which of these distinct texts may not stand in a declared field, and why.

    A vocabulary or a narrow pattern is enough to let a value pass. A dimension that takes any name, and a field that is no
    dimension, are looked at for what is private.
    """
    if field == HOST:
        given = list(values)
        long = dict.fromkeys((value for value in given if len(value) > NAME_LENGTH_MAX), Refusal.FREE_TEXT)
        return long | private_names(given, IDENTIFIER)
    if field not in DIMENSIONS:
        return private_reasons(values)
    fits = _pattern(field).fullmatch
    outside = {value for value in values if not fits(value)}
    private = private_reasons(values if field in FREE_DIMENSIONS else outside)
    return dict.fromkeys(outside, Refusal.OUTSIDE_VOCABULARY) | private


@cache
def _pattern(dimension: str) -> re.Pattern[str]:
    return re.compile(DIMENSIONS[dimension].full_pattern)


def nested_as(dtype: pl.DataType) -> Refusal | None:
    """What a column that is neither text nor number nor truth is: bytes are audio, lists of numbers embeddings."""
    if dtype == pl.Binary:
        return Refusal.AUDIO
    if isinstance(dtype, pl.List | pl.Array):
        return Refusal.EMBEDDING if _holds_numbers(dtype) else Refusal.MALFORMED
    return Refusal.MALFORMED if dtype.is_nested() or dtype == pl.Object else None


def _holds_numbers(dtype: pl.List | pl.Array) -> bool:
    """Whether lists, or lists of lists, hold numbers."""
    inner = dtype.inner
    return _holds_numbers(inner) if isinstance(inner, pl.List | pl.Array) else inner.is_numeric()


def dropped_why(values: pl.Series) -> pl.Series | None:
    """What each value of an undeclared column counts as: by its name, else by what it is. None where there is no value."""
    ranks = _also(_private_ranks(values, (values.name,)), values.is_not_null(), Refusal.UNKNOWN_FIELD)
    return None if ranks is None else _named(ranks)


def _private_ranks(values: pl.Series, path: tuple[str, ...]) -> pl.Series | None:
    """The rank of what each value is that is private, however deep within it; null of others. `path` are the names that lead there."""
    if any(is_content_field(".".join(path[place:])) for place in range(len(path))):
        return _also(None, values.is_not_null(), Refusal.CONTENT_FIELD)
    if values.dtype == pl.String:
        return _text_ranks(values, private_reasons(values.drop_nulls().unique()))
    nested = nested_as(values.dtype)
    if nested is not None and nested is not Refusal.MALFORMED:
        return _also(None, values.is_not_null(), nested)
    if isinstance(values.dtype, pl.Struct):
        return _least([_private_ranks(field, (*path, field.name)) for field in values.struct.unnest()])
    return _ranks_within(values, path) if isinstance(values.dtype, pl.List | pl.Array) else None


def _ranks_within(lists: pl.Series, path: tuple[str, ...]) -> pl.Series | None:
    """The least rank of what is in each list."""
    members = lists.alias("member").to_frame().with_row_index("row").explode("member")
    ranks = _private_ranks(members["member"], path)
    if ranks is None:
        return None
    first = members.select("row", rank=ranks).drop_nulls().group_by("row").agg(pl.col("rank").min())
    return pl.Series([None], dtype=pl.UInt8).new_from_index(0, len(lists)).scatter(first["row"], first["rank"])


def _least(ranks: Iterable[pl.Series | None]) -> pl.Series | None:
    """Row by row the least of these ranks; None where there are none."""
    some = [each.alias(str(place)) for place, each in enumerate(ranks) if each is not None]
    return pl.DataFrame(some).min_horizontal() if some else None


def _ranks(values: pl.Series, dtype: pl.DataType) -> pl.Series | None:
    """The rank of the reason for which each value of a declared column is refused; null where it is sound."""
    if values.null_count() == len(values):
        return None
    if values.dtype == pl.String:
        reasons = reasons_in(values.name, values.drop_nulls().unique())
        if dtype == pl.String:
            return _text_ranks(values, reasons)
        private = {value: why for value, why in reasons.items() if not is_time_as_text(values.name, value)}
        return _also(_text_ranks(values, private), values.is_not_null(), Refusal.MALFORMED)
    if isinstance(dtype, pl.List) and isinstance(values.dtype, pl.List) and not values.dtype.inner.is_nested():
        ranks = _also(None, values.list.len() > LIST_LENGTH_MAX, Refusal.EMBEDDING)
        return _also(ranks, in_type(values, dtype).is_null() & values.is_not_null(), Refusal.MALFORMED)
    nested = nested_as(values.dtype)
    if nested or dtype == pl.String or dtype.is_nested():
        return _also(None, values.is_not_null(), nested or Refusal.MALFORMED)
    ranks = _also(None, ~values.is_finite(), Refusal.NOT_FINITE) if values.dtype.is_float() else None
    return _also(ranks, in_type(values, dtype).is_null() & values.is_not_null(), Refusal.MALFORMED)


def in_type(values: pl.Series, dtype: pl.DataType) -> pl.Series:
    """The values in the declared type; null where they are of another kind, or would become another value by it."""
    if values.dtype == dtype:
        return values
    if dtype == pl.Boolean and values.dtype.is_numeric():
        return values.replace_strict([0, 1], [False, True], default=None, return_dtype=pl.Boolean)
    is_castable = values.dtype.is_numeric() or values.dtype == pl.Boolean
    if isinstance(dtype, pl.List):
        is_castable = isinstance(values.dtype, pl.List | pl.Array) and values.dtype.inner.is_numeric()
    elif dtype == pl.String:
        is_castable = False
    if not is_castable:
        return pl.Series(values.name, [None] * len(values), dtype)
    if dtype.is_integer() and values.dtype.is_float():
        values = values.set(values != values.round(), None)
    return values.cast(dtype, strict=False)


def _text_ranks(values: pl.Series, reasons: Mapping[str, Refusal]) -> pl.Series | None:
    if not reasons:
        return None
    ranks = [_RANKS[reason] for reason in reasons.values()]
    return values.replace_strict(list(reasons), ranks, default=None, return_dtype=pl.UInt8)


def _also(ranks: pl.Series | None, is_refused: pl.Series, reason: Refusal) -> pl.Series | None:
    """These ranks, and the reason where it applies and none was found before."""
    if not is_refused.any():
        return ranks
    own = pl.Series(ranks.name if ranks is not None else "", [_RANKS[reason]], pl.UInt8)
    found = own.new_from_index(0, len(is_refused)).set(~is_refused.fill_null(False), None)
    return found if ranks is None else ranks.zip_with(ranks.is_not_null(), found)


def _named(ranks: pl.Series) -> pl.Series | None:
    if ranks.null_count() == len(ranks):
        return None
    return _NAMES.gather(ranks).alias(ranks.name)
