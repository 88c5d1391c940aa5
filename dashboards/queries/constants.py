"""What boards know when they are rendered, as SQL: objectives, policy rows, budgets."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from schemas.sql_text import quoted

Constant = str | int | Decimal | tuple[str, ...]
Constants = tuple[Constant, ...]


def listed(names: tuple[str, ...], rows: Iterable[Constants], like: Constants) -> str:
    """Rows as a subquery of constants, which needs no more than the right to read; `like` gives the types.

    They are one literal, which ClickHouse reads many times faster than it works out an expression for each of them.
    """
    told = tuple(rows)
    tuples = ", ".join("(" + ", ".join(map(plain, row)) + ")" for row in told or (like,))
    columns = ", ".join(f"entry.{place} AS {name}" for place, name in enumerate(names, start=1))
    entries = f"CAST([{tuples}], 'Array(Tuple({', '.join(map(_type, like))}))')"
    return f"(SELECT {columns} FROM (SELECT arrayJoin({entries}) AS entry){'' if told else ' WHERE 0'})"


def plain(value: Constant) -> str:
    """A value inside of a list of literals.

    >>> plain(("it's",)), plain(3), plain(Decimal("14"))
    ("['it\\\\'s']", '3', '14.')
    """
    match value:
        case tuple():
            return f"[{', '.join(map(quoted, value))}]"
        case Decimal():
            return f"{value:f}" if "." in f"{value:f}" else f"{value:f}."
        case _:
            return literal(value)


def _type(value: Constant) -> str:
    match value:
        case tuple():
            return "Array(String)"
        case str():
            return "String"
        case Decimal():
            return "Float64"
        case int():
            return "UInt32"


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
