"""One metric of a release beside its baseline's, by exact arithmetic: how much worse it is, how much it may be, and what that makes.

Figures are decimals as they were written, so that exactly on what is allowed is inside.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from schemas.gates import IMPORTANCE, Compared, Figures, GateMetric, Outcome


@dataclass(frozen=True, slots=True)
class Values:
    """What both sides say of one metric, and how many calls that is of; `None` is what a side does not say."""

    baseline: Fraction | None
    candidate: Fraction | None
    samples: tuple[int | None, int | None] = (None, None)


def compared(
    metric: GateMetric, values: Values, text: str | None = None, is_protected: bool = True, is_enough: bool = True
) -> Compared:
    before, now = values.baseline, values.candidate
    difference = None if before is None or now is None else worse_by(metric, before, now)
    outcome: Outcome = "insufficient"
    if is_enough and before is not None and now is not None:
        outcome = "worse" if regresses(metric, before, now) else "inside"
    is_known = before is not None or metric.allowed_ratio is None
    allowed = allowed_of(metric, before or Fraction(0)) if is_known else None
    return Compared(
        text, metric.name, metric.reason, outcome, is_protected, before, now, difference, allowed, *values.samples
    )


def regresses(metric: GateMetric, baseline: Fraction, candidate: Fraction) -> bool:
    """Whether the candidate is worse by strictly more than the metric allows. With a ratio, no figure is negative."""
    assert metric.allowed_ratio is None or min(baseline, candidate) >= 0, (
        f"{metric.name}: of {baseline} and {candidate} there is no ratio"
    )
    return worse_by(metric, baseline, candidate) > allowed_of(metric, baseline)


def worse_by(metric: GateMetric, baseline: Fraction, candidate: Fraction) -> Fraction:
    """How much worse the candidate is, in the metric's unit; below 0 where it is better."""
    return candidate - baseline if metric.direction == "lower_is_better" else baseline - candidate


def allowed_of(metric: GateMetric, baseline: Fraction) -> Fraction:
    """How much worse than this baseline a candidate may be, in the metric's unit.

    A ratio is that of the worse to the better: where higher is better, a candidate of baseline ÷ ratio is just allowed.
    """
    if metric.allowed_ratio is None:
        return Fraction(metric.allowed_delta or 0)
    ratio = Fraction(metric.allowed_ratio)
    if metric.direction == "higher_is_better":
        return baseline - baseline / ratio
    return ratio * max(baseline, Fraction(metric.floor)) - baseline


def exact(figures: Figures, metric: GateMetric) -> Fraction | None:
    return Fraction(figures[metric.name]) if metric.name in figures else None


def reasons_of(judged: Iterable[Compared]) -> tuple[str, ...]:
    """Those of what regressed, each once."""
    return tuple(dict.fromkeys(each.reason for each in judged if each.outcome == "worse"))


def missing_of(judged: Iterable[Compared]) -> tuple[str, ...]:
    """The metrics that could not be judged."""
    return tuple(each.metric for each in judged if each.outcome == "insufficient")


def by_importance(judged: Iterable[Compared]) -> tuple[Compared, ...]:
    return tuple(sorted(judged, key=lambda each: IMPORTANCE.index(each.outcome)))
