"""What an hour is compared with: the same hour of the week before, the bundle that served then, or a frozen window.

A week before, since days and weeks have curves; in the first week, where an hour a week before cannot be known, the same hour
of the day before, if both are days of one kind (Tuesday to Friday, and Sunday). Each hour has a reference of its own, so
what is odd about one reference is odd about one comparison.

A bundle that did not serve then is compared with the bundle of its group that served most then: the one before it. A week after
its first hour it is compared with itself.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

import numpy as np

from schemas.arrays import Floats, Integers
from schemas.instants import DAY_MS, WEEK_MS

_THURSDAY = 3
"""The weekday of 1970-01-01, counted from Monday."""
_AS_THE_DAY_BEFORE = frozenset((1, 2, 3, 4, 6))


@dataclass(frozen=True, slots=True)
class Referred:
    """The sums that slices are compared with, which slice each of them is of, and how the reference is called."""

    sums: Floats
    numbers: Integers
    kind: str


def hour_before_ms(start_ms: int, began_ms: int, known: Container[int]) -> int | None:
    """The hour that an hour is compared with; `None` where none is known. `began_ms`: the first hour that ever was.

    >>> hour_before_ms(WEEK_MS, 0, {0}), hour_before_ms(DAY_MS, 0, {0}), hour_before_ms(2 * DAY_MS, 0, {DAY_MS})
    (0, 0, None)
    """
    if start_ms - WEEK_MS >= began_ms:
        return start_ms - WEEK_MS if start_ms - WEEK_MS in known else None
    weekday = (start_ms // DAY_MS + _THURSDAY) % 7
    before_ms = start_ms - DAY_MS
    return before_ms if weekday in _AS_THE_DAY_BEFORE and before_ms in known else None


def kind_of(start_ms: int, before_ms: int) -> str:
    """How the reference of an hour is called."""
    return "week_before" if start_ms - before_ms == WEEK_MS else "day_before"


def as_they_were(before: Floats, kind: str, ranks: Integers, groups: Integers) -> Referred:
    """Each slice as it was in an hour before; one that did not serve then as the slice of its group that served most.

    Of `before` the first column says how much each served.
    """
    own = np.arange(len(before), dtype=np.int64)
    largest = _largest_of_group(before[:, 0], groups, ranks)
    numbers = np.where((before[:, 0] > 0) | (largest < 0), own, largest)
    return Referred(before[numbers], numbers, kind)


def frozen(sums: Floats, groups: Integers) -> Referred:
    """Each slice as its group was in a frozen window: all bundles of it together."""
    total = np.zeros_like(sums)
    is_living = groups >= 0
    places = np.zeros(len(groups), dtype=np.int64)
    if is_living.any():
        _, places[is_living] = np.unique(groups[is_living], return_inverse=True)
        np.add.at(total, places[is_living], sums[is_living])
    return Referred(np.where(is_living[:, None], total[places], 0.0), np.arange(len(sums), dtype=np.int64), "frozen")


def _largest_of_group(served: Floats, groups: Integers, ranks: Integers) -> Integers:
    """By slice: the number of the slice of its group that served most, the first by name of equal ones; -1 where none did."""
    order = np.lexsort((ranks, -served, groups))
    first = np.ones(len(order), dtype=bool)
    first[1:] = groups[order][1:] != groups[order][:-1]
    best = order[first][np.cumsum(first) - 1] if len(order) else order
    found = np.empty(len(served), dtype=np.int64)
    found[order] = best
    return np.asarray(np.where((served[found] > 0) & (groups >= 0), found, -1), dtype=np.int64)
