"""What attributes say of a point: the dimensions that it counts under, what decides which lines apply, and what was dropped.

An attribute that the mapping does not name is dropped and counted, content of the GenAI conventions under its own word. A
point that needs a dimension whose attribute holds what it does not allow is refused. What a series is called is the same
with every export, so it is judged once and remembered, by a hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message
from xxhash import xxh3_128_digest

from producers.otlp.mapping import ATTRIBUTES, DECIDING, TELLING_APART
from producers.refusing import reasons_in
from producers.refusing_attributes import admit_attributes
from schemas.misplaced import misplaced
from schemas.refusals import Refusal, Refused

REMEMBERED_MAX = 50_000
"""Sets of attributes; beyond, all are forgotten and judged again."""


@dataclass(frozen=True, slots=True)
class Labels:
    """`dimensions` hold what was said, `wrong` why not of others; `deciding` has the attributes that lines ask for."""

    dimensions: Mapping[str, str]
    wrong: Mapping[str, Refusal]
    deciding: Mapping[str, str]
    dropped: Refused


@dataclass(slots=True)
class LabelBook:
    """Labels by the bytes of their attributes."""

    _known: dict[bytes, Labels] = field(default_factory=dict)

    def of(self, resource: Mapping[str, Any], source: bytes, raw: Any) -> tuple[Labels, bytes]:
        """What a point's attributes and its resource's say, and a hash that tells them from others.

        `source` is the hash of its resource and scope, as `source_of` made it.
        """
        digest = xxh3_128_digest(source + _canonical(raw.attributes))
        labels = self._known.get(digest)
        if labels is None:
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            labels = self._known[digest] = _judged({**resource, **plain(raw.attributes)})
        return labels, digest


def plain(attributes: Iterable[Any]) -> dict[str, Any]:
    """Attributes as Python values; lists stay lists, and what is nested stays so."""
    return {each.key: _value(each.value) for each in attributes}


def source_of(resource: Any, scope: Any) -> bytes:
    """A hash of a resource and a scope, in whatever order their attributes stand."""
    return xxh3_128_digest(
        b"\0".join(
            (_canonical(resource.attributes), scope.name.encode(), scope.version.encode(), _canonical(scope.attributes))
        )
    )


def _canonical(attributes: Iterable[Message]) -> bytes:
    return b"\1".join(sorted(each.SerializeToString(deterministic=True) for each in attributes))


def _value(value: Any) -> Any:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [_value(each) for each in value.array_value.values]
        case "kvlist_value":
            return {each.key: _value(each.value) for each in value.kvlist_value.values}
        case field_name:
            return getattr(value, field_name)


def _judged(attributes: Mapping[str, Any]) -> Labels:
    chosen = {dimension: name for dimension in ATTRIBUTES if (name := _first(attributes, dimension))}
    said = {dimension: attributes[name] for dimension, name in chosen.items()}
    wrong = {dimension: why for dimension, value in said.items() if (why := _why_not(dimension, value))}
    read = {*chosen.values(), *DECIDING, *TELLING_APART}
    others = {name: value for name, value in attributes.items() if name not in read}
    return Labels(
        {dimension: value for dimension, value in said.items() if dimension not in wrong},
        wrong,
        {name: value for name in DECIDING if isinstance(value := attributes.get(name), str)},
        admit_attributes([others], {}).dropped,
    )


def _why_not(dimension: str, value: Any) -> Refusal | None:
    return reasons_in(dimension, [value]).get(value) if isinstance(value, str) else misplaced([value])[0]


def _first(attributes: Mapping[str, Any], dimension: str) -> str | None:
    return next((name for name in ATTRIBUTES[dimension] if attributes.get(name) is not None), None)
