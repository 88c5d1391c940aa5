"""Mix or rate: what of a change is slices that got worse, and what is traffic that moved between them.

An aggregate rate is the sum of weights times rates. Between two periods slice i adds (mean weight) x (change of its rate)
as rate, and (its mean rate - mean aggregate rate) x (change of its weight) as mix. They add up to the aggregate's change
exactly: Kitagawa, "Components of a difference between two rates" (1955), at midpoints; subtracting the mean aggregate
changes no sum, as changes of weights sum to 0, and makes a slice's mix its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.arrays import Floats


@dataclass(frozen=True, slots=True)
class Split:
    """What each of n slices added to the aggregate's change, from `old` to `new`; `rate` and `mix` together sum to it."""

    old: float
    new: float
    rate: Floats
    mix: Floats

    @property
    def change(self) -> float:
        return self.new - self.old


def split(old_bad: Floats, old_total: Floats, new_bad: Floats, new_total: Floats) -> Split:
    """From counts of two periods, of the same n slices in the same order; a slice may be absent in one (0 of 0).

    A slice without traffic in one period has that period's rate undefined: it takes the rate that it has in the other, so
    that all of what it adds is mix. Raises `ValueError` where a period has no traffic at all.
    """
    if not (old_total.sum() > 0 and new_total.sum() > 0):
        raise ValueError("A period without any traffic has no rate that could have changed.")
    old_weight, new_weight = old_total / old_total.sum(), new_total / new_total.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        old_rate, new_rate = old_bad / old_total, new_bad / new_total
    old_rate, new_rate = np.where(old_total > 0, old_rate, new_rate), np.where(new_total > 0, new_rate, old_rate)
    old_rate, new_rate = np.nan_to_num(old_rate), np.nan_to_num(new_rate)
    old, new = float(old_bad.sum() / old_total.sum()), float(new_bad.sum() / new_total.sum())
    rate = (old_weight + new_weight) / 2 * (new_rate - old_rate)
    mix = ((old_rate + new_rate) / 2 - (old + new) / 2) * (new_weight - old_weight)
    return Split(old, new, rate, mix)


def explains(contributions: Floats, share: float = 0.8) -> NDArray[np.int64]:
    """The smallest set of slices that adds up to `share` of everything that was added.

    Places of slices, the largest contribution first, of equal ones the first; none where nothing was added. What others
    took away does not count, or a fleet that is flat overall would have nothing to explain it.
    """
    added = np.maximum(contributions, 0.0)
    order = np.argsort(-added, kind="stable")
    cumulated = added[order].cumsum()
    if not len(cumulated) or cumulated[-1] == 0:
        return np.zeros(0, dtype=np.int64)
    enough = int(np.searchsorted(cumulated, share * cumulated[-1] * (1 - 1e-12))) + 1
    return np.asarray(order[:enough], dtype=np.int64)
