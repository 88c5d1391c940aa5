"""Refusal by contract for attributes and labels: OTLP data points, Prometheus series, fields of JSON.

The rule is that of `producers/refusing.py`: attributes that feed no dimension are dropped and counted under what they were;
a set of which a mapped attribute holds what its dimension does not allow is refused whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from producers.refusing import reasons_in, refused_counts
from schemas.content_fields import is_content_field
from schemas.misplaced import misplaced, numbers_in
from schemas.private_names import NAME, Naming, private_names
from schemas.private_values import private_reasons
from schemas.refusals import Refusal, Refused, first_of

Attribute = tuple[str, object]
DEPTH_MAX = 8
NUMBERS_MIN = 8
"""From so many numbers on, a list that feeds no dimension is an embedding; fewer are the bounds of a histogram, or a version."""


@dataclass(frozen=True, slots=True)
class AdmittedAttributes:
    """The dimensions of each set, or none where it was refused; how many sets were, and how many attributes were dropped."""

    dimensions: list[dict[str, str] | None]
    refused: Refused
    dropped: Refused


def admit_attributes(sets: Sequence[Mapping[str, object]], mapped: Mapping[str, str]) -> AdmittedAttributes:
    """Attributes by name, turned into dimensions; `mapped` names the dimension of each attribute that feeds one.

    >>> answer = admit_attributes(
    ...     [{"region": "eu-west-1", "gen_ai.input.messages": "[…]"}, {"region": "ana@example.com"}], {"region": "region"}
    ... )
    >>> answer.dimensions, answer.refused.as_dict(), answer.dropped.as_dict()
    ([{'region': 'eu-west-1'}, None], {'email': 1}, {'content_field': 1})
    """
    wrong = {name: reasons_in(mapped[name], _texts(sets, name)) for name in mapped}
    judged = [_judged(each, mapped, wrong) for each in sets]
    return AdmittedAttributes(
        [None if isinstance(each, Refusal) else each for each in judged],
        refused_counts(each for each in judged if isinstance(each, Refusal)),
        dropped_of([(name, value) for each in sets for name, value in each.items() if name not in mapped]),
    )


def dropped_of(attributes: Sequence[Attribute]) -> Refused:
    """What attributes that feed no dimension count as, one by one; those without a value are none."""
    private = private_reasons({text for _, value in attributes for text in texts_in(value)})
    return refused_counts(dropped_as(name, value, private) for name, value in attributes if value is not None)


def private_as(attributes: Sequence[Attribute], naming: Mapping[str, Naming]) -> list[Refusal | None]:
    """What of each attribute that is read is private all the same; none of what its convention (`naming`, else `NAME`) asks for.

    >>> private_as([("error.type", "timeout"), ("error.type", "no such user: ana@example.com")], {})
    [None, <Refusal.EMAIL: 'email'>]
    """
    kinds = [naming.get(name, NAME) for name, _ in attributes]
    private = {
        kind: private_names(
            {text for (_, value), of in zip(attributes, kinds, strict=True) if of is kind for text in texts_in(value)},
            kind,
        )
        for kind in set(kinds)
    }
    found = [dropped_as(name, value, private[of]) for (name, value), of in zip(attributes, kinds, strict=True)]
    return [None if reason is Refusal.UNKNOWN_FIELD else reason for reason in found]


def dropped_as(
    name: str,
    value: object,
    private: Mapping[str, Refusal],
    numbers_min: int = NUMBERS_MIN,
    depth_max: int = DEPTH_MAX,
) -> Refusal:
    """What an attribute that feeds no dimension counts as: the first reason that its name, or anything within it, gives.

    `private` tells of its text, if it is one, or of those within it; `numbers_min` numbers are an embedding. What lies deeper than
    `depth_max` is not looked at: whoever nests deeper hides nothing that would be taken in.
    """
    if isinstance(value, str) and not is_content_field(name):
        return private.get(value, Refusal.UNKNOWN_FIELD)  # Nearly always.
    return first_of(_reasons_within((name,), value, private, numbers_min, depth_max)) or Refusal.UNKNOWN_FIELD


def _reasons_within(
    path: tuple[str, ...], value: object, private: Mapping[str, Refusal], numbers_min: int, depth: int
) -> Iterator[Refusal]:
    """Why a value, or what lies within it, is private; `path` are the names that lead there."""
    if any(is_content_field(".".join(path[place:])) for place in range(len(path))):
        yield Refusal.CONTENT_FIELD
    elif isinstance(value, str):
        if value in private:
            yield private[value]
    elif isinstance(value, bytes | bytearray | memoryview):
        yield Refusal.AUDIO
    elif numbers_in(value) >= numbers_min:
        yield Refusal.EMBEDDING
    elif isinstance(value, Mapping) and depth > 0:
        for name, each in value.items():
            yield from _reasons_within((*path, str(name)), each, private, numbers_min, depth - 1)
    elif isinstance(value, list | tuple) and depth > 0:
        for each in value:
            yield from _reasons_within(path, each, private, numbers_min, depth - 1)


def _judged(
    attributes: Mapping[str, object], mapped: Mapping[str, str], wrong: Mapping[str, Mapping[str, Refusal]]
) -> dict[str, str] | Refusal:
    dimensions: dict[str, str] = {}
    for name, dimension in mapped.items():
        value = attributes.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            return misplaced([value])[0]
        if value in wrong[name]:
            return wrong[name][value]
        dimensions[dimension] = value
    return dimensions


def _texts(sets: Sequence[Mapping[str, object]], name: str) -> set[str]:
    return {value for each in sets if isinstance(value := each.get(name), str)}


def texts_in(value: object, depth: int = DEPTH_MAX) -> Iterator[str]:
    """A text, or those in lists and fields within one another, as deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple) and depth > 0:
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts_in(each, depth - 1)
