"""How long stages and whole turns take, as distributions that are computed and not sampled.

A stage's distribution function is known in closed form, or as a mean over quantiles of what it depends on. The sum of
independent stages is their convolution, on a lattice of `LATTICE_MS` by fast Fourier transform.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincinv, ndtr

from schemas.arrays import Floats

Distribution = Callable[[Floats], Floats]
"""The share of latencies at or below each value, in ms."""

LATTICE_MS = 4.0
POINTS = 8_192
"""Latencies up to 32 s; what is longer is counted there."""
AROUND_POINTS = 400


def lognormal(median_ms: float, spread: float) -> Distribution:
    """Latencies whose logarithm is normal; a spread of 0 is always the median."""

    def share(at_ms: Floats) -> Floats:
        if spread == 0:
            return np.where(at_ms >= median_ms, 1.0, 0.0)
        with np.errstate(divide="ignore"):
            logs = np.log(np.maximum(at_ms, 0.0) / median_ms)
        return np.asarray(ndtr(logs / spread), dtype=float)

    return share


def mixture(parts: Sequence[tuple[float, Distribution]]) -> Distribution:
    """Each part with its weight; the weights sum to 1."""
    return lambda at_ms: np.sum([weight * part(at_ms) for weight, part in parts], axis=0)


def around(medians_ms: Floats, spread: float) -> Distribution:
    """A lognormal around each of these equally likely medians: computed once at `AROUND_POINTS`, linear between them."""
    logs = np.log(medians_ms)
    at_log = np.linspace(logs.min() - 7 * spread, logs.max() + 7 * spread, AROUND_POINTS)
    known = np.asarray(ndtr((at_log[:, None] - logs[None, :]) / spread), dtype=float).mean(axis=1)

    def share(at_ms: Floats) -> Floats:
        with np.errstate(divide="ignore"):
            found: Floats = np.interp(np.log(np.maximum(at_ms, 0.0)), at_log, known, left=0.0, right=1.0)
        return found

    return share


def gamma_quantiles(shape: float, mean: float, count: int = 200) -> Floats:
    """The middles of `count` equally likely parts of a gamma distribution."""
    at = (np.arange(count) + 0.5) / count
    found: Floats = np.asarray(gammaincinv(shape, at), dtype=float) * mean / shape
    return found


def observed(sorted_ms: Floats) -> Distribution:
    """The distribution of a sample, which is sorted."""
    return lambda at_ms: np.searchsorted(sorted_ms, at_ms, side="right") / len(sorted_ms)


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """Probabilities of latencies at multiples of `LATTICE_MS`."""

    probabilities: Floats

    def share(self, at_ms: Floats) -> Floats:
        """The share at or below each value, linear within a cell of the lattice."""
        edges = (np.arange(POINTS + 1) - 0.5) * LATTICE_MS
        found: Floats = np.interp(at_ms, edges, np.concatenate([[0.0], np.cumsum(self.probabilities)]))
        return found

    @property
    def mean_ms(self) -> float:
        return float(self.probabilities @ np.arange(POINTS)) * LATTICE_MS

    def quantile_ms(self, share: float) -> float:
        edges = (np.arange(POINTS + 1) - 0.5) * LATTICE_MS
        return float(np.interp(share, np.concatenate([[0.0], np.cumsum(self.probabilities)]), edges))


def lattice(distribution: Distribution, happens: float = 1.0) -> Lattice:
    """The distribution on the lattice; with the rest of the probability it takes no time at all."""
    edges = (np.arange(POINTS + 1) - 0.5) * LATTICE_MS
    below = distribution(np.maximum(edges, 0.0))
    below[0], below[-1] = 0.0, 1.0
    probabilities = happens * np.diff(below)
    probabilities[0] += 1 - happens
    return Lattice(probabilities)


def total(parts: Sequence[Lattice]) -> Lattice:
    """The distribution of the sum of independent latencies."""
    size = 2 * POINTS
    spectrum = np.prod([np.fft.rfft(part.probabilities, size) for part in parts], axis=0)
    spread = np.clip(np.fft.irfft(spectrum, size), 0.0, None)
    probabilities = spread[:POINTS].copy()
    probabilities[-1] += max(0.0, 1.0 - probabilities.sum())
    return Lattice(probabilities)
