"""Columns of a frame, as the minor version of its producer has them: which may be missing, and which may be there besides."""

from __future__ import annotations

from functools import cache

import pyarrow as pa

from schemas.content_fields import is_content_field
from schemas.counted import counted
from schemas.families import Family
from schemas.frames import SCHEMA_MAJOR, SCHEMA_MINOR, FrameHeader
from schemas.rejections import Reason, Rejected

CONTENT_REFUSED = Rejected(
    Reason.CONTENT_FIELD,
    "The frame has a field that holds content (what was said, written or looked up); keep its producer from sending any.",
)

MODEL_DATA_REFUSED = Rejected(
    Reason.PRIVATE_VALUE,
    "The frame has bytes or lists of numbers, which audio and embeddings are; keep its producer from sending any.",
)


def schema_difference(header: FrameHeader, schema: pa.Schema, expected: pa.Schema) -> Rejected | None:
    """Why a frame with this schema is refused; an unknown column of a newer minor version is no reason."""
    if len(set(schema.names)) != len(schema.names):
        return Rejected(Reason.MALFORMED_PAYLOAD, "The frame names one column twice.")
    undeclared = set(schema.names) - set(expected.names)
    if any(map(is_content_field, undeclared)) or any(map(_has_content, schema.types)):
        return CONTENT_REFUSED
    if any(map(_is_model_data, schema.types)):
        return MODEL_DATA_REFUSED
    later = later_measures(header.family, header.minor)
    for field in expected:
        if field.name not in schema.names and field.name in later:
            continue
        if field.name not in schema.names:
            return Rejected(Reason.MISSING_COLUMN, f"Column {field.name} of family {header.family.name} is missing.")
        if schema.field(field.name).type != field.type:
            return Rejected(Reason.WRONG_TYPE, f"Column {field.name} has to be {field.type}.")
    unknown = len(set(schema.names) - (set(expected.names) - later))
    if unknown and header.minor <= SCHEMA_MINOR:
        return Rejected(
            Reason.UNKNOWN_COLUMN,
            f"The frame has {counted(unknown, 'column')} that version {SCHEMA_MAJOR}.{header.minor} of {header.family.name} does not declare.",
        )
    return None


def _is_model_data(dtype: pa.DataType) -> bool:
    """Whether a column holds bytes, or lists of numbers however they are nested, or tensors: nothing that any version declares."""
    if _is_list(dtype) and _is_number(dtype.value_type):
        return True
    types = pa.types
    is_bytes = types.is_binary(dtype) or types.is_large_binary(dtype) or types.is_binary_view(dtype)
    return is_bytes or types.is_fixed_size_binary(dtype) or any(_is_model_data(inner) for _, inner in _within(dtype))


def _has_content(dtype: pa.DataType) -> bool:
    return any(is_content_field(name) or _has_content(inner) for name, inner in _within(dtype))


def _within(dtype: pa.DataType) -> list[tuple[str, pa.DataType]]:
    """The fields of objects, members of lists, and what tensors and other types of somebody's own are stored as; each with its name, if any."""
    if isinstance(dtype, pa.BaseExtensionType):
        return [("", dtype.storage_type)]
    if _is_list(dtype) or isinstance(dtype, pa.DictionaryType):
        return [("", dtype.value_type)]
    if isinstance(dtype, pa.StructType):
        fields = [dtype.field(place) for place in range(dtype.num_fields)]
        return [(field.name, field.type) for field in fields]
    return [("", dtype.key_type), ("", dtype.item_type)] if isinstance(dtype, pa.MapType) else []


def _is_list(dtype: pa.DataType) -> bool:
    lists = pa.ListType | pa.LargeListType | pa.FixedSizeListType | pa.ListViewType | pa.LargeListViewType
    return isinstance(dtype, lists)


def _is_number(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_integer(dtype) or pa.types.is_floating(dtype))


@cache
def later_measures(family: Family, minor: int) -> frozenset[str]:
    """Measures that were declared after that version; a frame of it does not know them."""
    return frozenset(measure.name for measure in family.measures if measure.since_minor > minor)


def with_later_measures(header: FrameHeader, table: pa.Table) -> pa.Table:
    """The rows with a zero in every measure that their producer does not know yet."""
    for name in sorted(later_measures(header.family, header.minor) - set(table.column_names)):
        table = table.append_column(name, pa.repeat(pa.scalar(0, pa.int64()), table.num_rows))
    return table
