"""What boards know when they are rendered, as SQL: objectives, policy rows, budgets."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from schemas.sql_text import quoted

Constants = tuple[str | int | Decimal, ...]


def listed(names: tuple[str, ...], rows: Iterable[Constants], like: Constants) -> str:
    """Rows as a subquery of constants, which needs no more than the right to read; `like` gives the types where there is none."""
    told = tuple(rows)
    tuples = ", ".join("(" + ", ".join(literal(value) for value in row) + ")" for row in told or (like,))
    columns = ", ".join(f"entry.{place} AS {name}" for place, name in enumerate(names, start=1))
    return f"(SELECT {columns} FROM (SELECT arrayJoin([{tuples}]) AS entry){'' if told else ' WHERE 0'})"


def literal(value: str | int | Decimal) -> str:
    """
    >>> literal("it's"), literal(3), literal(Decimal("0.010"))
    ("'it\\\\'s'", '3', 'toFloat64(0.010)')
    """
    match value:
        case str():
            return quoted(value)
        case Decimal():
            return f"toFloat64({value:f})"
        case int():
            return str(value)
