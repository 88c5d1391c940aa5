"""Quotients of columns, with a value of one's choice where there is nothing to divide by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.arrays import Floats

Numbers = Floats | NDArray[np.int64]


def quotient(numerator: Numbers, denominator: Numbers, of_nothing: float = np.nan) -> Floats:
    """`numerator / denominator`, of the shape both broadcast to; `of_nothing` where the denominator is not above 0.

    >>> quotient(np.array([1.0, 2.0]), np.array([4.0, 0.0])).tolist()
    [0.25, nan]
    """
    out = np.full(np.broadcast(numerator, denominator).shape, of_nothing)
    return np.asarray(np.divide(numerator, denominator, out=out, where=denominator > 0), dtype=np.float64)
