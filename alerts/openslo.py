"""OpenSLO v1 documents read into objectives: what `alerts/slos/*.yaml` may say, and what is wrong when it says else.

A document is a ratio of two contract measures (counted exactly at the edge), or a latency with a threshold that is
counted there, over a rolling period, with a budget of turns or of minutes. What OpenSLO has no field for stands where it leaves room: the pool in
`metadata.labels`; the cuts to watch, the owner, the runbook and the burn policy in `metadata.annotations`. Every mistake
of every file is collected, with file, line, field and a sentence; a name that does not exist is answered with the
nearest one that does. `docs/slos.md` shows how to write one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from pydantic import ValidationError

from alerts.document_files import Found, WrongFiles, documents_in, documents_of, files_in, passed_over, problem
from alerts.document_sentences import clipped, ended, missing, nearest, sentence_for
from alerts.located_yaml import Document, Mistake, Place, field_text
from alerts.slo_document import CUTS, UNREAD, SloDocument
from schemas.families import INDICATORS, Indicator
from schemas.slos import STANDARD_POLICY, Slo

SHIPPED_SLOS = Path(__file__).parent / "slos"

_OBJECTIVE: Place = ("spec", "objectives", 0)
_BAD_WHEN = {"lt": "at_or_above", "lte": "above"}
_OPERATOR = {bad_when: operator for operator, bad_when in _BAD_WHEN.items()}
_SIGN = {"lt": "<", "lte": "≤"}


class SloFileError(WrongFiles):
    """Everything that is wrong in a directory of SLO files."""


@dataclass(frozen=True, slots=True)
class Read:
    """What became of one document: the objective, or what is wrong with it. `line` is where it is named."""

    line: int
    slo: Slo | None
    mistakes: tuple[Mistake, ...] = ()
    document: Document | None = None


def load_slos(directory: Path = SHIPPED_SLOS) -> tuple[Slo, ...]:
    """Every objective of a directory's `*.yaml`, by name; all problems of all files at once as `SloFileError`."""
    reads = read_folder(directory)
    problems = slo_problems(directory, reads)
    if problems:
        raise SloFileError(problems)
    return tuple(sorted((read.slo for _, read in reads if read.slo), key=lambda slo: slo.name))


def read_folder(directory: Path) -> list[tuple[Path, Read]]:
    """Every document of a directory's files, with its file."""
    try:
        files = files_in(directory, "SLO")
    except WrongFiles as error:
        raise SloFileError(error.problems) from None
    return [(file, read) for file in files for read in _reads(documents_of(file, "an OpenSLO document"))]


def slo_problems(directory: Path, reads: Sequence[tuple[Path, Read]]) -> list[str]:
    """What is wrong with the documents, each by itself and among each other."""
    told = [problem(file, mistake) for file, read in reads for mistake in read.mistakes]
    return [*told, *_doubles(reads), *passed_over(directory, "SLO")]


def read_slos(text: str) -> list[Read]:
    """The documents of one file's text, each an objective or its mistakes."""
    return _reads(documents_in(text, "an OpenSLO document"))


def _reads(found: Found) -> list[Read]:
    if found.mistakes:
        return [Read(1, None, found.mistakes)]
    return [_read_document(document) for document in found.documents]


def _read_document(document: Document) -> Read:
    line = document.line_of(("metadata", "name"))
    try:
        written = SloDocument.model_validate(document.data)
    except ValidationError as error:
        told = (sentence_for(document, SloDocument, details, UNREAD) for details in error.errors())
        return Read(line, None, tuple(told), document)
    indicator, mistakes = _indicator(document, written)
    if indicator is None:
        return Read(line, None, tuple(mistakes), document)
    slo = _slo(written, indicator)
    mistakes += [*_time_slice_mistakes(document, written), *_cut_mistakes(document, slo)]
    return Read(line, None if mistakes else slo, tuple(mistakes), document)


def _slo(written: SloDocument, indicator: Indicator) -> Slo:
    return Slo(
        name=written.metadata.name,
        indicator=indicator,
        pool=written.metadata.labels.pool,
        objective=written.spec.objectives[0].target,
        period_s=written.spec.time_window[0].period_s,
        cuts=tuple(written.metadata.annotations.cuts.split()),
        owner=written.metadata.annotations.owner,
        description=" ".join(written.spec.description.split()),
        runbook=written.metadata.annotations.runbook,
        policy=written.metadata.annotations.policy or STANDARD_POLICY,
        budgeting="time_slices" if written.spec.budgeting_method == "Timeslices" else "occurrences",
        time_slice_target=written.spec.objectives[0].time_slice_target,
    )


