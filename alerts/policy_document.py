"""Burn policies as files: what `alerts/burn_policies/*.yaml` may say, and what is wrong when it says else.

A row is computed for an objective's period (`budgetShare`, `long`), or written out (`long`, `short`, `factor`). What can
only be judged beside an objective is left to `policy_judgement.py`. `docs/slos.md` shows how to write one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from alerts.document_files import WrongFiles, documents_of, files_in, passed_over, problem
from alerts.document_sentences import Name, Number, Part, Text, between, clipped, sentence_for, wrong
from alerts.durations import duration_ms
from alerts.located_yaml import Document, Mistake, field_text
from alerts.policy_rows import SHORT_PER_LONG, BudgetShare, Outage, Policy, Source, WrittenRow, duration_text
from schemas.families import OPERATIONAL
from schemas.slos import LowTraffic

SHIPPED_POLICIES = Path(__file__).parent / "burn_policies"

BUCKET_S = OPERATIONAL.k_window_s
"""Windows are made of buckets this long."""

ROWS_MAX = 20
BAD_EVENTS_MAX = 1_000_000
_DURATION_LENGTH_MAX = 20


class PolicyFileError(WrongFiles):
    """Everything that is wrong in policy files, by themselves or for the objectives that name them."""


def _whole_buckets(written: str) -> str:
    """Durations such as `5m` or `1h30m` that buckets can be summed over.

    >>> _whole_buckets("1h30m")
    '1h30m'
    """
    length_ms = duration_ms(written) if len(written) <= _DURATION_LENGTH_MAX else None
    if length_ms is None:
        raise wrong(f"{clipped(repr(written))} is no duration: write one such as 5m, 1h30m or 3d.")
    if length_ms == 0 or length_ms % (BUCKET_S * 1_000):
        raise wrong(f"{written} cannot be summed from buckets of {BUCKET_S} s: write a multiple of {BUCKET_S}s.")
    return written


Duration = Annotated[str, AfterValidator(_whole_buckets)]
Share = Annotated[Number, between("share of the budget", "0.0001", "1")]
Factor = Annotated[Number, between("burn", "0.001", "1000000")]
BadShare = Annotated[Number, between("share of turns below all of them", "0.0001", "0.9999")]
Confidence = Annotated[Number, between("confidence", "0", "0.9999")]
BudgetPart = Annotated[Number, between("share of the budget", "0", "1")]
SeverityName = Literal["page", "ticket"]


def _seconds(written: str) -> int:
    length_ms = duration_ms(written)
    assert length_ms is not None  # `_whole_buckets` has refused anything else.
    return length_ms // 1_000


def _is_shorter(short: str, long: str) -> None:
    if _seconds(short) >= _seconds(long):
        raise wrong(f"`short` ({short}) is not shorter than `long` ({long}): the short window ends an alert soon.")


class Row(Part):
    """A row that is computed for the period, or one that is written out."""

    budget_share: Share | None = None
    long: Duration
    short: Duration | None = None
    factor: Factor | None = None
    severity: SeverityName

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if self.budget_share is not None:
            self._is_computed()
        elif self.factor is None:
            raise wrong("When it fires is missing: add `budgetShare`, or `short` and `factor`.")
        elif self.short is None:
            raise wrong("The short window of a row with a `factor` is missing: add `short`.")
        else:
            _is_shorter(self.short, self.long)
        return self

    def _is_computed(self) -> None:
        for name, value in (("factor", self.factor), ("short", self.short)):
            if value is not None:
                raise wrong(f"`{name}` follows from `budgetShare`: keep one of them.")
        if _seconds(self.long) < SHORT_PER_LONG * BUCKET_S:
            least = duration_text(SHORT_PER_LONG * BUCKET_S)
            raise wrong(f"The short window, a twelfth of {self.long}, is below {BUCKET_S} s: write {least} or more.")

    @property
    def spec(self) -> BudgetShare | WrittenRow:
        if self.budget_share is not None:
            return BudgetShare(self.budget_share, _seconds(self.long), self.severity)
        assert self.short is not None and self.factor is not None
        return WrittenRow(_seconds(self.long), _seconds(self.short), self.factor, self.severity)


class OutageRow(Part):
    budget_share: Share
    long: Duration
    short: Duration
    bad_share_max: BadShare
    severity: SeverityName

    @model_validator(mode="after")
    def _has_two_windows(self) -> Self:
        _is_shorter(self.short, self.long)
        return self

    @property
    def spec(self) -> Outage:
        return Outage(self.budget_share, _seconds(self.long), _seconds(self.short), self.bad_share_max, self.severity)


def _is_a_count(written: int) -> int:
    if not 0 <= written <= BAD_EVENTS_MAX:
        raise wrong(
            f"{clipped(str(Decimal(written)))} is no number of bad turns to ask for: write 0 to {BAD_EVENTS_MAX}."
        )
    return written


_DEFAULT = LowTraffic()


class LowTrafficRule(Part):
    confidence: Confidence = Decimal(str(_DEFAULT.confidence))
    bad_events_min: Annotated[int, AfterValidator(_is_a_count)] = _DEFAULT.bad_events_min
    budget_share_min: BudgetPart = _DEFAULT.budget_share_min

    @property
    def rule(self) -> LowTraffic:
        return LowTraffic(float(self.confidence), self.bad_events_min, self.budget_share_min)


class PolicyMetadata(Part):
    name: Name


class PolicySpec(Part):
    description: Text | None = None
    rows: Annotated[list[Row], Field(min_length=1, max_length=ROWS_MAX)]
    outage: OutageRow | None = None
    low_traffic: LowTrafficRule | None = None


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
        low_traffic=spec.low_traffic.rule if spec.low_traffic else _DEFAULT,
        source=Source(file, document),
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
