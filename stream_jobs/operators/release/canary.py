"""May a running canary go on? Each metric of each slice is judged, and what is known of all of them decides.

Any slice that is surely worse than allowed: `rollback`. Every protected slice surely not, by every metric: `continue`.
Otherwise `pause`: too little is known, or nothing. No data is never good news.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from schemas.arrays import Floats, Integers
from schemas.canary import CanaryPolicy, WatchedMetric, cuts_beside
from schemas.gates import IMPORTANCE, Decision, Outcome
from schemas.slices import cut_of
from schemas.verdicts import BlockedSlice, Judgement
from stream_jobs.operators.release.alpha import Purse, spent
from stream_jobs.operators.release.bounds import Found, dispersion, judged, never_varied
from stream_jobs.operators.release.pairs import PairedSums
from stream_jobs.operators.release.tails import Tails, judged_tails, samples

WORSE, INSUFFICIENT, UNDECIDED, INSIDE = range(4)
"""Places in `IMPORTANCE`."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One metric as it was counted, of slices in the order of `names`, which both bundles serve.

    `appeared_ms` and `last_ms`: the begins of the first window and of the last one in which both served each. `alone`: slices that one bundle serves only, with the sentence that says so.
    """

    metric: WatchedMetric
    names: Sequence[str]
    appeared_ms: Integers
    last_ms: Integers
    counted: PairedSums | Tails
    alone: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What came of one metric, slice by slice: places in `IMPORTANCE`, what was found, samples, windows, and alpha."""

    outcome: Integers
    found: Found
    baseline_samples: Floats
    candidate_samples: Floats
    windows: Floats
    alpha: Floats


@dataclass(frozen=True, slots=True)
class Decided:
    """What a gate says of everything that was judged."""

    decision: Decision
    reasons: tuple[str, ...]
    blockers: tuple[BlockedSlice, ...]
    insufficient: tuple[str, ...]
    because: str


def outcomes(watched: Watched, policy: CanaryPolicy) -> Outcomes:
    """Judges one metric of all slices at once."""
    weights = np.array([policy.weight_of(name) for name in watched.names])
    is_protected = np.array([name in policy.protected for name in watched.names], dtype=np.bool_)
    purse = Purse(policy.alpha / len(policy.metrics), sum(map(policy.weight_of, policy.protected)))
    alpha = spent(purse, watched.appeared_ms, weights, is_protected)
    if isinstance(watched.counted, Tails):
        found = judged_tails(watched.metric, watched.counted, alpha)
        before, now, windows = samples(watched.counted)
    else:
        sums = watched.counted
        found = judged(watched.metric, sums, alpha)
        before, now, windows = sums.baseline.units, sums.candidate.units, sums.windows
    is_enough = np.minimum(before, now) >= watched.metric.samples_min
    known = np.where(found.is_worse, WORSE, np.where(found.is_inside, INSIDE, UNDECIDED))
    return Outcomes(np.where(is_enough, known, INSUFFICIENT), found, before, now, windows, alpha)


def judge_all(counted: Iterable[Watched], policy: CanaryPolicy) -> list[Judgement]:
    """Every metric of every slice, the most important first; protected slices that nobody serves are among them."""
    told = [each for watched in counted for each in _judgements(watched, policy)]
    return sorted(
        told,
        key=lambda each: (
            IMPORTANCE.index(each.outcome),
            not each.is_protected,
            -policy.weight_of(each.slice),
            each.slice,
            each.metric,
        ),
    )


def decide(judgements: Sequence[Judgement], policy: CanaryPolicy) -> Decided:
    """The verdict, with the sentence that says why."""
    insufficient = tuple(dict.fromkeys(each.slice for each in judgements if each.outcome == "insufficient"))
    worse = [each for each in judgements if each.outcome == "worse"]
    if worse:
        of_slices: dict[str, dict[str, None]] = {}
        for each in worse:
            of_slices.setdefault(each.slice, {})[each.reason] = None
        blockers = tuple(BlockedSlice(slice=name, reasons=tuple(reasons)) for name, reasons in of_slices.items())
        reasons = tuple(dict.fromkeys(each.reason for each in worse))
        slices = "One slice" if len(blockers) == 1 else f"{len(blockers)} slices"
        return Decided("rollback", reasons, blockers, insufficient, f"{slices} got worse than allowed.")
    because = _why_paused([each for each in judgements if each.is_protected], bool(judgements))
    decision: Decision = "pause" if because else "continue"
    named = because or f"No protected slice got worse than allowed ({', '.join(policy.protected)[:400]})."
    return Decided(decision, (), (), insufficient, named)


def _why_paused(protected: Sequence[Judgement], is_anything: bool) -> str:
    if not is_anything or not protected:
        return "Nothing could be compared."
    missing = [each for each in protected if each.outcome == "insufficient"]
    if missing:
        return f"Protected slices could not be judged: {missing[0].slice[:300]} by {missing[0].metric}{_more(missing)}."
    unsure = [each for each in protected if each.outcome == "undecided"]
    if unsure:
        return f"It is not yet sure that protected slices are no worse: {unsure[0].slice[:300]} by {unsure[0].metric}{_more(unsure)}."
    return ""


