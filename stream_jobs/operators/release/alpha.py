"""How the error rate of a gate is divided, so that looking again, and slices that appear later, cost nothing.

Each metric has the same share. Half of that is for the slices that the policy protects, by their weights. The other half is
for all others in the order in which they appeared: those of the j-th instant at which any did share 1 ÷ (j (j + 1)) of it, by
their weights. These sum to 1 however many come, and what a slice has does not change by what appears after it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.arrays import Floats, Integers

OF_PROTECTED = 0.5


@dataclass(frozen=True, slots=True)
class Purse:
    """What one metric may spend, and the weights of all slices that the policy protects, whether anybody serves them or not."""

    alpha: float
    protected_weight: float


def spent(purse: Purse, appeared_ms: Integers, weights: Floats, is_protected: NDArray[np.bool_]) -> Floats:
    """What is spent on each slice.

    >>> purse = Purse(0.12, protected_weight=2.0)
    >>> spent(purse, np.array([0, 60, 0, 0]), np.array([1.0, 1.0, 1.0, 4.0]), np.array([True, False, False, False])).round(3)
    array([0.03 , 0.01 , 0.006, 0.024])
    """
    of_protected = purse.alpha * OF_PROTECTED * weights / max(purse.protected_weight, 1e-300)
    instants, order = np.unique(np.where(is_protected, -1, appeared_ms), return_inverse=True)
    place = np.arange(len(instants)) - (1 if is_protected.any() else 0)
    of_instant = purse.alpha * (1 - OF_PROTECTED) / ((place + 1.0) * (place + 2.0) + (place < 0))
    together = np.bincount(order, weights, len(instants))
    return np.where(is_protected, of_protected, of_instant[order] * weights / together[order])
