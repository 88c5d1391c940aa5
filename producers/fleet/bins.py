"""The buckets of a histogram with the probability of each, cut where an indicator's threshold lies within one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from producers.fleet.densities import Distribution
from schemas.arrays import Floats
from schemas.histograms import upper_bounds_ms

Counts = NDArray[np.int64]

LOWEST_MS, HIGHEST_MS = 0.5, 32_000.0
NEGLIGIBLE = 1e-10
"""Bins of less probability are left out, and their probability is shared by the others."""


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """`bucket` is the histogram's index of each bin, in ascending order; two bins of one bucket stand side by side."""

    probabilities: Floats
    bucket: NDArray[np.int32]
    middle_ms: Floats
    mean_square_ms: Floats
    is_bad: NDArray[np.bool_]

    def drawn(self, rng: Generator, counts: Counts) -> Counts:
        """Multinomial counts, a row for each of `counts`."""
        found: Counts = rng.multinomial(counts, self.probabilities)
        return found

    @property
    def bucket_starts(self) -> NDArray[np.intp]:
        """Where a new bucket begins."""
        return np.flatnonzero(np.concatenate([[True], np.diff(self.bucket) != 0]))


def bins_of(share: Distribution, scale: int, threshold_ms: float | None) -> Bins:
    """Bins at that scale, of latencies that are never 0.

    A bin stands for its middle; with buckets of 2.2 % at most that is off by less than rounding to whole ms is.
    """
    first, last = (int(np.floor(np.log2(ms) * 2**scale)) for ms in (LOWEST_MS, HIGHEST_MS))
    index = np.arange(first, last + 1)
    edges = upper_bounds_ms(index - 1, scale)
    upper = np.append(edges[1:], upper_bounds_ms(index[-1:], scale))
    if threshold_ms is not None:
        place = int(np.searchsorted(upper, threshold_ms))
        index, edges, upper = _cut(index, edges, upper, place, threshold_ms)
    low, high = share(edges), share(upper)
    low[0], high[-1] = 0.0, 1.0
    kept = high - low > NEGLIGIBLE
    probabilities = (high - low)[kept]
    middle, width = ((edges + upper) / 2)[kept], (upper - edges)[kept]
    return Bins(
        probabilities=probabilities / probabilities.sum(),
        bucket=index[kept].astype(np.int32),
        middle_ms=middle,
        mean_square_ms=middle**2 + width**2 / 12,
        is_bad=middle > (np.inf if threshold_ms is None else threshold_ms),
    )


def _cut(
    index: NDArray[np.int64], edges: Floats, upper: Floats, place: int, threshold_ms: float
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """The bin at that place as two, left and right of the threshold."""
    return (
        np.insert(index, place, index[place]),
        np.insert(edges, place + 1, threshold_ms),
        np.insert(upper, place, threshold_ms),
    )
