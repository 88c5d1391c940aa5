"""Burn policies as files: what `alerts/burn_policies/*.yaml` may say, and what is wrong when it says else.

Its rows and what else it has are in `policy_fields.py`. What can only be judged beside an objective is left to
`policy_judgement.py`. `docs/slos.md` shows how to write one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from alerts.document_files import WrongFiles, documents_of, files_in, passed_over, problem
from alerts.document_sentences import Name, Part, Text, sentence_for, wrong
from alerts.located_yaml import Document, Mistake, field_text
from alerts.policy_fields import (
    AnyEventRow,
    ExhaustsRow,
    KeepFiringFor,
    LowTrafficRule,
    OutageRow,
    PendingFor,
    Row,
    ThresholdPart,
)
from alerts.policy_rows import Policy, Source
from schemas.slos import Life, LowTraffic

SHIPPED_POLICIES = Path(__file__).parent / "burn_policies"

ROWS_MAX = 20
_DEFAULT_LIFE, _DEFAULT_EVIDENCE = Life(), LowTraffic()


class PolicyFileError(WrongFiles):
    """Everything that is wrong in policy files, by themselves or for the objectives that name them."""


class PolicyMetadata(Part):
    name: Name


class PolicySpec(Part):
    description: Text | None = None
    rows: Annotated[list[Row], Field(min_length=1, max_length=ROWS_MAX)] = Field(default_factory=list)
    outage: OutageRow | None = None
    exhausts: Annotated[list[ExhaustsRow], Field(min_length=1, max_length=ROWS_MAX)] = Field(default_factory=list)
    any_event: AnyEventRow | None = None
    low_traffic: LowTrafficRule | None = None
    resolve_below: ThresholdPart = _DEFAULT_LIFE.resolve_below
    keep_firing_for: KeepFiringFor | None = None
    pending_for: PendingFor | None = None

    @model_validator(mode="after")
    def _watches_something(self) -> Self:
        if not (self.rows or self.outage or self.exhausts or self.any_event):
            raise wrong("Nothing is watched: add `rows`, `outage`, `exhausts` or `anyEvent`.")
        return self

    @property
    def life(self) -> Life:
        keep_firing_s = self.keep_firing_for.seconds if self.keep_firing_for else _DEFAULT_LIFE.keep_firing_s
        pending_s = self.pending_for.seconds if self.pending_for else _DEFAULT_LIFE.pending_s
        return Life(self.resolve_below, keep_firing_s, pending_s)


class PolicyDocument(Part):
    api_version: Literal["turnwatch/v1"]
    kind: Literal["BurnPolicy"]
    metadata: PolicyMetadata
    spec: PolicySpec


@cache
def shipped_policies() -> Mapping[str, Policy]:
    """The policies beside this file, by name."""
    return load_policies(SHIPPED_POLICIES)


def load_policies(directory: Path = SHIPPED_POLICIES) -> Mapping[str, Policy]:
    """Every policy of a directory's `*.yaml`, by name; all problems of all files at once as `PolicyFileError`."""
    try:
        files = files_in(directory, "policy")
    except WrongFiles as error:
        raise PolicyFileError(error.problems) from None
    policies: dict[str, Policy] = {}
    problems = [told for file in files for told in _taken_in(file, policies)]
    problems += passed_over(directory, "policy")
    if problems:
        raise PolicyFileError(problems)
    return policies


def load_policy(file: Path) -> Policy:
    """The one policy of a file."""
    policies: dict[str, Policy] = {}
    problems = list(_taken_in(file, policies))
    if problems:
        raise PolicyFileError(problems)
    if len(policies) > 1:
        raise PolicyFileError(
            [problem(file, Mistake(1, "", f"There are {len(policies)} policies: name a file of one."))]
        )
    return next(iter(policies.values()))


def read_policy(document: Document, file: Path) -> Policy | list[Mistake]:
    """One document as a policy, or what is wrong with it."""
    try:
        written = PolicyDocument.model_validate(document.data)
    except ValidationError as error:
        return [sentence_for(document, PolicyDocument, details) for details in error.errors()]
    spec = written.spec
    return Policy(
        name=written.metadata.name,
        rows=tuple(row.spec for row in spec.rows),
        outage=spec.outage.spec if spec.outage else None,
        low_traffic=spec.low_traffic.rule if spec.low_traffic else _DEFAULT_EVIDENCE,
        source=Source(file, document),
        exhausts=tuple(row.spec for row in spec.exhausts),
        any_event=spec.any_event.spec if spec.any_event else None,
        life=spec.life,
    )


def _taken_in(file: Path, policies: dict[str, Policy]) -> Iterator[str]:
    """Adds the policies of a file to those that are known; what is wrong with it."""
    found = documents_of(file, "a burn policy")
    yield from (problem(file, mistake) for mistake in found.mistakes)
    for document in found.documents:
        match read_policy(document, file):
            case Policy() as policy if policy.name in policies:
                yield problem(file, _double(document, policies[policy.name]))
            case Policy() as policy:
                policies[policy.name] = policy
            case mistakes:
                yield from (problem(file, mistake) for mistake in mistakes)


def _double(document: Document, first: Policy) -> Mistake:
    assert first.source is not None
    place = ("metadata", "name")
    at = f"{first.source.file.name}:{first.source.document.line_of(place)}"
    sentence = f"A policy named {first.name!r} exists already, at {at}: rename one of them."
    return Mistake(document.line_of(place), field_text(place), sentence)
