"""Texts and names as ClickHouse's SQL writes them."""

from __future__ import annotations


def quoted(text: str) -> str:
    r"""A string literal.

    >>> print(quoted("it's"))
    'it\'s'
    """
    return _within("'", text)


def identifier(name: str) -> str:
    """The name of a database or a table, whatever characters it has.

    >>> identifier("of a team")
    '`of a team`'
    """
    return _within("`", name)


def _within(mark: str, text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace(mark, f"\\{mark}")
    return f"{mark}{escaped}{mark}"
