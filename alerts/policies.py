"""Burn-rate policies: which windows watch an objective, computed from shares of its error budget.

A row says "this share of the period's budget, spent within the long window, is worth a page (or a ticket)"; its factor
is what that means as a burn: the share times the period over the long window (SRE Workbook, chapter 5). Where it would
be below 1 the row would fire while under budget, so its long window is shortened until it is 1. An *outage* row besides
pages for most turns failing at once, which the hour's window sees too late. Rows whose threshold no share of bad turns
can exceed are left out, and said.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from schemas.slos import LowTraffic, PolicyRow, Severity, Slo, WatchedSlo

SHORT_PER_LONG = 12
"""The short window is this part of the long one: it ends a page soon after the burning does."""


@dataclass(frozen=True, slots=True)
class BudgetShare:
    """Spending `share` of the period's error budget within `long_s` is worth an alert of this severity."""

    share: Decimal
    long_s: int
    severity: Severity


BUDGET_SHARES = (
    BudgetShare(Decimal("0.02"), 3_600, "page"),
    BudgetShare(Decimal("0.05"), 6 * 3_600, "page"),
    BudgetShare(Decimal("0.10"), 86_400, "ticket"),
    BudgetShare(Decimal("0.10"), 3 * 86_400, "ticket"),
)
OUTAGE_SHARE = BudgetShare(Decimal("0.02"), 600, "page")
OUTAGE_SHORT_S = 60
OUTAGE_BAD_SHARE_MAX = Decimal("0.5")
"""Half of all turns bad is an outage at any objective."""


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A row that can never fire: its factor is at or above the largest possible burn, 1 ÷ (1 - objective)."""

    row: PolicyRow
    burn_max: Decimal
    covered_by: PolicyRow

    @property
    def sentence(self) -> str:
        """What `turnwatch check` says about it."""
        return (
            f"row {self.row.name} (burn {shown(self.row.factor)}) can never fire: "
            f"the largest possible burn is {shown(self.burn_max)}; "
            f"row {self.covered_by.name} covers for it (bad share above {shown(self.covered_by.threshold)})"
        )


def policy_for(slo: Slo, low_traffic: LowTraffic | None = None) -> WatchedSlo:
    """The objective with every row that can fire, fastest first."""
    rows = tuple(row for row in policy_rows(slo) if _can_fire(row))
    return WatchedSlo(slo, rows, low_traffic or LowTraffic())


def unreachable_rows(slo: Slo) -> tuple[Unreachable, ...]:
    """The rows that were left out of the policy, with the row that sees a total outage soonest instead."""
    rows = policy_rows(slo)
    soonest = min((row for row in rows if _can_fire(row)), key=lambda row: row.threshold * row.long_s)
    burn_max = 1 / slo.budget_rate
    return tuple(Unreachable(row, burn_max, soonest) for row in rows if not _can_fire(row))


def policy_rows(slo: Slo) -> tuple[PolicyRow, ...]:
    """Every row for the objective's period, those that can never fire included; equal rows are one."""
    burns = (_burn_row(budget, slo) for budget in BUDGET_SHARES)
    return tuple(dict.fromkeys((_outage_row(slo), *burns)))


def burn_factor(share: Decimal, period_s: int, long_s: int) -> Decimal:
    """How many times faster than allowed `share` of the budget goes when it goes within `long_s`.

    >>> burn_factor(Decimal("0.02"), period_s=30 * 86_400, long_s=3_600)
    Decimal('14.4')
    """
    return _decimal(Fraction(share) * period_s / long_s)


def duration_text(seconds: int) -> str:
    """A window's length as one writes it.

    >>> duration_text(60), duration_text(60_480), duration_text(3 * 86_400)
    ('1m', '16h48m', '3d')
    """
    parts = []
    for unit, length_s in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, length_s)
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts)


def shown(number: Decimal) -> str:
    """A decimal for a reader: three significant places at most after the whole part, no trailing zeros.

    >>> shown(Decimal("14.40")), shown(Decimal("33.3333")), shown(Decimal("0.0144"))
    ('14.4', '33.3', '0.0144')
    """
    return format(float(number), ".4g" if number >= 1_000 else ".3g")


def _burn_row(budget: BudgetShare, slo: Slo) -> PolicyRow:
    """One share of the budget as a row; its window is shortened where the factor would be below 1."""
    long_s = min(budget.long_s, int(budget.share * slo.period_s))
    factor = burn_factor(budget.share, slo.period_s, long_s)
    short_s = long_s // SHORT_PER_LONG
    name = f"{budget.severity}_{duration_text(long_s)}_{duration_text(short_s)}"
    return PolicyRow(name, long_s, short_s, factor * slo.budget_rate, factor, budget.severity)


def _outage_row(slo: Slo) -> PolicyRow:
    """Pages when most turns fail at once, or 2 % of the budget goes within ten minutes, whichever is less."""
    spent = burn_factor(OUTAGE_SHARE.share, slo.period_s, OUTAGE_SHARE.long_s) * slo.budget_rate
    threshold = min(spent, OUTAGE_BAD_SHARE_MAX)
    name = f"outage_{duration_text(OUTAGE_SHARE.long_s)}_{duration_text(OUTAGE_SHORT_S)}"
    factor = threshold / slo.budget_rate
    return PolicyRow(name, OUTAGE_SHARE.long_s, OUTAGE_SHORT_S, threshold, factor, OUTAGE_SHARE.severity)


def _can_fire(row: PolicyRow) -> bool:
    """A bad share is at most 1, and a row fires strictly above its threshold."""
    return row.threshold < 1


def _decimal(exact: Fraction) -> Decimal:
    return (Decimal(exact.numerator) / Decimal(exact.denominator)).normalize() + 0
