"""Frames of NDJSON: one row a line, from producers that have no Arrow. The same rows, checked line by line."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from schemas.arrow_streams import UNREADABLE
from schemas.content_fields import is_content_field
from schemas.counted import counted
from schemas.dimensions import DIMENSIONS
from schemas.failures import Undecodable
from schemas.frame_columns import (
    CONTENT_REFUSED,
    MODEL_DATA_REFUSED,
    dropped_columns,
    later_measures,
    text_difference,
    with_later_measures,
)
from schemas.frames import FRAME_ROWS_MAX, NDJSON_LINE_BYTES_MAX, SCHEMA_MINOR, FrameHeader, too_large
from schemas.misplaced import DEPTH_MAX, numbers_in
from schemas.refusals import Refusal
from schemas.rejections import Reason, Rejected
from schemas.rows import arrow_schema, row_adapter

_NOT_NDJSON = Rejected(
    Reason.MALFORMED_PAYLOAD, "The payload is not NDJSON: one JSON object per line, which names each field once."
)
_JSON_REASONS = {
    "extra_forbidden": Reason.UNKNOWN_COLUMN,
    "none_required": Reason.DIMENSION_NOT_IN_PARTITION,
    "missing": Reason.MISSING_COLUMN,
    "json_invalid": Reason.MALFORMED_PAYLOAD,
}
_WRONG = {
    Reason.UNKNOWN_COLUMN: "not declared",
    Reason.DIMENSION_NOT_IN_PARTITION: "a dimension that the frame's privacy partition does not carry",
}


@dataclass(frozen=True, slots=True)
class _Told:
    """What lies in a field of some lines: what refuses the frame whoever declared the field, and texts."""

    refused: set[Rejected] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)


def read_ndjson(header: FrameHeader, payload: bytes) -> tuple[pa.Table, tuple[Refusal, ...]] | Rejected:
    """The rows of a frame, and as what each unknown field of a newer minor version was dropped."""
    lines = [line for each in payload.split(b"\n") if (line := each.strip(b" \t\r"))]
    refused = _not_lines(lines)
    if refused:
        return refused
    is_newer = header.minor > SCHEMA_MINOR
    adapter = row_adapter(header.family, header.partition, min(header.minor, SCHEMA_MINOR), accepts_unknown=is_newer)
    expected = arrow_schema(header.family)
    later = later_measures(header.family, header.minor)
    declared = pa.schema([field for field in expected if field.name not in later])
    try:
        # No string can hold a line break, so none can go on from one line to the next.
        rows = adapter.validate_json(b"[" + b",\n".join(lines) + b"]")
        fields = len(header.partition.dimensions) + len(declared) - len(header.family.dimensions)
        is_plain = not is_newer and len(rows) == len(lines) and payload.count(b":") == len(rows) * fields
        told = {} if is_plain else _fields(lines)
        unknown = {name: each for name, each in told.items() if name not in expected.names}
        if refused := _content_in(unknown):
            return refused
        table = pa.Table.from_pylist(rows, schema=declared)
        return with_later_measures(header, table).select(expected.names).cast(expected), dropped_columns(
            unknown, _texts_of(unknown)
        )
    except ValidationError as error:
        return _private_among(lines, expected) or _json_rejection(header, error)
    except (Undecodable, json.JSONDecodeError):
        return _NOT_NDJSON
    except UNREADABLE:
        return Rejected(Reason.WRONG_TYPE, "A line of the frame holds a number that its column cannot.")


def _private_among(lines: list[bytes], expected: pa.Schema) -> Rejected | None:
    """Looked for where a frame is refused anyway, so that content and private texts are counted as such."""
    try:
        told = _fields(lines)
    except (Undecodable, ValueError, RecursionError):
        return None
    undeclared = {name: each for name, each in told.items() if name not in expected.names}
    return _content_in(told, but=expected.names) or text_difference(_texts_of(undeclared))


def _content_in(told: Mapping[str, _Told], but: Collection[str] = ()) -> Rejected | None:
    """Why a frame with these fields is refused, by their names (`but` those that are declared) or for what lies in them."""
    found: set[Rejected] = set().union(*(each.refused for each in told.values()))
    if CONTENT_REFUSED in found or any(is_content_field(name) for name in told if name not in but):
        return CONTENT_REFUSED
    return MODEL_DATA_REFUSED if found else None


def _texts_of(told: Mapping[str, _Told]) -> dict[str, set[str]]:
    return {name: each.texts for name, each in told.items()}


def _look_within(value: object, path: tuple[str, ...], told: _Told) -> None:
    """Notes fields of content in objects, lists of numbers, and texts, as deep as embeddings may lie; `path` are the names that lead there."""
    if isinstance(value, str):
        told.texts.add(value)
    if not isinstance(value, dict | list) or len(path) > DEPTH_MAX + 1:
        return
    if numbers_in(value):
        told.refused.add(MODEL_DATA_REFUSED)
    for name, member in value.items() if isinstance(value, dict) else (("", each) for each in value):
        within = (*path, name)
        if name and any(is_content_field(".".join(within[place:])) for place in range(len(within))):
            told.refused.add(CONTENT_REFUSED)
        _look_within(member, within, told)


def _not_lines(lines: list[bytes]) -> Rejected | None:
    if len(lines) > FRAME_ROWS_MAX:
        return too_large(f"has {counted(len(lines), 'line')}, above {FRAME_ROWS_MAX}; split it into several frames")
    if max(map(len, lines), default=0) > NDJSON_LINE_BYTES_MAX:
        return too_large(f"has a line of more than {NDJSON_LINE_BYTES_MAX} bytes, which no row takes")
    if not all(line[:1] == b"{" and line[-1:] == b"}" for line in lines):
        return _NOT_NDJSON
    return None


def _fields(lines: list[bytes]) -> dict[str, _Told]:
    """The fields that lines name, and what lies in them; raises `Undecodable` where a line names one twice.

    Only where there may be something wrong, or unknown. Otherwise each row has a colon for each of its fields, and no more.
    """
    told: dict[str, _Told] = {}
    for line in lines:
        for name, value in json.loads(line, object_pairs_hook=_named_once).items():
            _look_within(value, (name,), told.setdefault(name, _Told()))
    return told


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(pairs)
    if len(named) < len(pairs):
        raise Undecodable("A line names one field twice.")
    return named


def _json_rejection(header: FrameHeader, error: ValidationError) -> Rejected:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    reason = _JSON_REASONS.get(first["type"], Reason.WRONG_TYPE)
    name = first["loc"][1] if len(first["loc"]) > 1 else None
    if reason is Reason.UNKNOWN_COLUMN and name in DIMENSIONS:
        reason = Reason.DIMENSION_NOT_IN_PARTITION
    if reason is Reason.MALFORMED_PAYLOAD:
        return _NOT_NDJSON
    line = int(first["loc"][0]) + 1 if first["loc"] else 0
    declared = {*header.family.dimensions, *header.family.key_names, *header.family.measure_names}
    what = name if name in declared or name in DIMENSIONS else "a field"
    return Rejected(reason, f"Line {line}: {what} is {_WRONG.get(reason, 'missing or of a wrong type')}.")
