"""Figures out of a JSON document, decimals as they were written; every mistake is told with file, field and value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from alerts.document_sentences import said_twice
from schemas.failures import BadInput

_DIGITS_MAX = 60
"""Of a number that is read exactly: more, or a larger exponent, is a mistake and would take for ever."""
_SHOWN_MAX = 30
"""Letters of a number that a sentence shows."""
_SURROGATE = re.compile("[\ud800-\udfff]")
"""JSON may escape half of a pair, which no output can be encoded with."""


class Figures:
    """One object of a document with exactly these fields, read one by one; `where` names it in sentences."""

    def __init__(self, where: str, value: object, names: Iterable[str]) -> None:
        wanted = list(names)
        if not isinstance(value, dict):
            raise BadInput(f"{where}: this is {shown(value)}: write an object with {', '.join(wanted)}.")
        for name in value:
            if name not in wanted:
                close = get_close_matches(name, wanted, n=1)
                meant = f"did you mean {close[0]}?" if close else f"the fields are {', '.join(wanted)}."
                raise BadInput(f"{where}: field {name[:100]!r} is unknown: {meant}")
        missing = [name for name in wanted if name not in value]
        if missing:
            raise BadInput(f"{where}: {missing[0]} is missing: the fields are {', '.join(wanted)}.")
        self._where, self._value = where, value

    def decimal(self, name: str, most: int | None = None) -> Decimal:
        """A number that is not negative, and at most `most`."""
        number = read_number(self._where, name, self._value[name])
        if most is not None and number > most:
            raise BadInput(f"{self._where}: {name} {number} is above {most}.")
        return number

    def signed(self, name: str) -> Decimal:
        """A number of either sign."""
        return read_number(self._where, name, self._value[name], is_negative_known=True)

    def whole(self, name: str) -> int:
        """A whole number that is not negative."""
        number = self.decimal(name)
        if number != number.to_integral_value():
            raise BadInput(f"{self._where}: {name} {shown(self._value[name])} is no whole number.")
        return int(number)


def read_number(where: str, name: str, value: object, is_negative_known: bool = False) -> Decimal:
    """One figure; raises `BadInput` where it is none, or negative and nobody said that it may be."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise BadInput(f"{where}: {name[:100]} {shown(value)} is no number.")
    number = Decimal(value)
    if number < 0 and not is_negative_known:
        raise BadInput(f"{where}: {name[:100]} {number} is negative.")
    return number


def read_object(path: Path, instead: str = "write the one that was measured") -> Mapping[str, Any]:
    """The document's object; raises `BadInput` where it is none, or a field is written twice. `instead`: what to write where NaN is."""
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{path}: this is no UTF-8 text.") from None
    try:
        value = json.loads(
            text,
            parse_float=lambda number: _exact(path, number),
            parse_int=lambda number: int(_exact(path, number)),
            parse_constant=_Constant,
            object_pairs_hook=lambda pairs: _once_each(path, pairs, instead),
        )
    except json.JSONDecodeError as error:
        raise BadInput(f"{path}:{error.lineno}: this is no JSON: {error.msg} at column {error.colno}.") from None
    except RecursionError:
        raise BadInput(f"{path}: this is nested too deeply to be figures.") from None
    if not isinstance(value, dict):
        said = value.name if isinstance(value, _Constant) else shown(value)
        raise BadInput(f"{path}: this is {said}: write an object.")
    return value


def shown(value: object) -> str:
    """A value in a sentence, as JSON writes it."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return str(value)[:100] if isinstance(value, Decimal) else json.dumps(value)[:100]


def _exact(path: Path, number: str) -> Decimal:
    read = exact(number)
    if read is None:
        written = number if len(number) <= _SHOWN_MAX else f"{number[:_SHOWN_MAX]}…"
        raise BadInput(
            f"{path}: {written} is no figure that anybody measures: a number has at most {_DIGITS_MAX} digits and lies "
            f"between 1e-{_DIGITS_MAX} and 1e{_DIGITS_MAX}."
        )
    return read


def exact(number: str) -> Decimal | None:
    """The decimal as it was written; `None` where it is none, or none of a length that anybody measures."""
    try:
        read = Decimal(number[: _DIGITS_MAX + 1])
    except InvalidOperation:
        return None
    is_short = len(number) <= _DIGITS_MAX and read.is_finite() and abs(read.adjusted()) <= _DIGITS_MAX
    return read if is_short else None


@dataclass(frozen=True, slots=True)
class _Constant:
    """What Python reads as a number though JSON knows it not: NaN, Infinity or -Infinity."""

    name: str


def _once_each(path: Path, pairs: list[tuple[str, Any]], instead: str) -> dict[str, Any]:
    """An object of numbers, whose names are text that can be printed, each written once."""
    for name, value in pairs:
        if _SURROGATE.search(name):
            raise BadInput(f"{path}: the name {name[:100]!r} has half of a character: write it as Unicode text.")
        for each in value if isinstance(value, list) else (value,):
            if isinstance(each, _Constant):
                raise BadInput(f"{path}: {name[:100]!r} is {each.name}, which is no number: {instead}.")
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = said_twice([name for name, _ in pairs]) or ""
        raise BadInput(f"{path}: {twice[:100]!r} is written twice in one object: keep one of them.")
    return found
