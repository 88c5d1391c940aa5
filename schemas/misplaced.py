"""What a value is that stands where a field of another type is declared: an embedding, audio, something private, or nonsense.

Tables say it by the types of their columns (`producers/refusing.py`). These are for values that come one by one: fields of
JSON, attributes, and what a host tells its recorder.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from numbers import Real

from schemas.instants import TIMES, reads_as_time
from schemas.private_values import private_reasons
from schemas.refusals import Refusal

DEPTH_MAX = 8
"""Lists within lists that are followed; nothing that models make lies deeper."""
_NUMERIC_KINDS = "iufcV"
"""Of numpy's kinds of types. `V` are those that it does not know itself, such as bfloat16: models' own."""


def misplaced(values: Sequence[object]) -> list[Refusal]:
    """Why each of these values may not stand in a field that takes none of its type. Raises nothing, whatever they are.

    >>> [reason.value for reason in misplaced([[0.12, -0.5], b"RIFF", "ana@example.com", "812", {"a": 1}])]
    ['embedding', 'audio', 'email', 'malformed', 'malformed']
    """
    private = private_reasons({value for value in values if type(value) is str})
    return [_misplaced(value, private) for value in values]


def misplaced_fields(fields: Sequence[tuple[str, object]]) -> list[Refusal]:
    """The same of values with the names of their fields: digits where a time is meant are no telephone number.

    >>> [reason.value for reason in misplaced_fields([("at_ms", "1732294800000"), ("tokens_in", "1732294800000")])]
    ['malformed', 'phone']
    """
    reasons = misplaced([value for _, value in fields])
    return [
        Refusal.MALFORMED if type(value) is str and is_time_as_text(name, value) else reason
        for (name, value), reason in zip(fields, reasons, strict=True)
    ]


def is_time_as_text(field: str, text: str) -> bool:
    """Whether it is a time in a field of event time, which takes a number."""
    return field in TIMES and reads_as_time(text)


def numbers_in(value: object) -> int:
    """How many numbers a list of nothing else holds, lists within it included; 0 of anything else. Arrays and tensors are lists.

    Raises nothing, whatever an object does that somebody else wrote.

    >>> numbers_in([[0.1, 0.2], [0.3, None]]), numbers_in([0.1, "a"]), numbers_in(0.1)
    (3, 0, 0)
    """
    try:
        return _numbers_in(value, 0)
    except Exception:
        return 0


def _numbers_in(value: object, depth: int) -> int:
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        kind = getattr(getattr(value, "dtype", None), "kind", "f")
        if kind == "O":
            return _numbers_in(value.tolist(), depth)  # type: ignore[attr-defined]  # An array: it has a shape and a dtype.
        return math.prod(shape) if kind in _NUMERIC_KINDS else 0
    if depth > DEPTH_MAX or isinstance(value, str | bytes | bytearray) or not isinstance(value, Sequence | Set):
        return 0
    counts = [_one_or(each, depth) for each in value if each is not None]
    return sum(counts) if all(counts) else 0


def _one_or(member: object, depth: int) -> int:
    if type(member) is float or type(member) is int:
        return 1  # Nearly always, and many times as fast.
    is_number = isinstance(member, Real) and not isinstance(member, bool)
    return 1 if is_number else _numbers_in(member, depth + 1)


def _misplaced(value: object, private: Mapping[str, Refusal]) -> Refusal:
    if type(value) is str:
        return private.get(value, Refusal.MALFORMED)
    if issubclass(
        type(value), bytes | bytearray | memoryview
    ):  # Of what an object says it is nothing is asked: it may raise.
        return Refusal.AUDIO
    return Refusal.EMBEDDING if numbers_in(value) else Refusal.MALFORMED
