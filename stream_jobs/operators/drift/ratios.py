"""How far figures of slices lie above what their references allow, in standard deviations, hour by hour.

A figure is a sum over a sum. An hour of a slice and its reference are compared as counts of a rate: given both together, how
many of them the slice should have, and the signed root of the deviance of what it has (McCullagh and Nelder, "Generalized
linear models", 1989, section 2.4.3), which is close to normal even where there are few. How much more than independent counts they
stray comes from sums of squares over calls where there are any (Cochran, "Sampling techniques", chapter 6), and beyond it
from the slice's own hours: the mean square of its deviations from its references so far, at least 1 (McCullagh and Nelder,
section 4.5).

Hours with too little are added up until there is enough to compare, a week at most; until then it is "not enough".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy

from schemas.arrays import Flags, Floats

EVENTS_MIN = 10.0
"""Errors of both together, as if they were independent, that a comparison takes."""
WAITED_MAX = 168
"""Hours that are added up at most."""
LEARNT_MIN = 24.0
"""Comparisons by which a slice's own spread is known well enough to judge by."""
_PRIOR = 4.0
_WEIGHT_MAX = 168.0
_OUTLYING = 9.0
"""One comparison counts for no more of the spread than three standard deviations."""
_TOLERANCE_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Sums:
    """Of an hour, by measure and slice: what is bad, of how much, and the variance of the bad part, its total given."""

    bad: Floats
    total: Floats
    variance: Floats


@dataclass(frozen=True, slots=True)
class Compared:
    """What an hour adds, by measure and slice. `excess` is not a number where there is not enough yet; `sums` are those of both."""

    excess: Floats
    sums: Floats
    """Bad, total, bad of the reference, total of the reference: of what was compared."""
    is_enough: Flags


@dataclass(frozen=True, slots=True)
class Limits:
    """By measure, as columns: what is tolerated, as a share and in the figure's unit, and the samples that are needed."""

    tolerance: Floats
    tolerance_absolute: Floats
    samples_min: Floats


def variance_given(rate: Floats, total: Floats, spread: str, squares: tuple[Floats, ...], bad: Floats) -> Floats:
    """Of the bad part, if it comes at `rate` of its total: by how it spreads (`schemas/drift_measures.py`)."""
    if spread == "share":
        return np.asarray(total * rate * (1 - rate), dtype=np.float64)
    if spread == "count":
        return np.asarray(total * rate, dtype=np.float64)
    if not squares:
        return np.asarray(total * rate * rate, dtype=np.float64)  # As if it were exponential; its own hours say more.
    if spread == "mean":
        return np.maximum(squares[0] - 2 * rate * bad + rate * rate * total, 0.0)
    return np.maximum(squares[0] - 2 * rate * squares[2] + rate * rate * squares[1], 0.0)


def compare(pending: Floats, waited: Floats, new: Sums, old: Sums, limits: Limits, is_fixed: bool) -> Compared:
    """Adds an hour to what waits in `pending` (six sums) and `waited` (hours), which change, and compares what is enough.

    Hours in which neither side has anything bad are enough by their samples: a figure that stays at 0 is known by them. If
    hours were so by one side alone, what is added up of the others would lean to that side.

    A share that is tolerated is a factor of the rate; an amount is granted to the reference, which may have nothing bad.

    `is_fixed`: the reference is the same sample in every hour, so that its error does not average out; twice that is
    tolerated besides, and what waits has it once.
    """
    _add(pending, waited, new, old, is_fixed)
    bad, total, _, old_bad, old_total, old_variance = pending
    with np.errstate(divide="ignore", invalid="ignore"):
        granted = limits.tolerance_absolute * old_total
        is_granted = granted > limits.tolerance * old_bad
        allowed = old_bad + np.where(is_granted, granted, 0.0)
        excused = np.where(is_granted, 0.0, limits.tolerance)
        if is_fixed:
            excused = excused + 2 * np.sqrt(old_variance) / allowed
            old_variance = np.zeros_like(old_variance)
        excused = np.where(np.isfinite(excused), np.minimum(excused, _TOLERANCE_MAX), _TOLERANCE_MAX)
        extra = _extra(pending, old_variance)
        enough = (total >= limits.samples_min) & (old_total >= limits.samples_min)
        enough &= (bad + old_bad == 0) | (bad + old_bad >= EVENTS_MIN * extra)
        excess = signed_root(bad, allowed, total * (1 + excused), old_total) / np.sqrt(extra)
    sums = np.where(enough, pending[[0, 1, 3, 4]], 0.0)
    return Compared(np.where(enough, excess, np.nan), sums, enough)


