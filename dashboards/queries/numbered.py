"""Columns of a few declared values as small numbers: places in an array, or bits.

Numbering costs little, because it is worked out for each value of a dictionary. What is not declared, such as a value of a newer version, has number 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from dashboards.queries.constants import plain
from schemas.sql_text import quoted

NOT_LISTED = "not listed"


@dataclass(frozen=True, slots=True)
class Numbered:
    """A column and the values that are declared for it, at least one; they are numbered from 1, and 0 is any other."""

    column: str
    values: tuple[str, ...]

    @property
    def listed(self) -> str:
        """The values as an array."""
        return f"[{', '.join(map(quoted, self.values))}]"

    @property
    def number(self) -> str:
        return f"transform({self.column}, {self.listed}, range(1, {self.count}), 0)"

    @property
    def count(self) -> int:
        """Of numbers: one more than there are values."""
        return len(self.values) + 1

    def text(self, number: str) -> str:
        """The value with this number.

        >>> Numbered("fate", ("kept", "held")).text("told")
        "['not listed', 'kept', 'held'][told + 1]"
        """
        return f"[{', '.join(map(quoted, (NOT_LISTED, *self.values)))}][{number} + 1]"


def is_one_of(column: str, values: Iterable[str]) -> str:
    """Of a table's key it reads those rows alone, unlike `has`. No value of a key is empty, so of none it is false."""
    return f"{column} IN ({', '.join(map(quoted, values)) or quoted('')})"


def looked_up(column: str, told: Mapping[str, str | Decimal], otherwise: str | Decimal) -> str:
    """What is told of a column's value, `otherwise` of one of which nothing is; at least of one something has to be.

    >>> looked_up("measure", {"jitter_ms": Decimal("0.1")}, Decimal(0))
    "transform(measure, ['jitter_ms'], [0.1], 0.)"
    """
    of, values = ", ".join(map(quoted, told)), ", ".join(map(plain, told.values()))
    return f"transform({column}, [{of}], [{values}], {plain(otherwise)})"
