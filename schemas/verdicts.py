"""Verdicts on releases that serve beside their baseline: what a gate answered, and everything that it answered by.

A verdict is judged anew at every look and never changed afterwards. The newest of a release is the record of its key in the
compacted topic `verdicts`; the table `verdicts` keeps all of them, a row for each slice and metric that was judged. A gate
that could not judge (an error, no data, bad input) makes no record: it is never read as a verdict.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.burns import Count, Instant, Name, SliceText, no_statement
from schemas.exclusions import WHO_MAX
from schemas.gates import Decision, Outcome
from schemas.releases import Slug, WayBack

VERDICT_FORMAT = 2
"""Since 2 `allowed` and `alpha` may be unknown. A verdict of 1 told 0 and the policy's own alpha of what nobody knew."""
JUDGED_MAX = 50_000
NAMED_MAX = 1_000
"""Slices that a verdict names as blockers, and as insufficient: others are counted."""
RECORD_BYTES_MAX = 900_000
"""What one record of the topic may have: below Kafka's 1 MiB, with its headers."""

MetricName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Line = Annotated[str, Field(min_length=1, max_length=600)]
Who = Annotated[str, Field(min_length=1, max_length=WHO_MAX)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class Judgement(BaseModel):
    """One metric of one slice. Values, bounds and what is allowed are in `unit`.

    `slice` is named without its bundle, as both sides share it. `low` and `high` bound how much worse the candidate is
    (below 0: better) with probability 1 - `alpha` at all looks together; `None` where there is no bound yet. It is `worse`
    where `low` is above `allowed`, `inside` where `high` is not, or where sparse events say so (`because`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    slice: SliceText
    metric: MetricName
    reason: MetricName
    """What a verdict calls it: `quality` of `wer`."""
    outcome: Outcome
    is_protected: bool
    unit: Name
    baseline: float | None
    candidate: float | None
    baseline_samples: Count
    candidate_samples: Count
    """What the values are of: turns, words, successes."""
    windows: Count
    """Roll-up windows in which both served."""
    allowed: float | None
    """`None` where it is a ratio of a baseline that nobody knows yet."""
    low: float | None
    high: float | None
    alpha: Annotated[float, Field(gt=0, lt=1)] | None
    """`None` where nothing is spent on it yet, as not both serve it."""
    because: Line


class BlockedSlice(BaseModel):
    """A slice that got worse than allowed, and the reasons of the metrics that did."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slice: SliceText
    reasons: Annotated[tuple[MetricName, ...], Field(min_length=1)]


class SmallestStep(BaseModel):
    """The smallest declared way back that restores what got worse, and the sentence that says why this one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    way: WayBack
    because: Line


class ReleaseVerdict(BaseModel):
    """What the gate of a running canary answered at one look.

    Both bundles were read from `from_ms` to before `to_ms` of event time. `policy_version` is a hash of all that the policy
    says. `asked` are the queries that the figures came from. `unlisted` judgements were left out of `judged` for length, the
    least important ones, and so many blockers and insufficient slices were.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    release: Slug
    baseline: Slug
    decision: Decision
    reasons: tuple[MetricName, ...] = ()
    blockers: tuple[BlockedSlice, ...] = ()
    insufficient: tuple[SliceText, ...] = ()
    """Slices of which some metric had too few samples, or none."""
    because: Line
    way_back: SmallestStep | None = None
    """`None` unless it is to be rolled back."""
    judged: Annotated[tuple[Judgement, ...], Field(max_length=JUDGED_MAX)] = ()
    """The most important first."""
    unlisted: Count = 0
    blockers_unlisted: Count = 0
    insufficient_unlisted: Count = 0
    policy: Name
    policy_version: Hash
    alpha: Annotated[float, Field(gt=0, lt=1)]
    """The error rate of rollbacks and of continuing, over all looks, metrics and slices."""
    asked: Annotated[tuple[str, ...], Field(max_length=100)] = ()
    from_ms: Instant
    to_ms: Instant
    at_ms: Instant
    who: Who
    format: Annotated[int, Field(strict=True, ge=1, le=VERDICT_FORMAT)] = 1

    @model_validator(mode="after")
    def _is_of_two(self) -> ReleaseVerdict:
        if self.release == self.baseline:
            raise ValueError("a release is compared with another one")
        if (self.decision == "rollback") != bool(self.blockers):
            raise ValueError("what is rolled back has blockers, and nothing else has")
        return self

    def encode(self) -> bytes:
        """The record of the topic, in the oldest format that can say it; judgements at the end, and then slices, are left out and
        counted where it would be too long.
        """
        is_unknown = any(each.allowed is None or each.alpha is None for each in self.judged)
        told = self.model_copy(update={"format": VERDICT_FORMAT if is_unknown else 1})
        while len(payload := told.model_dump_json().encode()) > RECORD_BYTES_MAX and told.judged:
            kept = len(told.judged) * 3 // 4
            left_out = self.unlisted + len(self.judged) - kept
            told = told.model_copy(update={"judged": self.judged[:kept], "unlisted": left_out})
        while len(payload) > RECORD_BYTES_MAX and len(told.insufficient) + len(told.blockers) > 1:
            told = told._with_half_of_its_slices()
            payload = told.model_dump_json().encode()
        return payload

    def _with_half_of_its_slices(self) -> ReleaseVerdict:
        insufficient, blockers = len(self.insufficient) // 2, -(-len(self.blockers) // 2)
        fewer = {
            "insufficient": self.insufficient[:insufficient],
            "insufficient_unlisted": self.insufficient_unlisted + len(self.insufficient) - insufficient,
            "blockers": self.blockers[:blockers],
            "blockers_unlisted": self.blockers_unlisted + len(self.blockers) - blockers,
        }
        return self.model_copy(update=fewer)


def decode(payload: bytes) -> ReleaseVerdict:
    """Reads what a gate recorded; raises `Undecodable` where it is none."""
    try:
        return ReleaseVerdict.model_validate_json(payload)
    except ValidationError as error:
        raise no_statement("verdict", VERDICT_FORMAT, payload, error) from None


@dataclass(frozen=True, slots=True)
class GateQuestion:
    """What somebody asks of a running canary.

    `baseline`: the bundle that the release was declared to go back to, unless given. `policy`: path of a policy's file, the
    shipped one unless given. `from_ms`: when the release began to serve, unless given.
    """

    release: str
    who: str
    baseline: str | None = None
    policy: str | None = None
    from_ms: int | None = None


Judge = Callable[[GateQuestion], ReleaseVerdict]
"""Answers the question of one look, and raises `Foreseen` where there is no verdict: `BadInput` for what is to be corrected
by whoever asks (unknown release, no policy), else what is away. Reads ClickHouse and Kafka; writes nothing."""
