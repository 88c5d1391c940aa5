"""Burn policies as values, and the rows that one has for an objective.

A *budget share* says "this share of the period's budget, spent within the long window, is worth a page (or a ticket)";
its factor is what that means as a burn: the share times the period over the long window (SRE Workbook, chapter 5). Where
it would be below 1 the row would fire while under budget, so its long window is shortened until it is 1. A *written row*
has windows and a factor of its own. An *outage* row besides pages for most turns failing at once, which the hour's window
sees too late. An *exhausts* row asks how long what is left of the budget will last, and an *any event* row whether there
was a single bad turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from alerts.located_yaml import Document, Place
from schemas.families import OPERATIONAL
from schemas.slos import Life, LowTraffic, PolicyRow, Severity, Slo

BUCKET_S = OPERATIONAL.k_window_s
"""Windows are made of buckets this long."""
SHORT_PER_LONG = 12
"""The short window of a computed row is this part of the long one: it ends a page soon after the burning does."""


@dataclass(frozen=True, slots=True)
class BudgetShare:
    """Spending `share` of the period's error budget within `long_s` is worth an alert of this severity."""

    share: Decimal
    long_s: int
    severity: Severity


@dataclass(frozen=True, slots=True)
class WrittenRow:
    """A burn of `factor` in both windows is worth an alert of this severity, whatever the period."""

    long_s: int
    short_s: int
    factor: Decimal
    severity: Severity


@dataclass(frozen=True, slots=True)
class Outage:
    """Spending `share` of the budget within `long_s`, or `bad_share_max` of all turns bad, whichever is less."""

    share: Decimal
    long_s: int
    short_s: int
    bad_share_max: Decimal
    severity: Severity


@dataclass(frozen=True, slots=True)
class Exhausts:
    """What is left of the budget going within `within_s`, at the burn of this window and its twelfth, is worth an alert."""

    within_s: int
    window_s: int
    severity: Severity


@dataclass(frozen=True, slots=True)
class AnyEvent:
    """One bad turn within the window is worth an alert of this severity, however little traffic there is."""

    window_s: int
    severity: Severity


RowSpec = BudgetShare | WrittenRow | Outage | Exhausts | AnyEvent


@dataclass(frozen=True, slots=True)
class Source:
    """Where a policy was read."""

    file: Path
    document: Document


@dataclass(frozen=True, slots=True)
class Policy:
    """Which windows watch an objective, how much traffic an alert needs, and when one begins and ends."""

    name: str
    rows: tuple[BudgetShare | WrittenRow, ...] = ()
    outage: Outage | None = None
    low_traffic: LowTraffic = field(default_factory=LowTraffic)
    source: Source | None = field(default=None, compare=False, repr=False)
    exhausts: tuple[Exhausts, ...] = ()
    any_event: AnyEvent | None = None
    life: Life = field(default_factory=Life)


def placed(policy: Policy) -> Iterator[tuple[Place, RowSpec]]:
    """What the policy's rows are made of, with the place of each in its document; the fastest ones first."""
    if policy.any_event is not None:
        yield ("spec", "anyEvent"), policy.any_event
    if policy.outage is not None:
        yield ("spec", "outage"), policy.outage
    for position, row in enumerate(policy.rows):
        yield ("spec", "rows", position), row
    for position, exhausts in enumerate(policy.exhausts):
        yield ("spec", "exhausts", position), exhausts


def row_for(slo: Slo, spec: RowSpec) -> PolicyRow:
    """One row for the objective and its period."""
    match spec:
        case BudgetShare():
            return _budget_row(slo, spec)
        case WrittenRow(long_s, short_s, factor, severity):
            return PolicyRow(
                _name(severity, long_s, short_s), long_s, short_s, factor * slo.budget_rate, factor, severity
            )
        case Outage():
            return _outage_row(slo, spec)
        case Exhausts():
            return _exhausts_row(slo, spec)
        case AnyEvent(window_s, severity):
            name = f"{severity}_any_event_{duration_text(window_s)}"
            return PolicyRow(name, window_s, window_s, Decimal(0), Decimal(0), severity, "any_event")


def burn_factor(share: Decimal, period_s: int, long_s: int) -> Decimal:
    """How many times faster than allowed `share` of the budget goes when it goes within `long_s`.

    >>> burn_factor(Decimal("0.02"), period_s=30 * 86_400, long_s=3_600)
    Decimal('14.4')
    """
    return _decimal(Fraction(share) * period_s / long_s)


def can_fire(row: PolicyRow) -> bool:
    """A bad share is at most 1, and a row fires strictly above its threshold."""
    return row.threshold < 1


def shortened_s(slo: Slo, spec: BudgetShare) -> int:
    """The long window, shortened to where the share of the budget goes at a burn of 1."""
    return min(spec.long_s, int(spec.share * slo.period_s))


def duration_text(seconds: int) -> str:
    """A window's length as one writes it.

    >>> duration_text(60), duration_text(60_480), duration_text(3 * 86_400)
    ('1m', '16h48m', '3d')
    """
    parts = []
    for unit, length_s in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, length_s)
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts) or "0s"


def shown(number: Decimal | Fraction) -> str:
    """A number for a reader: three significant places at most after the whole part, no trailing zeros.

    >>> shown(Decimal("14.40")), shown(Decimal("33.3333")), shown(Decimal("0.0144"))
    ('14.4', '33.3', '0.0144')
    """
    return format(float(number), ".4g" if number >= 1_000 else ".3g")


def _budget_row(slo: Slo, spec: BudgetShare) -> PolicyRow:
    """One share of the budget as a row; its window is shortened where the factor would be below 1."""
    long_s = shortened_s(slo, spec)
    short_s = long_s // SHORT_PER_LONG
    factor = burn_factor(spec.share, slo.period_s, long_s) if long_s else Decimal(1)
    name = _name(spec.severity, long_s, short_s)
    return PolicyRow(name, long_s, short_s, factor * slo.budget_rate, factor, spec.severity)


def _outage_row(slo: Slo, spec: Outage) -> PolicyRow:
    """Fires when most turns fail at once, or much of the budget goes within minutes, whichever is less."""
    spent = burn_factor(spec.share, slo.period_s, spec.long_s) * slo.budget_rate
    threshold = min(spent, spec.bad_share_max)
    name = _name("outage", spec.long_s, spec.short_s)
    return PolicyRow(name, spec.long_s, spec.short_s, threshold, threshold / slo.budget_rate, spec.severity, "outage")


def _exhausts_row(slo: Slo, spec: Exhausts) -> PolicyRow:
    """Holds a burn of 1, below which no budget is ever spent; what it fires at besides follows from what is left."""
    short_s = max(BUCKET_S, spec.window_s // SHORT_PER_LONG // BUCKET_S * BUCKET_S)
    name = _name(f"{spec.severity}_exhausts_{duration_text(spec.within_s)}", spec.window_s, short_s)
    return PolicyRow(
        name, spec.window_s, short_s, slo.budget_rate, Decimal(1), spec.severity, "exhausts", spec.within_s
    )


def _name(kind: str, long_s: int, short_s: int) -> str:
    return f"{kind}_{duration_text(long_s)}_{duration_text(short_s)}"


def _decimal(exact: Fraction) -> Decimal:
    return (Decimal(exact.numerator) / Decimal(exact.denominator)).normalize() + 0
