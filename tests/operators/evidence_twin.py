"""The low-traffic rule for one window, as its text says it: the oracle of the rule over columns."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from scipy.special import betaincinv

from schemas.slos import LowTraffic


def bad_share_at_least(bad: int, total: int, confidence: float) -> float:
    """One-sided Clopper-Pearson lower bound of the bad share."""
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
