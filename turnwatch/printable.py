"""Text of others on a terminal: what would move its cursor, change its colours or hide letters is shown as an escape."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""The text, each letter that no terminal prints as Python escapes it.

    >>> print(printable("pool=\x1b[31mred\u202e"))
    pool=\x1b[31mred\u202e
    """
    return text if text.isprintable() else "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def printable_lines(text: str) -> str:
    """As `printable`, but for the ends of its lines."""
    return "\n".join(map(printable, text.split("\n")))
