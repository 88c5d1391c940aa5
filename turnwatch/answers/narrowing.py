"""What is meant of a comparison: `NAME=VALUE`, as written after --where, --old-where and --new-where."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import get_close_matches

from schemas.failures import BadInput


def narrowed(wheres: Sequence[Sequence[str]], known: Collection[str], what: str) -> dict[str, frozenset[str]]:
    """Dimension → the values that are in every list that names it; `what` is told by the `known` dimensions."""
    found: dict[str, frozenset[str]] = {}
    for where in wheres:
        for dimension, values in _values(where, known, what).items():
            found[dimension] = values & found.get(dimension, values)
    return found


def _values(where: Sequence[str], known: Collection[str], what: str) -> dict[str, frozenset[str]]:
    """Dimension → values, from `NAME=VALUE`; of one dimension several may be meant."""
    values: dict[str, frozenset[str]] = {}
    for written in where:
        name, equals, value = written.partition("=")
        if not equals:
            raise BadInput(f"{written[:100]!r} names no slice: write NAME=VALUE, such as pool=realtime.")
        if name not in known:
            close = get_close_matches(name, known, n=1)
            meant = f"did you mean {close[0]}?" if close else f"{what} are told by {', '.join(known)}."
            raise BadInput(f"{written[:100]!r}: {what} have no {name[:100]}: {meant}")
        values[name] = values.get(name, frozenset()) | {value}
    return values
