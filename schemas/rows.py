"""The layout of a family's rows, derived from its declaration: Arrow schema, pydantic model, and the checks of values.

Rows are columns: dimensions (null where the frame's privacy partition does not carry them), then keys, then measures.
Checks are polars expressions over many frames at once; `violations` says which frame broke which rule.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Any, NotRequired

import polars as pl
import pyarrow as pa
from pydantic import ConfigDict, FailFast, StringConstraints, TypeAdapter
from pydantic.types import StrictInt
from typing_extensions import TypedDict

from schemas.dimensions import DIMENSIONS
from schemas.families import Family, Key, PrivacyPartition
from schemas.private_values import FREE_DIMENSIONS, private_reasons
from schemas.rejections import Reason

FRAME = "frame"
"""Column that tells which frame of a batch a row came from."""


@cache
def arrow_schema(family: Family) -> pa.Schema:
    """The one Arrow schema of a family's frames: dimensions, keys, measures."""
    fields = [pa.field(name, pa.string(), nullable=True) for name in family.dimensions]
    fields += [pa.field(key.name, pa.string() if key.vocabulary else pa.int32()) for key in family.keys]
    fields += [pa.field(measure.name, pa.int64()) for measure in family.measures]
    return pa.schema(fields)


@cache
def row_adapter(
    family: Family, partition: PrivacyPartition, minor: int, accepts_unknown: bool
) -> TypeAdapter[list[dict[str, Any]]]:
    """Reads JSON rows of one privacy partition as contract version `minor` declares them.

    Missing fields and wrong types are refused, and so are unknown fields unless they are accepted (and dropped). A dimension that
    the partition does not carry is absent, or null.
    """
    fields: dict[str, Any] = dict.fromkeys(family.dimensions, NotRequired[None])
    fields |= {name: Annotated[str, StringConstraints(strict=True)] for name in partition.dimensions}
    fields |= {key.name: str if key.vocabulary else StrictInt for key in family.keys}
    fields |= {measure.name: StrictInt for measure in family.measures if measure.since_minor <= minor}
    typed_dict: Any = TypedDict  # The fields come from the contract, so no checker can know them.
    row: Any = typed_dict(f"{family.name}_{partition.name}_row", fields)
    row.__pydantic_config__ = ConfigDict(extra="ignore" if accepts_unknown else "forbid", strict=True)
    rows: Any = Annotated[
        list[row], FailFast()
    ]  # One broken row refuses the frame: what is wrong in others is no news.
    return TypeAdapter(rows)


@cache
def rules(family: Family, partition: PrivacyPartition) -> tuple[tuple[Reason, str, pl.Expr], ...]:
    """Every rule that a row of this family and partition can break: (reason, column, expression true where broken)."""
    broken: list[tuple[Reason, str, pl.Expr]] = []
    for name in family.dimensions:
        column = pl.col(name)
        if name in partition.dimensions:
            fits = column.is_not_null() & column.str.contains(DIMENSIONS[name].full_pattern)
            broken.append((Reason.OUTSIDE_VOCABULARY, name, ~fits))
        else:
            broken.append((Reason.DIMENSION_NOT_IN_PARTITION, name, column.is_not_null()))
    broken += [(Reason.OUTSIDE_VOCABULARY, key.name, _outside(key)) for key in family.keys]
    for measure in family.measures:
        column = pl.col(measure.name)
        broken.append((Reason.NEGATIVE_COUNT, measure.name, column.is_null() | (column < 0)))
        broken.append((Reason.COUNT_TOO_LARGE, measure.name, column > measure.largest))
        if measure.part_of:
            broken.append((Reason.BAD_EXCEEDS_TOTAL, measure.name, column > pl.col(measure.part_of)))
    return tuple(broken)


