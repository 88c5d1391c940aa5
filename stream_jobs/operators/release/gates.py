"""Gates on a release's figures: slice by slice, metric by metric, on the deltas of a rollout, and whom to roll back first.

Figures are decimals as they were written and compared exactly, so that exactly on what is allowed always passes. What is
missing, or of too few calls, is never good news.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from schemas.gates import CALLS, Blocker, Figures, GateMetric, GatePolicy, Rollback, Verdict

POOLED = "pooled"
"""The name of the slices that are judged together, among blockers; with underscores where a slice is called so."""

P95_DELTA_MS, FAR_FIELD_DELTA, WER_GAIN = Decimal(100), Decimal("0.03"), Decimal("-0.02")


def regresses(metric: GateMetric, baseline: Fraction, candidate: Fraction) -> bool:
    """Whether the candidate is worse by strictly more than the metric allows. With a ratio, no figure is negative."""
    worse, better = (candidate, baseline) if metric.direction == "lower_is_better" else (baseline, candidate)
    if metric.allowed_ratio is not None:
        assert min(worse, better) >= 0, f"{metric.name}: of {worse} and {better} there is no ratio"
        return worse > Fraction(metric.allowed_ratio) * max(better, Fraction(metric.floor))
    return worse - better > Fraction(metric.allowed_delta or 0)


def slice_gate(baseline: Mapping[str, Figures], candidate: Mapping[str, Figures], policy: GatePolicy) -> Verdict:
    """Judges every slice that both have calls of and whose candidate has enough; small ones that nobody protects together.

    Any blocker means rollback; otherwise a protected slice that could not be judged, or nothing judged at all, a pause.
    A slice that the policy protects by name could not be judged where neither side has it, either.
    """
    both = [text for text in candidate if _is_told(baseline.get(text)) and _is_told(candidate[text])]
    large = [text for text in both if candidate[text].get(CALLS, 0) >= policy.calls_min]
    judged = {text: _judged(baseline[text], candidate[text], policy.metrics) for text in large}
    pool = _pool(baseline, candidate, [text for text in both if text not in judged], policy)
    known = dict.fromkeys((*candidate, *baseline, *sorted(policy.protected or ())))
    unjudged = tuple(text for text in known if text not in judged or judged[text].is_partial)
    reasons = {text: each.reasons for text, each in judged.items()} | {_name_of_pool(known): pool.reasons}
    blockers = tuple(Blocker(text, each) for text, each in reasons.items() if each)
    if blockers:
        distinct = tuple(dict.fromkeys(reason for each in blockers for reason in each.reasons))
        return Verdict("rollback", distinct, blockers, unjudged, pool.slices, "These slices got worse than allowed.")
    is_anything_judged = bool(pool.slices) or any(each.is_judged for each in judged.values())
    because = _why_paused(any(map(policy.protects, unjudged)), is_anything_judged)
    if because:
        return Verdict("pause", (), (), unjudged, pool.slices, because)
    return Verdict("continue", (), (), unjudged, pool.slices, _why_continued(len(unjudged), len(known)))


def metric_gate(baseline: Figures, candidate: Figures, metrics: Iterable[GateMetric]) -> Verdict:
    """Judges figures of the whole: a regression means rollback, even beside gains; a missing metric a pause.

    Raises `ValueError` where there is no metric to judge by.
    """
    named = tuple(metrics)
    if not named:
        raise ValueError("A gate without metrics judges nothing: name one.")
    found = _judged(baseline, candidate, named)
    if found.reasons:
        return Verdict("rollback", found.reasons, insufficient=found.missing, because="These metrics regressed.")
    if found.is_partial:
        because = "These metrics are missing on either side, or on both: are they called so?"
        return Verdict("pause", insufficient=found.missing, because=because)
    return Verdict("continue", because="No metric regressed by more than is allowed.")


@dataclass(frozen=True, slots=True)
class RolloutDeltas:
    """How a rollout changed the fleet: ms, relative changes of error rates, and a count."""

    p95_latency_ms_delta: Decimal
    far_field_wer_relative_delta: Decimal
    privacy_error_count: int
    overall_wer_relative_delta: Decimal


def rollout_gate(deltas: RolloutDeltas) -> Verdict:
    """Rolls back on latency, far-field errors or any privacy error; goes on only where overall errors fell by 2 %."""
    reasons = tuple(
        reason
        for reason, is_worse in (
            ("latency", deltas.p95_latency_ms_delta > P95_DELTA_MS),
            ("far_field_wer", deltas.far_field_wer_relative_delta > FAR_FIELD_DELTA),
            ("privacy", deltas.privacy_error_count > 0),
        )
        if is_worse
    )
    if reasons:
        return Verdict("rollback", reasons, because="The rollout made these worse than allowed.")
    if deltas.overall_wer_relative_delta <= WER_GAIN:
        return Verdict("continue", ("quality_gain",), because="Nothing got worse, and overall errors fell.")
    return Verdict(
        "pause", ("insufficient_gain",), because="Nothing got worse, and overall errors did not fall by 2 %."
    )


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


@dataclass(frozen=True, slots=True)
class _Judged:
    """The reasons of what regressed, and the metrics that could not be judged."""

    reasons: tuple[str, ...]
    missing: tuple[str, ...]
    is_judged: bool

    @property
    def is_partial(self) -> bool:
        return bool(self.missing)


def _judged(baseline: Figures, candidate: Figures, metrics: tuple[GateMetric, ...]) -> _Judged:
    comparable = [each for each in metrics if each.name in baseline and each.name in candidate]
    worse = [
        each.reason
        for each in comparable
        if regresses(each, Fraction(baseline[each.name]), Fraction(candidate[each.name]))
    ]
    missing = tuple(each.name for each in metrics if each not in comparable)
    return _Judged(tuple(dict.fromkeys(worse)), missing, bool(comparable))


@dataclass(frozen=True, slots=True)
class _Pool:
    """The slices that were judged together by a metric or more, and the reasons of what regressed."""

    slices: tuple[str, ...]
    reasons: tuple[str, ...]


def _pool(
    baseline: Mapping[str, Figures], candidate: Mapping[str, Figures], texts: list[str], policy: GatePolicy
) -> _Pool:
    """Judges each metric over those of these slices that nobody protects and that have it on both sides, if together they
    have calls enough.
    """
    small = [text for text in texts if not policy.protects(text)]
    slices: set[str] = set()
    reasons: list[str] = []
    for metric in (each for each in policy.metrics if each.is_pooled):
        having = [text for text in small if metric.name in baseline[text] and metric.name in candidate[text]]
        before, now = (_mean(side, having, metric) for side in (baseline, candidate))
        if before is None or now is None or _calls(candidate, having) < policy.calls_min:
            continue
        slices |= set(having)
        reasons += [metric.reason] if regresses(metric, before, now) else []
    return _Pool(tuple(text for text in small if text in slices), tuple(dict.fromkeys(reasons)))


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


def _why_continued(unjudged: int, known: int) -> str:
    """Silence about slices that were not judged would read as if they were well."""
    if not unjudged:
        return "No slice got worse than allowed."
    return (
        f"No slice that was judged got worse than allowed; {unjudged} of {known} could not be judged, or not in full."
    )


def _why_paused(is_protected_unjudged: bool, is_anything_judged: bool) -> str:
    if not is_anything_judged:
        return "Nothing could be compared."
    return "Protected slices could not be judged." if is_protected_unjudged else ""
