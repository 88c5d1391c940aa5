"""Gates on a release's figures: slice by slice, metric by metric, on the deltas of a rollout, and whom to roll back first.

Figures are decimals as they were written and compared exactly, so that exactly on what is allowed always passes. What is
missing, or of too few calls, is never good news.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from schemas.gates import (
    CALLS,
    Blocker,
    Compared,
    Figures,
    GateMetric,
    GatePolicy,
    Outcome,
    Rollback,
    Verdict,
)
from stream_jobs.operators.release.comparing import (
    Values,
    by_importance,
    compared,
    exact,
    missing_of,
    reasons_of,
)

POOLED = "pooled"
"""The name of the slices that are judged together, among blockers; with underscores where a slice is called so."""

P95_DELTA_MS, FAR_FIELD_DELTA, WER_GAIN = Decimal(100), Decimal("0.03"), Decimal("-0.02")


def slice_gate(baseline: Mapping[str, Figures], candidate: Mapping[str, Figures], policy: GatePolicy) -> Verdict:
    """Judges every slice that both have calls of and whose candidate has enough; small ones that nobody protects together.

    Any blocker means rollback; otherwise a protected slice that could not be judged, or nothing judged at all, a pause.
    A slice that the policy names could not be judged where neither side has it, either. What weighs most comes first.
    """
    told_of = dict.fromkeys((*candidate, *baseline, *policy.named))
    known = dict.fromkeys(sorted(told_of, key=policy.weight_of, reverse=True))
    both = [text for text in known if _is_told(baseline.get(text)) and _is_told(candidate.get(text))]
    large = [text for text in both if candidate[text].get(CALLS, 0) >= policy.calls_min]
    enough = frozenset(large)
    figures = {text: _compared_slice(text, baseline, candidate, policy, text in enough) for text in known}
    judged = {text: figures[text] for text in large}
    pool = _pool(baseline, candidate, [text for text in both if text not in judged], policy, _name_of_pool(known))
    unjudged = tuple(text for text in known if text not in judged or missing_of(judged[text]))
    reasons = {text: reasons_of(each) for text, each in (*judged.items(), (_name_of_pool(known), pool.judged))}
    blockers = tuple(Blocker(text, each) for text, each in reasons.items() if each)
    told = by_importance((*(each for text in known for each in figures[text]), *pool.judged))
    if blockers:
        distinct = tuple(dict.fromkeys(reason for each in blockers for reason in each.reasons))
        because = _why_rolled_back(len(blockers), bool(reasons_of(pool.judged)))
        return Verdict("rollback", distinct, blockers, unjudged, pool.slices, because, told)
    is_anything_judged = any(each.outcome != "insufficient" for each in told)
    because = _why_paused(any(map(policy.protects, unjudged)), is_anything_judged)
    if because:
        return Verdict("pause", (), (), unjudged, pool.slices, because, told)
    because = _why_continued(len(unjudged), len(pool.slices), len(known))
    return Verdict("continue", (), (), unjudged, pool.slices, because, told)


def metric_gate(baseline: Figures, candidate: Figures, metrics: Iterable[GateMetric]) -> Verdict:
    """Judges figures of the whole: a regression means rollback, even beside gains; a missing metric a pause.

    Raises `ValueError` where there is no metric to judge by.
    """
    named = tuple(metrics)
    if not named:
        raise ValueError("A gate without metrics judges nothing: name one.")
    found = tuple(compared(each, Values(exact(baseline, each), exact(candidate, each))) for each in named)
    told, missing = by_importance(found), missing_of(found)
    if reasons := reasons_of(found):
        return Verdict("rollback", reasons, insufficient=missing, because="These metrics regressed.", judged=told)
    if missing:
        because = "These metrics are missing on either side, or on both: are they called so?"
        return Verdict("pause", insufficient=missing, because=because, judged=told)
    return Verdict("continue", because="No metric regressed by more than is allowed.", judged=told)


@dataclass(frozen=True, slots=True)
class RolloutDeltas:
    """How a rollout changed the fleet: ms, relative changes of error rates, and a count."""

    p95_latency_ms_delta: Decimal
    far_field_wer_relative_delta: Decimal
    privacy_error_count: int
    overall_wer_relative_delta: Decimal


def rollout_gate(deltas: RolloutDeltas) -> Verdict:
    """Rolls back on latency, far-field errors or any privacy error; goes on only where overall errors fell by 2 %."""
    is_gain = deltas.overall_wer_relative_delta <= WER_GAIN
    found = (
        _of_delta("p95_latency_ms_delta", "latency", deltas.p95_latency_ms_delta, P95_DELTA_MS),
        _of_delta(
            "far_field_wer_relative_delta", "far_field_wer", deltas.far_field_wer_relative_delta, FAR_FIELD_DELTA
        ),
        _of_delta("privacy_error_count", "privacy", Decimal(deltas.privacy_error_count), Decimal(0)),
        _of_delta(
            "overall_wer_relative_delta",
            "quality_gain",
            deltas.overall_wer_relative_delta,
            WER_GAIN,
            beyond="undecided",
        ),
    )
    told = by_importance(found)
    if reasons := reasons_of(found):
        return Verdict("rollback", reasons, because="The rollout made these worse than allowed.", judged=told)
    if is_gain:
        return Verdict(
            "continue", ("quality_gain",), because="Nothing got worse, and overall errors fell.", judged=told
        )
    because = "Nothing got worse, and overall errors did not fall by 2 %."
    return Verdict("pause", ("insufficient_gain",), because=because, judged=told)


def _of_delta(name: str, reason: str, delta: Decimal, allowed: Decimal, beyond: Outcome = "worse") -> Compared:
    """A delta of the whole, which is `beyond` where it is above what is allowed."""
    outcome: Outcome = beyond if delta > allowed else "inside"
    return Compared(None, name, reason, outcome, True, None, None, Fraction(delta), Fraction(allowed))


def roll_back_first(regressions: Mapping[str, Figures], weights: Figures) -> Rollback:
    """The version whose regressions weigh most: the sum of max(0, regression) times the slice's weight, 1 unless given.

    The first of equal ones; none where every score is 0.
    """
    scores = {version: _score(slices, weights) for version, slices in regressions.items()}
    worst = max(scores, key=lambda version: scores[version], default=None)
    return Rollback(worst if worst is not None and scores[worst] > 0 else None, scores)


def _score(slices: Figures, weights: Figures) -> Fraction:
    weighed = (Fraction(worse) * Fraction(weights.get(text, 1)) for text, worse in slices.items() if worse > 0)
    return sum(weighed, Fraction(0))


def _compared_slice(
    text: str, baseline: Mapping[str, Figures], candidate: Mapping[str, Figures], policy: GatePolicy, is_enough: bool
) -> tuple[Compared, ...]:
    """Every metric of a slice, which either side may lack."""
    before, now = baseline.get(text, {}), candidate.get(text, {})
    samples = (int(before.get(CALLS, 0)), int(now.get(CALLS, 0)))
    return tuple(
        compared(each, Values(exact(before, each), exact(now, each), samples), text, policy.protects(text), is_enough)
        for each in policy.metrics
    )


@dataclass(frozen=True, slots=True)
class _Pool:
    """The slices that were judged together by a metric or more, and by which figures."""

    slices: tuple[str, ...]
    judged: tuple[Compared, ...]


def _pool(
    baseline: Mapping[str, Figures], candidate: Mapping[str, Figures], texts: list[str], policy: GatePolicy, name: str
) -> _Pool:
    """Judges each metric over those of these slices that nobody protects and that have it on both sides, if together they
    have calls enough.
    """
    small = [text for text in texts if not policy.protects(text)]
    slices: set[str] = set()
    judged: list[Compared] = []
    for metric in (each for each in policy.metrics if each.is_pooled):
        having = [text for text in small if metric.name in baseline[text] and metric.name in candidate[text]]
        before, now = (_mean(side, having, metric) for side in (baseline, candidate))
        if before is None or now is None or _calls(candidate, having) < policy.calls_min:
            continue
        slices |= set(having)
        samples = (int(_calls(baseline, having)), int(_calls(candidate, having)))
        judged.append(compared(metric, Values(before, now, samples), name, is_protected=False))
    return _Pool(tuple(text for text in small if text in slices), tuple(judged))


def _is_told(figures: Figures | None) -> bool:
    """Whether there is a call behind these figures: those of no calls at all are nobody's."""
    return figures is not None and figures.get(CALLS, 0) > 0


