"""`turnwatch gate` and `turnwatch rollback`: verdicts on figures from files, as pipelines ask for them.

The exit code is the verdict. Whatever else these raise than bad input has a code of its own (`turnwatch/verdict_codes.py`),
for a crash must never read as a verdict.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from fractions import Fraction
from pathlib import Path
from typing import Any

from alerts.gate_document import STANDARD_GATE, load_gate
from schemas.counted import counted
from schemas.failures import BadInput
from schemas.gates import CALLS, Compared, Figures, GatePolicy, Verdict
from stream_jobs.operators.release.gates import RolloutDeltas, metric_gate, roll_back_first, rollout_gate, slice_gate
from turnwatch.answers.json_figures import Figures as Object
from turnwatch.answers.json_figures import read_number, read_object, shown
from turnwatch.answers.judged_table import print_judged
from turnwatch.answers.printing import Format, print_answer
from turnwatch.printable import printable
from turnwatch.verdict_codes import EXIT_CODE

_DELTAS = (
    "p95_latency_ms_delta", "far_field_wer_relative_delta", "privacy_error_count", "overall_wer_relative_delta",
)  # fmt: skip
_RELATIVE = tuple(name for name in _DELTAS if name.endswith("_relative_delta"))
NAMED_MAX = 5
"""So many weights that count for nothing are named; of more the number is told."""
COMPARED_MAX = 1_000
"""Among more slices the one that was meant is not looked for: each look takes a tenth of a millisecond."""
_FIGURES = tuple(each.name for each in fields(Compared))
_COLUMNS = ("decision", "reasons", "blockers", "insufficient", "because")


def run_gate(baseline: Path, candidate: Path, policy: Path | None, output: Format) -> int:
    """Judges a release on figures of files: of slices, or of the whole."""
    return _print_verdict(_gate(baseline, candidate, policy), output)


def run_rollout_gate(deltas: Path, output: Format) -> int:
    """Judges a rollout by how it changed the fleet."""
    return _print_verdict(rollout_gate(_deltas(deltas)), output)


def run_rollback(regressions: Path, weights: Path | None, policy: Path | None, output: Format) -> int:
    """Prints which version to roll back first, and the score of each; slices weigh what a file, or a gate's policy, says."""
    read = {
        version: _scored(f"{regressions}: version {version[:100]!r}", value)
        for version, value in read_object(regressions).items()
    }
    weighed = _weights(weights) if weights else load_gate(policy).weights if policy else {}
    found = roll_back_first(read, weighed)
    scores = {version: float(score) for version, score in found.scores.items()}
    print_answer({"version": found.version, "scores": scores}, ("version", "scores"), output)
    sys.stdout.flush()
    if policy and not weighed:
        print(
            printable(f"turnwatch: {policy}: the policy has no `critical` slices, so every slice weighs 1."),
            file=sys.stderr,
        )
    for note in _weights_of_nothing(weights or policy, weighed, read):
        print(printable(f"turnwatch: {note}"), file=sys.stderr)
    return 0


def _weights_of_nothing(weights: Path | None, weighed: Figures, read: Mapping[str, Figures]) -> Iterator[str]:
    """A sentence for the first weights of slices that no version tells of, and one for the others: a list of critical slices may
    name more than regressed, but one that is misspelt would count for nothing in silence.
    """
    slices = {text for regressions in read.values() for text in regressions}
    unknown = [text for text in weighed if text not in slices]
    compared = sorted(slices) if len(slices) <= COMPARED_MAX else []
    for text in unknown[:NAMED_MAX]:
        close = get_close_matches(text[:100], compared, n=1)
        meant = f": did you mean {close[0]!r}?" if close else "."
        yield f"{weights}: no version has the slice {text[:100]!r}, so its weight counts for nothing{meant}"
    if len(unknown) > NAMED_MAX:
        yield f"{weights}: besides, no version has the slices of {counted(len(unknown) - NAMED_MAX, 'more weight')}."


def _print_verdict(verdict: Verdict, output: Format) -> int:
    """Prints a verdict and returns its exit code, once it is really printed."""
    print_answer(_as_json(verdict), _COLUMNS, output)
    if output == "table":
        print_judged(map(_row, verdict.judged), len(verdict.judged))
    sys.stdout.flush()
    return EXIT_CODE[verdict.decision]


def _gate(baseline: Path, candidate: Path, policy: Path | None) -> Verdict:
    if baseline.samefile(candidate):
        raise BadInput(f"{candidate}: this is the baseline as well: a release is compared with another one.")
    before, now = (read_object(path, "write the one that was measured, or null") for path in (baseline, candidate))
    kinds = {path: _is_of_slices(path, read) for path, read in ((baseline, before), (candidate, now)) if read}
    if len(set(kinds.values())) > 1:
        raise BadInput(f"{baseline} and {candidate}: one has slices and the other metrics: write both alike.")
    if kinds and not any(kinds.values()):
        if policy is None:
            raise BadInput(f"{candidate}: metrics of the whole are judged by a policy that names them: give --policy.")
        whole = load_gate(policy)
        return metric_gate(_metrics(baseline, before, whole), _metrics(candidate, now, whole), whole.metrics)
    judged_by = load_gate(policy or STANDARD_GATE)
    if not kinds:
        return _of_nothing(judged_by)
    return slice_gate(_slices(baseline, before, judged_by), _slices(candidate, now, judged_by), judged_by)