def _time_slice_mistakes(document: Document, written: SloDocument) -> list[Mistake]:
    """Fields that a budget of minutes needs and others have no use for."""
    objective, is_of_minutes = written.spec.objectives[0], written.spec.budgeting_method == "Timeslices"
    given = {"timeSliceTarget": objective.time_slice_target, "timeSliceWindow": objective.time_slice_window}
    if is_of_minutes:
        absent = [name for name, value in given.items() if value is None]
        return [_at(document, (*_OBJECTIVE, name), missing(name, _OBJECTIVE)) for name in absent]
    sentence = "Turns are counted one by one: remove the field, or write `budgetingMethod: Timeslices`."
    return [_at(document, (*_OBJECTIVE, name), sentence) for name, value in given.items() if value is not None]


# -- indicators --------------------------------------------------------------------------------------------------------


def _indicator(document: Document, written: SloDocument) -> tuple[Indicator | None, list[Mistake]]:
    """What the document measures; nothing where a threshold is asked for that nobody counts."""
    metric, objective = written.spec.indicator.spec, written.spec.objectives[0]
    fields = {name: (*_OBJECTIVE, name) for name in ("op", "value")}
    given = [place for name, place in fields.items() if getattr(objective, name) is not None]
    if metric.ratio_metric is not None:
        sentence = "Only a `thresholdMetric` has one: remove it."
        return metric.ratio_metric.indicator, [_at(document, place, sentence) for place in given]
    assert metric.threshold_metric is not None  # The document's model has seen to it.
    stage = metric.threshold_metric.metric_source.spec.latency
    if objective.op is None or objective.value is None:
        absent = [place for place in fields.values() if place not in given]
        return None, [_at(document, place, missing(str(place[-1]), _OBJECTIVE)) for place in absent]
    counted = _counted(stage, objective.op, objective.value)
    if counted is None:
        return None, [_at(document, fields["value"], _nobody_counts(stage, objective.op, objective.value))]
    return counted, []


def _at(document: Document, place: Place, sentence: str) -> Mistake:
    return Mistake(document.line_of(place), field_text(place), sentence)


def _counted(stage: str, op: str, value: Decimal) -> Indicator | None:
    thresholds = (each for each in INDICATORS if each.stage == stage and each.bad_when == _BAD_WHEN[op])
    return next((each for each in thresholds if each.threshold_ms is not None and value == each.threshold_ms), None)


def _nobody_counts(stage: str, op: str, value: Decimal) -> str:
    """The threshold that was asked for, and those that are counted of this latency, the nearest first."""
    thresholds = [(each.threshold_ms, _OPERATOR[each.bad_when]) for each in INDICATORS if each.stage == stage]
    nearest_first = sorted((abs(counted - value), counted, op) for counted, op in thresholds if counted is not None)
    known = ", ".join(f"{stage} {_SIGN[op]} {counted} ms (`op: {op}`)" for _, counted, op in nearest_first)
    return (
        f"Nobody counts turns with {stage} {_SIGN[op]} {clipped(str(value))} ms; counted is {known}. "
        "Take that, or declare an indicator in schemas/families/ "
        "(`turnwatch backtest --threshold-ms` judges any threshold on the past, between bounds)."
    )


# -- cuts and names ----------------------------------------------------------------------------------------------------


def _cut_mistakes(document: Document, slo: Slo) -> Iterator[Mistake]:
    """Cuts that the measures' family does not have, that hide the pool, or that are named twice."""
    place = ("metadata", "annotations", CUTS)
    known = {cut.name: cut for cut in slo.family.cuts}
    for name in dict.fromkeys(slo.cuts):
        if name not in known:
            sentence = f"Family {slo.family.name!r} has no cut {clipped(repr(name))} (cuts are separated by blanks)"
            yield _at(document, place, ended(f"{sentence}{nearest(name, known)}"))
        elif "pool" not in known[name].dimensions:
            yield _at(document, place, f"Cut {name!r} does not tell pools apart, and this SLO is of one pool.")
        if slo.cuts.count(name) > 1:
            yield _at(document, place, f"Cut {name!r} is named {slo.cuts.count(name)} times: once is enough.")


def _doubles(reads: Sequence[tuple[Path, Read]]) -> Iterator[str]:
    first: dict[str, str] = {}
    for file, read in reads:
        if read.slo is None:
            continue
        if read.slo.name in first:
            sentence = f"An SLO named {read.slo.name!r} exists already, at {first[read.slo.name]}: rename one of them."
            yield problem(file, Mistake(read.line, "metadata.name", sentence))
        first.setdefault(read.slo.name, f"{file.name}:{read.line}")
