"""Evidence: the low-traffic rule of `burn_arithmetic.evidence_is_enough`, over columns.

The Clopper-Pearson bound takes an inverse of the incomplete beta function, microseconds a value. Most burns are far
above their threshold p, and there Chernoff's bound on P(X >= bad) says the same at once: total x KL(bad ÷ total, p)
above -ln(1 - confidence) leaves no doubt.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, rel_entr

from schemas.slos import LowTraffic

_BEYOND_ROUNDING = 1.000_001


def evidence_holds(
    bad: NDArray[np.int64],
    total: NDArray[np.int64],
    thresholds: NDArray[np.float64],
    expected_budget: NDArray[np.float64],
    rule: LowTraffic,
) -> NDArray[np.bool_]:
    """Which long windows hold enough failures to wake somebody; an unknown budget is not a number.

    All of them are above their threshold.
    """
    with np.errstate(invalid="ignore"):
        of_budget = bad >= float(rule.budget_share_min) * expected_budget  # Never true of what is not a number.
    may_hold = (bad >= rule.bad_events_min) & ((bad >= 10 * rule.bad_events_min) | of_budget)
    places = np.flatnonzero(may_hold)
    may_hold[places] = _is_surely_above(bad[places], total[places], thresholds[places], rule.confidence)
    return may_hold


def _is_surely_above(
    bad: NDArray[np.int64], total: NDArray[np.int64], thresholds: NDArray[np.float64], confidence: float
) -> NDArray[np.bool_]:
    no_doubt = (-math.log1p(-confidence) if confidence < 1 else math.inf) * _BEYOND_ROUNDING
    share = bad / np.maximum(total, 1)
    divergence = total * (rel_entr(share, thresholds) + rel_entr(1 - share, 1 - thresholds))
    is_above = (share > thresholds) & (divergence > no_doubt)
    doubtful = np.flatnonzero(~is_above & (bad > 0))
    bounds = betaincinv(bad[doubtful], total[doubtful] - bad[doubtful] + 1, 1 - confidence)
    is_above[doubtful] = bounds > thresholds[doubtful]
    return np.asarray(is_above, dtype=np.bool_)
