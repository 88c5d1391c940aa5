"""How far the shape of a stage's latencies lies from that of its reference: two divergences of merged histograms.

The population stability index is the sum over bins of (p - q) ln(p / q), symmetric; the Jensen-Shannon divergence is between 0
and 1 bit. Sparse bins (fewer than `BIN_MIN` observations in both together) are taken as one. Where nothing changed, the
index times n m / (n + m) is distributed about as chi-squared with a degree of freedom less than there are bins (Yurdakul, "Statistical
properties of population stability index", 2018), times the slice's own spread; where what is tolerated is reached, as a
noncentral one (Patnaik, 1949). Its cube root is nearly normal (Wilson and Hilferty, 1931).
"""

from __future__ import annotations

import numpy as np

from schemas.arrays import Floats

BIN_MIN = 10.0
BINS = 24
LOWEST = 6
"""The first bin ends at base^(LOWEST + 1) = 11.3 ms; it has what is shorter, too, and the last one what is longer than 23 s."""
SCALE = 1
"""Bins are those of a base-2 exponential histogram of this scale: each 1.41 times as wide as the one before."""


def merged(new: Floats, old: Floats) -> tuple[Floats, Floats]:
    """Both histograms, of shape (…, bins), with their sparse bins as one more bin at the end."""
    is_sparse = (new + old) < BIN_MIN
    parts = []
    for counts in (new, old):
        rest = np.where(is_sparse, counts, 0.0).sum(axis=-1, keepdims=True)
        parts.append(np.concatenate([np.where(is_sparse, 0.0, counts), rest], axis=-1))
    return parts[0], parts[1]


def stability_index(new: Floats, old: Floats) -> Floats:
    """Population stability index of two merged histograms; half an observation is added to each bin that has any."""
    is_used = (new + old) > 0
    p, q = _shares(new + 0.5 * is_used), _shares(old + 0.5 * is_used)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(is_used, (p - q) * np.log(p / q), 0.0)
    return np.asarray(terms.sum(axis=-1), dtype=np.float64)


def divergence_bits(new: Floats, old: Floats) -> Floats:
    """Jensen-Shannon divergence of two histograms, in bits: 0 for one shape, 1 for two that have nothing in common."""
    p, q = _shares(new), _shares(old)
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log2(p / middle), 0.0) + np.where(q > 0, q * np.log2(q / middle), 0.0)
    return np.asarray(terms.sum(axis=-1) / 2, dtype=np.float64)


def scaled(new: Floats, old: Floats, index: Floats) -> tuple[Floats, Floats, Floats]:
    """Of merged histograms: the index over its degrees of freedom, about 1 where nothing changed; those; and n m / (n + m)."""
    n, m = new.sum(axis=-1), old.sum(axis=-1)
    freedom = ((new + old) > 0).sum(axis=-1) - 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        effective = n * m / (n + m)
        ratio = effective * index / freedom
    is_known = (freedom >= 1) & (n > 0) & (m > 0)
    return np.where(is_known, ratio, np.nan), freedom, effective


def excess(ratio: Floats, freedom: Floats, effective: Floats, spread: Floats, tolerance: Floats) -> Floats:
    """How far a ratio lies above what spread and tolerance explain, in standard deviations."""
    with np.errstate(divide="ignore", invalid="ignore"):
        noncentral = effective * tolerance / (spread * freedom)
        mean, degrees = spread * (1 + noncentral), freedom * (1 + noncentral) ** 2 / (1 + 2 * noncentral)
        part = 2 / (9 * degrees)
        found = (np.cbrt(ratio / mean) - (1 - part)) / np.sqrt(part)
    return np.asarray(found, dtype=np.float64)


def _shares(counts: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.nan_to_num(counts / counts.sum(axis=-1, keepdims=True)), dtype=np.float64)