def _of_nothing(policy: GatePolicy) -> Verdict:
    """Of two empty files: what the policy names, slices or else metrics, could not be judged."""
    of_slices = slice_gate({}, {}, policy)
    found = of_slices if of_slices.insufficient else metric_gate({}, {}, policy.metrics)
    return replace(found, because="Both files are empty, so nothing could be compared: write slices, or metrics.")


def _metrics(path: Path, written: Mapping[str, Any], policy: GatePolicy) -> Figures:
    """Metrics of the whole, which may be of either sign, unless a ratio is asked of them."""
    figures = _figures(str(path), written, is_negative_known=True)
    for metric in policy.metrics:
        if metric.allowed_ratio is not None and figures.get(metric.name, 0) < 0:
            raise BadInput(
                f"{path}: {metric.name} {figures[metric.name]} is negative, and a ratio of it says nothing: judge it by "
                "allowedDelta."
            )
    return figures


def _is_of_slices(path: Path, read: Mapping[str, Any]) -> bool:
    kinds = {isinstance(value, dict) for value in read.values()}
    if len(kinds) > 1:
        raise BadInput(f"{path}: some entries are slices and others metrics: write one kind.")
    return kinds == {True}


def _slices(path: Path, read: Mapping[str, Any], policy: GatePolicy) -> dict[str, Figures]:
    slices = {text: _figures(f"{path}: slice {text[:100]!r}", value) for text, value in read.items()}
    known = {name for value in read.values() for name in value}
    unknown = [metric.name for metric in policy.metrics if slices and metric.name not in known]
    if unknown:
        raise BadInput(
            f"{path}: no slice has the metric {unknown[0]} that policy {policy.name} judges: write it, or correct the policy."
        )
    for text, figures in slices.items():
        if CALLS not in figures or figures[CALLS] != figures[CALLS].to_integral_value():
            raise BadInput(
                f"{path}: slice {text[:100]!r}: calls is missing or no whole number: write how many calls it had."
            )
    return slices


def _scored(where: str, value: object) -> Figures:
    """How much worse each slice got. What nobody knows would score as what did not get worse."""
    if unknown := _first_null(value):
        raise BadInput(f"{where}: slice {unknown} is null: write how much worse it got, or 0 where it did not.")
    return _figures(where, value, is_negative_known=True)


def _weights(path: Path) -> Figures:
    """What each slice weighs. What nobody knows would weigh 1."""
    value = read_object(path)
    if unknown := _first_null(value):
        raise BadInput(f"{path}: slice {unknown} is null: write its weight, or leave it out where it weighs 1.")
    return _figures(str(path), value)


def _first_null(value: object) -> str | None:
    """The first name of an object whose value nobody knows."""
    names = [name for name, each in value.items() if each is None] if isinstance(value, dict) else []
    return repr(names[0][:100]) if names else None


def _figures(where: str, value: object, is_negative_known: bool = False) -> Figures:
    """Numbers by name; `null` is a figure that is not known, such as a word error rate without words."""
    if not isinstance(value, dict):
        raise BadInput(f"{where}: this is {shown(value)}: write an object of numbers.")
    known = {name: each for name, each in value.items() if each is not None}
    return {name: read_number(where, name, each, is_negative_known) for name, each in known.items()}


def _deltas(path: Path) -> RolloutDeltas:
    figures = Object(str(path), read_object(path), _DELTAS)
    for name in _RELATIVE:
        if figures.signed(name) < -1:
            raise BadInput(
                f"{path}: {name} is below -1, and no rate falls by more than all of it: write a fraction, no percent."
            )
    return RolloutDeltas(
        figures.signed("p95_latency_ms_delta"),
        figures.signed("far_field_wer_relative_delta"),
        figures.whole("privacy_error_count"),
        figures.signed("overall_wer_relative_delta"),
    )


def _as_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "decision": verdict.decision,
        "reasons": list(verdict.reasons),
        "blockers": [{"slice": each.slice, "reasons": list(each.reasons)} for each in verdict.blockers],
        "insufficient": list(verdict.insufficient),
        "pooled": list(verdict.pooled),
        "because": verdict.because,
        "judged": list(map(_judged_as_json, verdict.judged)),
    }


def _judged_as_json(judged: Compared) -> dict[str, Any]:
    told = {name: getattr(judged, name) for name in _FIGURES}
    return {name: float(value) if isinstance(value, Fraction) else value for name, value in told.items()}


def _row(judged: Compared) -> dict[str, Any]:
    told = _judged_as_json(judged)
    samples = None if judged.slice is None else f"{judged.baseline_samples} and {judged.candidate_samples}"
    return told | {"worse by": told["worse_by"], "samples": samples}
