"""A waterfall in a terminal: bars that begin where the one before ended, from a first level to a last one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

FULL = "█"


@dataclass(frozen=True, slots=True)
class Bars:
    """One line of text for each bar, all equally long, and the level that their left edge stands for."""

    lines: tuple[str, ...]
    begins_at: float


def waterfall(first: float, steps: Sequence[float], width: int = 40) -> Bars:
    """A bar of the first level, one for each step, and one of the level that they lead to.

    Levels are not negative. The left edge is 0, or lies just below the lowest level where bars would hardly differ.

    >>> waterfall(2.0, [2.0, -1.0], width=8).lines
    ('████    ', '    ████', '      ██', '██████  ')
    """
    levels = [first]
    for step in steps:
        levels.append(levels[-1] + step)
    top, bottom = max(levels), min(levels)
    begins_at = max(0.0, bottom - (top - bottom) / 2) if bottom > (top - bottom) * 2 else 0.0
    per_cell = (top - begins_at) / width or 1.0
    places = [(level - begins_at) / per_cell for level in levels]
    spans = [(0.0, places[0]), *((min(pair), max(pair)) for pair in pairwise(places)), (0.0, places[-1])]
    return Bars(tuple(_line(start, stop, width) for start, stop in spans), begins_at)


def _line(start: float, stop: float, width: int) -> str:
    """At least one cell of what is more than nothing."""
    if stop <= start:
        return " " * width
    first = min(round(start), width - 1)
    length = max(1, round(stop) - first)
    return (" " * first + FULL * length).ljust(width)[:width]
