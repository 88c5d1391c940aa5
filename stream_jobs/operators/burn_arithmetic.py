"""The arithmetic of error budgets, exact where a threshold is compared.

Shares are compared by integer cross-multiplication with the threshold as the decimal it was written, so that exactly on
a threshold never counts as above it.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from schemas.slos import LowTraffic
from stream_jobs.operators.history import Counts

_INT64_SAFE = 2**62


def exceeds(counts: Counts, threshold: Decimal | Fraction) -> NDArray[np.bool_]:
    """Whether bad / total is strictly above the threshold, for counts of shape (n, 2); never without traffic."""
    share = Fraction(threshold)
    largest = int(counts.max(initial=1)) * max(share.numerator, share.denominator)
    exact = counts if largest < _INT64_SAFE else counts.astype(object)
    above = exact[:, 0] * share.denominator > exact[:, 1] * share.numerator
    return np.asarray(above, dtype=bool) & (counts[:, 1] > 0)


def burn(bad: int, total: int, objective: Decimal) -> float:
    """How many times faster than allowed the budget is being spent: (bad / total) / (1 - objective).

    Source: SRE Workbook, chapter 5. No traffic spends nothing; silence is watched for elsewhere.

    >>> burn(bad=72, total=5_000, objective=Decimal("0.999"))
    14.4
    """
    if total == 0:
        return 0.0
    return float(Fraction(bad, total) / Fraction(1 - objective))


def budget_left(bad: int, total: int, objective: Decimal) -> float:
    """Which share of the period's budget is left: 1 - bad / (total x (1 - objective)); all of it without traffic.

    >>> budget_left(bad=5, total=1_000, objective=Decimal("0.99"))
    0.5
    """
    return 1 - burn(bad, total, objective)


def exhausted_in_s(left: float, burning: float, period_s: int) -> float | None:
    """Seconds until the budget is spent at this burn: left x period / burn. 0 when spent, `None` when nothing burns.

    >>> exhausted_in_s(0.5, 2.0, period_s=1_000)
    250.0
    """
    if left <= 0:
        return 0.0
    return left * period_s / burning if burning > 0 else None


def bad_share_at_least(bad: int, total: int, confidence: float) -> float:
    """One-sided Clopper-Pearson lower bound of the bad share.

    Source: Clopper and Pearson (1934), through the inverse of the regularised incomplete beta function.

    >>> round(bad_share_at_least(9, 10, 0.95), 3)
    0.606
    """
    if bad == 0:
        return 0.0
    return float(betaincinv(bad, total - bad + 1, 1 - confidence))


def evidence_is_enough(
    bad: int, total: int, threshold: Decimal | Fraction, expected_budget: float | None, rule: LowTraffic
) -> bool:
    """Whether a long window holds enough failures to wake somebody (`LowTraffic`)."""
    if bad < rule.bad_events_min or bad_share_at_least(bad, total, rule.confidence) <= float(threshold):
        return False
    many = bad >= 10 * rule.bad_events_min
    return many or (expected_budget is not None and bad >= float(rule.budget_share_min) * expected_budget)