def _more(those: Sequence[Judgement]) -> str:
    return f", and {len(those) - 1} more" if len(those) > 1 else ""


def _judgements(watched: Watched, policy: CanaryPolicy) -> Iterator[Judgement]:
    of_slices = outcomes(watched, policy)
    notes = _notes_of(watched)
    for place, name in enumerate(watched.names):
        yield _judgement(watched, policy, of_slices, place, name, notes[place])
    known = {*watched.names, *watched.alone}
    cuts = cuts_beside(watched.metric.metric.family)
    for name in policy.protected:
        if name not in known and cut_of(name) in cuts:
            yield _nothing(watched.metric, policy, name, "Nobody told of this slice.")
    for name, sentence in watched.alone.items():
        yield _nothing(watched.metric, policy, name, sentence)


def _judgement(watched: Watched, policy: CanaryPolicy, of: Outcomes, place: int, name: str, note: _Note) -> Judgement:
    metric, found = watched.metric.metric, of.found
    outcome = IMPORTANCE[of.outcome[place]]
    allowed = _finite(found.allowed[place])
    beyond = (found.excess.low[place], found.excess.high[place])
    low, high = (None if allowed is None else _finite(each + allowed) for each in beyond)
    baseline, candidate = (_told(watched.metric, each[place]) for each in (found.baseline, found.candidate))
    return Judgement(
        slice=name,
        metric=metric.name,
        reason=watched.metric.reason,
        outcome=outcome,
        is_protected=policy.protects(name, watched.metric),
        unit=metric.unit,
        baseline=baseline,
        candidate=candidate,
        baseline_samples=int(of.baseline_samples[place]),
        candidate_samples=int(of.candidate_samples[place]),
        windows=int(of.windows[place]),
        allowed=allowed,
        low=low,
        high=high,
        alpha=float(of.alpha[place]),
        because=_because(watched.metric, outcome, bool(found.by_events[place]), note),
    )


def _because(watched: WatchedMetric, outcome: Outcome, by_events: bool, note: _Note) -> str:
    match outcome:
        case "worse" if by_events:
            return f"{note.events} come at surely more than the allowed ratio of rates."
        case "worse":
            return "Even the lower bound of how much worse it is lies above what is allowed."
        case "inside":
            return "Even the upper bound of how much worse it is lies within what is allowed."
        case "insufficient":
            return f"A side has fewer than {watched.samples_min} {watched.metric.counted}: not enough to judge by."
        case _ if note.never_varied:
            return _still(watched)
        case _:
            return "What is allowed lies between the bounds: not known yet."


def _still(watched: WatchedMetric) -> str:
    """Of a figure that stood still: when that will be enough, or what to set."""
    found = "It never varied, on neither side, in any window"
    if not watched.metric.is_part:
        return f"{found}, which bounds nothing: say `required: false`, or see whether it is counted at all."
    if watched.allowed_delta or (watched.allowed_ratio and watched.floor):
        return f"{found}: not known yet, until there are {watched.metric.counted} enough to bound it."
    return (
        f"{found}, and no ratio of nothing is known: give it a `floor`, or an `allowedDelta`, or say `required: false`."
    )


@dataclass(frozen=True, slots=True)
class _Note:
    """Few events in words: how many were the candidate's, and the baseline's; and whether windows ever varied."""

    events: str
    never_varied: bool


def _notes_of(watched: Watched) -> Sequence[_Note]:
    if isinstance(watched.counted, Tails):
        return [_Note("", False)] * len(watched.names)
    sums, times = watched.counted, dispersion(watched.metric, watched.counted)
    return [
        _Note(f"{mine:.0f} of the candidate and {others:.0f} of the baseline (dispersion {more:.1f})", bool(is_still))
        for mine, others, more, is_still in zip(
            sums.candidate.numerator, sums.baseline.numerator, times, never_varied(sums), strict=True
        )
    ]


def _nothing(watched: WatchedMetric, policy: CanaryPolicy, name: str, sentence: str) -> Judgement:
    return Judgement(
        slice=name,
        metric=watched.metric.name,
        reason=watched.reason,
        outcome="insufficient",
        is_protected=policy.protects(name, watched),
        unit=watched.metric.unit,
        baseline=None,
        candidate=None,
        baseline_samples=0,
        candidate_samples=0,
        windows=0,
        allowed=watched.allowed_delta if watched.allowed_ratio is None else None,
        low=None,
        high=None,
        alpha=None,
        because=sentence,
    )


def _told(watched: WatchedMetric, value: float) -> float | None:
    """A value as it is shown: what went well is counted as what did not, and told as it was meant."""
    metric = watched.metric
    meant = 1 - value if metric.direction == "higher_is_better" else value
    return _finite(meant)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
