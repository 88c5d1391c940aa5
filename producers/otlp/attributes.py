"""What attributes say of a point: the dimensions that it counts under, what decides which lines apply, and what was dropped.

An attribute that the mapping does not name is dropped and counted, content of the GenAI conventions under its own word. A
point that needs an attribute which holds what it may not is refused for that: one that fills a dimension, or chooses the line. What is
private in an attribute that is read, and that the point does not need, is dropped and counted as what it is. What a series is called is the same
with every export, so it is judged once and remembered, by a hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message
from xxhash import xxh3_128_digest

from producers.otlp.mapping import ATTRIBUTES, DECIDING, TELLING_APART
from producers.refusing import reasons_in, refused_counts
from producers.refusing_attributes import Attribute, dropped_of, private_as
from schemas.misplaced import misplaced
from schemas.refusals import Refusal, Refused, first_of

REMEMBERED_MAX = 50_000
"""Sets of attributes; beyond, all are forgotten and judged again."""


@dataclass(frozen=True, slots=True)
class Labels:
    """`dimensions` hold what was said, `wrong` why not of others; `filled_by` are the attributes that said either. `deciding` has what
    lines ask for, empty where that is `misleading`. `private` has what attributes that are read may not hold; `dropped` counts the others."""

    dimensions: Mapping[str, str]
    wrong: Mapping[str, Refusal]
    filled_by: Mapping[str, str]
    deciding: Mapping[str, str]
    misleading: Mapping[str, Refusal]
    private: Mapping[str, Refusal]
    dropped: Refused

    def refused(self, dimensions: Iterable[str], deciding: Iterable[str]) -> Refusal | None:
        """Why a point may not count that needs these dimensions and deciding attributes: the first of its reasons."""
        if not self.wrong and not self.misleading:
            return None
        return first_of((*map(self.wrong.get, dimensions), *map(self.misleading.get, deciding)))

    def dropped_beside(self, dimensions: Iterable[str], deciding: Iterable[str]) -> Refused:
        """What was dropped of a point that needs those: also what is private in attributes that it does not need."""
        if not self.private:
            return self.dropped
        needed = {*(self.filled_by.get(name) for name in dimensions), *deciding}
        return self.dropped + refused_counts(reason for name, reason in self.private.items() if name not in needed)


@dataclass(slots=True)
class LabelBook:
    """Labels by the bytes of their attributes."""

    _known: dict[bytes, Labels] = field(default_factory=dict)

    def of(self, of_source: Source, raw: Any) -> tuple[Labels, bytes]:
        """What a point's attributes and its source's say, and a hash that tells them from others."""
        digest = xxh3_128_digest(of_source.digest + _canonical(raw.attributes))
        labels = self._known.get(digest)
        if labels is None:
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            labels = self._known[digest] = _judged(of_source, plain(raw.attributes))
        return labels, digest


@dataclass(frozen=True, slots=True)
class Source:
    """Where points come from: the attributes of their resource and their scope, and a hash of both in whatever order they stand."""

    resource: Sequence[Attribute]
    scope: Sequence[Attribute]
    digest: bytes


def source_of(resource: Any, scope: Any) -> Source:
    """The source that a resource and a scope are. Of a scope nothing fills a dimension."""
    parts = (_canonical(resource.attributes), scope.name.encode(), scope.version.encode(), _canonical(scope.attributes))
    return Source(plain(resource.attributes), plain(scope.attributes), xxh3_128_digest(b"\0".join(parts)))


def plain(attributes: Iterable[Any]) -> list[Attribute]:
    """Attributes as Python values; lists stay lists, and what is nested stays so."""
    return [(each.key, _value(each.value)) for each in attributes]


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


def _judged(source: Source, point: Sequence[Attribute]) -> Labels:
    attributes: dict[str, Any] = {name: value for name, value in (*source.resource, *point) if value is not None}
    filled_by = {dimension: name for dimension in ATTRIBUTES if (name := _first(attributes, dimension))}
    read = {*filled_by.values(), *DECIDING, *TELLING_APART} & attributes.keys()
    named = [(name, attributes[name]) for name in read]
    found = zip(read, private_as(named, TELLING_APART), strict=True)
    private = {name: reason for name, reason in found if reason is not None}
    wrong = {dimension: why for dimension, name in filled_by.items() if (why := _why_not(dimension, attributes[name]))}
    deciding = {name: attributes[name] for name in DECIDING & read}
    misleading = {name: misplaced([value])[0] for name, value in deciding.items() if not isinstance(value, str)}
    misleading |= {name: private[name] for name in deciding.keys() & private.keys()}
    return Labels(
        {dimension: attributes[name] for dimension, name in filled_by.items() if dimension not in wrong},
        wrong,
        filled_by,
        {name: "" if name in misleading else value for name, value in deciding.items()},
        misleading,
        private,
        _dropped(source, point, attributes, read),
    )


def _dropped(source: Source, point: Sequence[Attribute], attributes: Mapping[str, object], read: Set[str]) -> Refused:
    """What the attributes are that nobody reads; of one that another of its name hides, and that may be read elsewhere, what is private."""
    unread = [(name, value) for name, value in (*source.resource, *point) if name not in read]
    hidden = [
        (name, value)
        for name, value in (*source.resource, *point)
        if name in read and value is not None and value is not attributes[name]
    ]
    found = refused_counts(reason for reason in private_as(hidden, TELLING_APART) if reason is not None)
    return dropped_of([*source.scope, *unread]) + found


def _why_not(dimension: str, value: Any) -> Refusal | None:
    return reasons_in(dimension, [value]).get(value) if isinstance(value, str) else misplaced([value])[0]


def _first(attributes: Mapping[str, Any], dimension: str) -> str | None:
    return next((name for name in ATTRIBUTES[dimension] if name in attributes), None)
