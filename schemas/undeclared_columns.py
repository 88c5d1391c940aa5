"""What columns that nobody declared hold: judged by their names, their types, and the distinct texts in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa

from schemas.content_fields import is_content_field
from schemas.dimensions import DIMENSIONS
from schemas.private_values import FREE_DIMENSIONS, private_reasons
from schemas.refusals import Refusal, first_of

_VIEW_BYTES = 16
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)


def has_content(dtype: pa.DataType, *path: str) -> bool:
    """Whether a column of this type holds content by its name, or by that of something within it; `path` are the names that lead there."""
    own = any(is_content_field(".".join(path[place:])) for place in range(len(path)))
    return own or any(has_content(inner, *path, *([name] if name else [])) for name, inner in _within(dtype))


def is_model_data(dtype: pa.DataType) -> bool:
    """Whether a column holds bytes, or lists of numbers however they are nested, or tensors: nothing that any version declares."""
    return model_data_as(dtype) is not None


def model_data_as(dtype: pa.DataType) -> Refusal | None:
    """What of models such a column holds: bytes are audio, lists of numbers embeddings."""
    if any(is_bytes(dtype) for is_bytes in _BYTES):
        return Refusal.AUDIO
    if _is_list(dtype) and _is_number(dtype.value_type):
        return Refusal.EMBEDDING
    return first_of(model_data_as(inner) for _, inner in _within(dtype))


def fields_of(columns: Iterable[pa.Field]) -> int:
    """How many fields these columns are, each with all that its type has within it."""
    return sum(1 + _fields_within(column.type) for column in columns)


def _fields_within(dtype: pa.DataType) -> int:
    return sum(1 + _fields_within(inner) for _, inner in _within(dtype))


def is_text(dtype: pa.DataType) -> bool:
    return any(is_of(dtype) for is_of in _TEXTS)


def may_hold_text(dtype: pa.DataType) -> bool:
    """Whether there may be text in a column of this type, however deep."""
    return is_text(dtype) or any(may_hold_text(inner) for _, inner in _within(dtype))


def texts_in(column: pa.ChunkedArray) -> set[str]:
    """The distinct texts in a column, however deep."""
    return {text for chunk in column.chunks for text in _texts_in(chunk)}


def viewed_bytes(columns: Iterable[pa.ChunkedArray]) -> int:
    """What the views in these columns show together, however deep: many may show the same bytes, which each of them becomes a text of."""
    return sum(_viewed_bytes(chunk) for column in columns for chunk in column.chunks)


def _viewed_bytes(values: pa.Array) -> int:
    if pa.types.is_string_view(values.type) or pa.types.is_binary_view(values.type):
        views = memoryview(values.buffers()[1] or b"")[values.offset * _VIEW_BYTES :][: len(values) * _VIEW_BYTES]
        lengths = np.frombuffer(views, np.int32)[:: _VIEW_BYTES // 4]  # A view begins with its length.
        return int(lengths[lengths > 0].sum(dtype=np.int64))
    return sum(map(_viewed_bytes, _parts(values)))


def private_text(texts: Mapping[str, Iterable[str]]) -> Refusal | None:
    """The first reason for which some of these texts, by the names of their columns, may not leave a host.

    In a column that is called as a dimension of other families is, what that dimension allows is sound: a tenant's pseudonym is as
    random as a key.
    """
    return first_of(private_texts(texts).values())


def private_texts(texts: Mapping[str, Iterable[str]]) -> dict[str, Refusal]:
    """The same of each of these columns in which there is some."""
    suspects = {name: [text for text in own if not _is_allowed(name, text)] for name, own in texts.items()}
    reasons = private_reasons({text for own in suspects.values() for text in own})
    found = {name: first_of(reasons.get(text) for text in own) for name, own in suspects.items()}
    return {name: reason for name, reason in found.items() if reason}


def _is_allowed(name: str, text: str) -> bool:
    is_narrow = name in DIMENSIONS and name not in FREE_DIMENSIONS
    return is_narrow and re.fullmatch(DIMENSIONS[name].full_pattern, text) is not None


def _texts_in(values: pa.Array) -> Iterator[str]:
    """Each distinct text, or more often."""
    dtype = values.type
    if is_text(dtype):
        yield from (text for text in values.cast(pa.large_string()).unique().to_pylist() if text is not None)
        return
    for part in _parts(values):
        yield from _texts_in(part)


def _parts(values: pa.Array) -> list[pa.Array]:
    """What values are made of; nothing of what has no parts."""
    dtype = values.type
    if isinstance(dtype, pa.BaseExtensionType):
        return [values.storage]
    if isinstance(dtype, pa.DictionaryType):
        return [values.dictionary]
    if isinstance(dtype, pa.MapType):
        return [values.keys, values.items]
    if _is_list(dtype) or isinstance(dtype, pa.RunEndEncodedType):
        return [values.values]
    if isinstance(dtype, pa.StructType | pa.UnionType):
        return [values.field(place) for place in range(dtype.num_fields)]
    return []


def _within(dtype: pa.DataType) -> list[tuple[str, pa.DataType]]:
    """The types that `_parts` has; each with its name, if any."""
    if isinstance(dtype, pa.BaseExtensionType):
        return [("", dtype.storage_type)]
    if isinstance(dtype, pa.MapType):
        return [("", dtype.key_type), ("", dtype.item_type)]
    if _is_list(dtype) or isinstance(dtype, pa.DictionaryType | pa.RunEndEncodedType):
        return [("", dtype.value_type)]
    if isinstance(dtype, pa.StructType | pa.UnionType):
        fields = [dtype.field(place) for place in range(dtype.num_fields)]
        return [(field.name, field.type) for field in fields]
    return []


def _is_list(dtype: pa.DataType) -> bool:
    lists = pa.ListType | pa.LargeListType | pa.FixedSizeListType | pa.ListViewType | pa.LargeListViewType
    return isinstance(dtype, lists)


def _is_number(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_integer(dtype) or pa.types.is_floating(dtype))
