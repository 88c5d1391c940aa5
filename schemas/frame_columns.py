"""Columns of a frame, as the minor version of its producer has them: which may be missing, and which may be there besides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

import pyarrow as pa

from schemas.counted import counted
from schemas.dimensions import DIMENSIONS
from schemas.families import Family
from schemas.frames import SCHEMA_MAJOR, SCHEMA_MINOR, FrameHeader
from schemas.refusals import Refusal
from schemas.rejections import Reason, Rejected
from schemas.undeclared_columns import has_content, is_model_data, private_text, private_texts

CONTENT_REFUSED = Rejected(
    Reason.CONTENT_FIELD,
    "The frame has a field that holds content (what was said, written or looked up); keep its producer from sending any.",
)

MODEL_DATA_REFUSED = Rejected(
    Reason.PRIVATE_VALUE,
    "The frame has bytes or lists of numbers, which audio and embeddings are; keep its producer from sending any.",
)


DIMENSION_REFUSED = Rejected(
    Reason.DIMENSION_NOT_IN_PARTITION,
    "The frame has a dimension that its privacy partition does not carry; send it in the partition that does.",
)

TEXT_REFUSED = Rejected(
    Reason.PRIVATE_VALUE,
    "The frame has a text in a column that nobody declared which may not leave a host (an address, a number, a key, a sentence); "
    "keep its producer from sending any.",
)


def schema_difference(header: FrameHeader, schema: pa.Schema, expected: pa.Schema) -> Rejected | None:
    """Why a frame with this schema is refused; an unknown column of a newer minor version is no reason."""
    if len(set(schema.names)) != len(schema.names):
        return Rejected(Reason.MALFORMED_PAYLOAD, "The frame names one column twice.")
    declared = set(expected.names)
    if any(has_content(field.type, *([] if field.name in declared else [field.name])) for field in schema):
        return CONTENT_REFUSED
    if any(map(is_model_data, schema.types)):
        return MODEL_DATA_REFUSED
    later = later_measures(header.family, header.minor)
    for field in expected:
        if field.name not in schema.names and field.name in later:
            continue
        if field.name not in schema.names:
            return Rejected(Reason.MISSING_COLUMN, f"Column {field.name} of family {header.family.name} is missing.")
        if schema.field(field.name).type != field.type:
            return Rejected(Reason.WRONG_TYPE, f"Column {field.name} has to be {field.type}.")
    unknown = set(schema.names) - (declared - later)
    if not unknown or header.minor > SCHEMA_MINOR:
        return None
    if unknown & DIMENSIONS.keys():
        return DIMENSION_REFUSED
    return Rejected(
        Reason.UNKNOWN_COLUMN,
        f"The frame has {counted(len(unknown), 'column')} that version {SCHEMA_MAJOR}.{header.minor} of {header.family.name} does not declare.",
    )


def dropped_columns(unknown: Iterable[str], texts: Mapping[str, Iterable[str]]) -> tuple[Refusal, ...]:
    """What each of these columns of a newer minor version counts as, which are dropped: as the first reason for which a text in it may not
    leave a host, else as unknown. `texts` are those in them, by name."""
    private = private_texts(texts)
    return tuple(private.get(name, Refusal.UNKNOWN_FIELD) for name in unknown)


def text_difference(texts: Mapping[str, Iterable[str]]) -> Rejected | None:
    """Why a frame with these texts in its undeclared columns, by their names, is refused for them."""
    return TEXT_REFUSED if private_text(texts) else None


@cache
def later_measures(family: Family, minor: int) -> frozenset[str]:
    """Measures that were declared after that version; a frame of it does not know them."""
    return frozenset(measure.name for measure in family.measures if measure.since_minor > minor)


def with_later_measures(header: FrameHeader, table: pa.Table) -> pa.Table:
    """The rows with a zero in every measure that their producer does not know yet."""
    for name in sorted(later_measures(header.family, header.minor) - set(table.column_names)):
        table = table.append_column(name, pa.repeat(pa.scalar(0, pa.int64()), table.num_rows))
    return table
