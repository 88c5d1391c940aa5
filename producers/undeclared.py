"""What came in columns that no kind of observation declares: looked at, counted by reason, and never taken in.

A recorder of ours sends none. What somebody else sends is judged text by text where a column is of texts; any other column counts, for
each value that is there, as the first reason that its name, its type or a text in it gives. So what is looked at are names, types and
distinct texts, of a few columns: who sends more is refused (`UNDECLARED_FIELDS_MAX`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa

from producers.refusing import WHY, is_withheld
from schemas.private_values import private_reasons
from schemas.refusals import Refusal, Refused, first_of
from schemas.undeclared_columns import fields_of, has_content, is_text, model_data_as, private_text, texts_in

UNDECLARED_FIELDS_MAX = 64
"""Columns of a batch that its kind does not declare, with all that their types have within them: more than a newer recorder adds."""

_OF_POOL = tuple[Refusal, str, int]


@dataclass(frozen=True, slots=True)
class Undeclared:
    """How many values there were of each reason, and of those that family `privacy` is told of, how many in each pool."""

    dropped: Refused = field(default_factory=Refused)
    withheld: Mapping[str, Refused] = field(default_factory=dict)


def has_many_fields(schema: pa.Schema, names: Sequence[str]) -> bool:
    """Whether these columns are more than are looked at."""
    return len(names) > UNDECLARED_FIELDS_MAX or fields_of(schema.field(name) for name in names) > UNDECLARED_FIELDS_MAX


def undeclared(table: pa.Table, names: Sequence[str], pools: pl.Series) -> Undeclared:
    """What the values in these columns were; `pools` has the pool of each row, one of the vocabulary."""
    dropped: Counter[Refusal] = Counter()
    withheld: dict[str, Counter[Refusal]] = {}
    for name in names:
        for reason, pool, count in _counted(name, table[name], pools):
            dropped[reason] += count
            if is_withheld(reason):
                withheld.setdefault(pool, Counter())[reason] += count
    return Undeclared(Refused.of(dropped), {pool: Refused.of(counts) for pool, counts in withheld.items()})


def _counted(name: str, column: pa.ChunkedArray, pools: pl.Series) -> Iterator[_OF_POOL]:
    """Of each reason and pool, how many values of the column there are."""
    reason = Refusal.CONTENT_FIELD if has_content(column.type, name) else model_data_as(column.type)
    if reason is None and is_text(column.type):
        yield from _counted_by_text(pl.DataFrame(pl.from_arrow(pa.table({name: column})))[name], pools)
        return
    reason = first_of([reason, private_text({name: texts_in(column)})]) or Refusal.UNKNOWN_FIELD
    is_there = pl.DataFrame(pl.from_arrow(pa.table({name: column.is_valid()})))[name]
    for pool, count in pools.filter(is_there).value_counts().rows():
        yield reason, pool, count


def _counted_by_text(texts: pl.Series, pools: pl.Series) -> Iterator[_OF_POOL]:
    """The same of texts, each of which is judged by itself."""
    private = private_reasons(texts.drop_nulls().unique())
    reasons = [reason.value for reason in private.values()]
    why = texts.replace_strict(list(private), reasons, default=Refusal.UNKNOWN_FIELD.value, return_dtype=pl.String)
    found = pl.DataFrame({WHY: why.set(texts.is_null(), None), "pool": pools}).drop_nulls()
    for reason, pool, count in found.group_by(WHY, "pool").len().rows():
        yield Refusal(reason), pool, count
