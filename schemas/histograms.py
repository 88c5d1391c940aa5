"""Sparse base-2 exponential histograms, as OpenTelemetry defines them, over latencies in milliseconds.

Bucket `index` at `scale` covers (base^index, base^(index + 1)] with base = 2^(2^-scale); values of zero have a bucket of
their own. Source: OpenTelemetry data model, "ExponentialHistogram".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ZERO_INDEX = -32_768
"""The index that stands for values of exactly zero; `families.Key` allows it beside its range."""


def bucket_indexes(values_ms: NDArray[np.float64], scale: int) -> NDArray[np.int32]:
    """The bucket index of each value in ms; zero and anything below goes to `ZERO_INDEX`.

    Logarithms round, so each index is checked against its bucket's bounds and moved by one where it missed: a value
    equal to an upper bound belongs to the bucket below it, always.

    >>> bucket_indexes(np.array([0.0, 1.0, 2.0, 2.1, 4.0]), scale=0).tolist()
    [-32768, -1, 0, 1, 1]
    """
    positive = values_ms > 0
    safe = np.where(positive, values_ms, 1.0)
    index = np.ceil(np.ldexp(np.log2(safe), scale)).astype(np.int64) - 1
    index -= upper_bounds_ms(index - 1, scale) >= safe
    index += upper_bounds_ms(index, scale) < safe
    return np.where(positive, index, ZERO_INDEX).astype(np.int32)


def upper_bounds_ms(index: NDArray[np.int64], scale: int) -> NDArray[np.float64]:
    """The inclusive upper bound of each bucket: base^(index + 1), in ms."""
    bounds: NDArray[np.float64] = np.exp2(np.ldexp((index + 1).astype(np.float64), -scale))
    return bounds


def downscaled(index: NDArray[np.int64], by: int) -> NDArray[np.int64]:
    """The indexes at a scale smaller by `by`, exactly; the zero bucket stays what it is.

    >>> downscaled(np.array([-32768, -3, -1, 0, 1, 2]), by=1).tolist()
    [-32768, -2, -1, 0, 0, 1]
    """
    return np.where(index == ZERO_INDEX, ZERO_INDEX, index >> by)
