"""Release gates as values: which metrics of a release are judged, in which direction, and what a gate answers.

Words follow `docs/gates.md`; a gate is declared by a file (`alerts/gate_document.py`) and applied by
`stream_jobs/operators/release/gates.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Literal

Direction = Literal["lower_is_better", "higher_is_better"]
Decision = Literal["continue", "pause", "rollback"]
Outcome = Literal["worse", "undecided", "insufficient", "inside"]
"""Of one metric of one slice. `worse`: by more than is allowed. `inside`: not so. `insufficient`: too few samples to say anything."""
IMPORTANCE: tuple[Outcome, ...] = ("worse", "insufficient", "undecided", "inside")
"""Outcomes in the order in which a verdict names what it judged."""

CALLS_MIN = 200
CALLS = "calls"
"""The figure of a slice that says how many calls its other figures are of."""

Figures = Mapping[str, Decimal]
"""Metric → value, as the decimal written."""


@dataclass(frozen=True, slots=True)
class GateMetric:
    """A metric that regresses when it is worse by strictly more than is allowed.

    With `allowed_delta` the difference is compared, with `allowed_ratio` the worse over the better. Where lower is better that is
    the candidate over the baseline, which counts as `floor` at least: a ratio of next to nothing is huge. Where higher is
    better no baseline makes a ratio huge, and there is no floor. `is_pooled`: the mean of several slices, weighted by calls, is the metric of all of them together.
    """

    name: str
    reason: str
    direction: Direction = "lower_is_better"
    allowed_delta: Decimal | None = None
    allowed_ratio: Decimal | None = None
    floor: Decimal = Decimal(0)
    is_pooled: bool = True

    def __post_init__(self) -> None:
        assert not self.floor or self.direction == "lower_is_better", (
            f"{self.name}: a floor lifts a baseline that is low"
        )


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """What a gate judges a release by. `protected` of `None` protects every slice.

    `weights` of critical slices, 1 unless given: which are named first, and what a regression there counts when it is asked which
    version to roll back first. No weight makes a slice that got worse pass.
    """

    name: str
    metrics: tuple[GateMetric, ...]
    calls_min: int = CALLS_MIN
    protected: frozenset[str] | None = None
    weights: Figures = field(default_factory=dict)

    def protects(self, slice_text: str) -> bool:
        return self.protected is None or slice_text in self.protected

    def weight_of(self, slice_text: str) -> Decimal:
        return self.weights.get(slice_text, Decimal(1))

    @property
    def named(self) -> tuple[str, ...]:
        """The slices that it names, whether or not a release has them."""
        return tuple(sorted({*(self.protected or ()), *self.weights}))


@dataclass(frozen=True, slots=True)
class Compared:
    """One metric of one slice as a gate judged figures of it, in the metric's own unit; `None` is what nobody knows.

    It is `worse` where it got worse by more than is allowed, exactly. `slice` and samples are `None` for figures of the whole.
    """

    slice: str | None
    metric: str
    reason: str
    outcome: Outcome
    is_protected: bool
    baseline: Fraction | None
    candidate: Fraction | None
    worse_by: Fraction | None
    """Below 0 where it got better."""
    allowed: Fraction | None
    baseline_samples: int | None = None
    candidate_samples: int | None = None
    """Calls that the values are of."""


@dataclass(frozen=True, slots=True)
class Blocker:
    """A slice that got worse, with the reasons of the metrics that did."""

    slice: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate answers. `insufficient` could not be judged, or not in full; `pooled` were judged together. `judged` has the
    figures of every slice and metric, and of those that were judged together.
    """

    decision: Decision
    reasons: tuple[str, ...] = ()
    blockers: tuple[Blocker, ...] = ()
    insufficient: tuple[str, ...] = ()
    pooled: tuple[str, ...] = ()
    because: str = ""
    judged: tuple[Compared, ...] = ()


@dataclass(frozen=True, slots=True)
class Rollback:
    """The version to roll back first, if any is worse anywhere, and the score of each."""

    version: str | None
    scores: Mapping[str, Fraction] = field(default_factory=dict)
