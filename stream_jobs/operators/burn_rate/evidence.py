"""Evidence: the low-traffic rule over columns of windows, for the stream and for backtests alike.

The Clopper-Pearson bound takes an inverse of the incomplete beta function, microseconds a value, so it is asked last, and
only of windows with enough bad turns. Most burns are far above their threshold p, and there Chernoff's bound on
P(X >= bad) says the same at once: total x KL(bad ÷ total, p) above -ln(1 - confidence) leaves no doubt.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, rel_entr

from schemas.slos import LowTraffic
from stream_jobs.operators.burn_rate.arithmetic import shares
from stream_jobs.operators.burn_rate.history import Counts

_BEYOND_ROUNDING = 1.000_001


def evident(
    long: Counts, thresholds: NDArray[np.float64], budgets: NDArray[np.float64], rule: LowTraffic
) -> NDArray[np.bool_]:
    """Which long windows, of shape (n, 2), hold enough failures to wake somebody.

    `budgets` are the bad turns that each period's expected traffic allows, not a number where that is unknown.
    """
    bad = long[:, 0]
    with np.errstate(invalid="ignore"):
        of_budget = bad >= float(rule.budget_share_min) * budgets  # Never true of what is not a number.
    enough = (bad >= rule.bad_events_min) & ((bad >= 10 * rule.bad_events_min) | of_budget)
    places = np.flatnonzero(enough)
    enough[places] = _is_surely_above(long[places], thresholds[places], rule.confidence)
    return np.asarray(enough, dtype=np.bool_)


def share_at_least(counts: Counts, confidence: float) -> NDArray[np.float64]:
    """One-sided Clopper-Pearson lower bounds of bad shares, of counts of shape (n, 2); 0 where nothing is bad.

    Source: Clopper and Pearson (1934), through the inverse of the regularised incomplete beta function.

    >>> share_at_least(np.array([[9, 10], [0, 10]]), 0.95).round(3).tolist()
    [0.606, 0.0]
    """
    bad, total = counts[:, 0], counts[:, 1]
    bound = betaincinv(np.maximum(bad, 1), np.maximum(total - bad, 0) + 1, 1 - confidence)
    return np.where(bad > 0, bound, 0.0)


def _is_surely_above(counts: Counts, thresholds: NDArray[np.float64], confidence: float) -> NDArray[np.bool_]:
    """Whether the lower bound of each bad share is above its threshold."""
    no_doubt = (-math.log1p(-confidence) if confidence < 1 else math.inf) * _BEYOND_ROUNDING
    share = shares(counts)
    divergence = counts[:, 1] * (rel_entr(share, thresholds) + rel_entr(1 - share, 1 - thresholds))
    is_above = (share > thresholds) & (divergence > no_doubt)
    doubtful = np.flatnonzero(~is_above)
    is_above[doubtful] = share_at_least(counts[doubtful], confidence) > thresholds[doubtful]
    return np.asarray(is_above, dtype=np.bool_)
