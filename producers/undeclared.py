"""What came in columns that no kind of observation declares: looked at, counted by reason, and never taken in.

A recorder of ours sends none. What somebody else sends is told value by value where polars has a type for it, by the rule of
`producers/refusing.py`. Of other types (maps, unions, tensors) each value that is there counts as the column does.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pyarrow as pa

from producers.refusing import dropped_why
from schemas.refusals import Refusal
from schemas.undeclared_columns import has_content, least, model_data_as, private_text, texts_in

DEPTH_MAX = 8


def undeclared_why(table: pa.Table, names: Sequence[str]) -> tuple[pl.Series, ...]:
    """For each of these columns that holds anything what each of its values was (`Refusal`), null where there was none."""
    whys = (_why(name, table[name]) for name in names)
    return tuple(why for why in whys if why is not None)


def _why(name: str, column: pa.ChunkedArray) -> pl.Series | None:
    if _has_polars(column.type):
        return dropped_why(pl.DataFrame(pl.from_arrow(pa.table({name: column})))[name])
    of_type = Refusal.CONTENT_FIELD if has_content(column.type, name) else model_data_as(column.type)
    reason = least([of_type, private_text({name: texts_in(column)})]) or Refusal.UNKNOWN_FIELD
    is_there = pl.Series(name, column.is_valid().to_pylist(), pl.Boolean)
    if not is_there.any():
        return None
    return pl.Series(name, [reason.value], pl.String).new_from_index(0, len(is_there)).set(~is_there, None)


def _has_polars(dtype: pa.DataType, depth: int = 0) -> bool:
    """Whether polars reads a column of this type: it ends in a panic, which is no exception, at some that it does not."""
    types = pa.types
    if depth > DEPTH_MAX or isinstance(dtype, pa.BaseExtensionType):
        return False
    if isinstance(dtype, pa.StructType):
        fields = [dtype.field(place) for place in range(dtype.num_fields)]
        is_clear = len({field.name for field in fields}) == len(fields) > 0
        return is_clear and all(_has_polars(field.type, depth + 1) for field in fields)
    if isinstance(dtype, pa.ListType | pa.LargeListType):
        return _has_polars(dtype.value_type, depth + 1)
    is_text = types.is_string(dtype) or types.is_large_string(dtype) or types.is_string_view(dtype)
    is_bytes = types.is_binary(dtype) or types.is_large_binary(dtype)
    is_number = types.is_integer(dtype) or types.is_floating(dtype) or types.is_boolean(dtype)
    return bool(is_text or is_bytes or is_number or types.is_null(dtype))
