"""One look at a running canary: everything of both bundles since it began, judged by a policy.

A release that was not declared gets no `continue`: without its artifacts and ways back nobody could undo it. A release
that nobody has told of yet gets `pause`. Whatever makes a verdict impossible is raised, and never a verdict.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from alerts.canary_document import STANDARD_CANARY, load_canary
from schemas.canary import CanaryPolicy, WatchedMetric
from schemas.dimensions import SLUG
from schemas.exclusions import WHO_MAX
from schemas.failures import BadInput
from schemas.families import QUALITY, STAGE_LATENCIES, Family
from schemas.instants import utc_text
from schemas.releases import Release
from schemas.verdicts import JUDGED_MAX, NAMED_MAX, GateQuestion, ReleaseVerdict
from schemas.warehouse import ClickHouseAddress
from stream_jobs.agents.reading import ReadFailure
from stream_jobs.operators.release.canary import Decided, Watched, decide, judge_all
from stream_jobs.operators.release.counting import counted_ratio, counted_tails
from stream_jobs.operators.release.tails import BLOCKS_MAX
from stream_jobs.operators.release.ways_back import smallest_step
from turnwatch.canary.warehouse import Beside, Questions, Served, declared, histograms, ratios, served

LOOKBACK_MS = 30 * 86_400_000
"""How long ago a release may have begun, unless it is said when."""
SETTLING_MS = 120_000
"""A window is judged when its end is this long ago."""
STALE_WINDOWS = 3
"""Windows of the policy without a turn of either bundle, after which what was known of both is no longer news."""
BASELINE = "baseline (--beside; `baseline` over HTTP)"
NOT_DECLARED = "was not declared, so nothing says what it is made of, who answers for it and how to undo it"
Declared = Callable[[Sequence[str]], Mapping[str, Release | ReadFailure]]
"""The newest declaration of each of these bundles that has one, by what is on the record (topic `releases`). Raises `Foreseen`."""


def judge(question: GateQuestion, address: ClickHouseAddress, on_record: Declared, at_ms: int) -> ReleaseVerdict:
    """Answers what is asked (`schemas.verdicts.Judge`), `at_ms` being now."""
    _refuse_what_names_nothing(question)
    policy = load_canary(Path(question.policy) if question.policy else STANDARD_CANARY)
    questions = Questions.at(address)
    try:
        baseline, releases = _declared(question, questions, on_record)
        from_ms = question.from_ms if question.from_ms is not None else at_ms - LOOKBACK_MS
        if from_ms >= at_ms:
            raise BadInput(f"The release cannot have begun at {utc_text(from_ms)}, which is not past.")
        spans = served(questions, [question.release, baseline], from_ms, at_ms)
        began_ms = _began_ms(question, baseline, spans, at_ms)
        counted = list(_counted(questions, policy, (question.release, baseline), began_ms, at_ms))
        silent = _silent(spans, (question.release, baseline), at_ms - policy.window_s * 1_000 * STALE_WINDOWS)
        silent = silent or _stale(counted, policy, at_ms)
        return _verdict(question, (policy, baseline, releases), counted, (began_ms, at_ms), silent, questions.asked)
    finally:
        questions.close()


def _refuse_what_names_nothing(question: GateQuestion) -> None:
    for name in filter(None, (question.release, question.baseline)):
        if not re.fullmatch(SLUG, name):
            raise BadInput(
                f"{name[:100]!r} is no bundle: use lower-case letters, digits, dots, underscores and hyphens."
            )
    if question.release == question.baseline:
        raise BadInput(f"Release {question.release} is its own baseline: a release is compared with another one.")
    who = question.who
    if not who.strip() or len(who) > WHO_MAX or not who.isprintable():
        raise BadInput(f"Who asks has to be one line of 1 to {WHO_MAX} characters.")


def _declared(question: GateQuestion, questions: Questions, on_record: Declared) -> tuple[str, dict[str, Release]]:
    """The baseline, and what is declared of it and of the release: as ClickHouse has it, or as it is on the record where that is
    newer. A pipeline that declares a release, or declares it anew, and asks at once must not be answered by what no worker has
    replaced yet.
    """
    named = [question.release, *filter(None, [question.baseline])]
    found = declared(questions, named)
    if question.baseline is None and (restored := _restored(found.get(question.release))):
        named.append(restored)  # The record is asked once, unless the baseline is another by it.
        found |= declared(questions, [restored])
    told = dict(on_record(named))
    release = _newest(found, told, question.release)
    baseline = _baseline(question, release)
    if baseline not in named:
        found |= declared(questions, [baseline])
        told |= on_record([baseline])
    judged = {question.release: release, baseline: _newest(found, told, baseline)}
    return baseline, {name: each for name, each in judged.items() if each is not None}


def _newest(found: Mapping[str, Release], told: Mapping[str, Release | ReadFailure], bundle: str) -> Release | None:
    """Raises `ReadFailure` where the record has a declaration of this bundle that cannot be read."""
    by_clickhouse, by_record = found.get(bundle), told.get(bundle)
    if isinstance(by_record, ReadFailure):
        raise by_record
    if by_clickhouse is None or by_record is None:
        return by_clickhouse or by_record
    return max(by_clickhouse, by_record, key=lambda each: each.at_ms)


def _baseline(question: GateQuestion, release: Release | None) -> str:
    """The bundle that was asked for, or the one that the release was declared to go back to."""
    baseline = question.baseline
    if baseline is None and release is None:
        raise BadInput(
            f"Release {question.release} {NOT_DECLARED}, nor what it is compared with: declare it, or name its {BASELINE}."
        )
    baseline = baseline or _restored(release)
    if baseline is None:
        raise BadInput(
            f"Release {question.release} declares no bundle to restore, and so none to be compared with: name its {BASELINE}."
        )
    return baseline


def _restored(release: Release | None) -> str | None:
    ways = release.ways_back if release else ()
    return next((way.target for way in ways if way.kind == "restore_bundle"), None)


def _began_ms(question: GateQuestion, baseline: str, spans: Mapping[str, Served], at_ms: int) -> int:
    """When the release began to serve; now, where nobody told of it or of its baseline yet. Raises `BadInput` where both never
    served at once, unless one of them may just have begun: their minutes do not land together.
    """
    mine, theirs = spans.get(question.release), spans.get(baseline)
    if mine is None or theirs is None:
        return at_ms
    if mine.from_ms >= theirs.to_ms or theirs.from_ms >= mine.to_ms:
        if max(mine.to_ms, theirs.to_ms) > at_ms - SETTLING_MS:
            return at_ms
        raise BadInput(
            f"{question.release} served from {utc_text(mine.from_ms)} to {utc_text(mine.to_ms)} and {baseline} from "
            f"{utc_text(theirs.from_ms)} to {utc_text(theirs.to_ms)}: a canary is compared with what serves beside it."
        )
    return mine.from_ms


def _silent(spans: Mapping[str, Served], bundles: tuple[str, str], since_ms: int) -> str:
    """The sentence about a bundle that nobody has told of since then, if there is one: silence is never good news."""
    for name in bundles:
        if name in spans and spans[name].to_ms < since_ms:
            return f"Nobody has told of turns of {name} since {utc_text(spans[name].to_ms)}: what was known is no longer news."
    return ""


def _stale(counted: Sequence[Watched], policy: CanaryPolicy, at_ms: int) -> str:
    """The sentence about a protected slice of which a required metric was not told of both for some windows, if there is one.

    Labels come days late, so that of `quality` nothing is expected by now.
    """
    for watched in counted:
        family = watched.metric.metric.family
        width_ms = policy.width_s(family) * 1_000
        since_ms = (at_ms - SETTLING_MS) // width_ms * width_ms - STALE_WINDOWS * width_ms
        for name, last_ms in zip(watched.names, watched.last_ms, strict=True):
            if family is not QUALITY and policy.protects(name, watched.metric) and last_ms + width_ms < since_ms:
                told = f"{watched.metric.metric.name} of {name[:300]}"
                return f"Nobody has told of {told} for both since {utc_text(int(last_ms) + width_ms)}: what was known is no longer news."
    return ""


def _counted(
    questions: Questions, policy: CanaryPolicy, bundles: tuple[str, str], began_ms: int, at_ms: int
) -> Iterator[Watched]:
    """Every metric of the policy, one query for each family."""
    for family, metrics in _by_family(policy).items():
        width_ms = policy.width_s(family) * 1_000
        from_ms, to_ms = began_ms // width_ms * width_ms, (at_ms - SETTLING_MS) // width_ms * width_ms
        to_ms = max(to_ms, from_ms)  # Where no window has ended, nothing is read, and nothing is enough.
        if family is STAGE_LATENCIES:
            block_ms = width_ms * max(-(-(to_ms - from_ms) // (width_ms * BLOCKS_MAX)), 1)
            rows = histograms(questions, (each.metric for each in metrics), Beside(*bundles, from_ms, to_ms, block_ms))
            yield from counted_tails(metrics, rows, width_ms)
        else:
            rows = ratios(
                questions, family, (each.metric for each in metrics), Beside(*bundles, from_ms, to_ms, width_ms)
            )
            yield from (counted_ratio(each, rows, width_ms) for each in metrics)


def _by_family(policy: CanaryPolicy) -> Mapping[Family, list[WatchedMetric]]:
    families: dict[Family, list[WatchedMetric]] = {}
    for watched in policy.metrics:
        families.setdefault(watched.metric.family, []).append(watched)
    return families


def _verdict(
    question: GateQuestion,
    about: tuple[CanaryPolicy, str, Mapping[str, Release]],
    counted: list[Watched],
    times_ms: tuple[int, int],
    silent: str,
    asked: list[str],
) -> ReleaseVerdict:
    policy, baseline, releases = about
    began_ms, at_ms = times_ms
    judged = judge_all(counted, policy)
    release = releases.get(question.release)
    decided = _unless_undeclared(question.release, release, decide(judged, policy))
    if silent and decided.decision == "continue":
        decided = replace(decided, decision="pause", because=silent)
    step = smallest_step(release, baseline, releases.get(baseline)) if release and decided.blockers else None
    return ReleaseVerdict(
        release=question.release,
        baseline=baseline,
        decision=decided.decision,
        reasons=decided.reasons,
        blockers=decided.blockers[:NAMED_MAX],
        blockers_unlisted=max(len(decided.blockers) - NAMED_MAX, 0),
        insufficient=decided.insufficient[:NAMED_MAX],
        insufficient_unlisted=max(len(decided.insufficient) - NAMED_MAX, 0),
        because=decided.because,
        way_back=step,
        judged=tuple(judged[:JUDGED_MAX]),
        unlisted=max(len(judged) - JUDGED_MAX, 0),
        policy=policy.name,
        policy_version=policy.version,
        alpha=policy.alpha,
        asked=tuple(asked),
        from_ms=began_ms,
        to_ms=at_ms,
        at_ms=at_ms,
        who=question.who,
    )


def _unless_undeclared(name: str, release: Release | None, decided: Decided) -> Decided:
    if release is not None:
        return decided
    if decided.decision == "continue":
        return replace(decided, decision="pause", because=f"No slice got worse, but {name} {NOT_DECLARED}: declare it.")
    return replace(decided, because=f"{decided.because} It {NOT_DECLARED}.")
