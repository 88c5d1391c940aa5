"""Evidence: the low-traffic rule of `burn_arithmetic.evidence_is_enough`, over columns of slices.

The Clopper-Pearson bound takes an inverse of the incomplete beta function, microseconds a value, so it is asked last, and
only of windows with enough bad turns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from schemas.slos import LowTraffic
from stream_jobs.operators.history import Counts


def evident(
    long: Counts, thresholds: NDArray[np.float64], budgets: NDArray[np.float64], rule: LowTraffic
) -> NDArray[np.bool_]:
    """Which long windows, of shape (n, 2), hold enough failures to wake somebody.

    `budgets` are the bad turns that each period's expected traffic allows, not a number where that is unknown.
    """
    bad, total = long[:, 0], long[:, 1]
    with np.errstate(invalid="ignore"):
        of_budget = bad >= float(rule.budget_share_min) * budgets  # Never true of what is not a number.
    enough = (bad >= rule.bad_events_min) & ((bad >= 10 * rule.bad_events_min) | of_budget)
    places = np.flatnonzero(enough & (bad > 0))
    enough[:] = False
    bounds = betaincinv(bad[places], total[places] - bad[places] + 1, 1 - rule.confidence)
    enough[places] = bounds > thresholds[places]
    return np.asarray(enough, dtype=np.bool_)
