"""Bounds that hold at every look where little is known: a variance from a few windows, a share from a handful of events.

- *Few windows*: means of normal windows whose variance nobody knows. A mixture of t statistics over effects of a normal prior,
  in standard deviations of a window, is a test martingale under the right Haar prior, from the second window on: Lai, "On
  confidence sequences" (1976); Wang and Ramdas, "Anytime-valid t-tests and confidence sequences for Gaussian means with
  unknown variance" (2023).
- *Few events*: shares by the beta-binomial mixture: Robbins, "Statistical methods related to the law of the iterated
  logarithm" (1970).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, xlog1py, xlogy

from schemas.arrays import Floats
from stream_jobs.operators.release.anytime import Bounds

EFFECT_SQ = 1.0
"""Variance of the prior, in that of one window: bounds are to tell one standard deviation from none soonest."""
_JEFFREYS = 0.5
_HALVINGS = 60


def student_radius(error: Floats, windows: Floats, alpha: Floats | float) -> Floats:
    """Half the width of a time-uniform interval of a mean, `error` being its standard error from that many windows.

    Infinite while the windows are too few for any bound.
    """
    freedom = np.maximum(windows - 1, 1)
    spread = 1 + windows * EFFECT_SQ
    bar = np.exp((0.5 * np.log(spread) - np.log(alpha)) * 2 / (freedom + 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        t_sq = freedom * (bar - 1) / (1 - bar / spread)
    known = (windows > 1) & (bar < spread)
    return np.where(known, np.sqrt(np.where(known, t_sq, 0.0)) * error, np.inf)


def share_bounds(events: Floats, count: Floats, alpha: Floats | float) -> Bounds:
    """Between which shares the true one lies at every look, of `events` among `count` independent units.

    Both may be fractions, as where over-dispersed counts were divided by their dispersion. 0 and 1 where nothing is known.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = np.where(count > 0, events / count, 0.5)
    limit = -np.log(alpha)
    mixed = betaln(_JEFFREYS + events, _JEFFREYS + count - events) - betaln(_JEFFREYS, _JEFFREYS)

    def is_ruled_out(share: Floats) -> NDArray[np.bool_]:
        likelihood = xlogy(events, share) + xlog1py(count - events, -share)
        return np.asarray(mixed - likelihood >= limit, dtype=np.bool_)

    return Bounds(*(_edge(middle, np.full_like(middle, far), is_ruled_out) for far in (0.0, 1.0)))


def _edge(near: Floats, far: Floats, is_ruled_out: Callable[[Floats], NDArray[np.bool_]]) -> Floats:
    """The share nearest to `far` that is not ruled out, to rounding, by bisection from one that is not."""
    edge = far.copy()
    is_free = ~is_ruled_out(far)
    for _ in range(_HALVINGS):
        middle = (near + edge) / 2
        out = is_ruled_out(middle)
        edge, near = np.where(out, middle, edge), np.where(out, near, middle)
    return np.where(is_free, far, edge)
