"""Exhaustion: whether what is left of a budget would be spent within some time, at the burn of a window.

The burn that this takes is the budget left x the period / the time, slice by slice, and never below 1: at less, a budget
is never spent. Compared exactly, as `burn_arithmetic.exceeds` compares: floats decide only where they leave no doubt.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from schemas.slos import Slo
from stream_jobs.operators.burn_rate.arithmetic import shares
from stream_jobs.operators.burn_rate.history import Counts

_DOUBT = 1e-9
"""Far above what rounding does to the floats here, as a part of their size."""


def exhausting_shares(period: Counts, slo: Slo, within_s: int) -> NDArray[np.float64]:
    """The bad share at which each slice would spend what is left of its budget within that time.

    `period`, of shape (n, 2), are the counts of the whole period; without any traffic all of the budget is left.
    """
    rate = float(slo.budget_rate)
    return np.maximum(rate, (rate - shares(period)) * (slo.period_s / within_s))


def exhausts(counts: Counts, period: Counts, slo: Slo, within_s: int, part: Fraction) -> NDArray[np.bool_]:
    """Whether the bad share of these windows is strictly above `part` of the one that exhausts; never without traffic."""
    share, limit = shares(counts), float(part) * exhausting_shares(period, slo, within_s)
    above = share > limit
    size = share + float(slo.budget_rate) * max(1.0, slo.period_s / within_s)
    for place in np.flatnonzero(np.abs(share - limit) <= _DOUBT * (size + limit)):
        above[place] = _is_above(counts[place].tolist(), period[place].tolist(), slo, within_s, part)
    return np.asarray(above & (counts[:, 1] > 0), dtype=np.bool_)


def _is_above(counts: list[int], period: list[int], slo: Slo, within_s: int, part: Fraction) -> bool:
    rate = Fraction(slo.budget_rate)
    left = rate - (Fraction(*period) if period[1] else 0)
    return counts[1] > 0 and Fraction(*counts) > part * max(rate, left * slo.period_s / within_s)
