"""Findings: what a question found that somebody should hear of, other than a burn: a queue that breaks, cost that rose.

A statement is about one shard of one question at one instant and says everything there is to say: what is not named in a
later one has ended. Statements come at a pace of their own (a queue's each minute, a bill's every ten); each says for how
long it holds without a newer one, and from then on what it found is frozen.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError, model_validator

from schemas.burns import FORMER_MAX, Count, EndedBefore, Instant, Name, Share, SliceText, WindowSeconds, no_statement
from schemas.slos import Severity

FINDINGS_FORMAT = 1
"""Grows when an older worker could not read what a newer one states."""
LISTED_MAX = 200
"""Findings named in one statement: at most 4,000 bytes each. The others are counted."""
FACTS_MAX = 24
GIVEN_LABELS = frozenset({"alertname", "severity", "slice", "scope", "incident", "question", "slo"})
"""Labels of an alert that a finding does not name itself: they are given to it, or would take it for a burn."""

AlertName = Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]{2,39}$")]
LabelName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
LabelValue = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:/+-]{1,80}$")]
Sentence = Annotated[str, Field(min_length=1, max_length=600)]
Figure = float | Annotated[str, Field(max_length=80)]
"""A number, or a short word of a vocabulary."""


class Finding(BaseModel):
    """One thing that is wrong in one slice, with what to do about it.

    `alert` is the alertname. `labels` tell apart what one slice may have several of, such as the stage whose queue grows.
    `facts` are the figures behind the sentences, each in the unit that its name ends in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    alert: AlertName
    slice: SliceText
    severity: Severity
    since_ms: Instant
    """Event time from which on it holds."""
    summary: Sentence
    action: Sentence
    runbook: Annotated[str, Field(pattern=r"^docs/runbooks/[a-z-]+\.md$")]
    labels: Annotated[dict[LabelName, LabelValue], Field(max_length=4)] = {}
    facts: Annotated[dict[LabelName, Figure], Field(max_length=FACTS_MAX)] = {}

    @property
    def name(self) -> str:
        """Its identity: alert, slice, further labels and severity."""
        return f"{self.subject}|{self.severity}"

    @property
    def subject(self) -> str:
        """What it is about, however bad it is: alert, slice and further labels."""
        further = ",".join(f"{name}={value}" for name, value in sorted(self.labels.items()))
        return "|".join((self.alert, self.slice, further))

    @model_validator(mode="after")
    def _labels_of_its_own(self) -> Finding:
        if given := GIVEN_LABELS & self.labels.keys():
            raise ValueError(f"a finding cannot give the labels {', '.join(sorted(given))} itself")
        return self


class Findings(BaseModel):
    """All that a question found in one shard up to `decided_ms` of event time, the most important first."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    question: Name
    shard: Annotated[int, Field(ge=0, lt=2**31)]
    decided_ms: Instant
    completeness: Share
    """Share of recent volume that it was decided on."""
    holds_s: WindowSeconds
    """How long it holds, by the clock, without a newer statement."""
    findings: Annotated[tuple[Finding, ...], FailFast(), Field(max_length=LISTED_MAX)] = ()
    unlisted: Count = 0
    """Further findings."""
    format: Annotated[int, Field(ge=1, le=FINDINGS_FORMAT)] = 1

    @property
    def owner(self) -> tuple[str, int]:
        """Whose statement it is: the question, and the shard of it."""
        return self.question, self.shard

    @model_validator(mode="after")
    def _named_once(self) -> Findings:
        if len({each.name for each in self.findings}) < len(self.findings):
            raise ValueError("a finding is named twice")
        return self


class FindingAlert(BaseModel):
    """The newest state of one finding, as the table `findings` keeps it and Alertmanagers are told of it.

    `alert` is its identity, `finding.name`. `decided_event_ms` and `completeness` are of the statement that confirmed or
    ended it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    alert: Annotated[str, Field(min_length=1)]
    question: Name
    shard: Annotated[int, Field(ge=0, lt=2**31)]
    state: Literal["firing", "frozen", "resolved"]
    """`frozen`: it fired, and nothing has been stated since that could confirm or end it."""
    finding: Finding
    starts_event_ms: Instant
    """What was decided when it was stated first. `finding.since_ms` may be earlier."""
    decided_event_ms: Instant
    starts_ms: Instant
    ends_ms: Instant | None
    completeness: Share
    version: Count
    """Grows with every statement about this alert."""
    labels: dict[str, str]
    annotations: dict[str, str]
    former: Annotated[tuple[EndedBefore, ...], Field(max_length=FORMER_MAX)] = ()
    """Its newest firings before this one."""


def decode(payload: bytes) -> Findings:
    """Reads a statement that a question made; raises `Undecodable` where it is none."""
    try:
        return Findings.model_validate_json(payload)
    except ValidationError as error:
        raise no_statement("statement of findings", FINDINGS_FORMAT, payload, error) from None