def _name_of_pool(known: Container[str]) -> str:
    """A name that no slice has."""
    name = POOLED
    while name in known:
        name += "_"
    return name


def _calls(side: Mapping[str, Figures], texts: list[str]) -> Fraction:
    return sum((Fraction(side[text].get(CALLS, Decimal(0))) for text in texts), Fraction(0))


def _mean(side: Mapping[str, Figures], texts: list[str], metric: GateMetric) -> Fraction | None:
    """The mean over the calls of these slices, which have the metric; `None` where nobody called."""
    total = _calls(side, texts)
    weighed = (_calls(side, [text]) * Fraction(side[text][metric.name]) for text in texts)
    return sum(weighed, Fraction(0)) / total if total else None


def _why_rolled_back(blockers: int, is_pool_worse: bool) -> str:
    """The pool is no slice of anybody: it is named as what it is."""
    if not is_pool_worse:
        return "These slices got worse than allowed."
    if blockers == 1:
        return "The slices that are too small to be judged alone got worse than allowed, taken together."
    return (
        "These slices got worse than allowed, and so did those that are too small to be judged alone, taken together."
    )


def _why_continued(unjudged: int, pooled: int, known: int) -> str:
    """Silence about slices that were not judged would read as if they were well."""
    if not unjudged:
        return "No slice got worse than allowed."
    small = f"{pooled} of {known} are too small and were judged together" if pooled else ""
    others = f"{unjudged - pooled} of {known} could not be judged, or not in full" if unjudged > pooled else ""
    return f"No slice that was judged got worse than allowed; {'; '.join(filter(None, (small, others)))}."


def _why_paused(is_protected_unjudged: bool, is_anything_judged: bool) -> str:
    if not is_anything_judged:
        return "Nothing could be compared."
    return "Protected slices could not be judged." if is_protected_unjudged else ""
