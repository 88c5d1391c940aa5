"""Service level objectives and burn-rate policies, as values that alerts declare and operators apply.

Terms follow the SRE Workbook (chapter 5) and OpenSLO: an *objective* is the share of good turns wanted over a *period*;
what may be bad is the error budget; *burn* is how many times faster than allowed it is spent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from schemas.families import FAMILIES, Family, Indicator

Severity = Literal["page", "ticket"]
Budgeting = Literal["occurrences", "time_slices"]
RowKind = Literal["burn", "outage", "exhausts", "any_event"]

TIME_SLICE_S = 60
"""How long a time slice is."""
MINUTES = "minutes"
"""The unit of budgets by time slices."""

STANDARD_POLICY = "standard"
"""The policy of an objective that names none."""

SLO_SLICES_MAX = 5_000
"""Of how many slices, each counted once for every objective that watches it, a worker shows SLO counters."""


@dataclass(frozen=True, slots=True)
class Slo:
    """One objective over one pool. `objective` is a decimal below 1, kept as written; `cuts` are names of cuts watched.

    `policy` names the burn policy whose rows watch it. With `budgeting` by occurrences the budget is of turns; by time
    slices it is of minutes with traffic, each of which is bad where its share of good turns is below `time_slice_target`.
    """

    name: str
    indicator: Indicator
    pool: str
    objective: Decimal
    period_s: int
    cuts: tuple[str, ...]
    owner: str
    description: str
    runbook: str
    policy: str = STANDARD_POLICY
    budgeting: Budgeting = "occurrences"
    time_slice_target: Decimal | None = None

    @property
    def budget_rate(self) -> Decimal:
        """The share of turns, or of minutes, that may be bad: 1 - objective."""
        return 1 - self.objective

    @property
    def turns_allowed(self) -> Decimal:
        """The share of turns that may be bad: of all of them, or within each minute."""
        return self.budget_rate if self.time_slice_target is None else 1 - self.time_slice_target

    @property
    def unit(self) -> str:
        """What its budget is of, in the plural: what its indicator counts, or minutes."""
        return self.indicator.unit if self.time_slice_target is None else MINUTES

    @property
    def family(self) -> Family:
        """The family that counts the indicator's measures."""
        return next(family for family in FAMILIES.values() if self.indicator.bad in family.measure_names)


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """Fire when the bad share exceeds `threshold` in both windows.

    `threshold` is a share of turns, exact (factor × budget rate for a burn row). `factor` is the burn it stands for.
    A row of kind `any_event` has both at 0, and needs no evidence: one bad turn in its window is enough. One of kind
    `exhausts` fires when the budget that is left would be spent within `within_s` at the burn of both windows; its
    threshold follows from what is left, slice by slice, and is never below a burn of 1, which is what the row holds.
    """

    name: str
    long_s: int
    short_s: int
    threshold: Decimal
    factor: Decimal
    severity: Severity
    kind: RowKind = "burn"
    within_s: int | None = None


@dataclass(frozen=True, slots=True)
class LowTraffic:
    """What else a page needs, so that a handful of failures at night stays quiet.

    The one-sided `confidence` Clopper-Pearson lower bound of the long window's bad share is above the row's threshold,
    at least `bad_events_min` bad turns are in it, and either ten times that many, or `budget_share_min` of the error
    budget that the period's expected traffic gives (known after an hour of history).
    """

    confidence: float = 0.95
    bad_events_min: int = 10
    budget_share_min: Decimal = Decimal("0.01")

    @classmethod
    def none(cls) -> LowTraffic:
        """The rule that holds nothing back: whatever exceeds a row is enough."""
        return cls(confidence=0.0, bad_events_min=0)


def _keep_firing_s() -> dict[Severity, int]:
    return {"page": 60, "ticket": 600}


def _pending_s() -> dict[Severity, int]:
    return {"page": 0, "ticket": 0}


@dataclass(frozen=True, slots=True)
class Life:
    """When an alert begins and ends, in event time.

    It begins once its row has been exceeded for `pending_s`. It stays while both windows of a row are above
    `resolve_below` times the row's threshold, so that it does not come and go at the threshold itself, and for
    `keep_firing_s` after that.
    """

    resolve_below: Decimal = Decimal("0.9")
    keep_firing_s: Mapping[Severity, int] = field(default_factory=_keep_firing_s, hash=False)
    pending_s: Mapping[Severity, int] = field(default_factory=_pending_s, hash=False)


@dataclass(frozen=True, slots=True)
class WatchedSlo:
    """An objective with the rows that watch it."""

    slo: Slo
    rows: tuple[PolicyRow, ...]
    low_traffic: LowTraffic = LowTraffic()
    life: Life = Life()
