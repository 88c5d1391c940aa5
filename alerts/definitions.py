"""SLO files and policy files together: what is watched, and everything that keeps it from being watched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from alerts.document_files import WrongFiles, problem
from alerts.document_sentences import ended, nearest
from alerts.located_yaml import Document, Mistake, field_text
from alerts.openslo import SHIPPED_SLOS, Read, SloFileError, read_folder, slo_problems
from alerts.policies import policy_for
from alerts.policy_document import SHIPPED_POLICIES, PolicyFileError, load_policies
from alerts.policy_rows import Policy
from alerts.slo_document import POLICY
from schemas.slos import Slo, WatchedSlo


@dataclass(frozen=True, slots=True)
class Definition:
    """A watched objective with where it was written and the policy it is watched by."""

    watched: WatchedSlo
    policy: Policy
    file: Path
    document: Document

    def problem(self, place: tuple[str | int, ...], sentence: str) -> str:
        """Something wrong at a place of the SLO document."""
        return problem(self.file, Mistake(self.document.line_of(place), field_text(place), sentence))


def watched_slos(directory: Path = SHIPPED_SLOS, policies: Path = SHIPPED_POLICIES) -> tuple[WatchedSlo, ...]:
    """Every objective of a directory with the rows that watch it, by name; all problems at once as `WrongFiles`."""
    return tuple(each.watched for each in definitions(directory, policies))


def definitions(directory: Path = SHIPPED_SLOS, policies: Path = SHIPPED_POLICIES) -> tuple[Definition, ...]:
    """Every objective with its file and policy, by name; all problems of all files at once as `WrongFiles`."""
    problems: list[str] = []
    reads: list[tuple[Path, Read]] = []
    known: Mapping[str, Policy] = {}
    try:
        reads = read_folder(directory)
        problems += slo_problems(directory, reads)
    except SloFileError as error:
        problems += error.problems
    try:
        known = load_policies(policies)
    except PolicyFileError as error:
        raise WrongFiles([*problems, *error.problems]) from None
    found = [_definition(file, read.document, read.slo, known) for file, read in reads if read.slo and read.document]
    problems += [told for each in found if not isinstance(each, Definition) for told in each]
    if problems:
        raise WrongFiles(problems)
    sound = (each for each in found if isinstance(each, Definition))
    return tuple(sorted(sound, key=lambda each: each.watched.slo.name))


def _definition(file: Path, document: Document, slo: Slo, known: Mapping[str, Policy]) -> Definition | tuple[str, ...]:
    """The objective under its policy, or what is wrong with that."""
    if slo.policy not in known:
        place = ("metadata", "annotations", POLICY)
        sentence = ended(f"No policy is named {slo.policy!r}{nearest(slo.policy, known)}")
        return (problem(file, Mistake(document.line_of(place), field_text(place), sentence)),)
    policy = known[slo.policy]
    try:
        return Definition(policy_for(slo, policy), policy, file, document)
    except PolicyFileError as error:
        return error.problems
