"""The layout of a family's rows, derived from its declaration: Arrow schema, pydantic model, and the checks of values.

Rows are columns: dimensions (null where the frame's privacy partition does not carry them), then keys, then measures.
Checks are polars expressions over many frames at once; `violations` says which frame broke which rule.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

import polars as pl
import pyarrow as pa
from pydantic import ConfigDict, StringConstraints, TypeAdapter
from pydantic.types import StrictInt
from typing_extensions import TypedDict

from schemas.dimensions import DIMENSIONS
from schemas.families import COUNT_MAX, FAMILIES, Family, Key, PrivacyPartition
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
def row_adapter(family: Family, partition: PrivacyPartition) -> TypeAdapter[list[dict[str, Any]]]:
    """Reads JSON rows of one privacy partition; unknown or missing fields and wrong types are refused."""
    fields: dict[str, Any] = {name: Annotated[str, StringConstraints(strict=True)] for name in partition.dimensions}
    fields |= {key.name: str if key.vocabulary else StrictInt for key in family.keys}
    fields |= {measure.name: StrictInt for measure in family.measures}
    typed_dict: Any = TypedDict  # The fields come from the contract, so no checker can know them.
    row: Any = typed_dict(f"{family.name}_{partition.name}_row", fields)
    row.__pydantic_config__ = ConfigDict(extra="forbid", strict=True)
    rows: Any = list[row]
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
        broken.append((Reason.COUNT_TOO_LARGE, measure.name, column > COUNT_MAX))
        if measure.part_of:
            broken.append((Reason.BAD_EXCEEDS_TOTAL, measure.name, column > pl.col(measure.part_of)))
    return tuple(broken)


def violations(rows: pl.DataFrame, family: Family, partition: PrivacyPartition) -> dict[int, tuple[Reason, str]]:
    """The first rule that each broken frame breaks, by frame number; empty when all rows are sound.

    Dimension values repeat, so their patterns are tried on the distinct values only.
    """
    checks = rules(family, partition)
    text = [name for name, dtype in rows.schema.items() if dtype == pl.String]
    distinct = {name: rows.select(name).unique() for name in text}
    suspects = [check for check in checks if check[1] in distinct and distinct[check[1]].select(check[2].any()).item()]
    numeric = [check for check in checks if check[1] not in distinct]
    if numeric:
        flags = rows.select(expr.any().alias(str(place)) for place, (_, _, expr) in enumerate(numeric)).row(0)
        suspects += [check for check, is_broken in zip(numeric, flags, strict=True) if is_broken]
    found: dict[int, tuple[Reason, str]] = {}
    for reason, column, expr in suspects:
        for frame in rows.filter(expr)[FRAME].unique().to_list():
            found.setdefault(frame, (reason, column))
    return found


def _outside(key: Key) -> pl.Expr:
    column = pl.col(key.name)
    if key.vocabulary:
        return column.is_null() | ~column.is_in(list(key.vocabulary))
    low, high = key.integer_range
    return column.is_null() | ~column.is_between(low, high)


ROW_SCHEMAS: dict[str, pa.Schema] = {name: arrow_schema(family) for name, family in FAMILIES.items()}