def violations(
    rows: pl.DataFrame, cells: pl.DataFrame, family: Family, partition: PrivacyPartition
) -> dict[int, tuple[Reason, str]]:
    """The first rule that each broken frame breaks, by frame number; empty when all rows are sound.

    Nearly always all are. So extremes of whole columns and the dimensions of `cells` (the rows grouped by all of them)
    are looked at first, and rows one by one only where those show that something is wrong.
    """
    suspects = _suspects(rows, cells, family, partition)
    found: dict[int, tuple[Reason, str]] = {}
    for reason, column, broken in rules(family, partition) if suspects else ():
        if column in suspects:
            for frame in rows.filter(broken)[FRAME].unique().to_list():
                found.setdefault(frame, (reason, column))
    for name, values in _private(cells, partition).items():
        for frame in rows.filter(pl.col(name).is_in(values))[FRAME].unique().to_list():
            found.setdefault(frame, (Reason.PRIVATE_VALUE, name))
    return found


def _private(cells: pl.DataFrame, partition: PrivacyPartition) -> dict[str, list[str]]:
    """What of dimensions that take any name may not have left a host: telephone numbers, keys, identifiers."""
    free = [name for name in partition.dimensions if name in FREE_DIMENSIONS]
    distinct = {name: cells[name].drop_nulls().unique().to_list() for name in free}
    private = private_reasons({value for values in distinct.values() for value in values})
    found = {name: [value for value in values if value in private] for name, values in distinct.items()}
    return {name: values for name, values in found.items() if values}


def _suspects(rows: pl.DataFrame, cells: pl.DataFrame, family: Family, partition: PrivacyPartition) -> set[str]:
    """Columns in which some row breaks a rule."""
    facts = rows.select(_facts(family)).row(0, named=True)
    suspects = {each.name for each in family.measures if not _is_within(facts, each.name, 0, each.largest)}
    suspects |= {
        measure.name for measure in family.measures if measure.part_of and (facts[f"{measure.name}|over"] or 0) > 0
    }
    suspects |= {
        key.name for key in family.keys if not key.vocabulary and not _is_within(facts, key.name, *key.integer_range)
    }
    for name in family.dimensions:
        absent, nulls = name not in partition.dimensions, facts[f"{name}|nulls"]
        if (absent and nulls < len(rows)) or (not absent and (nulls or not _all_fit(cells, name))):
            suspects.add(name)
    return suspects | {key.name for key in family.keys if key.vocabulary and rows.select(_outside(key).any()).item()}


@cache
def _facts(family: Family) -> tuple[pl.Expr, ...]:
    """Extremes of every number, how far a part exceeds its whole, and how many values are missing."""
    markers = {key.name: key.marker for key in family.keys if not key.vocabulary}
    numbers = [*family.measure_names, *markers]
    extremes: list[pl.Expr] = []
    for name in numbers:
        values = pl.col(name) if markers.get(name) is None else pl.col(name).filter(pl.col(name) != markers[name])
        extremes += [values.min().alias(f"{name}|min"), values.max().alias(f"{name}|max")]
    nulls = [pl.col(name).null_count().alias(f"{name}|nulls") for name in (*family.dimensions, *numbers)]
    over = [
        (pl.col(measure.name) - pl.col(measure.part_of)).max().alias(f"{measure.name}|over")
        for measure in family.measures
        if measure.part_of
    ]
    return (*extremes, *nulls, *over)


def _is_within(facts: dict[str, int | None], name: str, low: int, high: int) -> bool:
    smallest, largest = facts[f"{name}|min"], facts[f"{name}|max"]
    if facts[f"{name}|nulls"]:
        return False
    return smallest is None or largest is None or (low <= smallest and largest <= high)


def _all_fit(rows: pl.DataFrame, name: str) -> bool:
    is_fit = _pattern(name).fullmatch
    return all(is_fit(value) for value in rows[name].unique())


@cache
def _pattern(dimension: str) -> re.Pattern[str]:
    return re.compile(DIMENSIONS[dimension].full_pattern)


def _outside(key: Key) -> pl.Expr:
    column = pl.col(key.name)
    if key.vocabulary:
        return column.is_null() | ~column.is_in(list(key.vocabulary))
    low, high = key.integer_range
    allowed = column.is_between(low, high) | (column == key.marker if key.marker is not None else pl.lit(False))
    return column.is_null() | ~allowed
