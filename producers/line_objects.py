"""One line of JSON as an object: of which kind it says it is, and where it cannot be read why, and when and where that was."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import polars as pl

from schemas.instants import TIMES
from schemas.misplaced import misplaced_fields
from schemas.refusals import Refusal

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


def why_unreadable(line: bytes, columns: Mapping[str, pl.DataType]) -> tuple[Refusal | None, tuple[str, ...]]:
    """A line is no object, or declared fields, which are named, hold something of another type, or endless; no reason where it can be read."""
    said = _object(line)
    if said is None:
        return Refusal.MALFORMED, ()
    declared = [(name, value) for name, value in said.items() if name in columns]
    endless = [name for name, value in declared if isinstance(value, float) and not math.isfinite(value)]
    others = [(name, value) for name, value in declared if name not in endless and not _is_of(value, columns[name])]
    reasons = dict.fromkeys(endless, Refusal.NOT_FINITE)
    reasons |= zip((name for name, _ in others), misplaced_fields(others), strict=True)
    first = next((reason for reason in Refusal if reason in reasons.values()), None)
    return first, tuple(name for name, reason in reasons.items() if reason is first)


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
