"""The arithmetic of error budgets, exact where a threshold is compared.

Shares are compared by integer cross-multiplication with the threshold as the decimal it was written, so that exactly on
a threshold never counts as above it.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from stream_jobs.operators.burn_rate.history import Counts
from stream_jobs.operators.quotients import quotient

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


def shares(counts: Counts) -> NDArray[np.float64]:
    """Bad shares of counts of shape (..., 2), as floating-point numbers; 0 without traffic.

    >>> shares(np.array([[1, 4], [0, 0]])).tolist()
    [0.25, 0.0]
    """
    return quotient(counts[..., 0], counts[..., 1], of_nothing=0.0)
