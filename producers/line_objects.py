"""One line of JSON as an object: of which kind it says it is, what of it is declared, and where it cannot be read why, and when and
where that was."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from producers.kinds import KINDS
from producers.line_shapes import DEPTH_MAX
from producers.queues import GAUGES, PARTS, WHOLE_GAUGES
from producers.refusing_attributes import Attribute, dropped_as, texts_in
from schemas.families import QUEUES
from schemas.instants import TIMES
from schemas.misplaced import misplaced_fields
from schemas.private_values import private_reasons
from schemas.refusals import Refusal, first_of

KIND = "kind"


def kind_of(line: bytes) -> str | None:
    """The kind that a line says it is of; none where it is no object, or says nothing."""
    kind = (_object(line) or {}).get(KIND)
    return kind if isinstance(kind, str) else None


def whereabouts_of(line: bytes) -> tuple[str | None, int | None]:
    """The pool and the time that a line says which cannot be read as a whole: none of what it does not say soundly."""
    said = _object(line) or {}
    pool, times = said.get("pool"), [said.get(name) for name in TIMES]
    at_ms = next((at for at in times if type(at) is int and -(2**63) <= at < 2**63), None)
    return (pool if isinstance(pool, str) else None), at_ms


def is_object(line: bytes) -> bool:
    """Whether a line is an object that names each of its fields once."""
    return _object(line) is not None


@dataclass(frozen=True, slots=True)
class Parted:
    """The declared fields of an object, each of its column's type, and what the others are."""

    declared: dict[str, Any]
    others: list[Attribute]

    def line(self) -> bytes:
        """The declared fields alone."""
        return json.dumps(self.declared).encode()


def parted(line: bytes, columns: Mapping[str, pl.DataType]) -> Parted | tuple[Refusal, tuple[str, ...]]:
    """A line's object in parts; or why there is none: the line is no object, or declared fields, which are named, hold something of
    another type, or endless. A count may be told as 2.0."""
    said = _object(line)
    if said is None:
        return Refusal.MALFORMED, ()
    declared = {name: _whole(value, columns[name]) for name, value in said.items() if name in columns}
    reason, names = _why_unreadable(list(declared.items()), columns)
    if reason:
        return reason, names
    if columns is KINDS[QUEUES.name].columns and (unknown := _without_unknown(declared)):
        return Refusal.MALFORMED, unknown
    return Parted(declared, [each for each in said.items() if each[0] not in columns and each[0] != KIND])


_NULL_GAUGE = re.compile(rb'"(?:%s)"\s*:\s*null' % "|".join(GAUGES).encode())


def has_unknown_gauge(line: bytes) -> bool:
    """Whether a sample of a queue may say of a gauge that it is not known: in a table that is the same as saying nothing of it."""
    return _NULL_GAUGE.search(line) is not None


def _without_unknown(sample: dict[str, Any]) -> tuple[str, ...]:
    """The gauges without which the sample would say that there are none; where a part is not known its whole is taken out."""
    for part, whole in PARTS.items():
        if part in sample and sample[part] is None:
            sample.pop(whole, None)
    return tuple(name for name in WHOLE_GAUGES if name in sample and sample[name] is None)


def _whole(value: object, dtype: pl.DataType) -> object:
    return int(value) if dtype == pl.Int64 and type(value) is float and value.is_integer() else value


def _why_unreadable(
    declared: Sequence[Attribute], columns: Mapping[str, pl.DataType]
) -> tuple[Refusal | None, tuple[str, ...]]:
    endless = [name for name, value in declared if isinstance(value, float) and not math.isfinite(value)]
    others = [(name, value) for name, value in declared if name not in endless and not _is_of(value, columns[name])]
    if not endless and not others:
        return None, ()
    reasons = dict.fromkeys(endless, Refusal.NOT_FINITE)
    reasons |= zip((name for name, _ in others), misplaced_fields(others), strict=True)
    first = first_of(reasons.values())
    return first, tuple(name for name, reason in reasons.items() if reason is first)


def dropped_in(others: Sequence[Sequence[Attribute]]) -> list[list[Refusal]]:
    """What each object's fields are that nobody declared: what they would be as columns of a table (`producers/refusing.py`)."""
    texts = {text for fields in others for _, value in fields for text in texts_in(value, DEPTH_MAX)}
    private = private_reasons(texts)
    return [
        [
            dropped_as(name, value, private, numbers_min=1, depth_max=DEPTH_MAX)
            for name, value in fields
            if value is not None
        ]
        for fields in others
    ]


def _object(line: bytes) -> dict[str, Any] | None:
    """The object that a line is; none where it is none, or names a field twice."""
    try:
        said = json.loads(line, object_pairs_hook=_named_once)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(pairs)
    if len(named) < len(pairs):
        raise ValueError("a field is named twice")
    return named


def _is_of(value: object, dtype: pl.DataType) -> bool:
    if value is None:
        return True
    if dtype == pl.Int64:
        return type(value) is int and -(2**63) <= value < 2**63
    if dtype == pl.UInt64:  # A session.
        return isinstance(value, str) or (type(value) is int and 0 <= value < 2**64)
    if dtype == pl.Float64:
        return type(value) in (int, float)
    if dtype == pl.Boolean:
        return isinstance(value, bool)
    if dtype == pl.String:
        return isinstance(value, str)
    return isinstance(value, list) and all(type(each) in (int, float) for each in value)
