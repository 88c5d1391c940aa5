"""A number of things, as a sentence says it: one line, two lines."""

from __future__ import annotations


def counted(count: int, noun: str, plural: str = "") -> str:
    """The number, and the noun as it belongs to it; `plural` where that is not the noun with an s.

    >>> counted(1, "line"), counted(2_000, "line"), counted(0, "query", "queries"), counted(-1, "day")
    ('1 line', '2,000 lines', '0 queries', '-1 days')
    """
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