def let_go(pending: Floats, waited: Floats, is_enough: Flags) -> None:
    """What was compared waits no more, and what has waited for too long neither."""
    is_over = is_enough | (waited >= WAITED_MAX)
    pending[:, is_over] = 0.0
    waited[is_over] = 0.0


def plain_excess(pending: Floats, is_enough: Flags, is_fixed: bool) -> tuple[Floats, Floats]:
    """The excess over the reference itself, nothing tolerated, by which a slice's own spread is known; and its information.

    Information is 1 over the variance that the logarithm of the two rates' ratio has if nothing strays more than it must.
    """
    bad, total, _, old_bad, old_total, old_variance = pending
    with np.errstate(divide="ignore", invalid="ignore"):
        root = signed_root(bad, old_bad, total, old_total)
        extra = _extra(pending, np.zeros_like(old_variance) if is_fixed else old_variance)
        information = (bad + old_bad) / (total + old_total) / (1 / total + 1 / old_total) / extra
    return np.where(is_enough, root / np.sqrt(extra), np.nan), np.where(is_enough, information, 0.0)


def squares(plain: Floats, sums: Floats) -> Floats:
    """Of plain excesses, to learn a spread from. Where neither side has anything bad it is 1: no sign of any spread, nor of none."""
    return np.where(sums[0] + sums[2] > 0, plain**2, np.where(np.isfinite(plain), 1.0, np.nan))


def learn(learnt: Floats, square: Floats, information: Floats, is_learning: Flags) -> Floats:
    """Notes one more squared deviation where there is one, and gives the spread as it was known before: at least 1.

    Of `learnt` (squares, how many, information, summed; it changes) older ones count less, by a week of hours. A slice may
    stray by a factor, as its calls or sessions are alike, or by an amount of its own from hour to hour, which
    tells the more the more there is in an hour (DerSimonian and Laird, 1986): the larger of both counts, and as much more as
    so few comparisons may be wrong by.
    """
    spread, weight, summed = learnt
    factor = (_PRIOR + spread) / (_PRIOR + weight)
    with np.errstate(divide="ignore", invalid="ignore"):
        amount = np.where(summed > 0, np.maximum(spread - weight, 0.0) / summed, 0.0)
    unsure = 1 + np.sqrt(2 / np.maximum(weight, 1.0))
    before: Floats = np.maximum(np.maximum(factor, 1 + amount * information) * unsure, 1.0)
    is_seen = np.isfinite(square) & is_learning
    kept = np.where(is_seen & (weight >= _WEIGHT_MAX), 1 - 1 / _WEIGHT_MAX, 1.0)
    learnt *= kept
    spread += np.where(is_seen, np.minimum(square, _OUTLYING * before), 0.0)
    weight += is_seen
    summed += np.where(is_seen, information, 0.0)
    return np.asarray(before, dtype=np.float64)


def signed_root(bad: Floats, old_bad: Floats, exposure: Floats, old_exposure: Floats) -> Floats:
    """The signed root of the deviance of two counts, where both come at one rate of their exposures."""
    both = bad + old_bad
    expected = both * exposure / (exposure + old_exposure)
    deviance = xlogy(bad, bad / expected) + xlogy(old_bad, old_bad / (both - expected))
    root = np.where(both > 0, np.sqrt(np.maximum(2 * deviance, 0.0)), 0.0)
    return np.asarray(np.where(bad >= expected, root, -root), dtype=np.float64)


def _extra(pending: Floats, old_variance: Floats) -> Floats:
    """By how much the two rates' difference strays more, or less, than that of two independent counts."""
    bad, total, variance, old_bad, old_total, _ = pending
    rate = (bad + old_bad) / (total + old_total)
    of_counts = rate / total + rate / old_total
    found = (variance / total**2 + old_variance / old_total**2) / of_counts
    return np.asarray(np.where(np.isfinite(found), np.maximum(found, 1e-3), 1.0), dtype=np.float64)


def _add(pending: Floats, waited: Floats, new: Sums, old: Sums, is_fixed: bool) -> None:
    is_seen = (new.total > 0) & (old.total > 0)
    for place, values in enumerate((new.bad, new.total, new.variance)):
        pending[place] += np.where(is_seen, values, 0.0)
    for place, values in enumerate((old.bad, old.total, old.variance), 3):
        added = np.where(is_seen, values, 0.0)
        pending[place] = np.where(is_seen, added, pending[place]) if is_fixed else pending[place] + added
    waited += is_seen | (waited > 0)
