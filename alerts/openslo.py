"""OpenSLO v1 documents read into objectives: what `alerts/slos/*.yaml` may say, and what is wrong when it says else.

A document is a ratio of two contract measures (bad and total turns, counted exactly at the edge) over a rolling period.
What OpenSLO has no field for stands where it leaves room: the pool in `metadata.labels`, the cuts to watch, the owner
and the runbook in `metadata.annotations`. Every mistake of every file is collected, with file, line, field and a
sentence; a name that does not exist is answered with the nearest one that does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from alerts.located_yaml import Document, Mistake, field_text, read_documents
from alerts.slo_document import CUTS, SloDocument, ended, nearest, sentence_for
from schemas.failures import BadInput
from schemas.families import FAMILIES, Family
from schemas.slos import Slo

SHIPPED_SLOS = Path(__file__).parent / "slos"


class SloFileError(BadInput):
    """Everything that is wrong in a directory of SLO files; a problem is a line, `file:line: field: sentence`."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class Read:
    """What became of one document: the objective, or what is wrong with it. `line` is where it is named."""

    line: int
    slo: Slo | None
    mistakes: tuple[Mistake, ...] = ()


def load_slos(directory: Path = SHIPPED_SLOS) -> tuple[Slo, ...]:
    """Every objective of a directory's `*.yaml`, by name; all problems of all files at once as `SloFileError`."""
    files = sorted(directory.glob("*.yaml"))
    if not files:
        raise SloFileError([f"{directory}: no SLO files (*.yaml) are here: name a directory that holds some."])
    reads = [(file, read) for file in files for read in _read(file)]
    problems = [_problem(file, mistake) for file, read in reads for mistake in read.mistakes]
    problems += _doubles(reads)
    if problems:
        raise SloFileError(problems)
    return tuple(sorted((read.slo for _, read in reads if read.slo), key=lambda slo: slo.name))


def read_slos(text: str) -> list[Read]:
    """The documents of one file's text, each an objective or its mistakes."""
    documents, unreadable = read_documents(text)
    if unreadable:
        return [Read(1, None, tuple(unreadable))]
    if not documents:
        return [Read(1, None, (Mistake(1, "", "The file is empty: write an OpenSLO document or remove it."),))]
    return [_read_document(document) for document in documents]


def _read(file: Path) -> list[Read]:
    try:
        return read_slos(file.read_text(encoding="utf-8"))
    except OSError as error:
        return [Read(1, None, (Mistake(1, "", f"The file cannot be read: {error.strerror}."),))]
    except UnicodeDecodeError:
        return [Read(1, None, (Mistake(1, "", "The file is not UTF-8 text: save it as UTF-8."),))]


def _read_document(document: Document) -> Read:
    line = document.line_of(("metadata", "name"))
    try:
        written = SloDocument.model_validate(document.data)
    except ValidationError as error:
        return Read(line, None, tuple(sentence_for(document, details) for details in error.errors()))
    bad = written.spec.indicator.spec.ratio_metric.bad.metric_source.spec.measure
    family = next(family for family in FAMILIES.values() if bad in family.measure_names)
    mistakes = tuple(_cut_mistakes(document, written, family))
    return Read(line, None if mistakes else _slo(written), mistakes)


def _slo(written: SloDocument) -> Slo:
    ratio = written.spec.indicator.spec.ratio_metric
    return Slo(
        name=written.metadata.name,
        indicator=ratio.indicator,
        pool=written.metadata.labels.pool,
        objective=written.spec.objectives[0].target,
        period_s=written.spec.time_window[0].period_s,
        cuts=tuple(written.metadata.annotations.cuts.split()),
        owner=written.metadata.annotations.owner,
        description=" ".join(written.spec.description.split()),
        runbook=written.metadata.annotations.runbook,
    )


def _cut_mistakes(document: Document, written: SloDocument, family: Family) -> Iterator[Mistake]:
    """Cuts that the measures' family does not have, that hide the pool, or that are named twice."""
    place = ("metadata", "annotations", CUTS)
    line, field = document.line_of(place), field_text(place)
    known = {cut.name: cut for cut in family.cuts}
    names = written.metadata.annotations.cuts.split()
    for name in dict.fromkeys(names):
        if name not in known:
            sentence = f"Family {family.name!r} has no cut {name!r} (cuts are separated by blanks)"
            yield Mistake(line, field, ended(f"{sentence}{nearest(name, known)}"))
        elif "pool" not in known[name].dimensions:
            yield Mistake(line, field, f"Cut {name!r} does not tell pools apart, and this SLO is of one pool.")
        if names.count(name) > 1:
            yield Mistake(line, field, f"Cut {name!r} is named {names.count(name)} times: once is enough.")


def _doubles(reads: list[tuple[Path, Read]]) -> Iterator[str]:
    first: dict[str, str] = {}
    for file, read in reads:
        if read.slo is None:
            continue
        if read.slo.name in first:
            sentence = f"An SLO named {read.slo.name!r} exists already, at {first[read.slo.name]}: rename one of them."
            yield _problem(file, Mistake(read.line, "metadata.name", sentence))
        first.setdefault(read.slo.name, f"{file.name}:{read.line}")


def _problem(file: Path, mistake: Mistake) -> str:
    field = f" {mistake.field}:" if mistake.field else ""
    here = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
    return f"{here}:{mistake.line}:{field} {mistake.sentence}"
