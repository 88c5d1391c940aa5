"""Burns: what the shards tell the incidents agent, and the state of an alert that it publishes.

A shard re-states everything that exceeds a row at every decision, so the agent needs no memory of increments: what is
no longer stated, by a shard that has decided a later instant, has stopped burning.
"""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError, model_validator

from schemas.failures import Foreseen, Undecodable
from schemas.slices import SLICE_PATTERN
from schemas.slos import Severity

LAST_INSTANT_MS = 253_402_300_800_000
"""The end of the year 9999, behind which nothing can be shown as a date."""
FIRE_COMPLETENESS_MIN = 0.5
"""Share of recent volume below which a decision says nothing, neither of what burns nor of what does not."""

RESOLVE_COMPLETENESS_MIN = 0.95
"""Share of recent volume that a decision has to be made on before it may end an alert."""
PARTS_MAX = 10_000
FORMER_MAX = 8
FORMER_SUMMARY_CHARACTERS = 500
FORMER_URL_CHARACTERS = 2_000
"""What of an earlier firing's annotations is kept; a longer address is left out, for what is cut leads nowhere."""
UNKNOWN_FIELDS_MAX = 100
"""A newer version declares a few fields more; what has more of them than this is no version's."""
DECISION_FORMAT = 3
"""Grows when an older worker could not read what a newer one states. What was stated before there was a number is 1.

A decision is stated in the oldest format that can say it (`SINCE`), so an older worker is ended only by one that says more.
"""
SINCE = {"suspects": 2, "family": 3, "held": 3, "holding": 3}
"""Fields by the format that brought them."""
_OF_BURNS_SINCE = {"spent_today": 3, "within_s": 3, "unit": 3}
"""Those of a burn."""
LISTS = ("burns", "quiet", "suspects", "held", "holding")
"""What a decision lists, which is what it is cut into parts by."""
FIRST_FAMILY = "turns"
"""The family of statements from before there were others."""

Name = Annotated[str, Field(min_length=1, max_length=200)]
SliceText = Annotated[str, Field(pattern=SLICE_PATTERN, max_length=2_000)]
Instant = Annotated[int, Field(ge=0, lt=LAST_INSTANT_MS)]
WindowSeconds = Annotated[int, Field(gt=0, le=366 * 86_400)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Total = Annotated[int, Field(gt=0, lt=2**63)]
Amount = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Burn(BaseModel):
    """One (slo, slice) that exceeds a policy row at a decided instant. Shares are of turns, times in ms of event time."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    slo: Name
    slice: SliceText
    row: Name
    severity: Severity
    factor: Amount
    threshold: Share
    long_s: WindowSeconds
    short_s: WindowSeconds
    long_bad: Count
    long_total: Total
    short_bad: Count
    short_total: Total
    long_burn: Amount
    short_burn: Amount
    budget_left: float
    exhausted_in_s: Amount | None
    one_failure_costs: Amount
    """Share of the period's expected error budget that one bad turn spends; what low traffic makes dear."""
    spent_today: Amount | None = None
    """Share of that budget that bad turns since 00:00 UTC have spent; `None` before an hour of history."""
    within_s: WindowSeconds | None = None
    """Of a row that asks whether the budget will be spent within this; its factor and threshold follow from what is left."""
    unit: Annotated[str, Field(pattern=r"^[a-z][a-z -]{0,38}s$")] = "turns"
    """What is counted, several of them: turns, events of a kind, or minutes."""

    @model_validator(mode="after")
    def _parts_of_wholes(self) -> Burn:
        if self.long_bad > self.long_total or self.short_bad > self.short_total:
            raise ValueError("more turns are bad than there were")
        return self


class Quiet(BaseModel):
    """A (slo, slice) whose long window of some row is bad and whose short window has no traffic: nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    slo: Name
    slice: SliceText
    severity: Severity


class Suspect(BaseModel):
    """A slice that has more bad turns than its objective allows, in the long window of a row that burns in its shard."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    slo: Name
    slice: SliceText
    long_s: WindowSeconds
    bad: Count
    total: Total
    first_seen_ms: Instant | None
    """When its first turn came; `None` where that is no news: the history was younger than an hour."""

    @model_validator(mode="after")
    def _part_of_a_whole(self) -> Suspect:
        if self.bad > self.total:
            raise ValueError("more turns are bad than there were")
        return self


class Decision(BaseModel):
    """All that burns in one shard at `decided_ms`, with the share of recent volume it was decided on.

    A large one comes in `parts` messages, `part` counting from 0; it holds once all have come. `quiet` keeps alerts
    from resolving on silence. `suspects` are what may explain a burn, here or in another shard. `held` exceed a row and
    want evidence: they are pending. `holding` are near enough to a row's threshold to keep an alert, not to begin one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    family: Name = FIRST_FAMILY
    shard: Annotated[int, Field(ge=0)]
    decided_ms: Instant
    completeness: Share
    burns: Annotated[tuple[Burn, ...], FailFast()]
    quiet: Annotated[tuple[Quiet, ...], FailFast()] = ()
    suspects: Annotated[tuple[Suspect, ...], FailFast()] = ()
    held: Annotated[tuple[Burn, ...], FailFast()] = ()
    holding: Annotated[tuple[Quiet, ...], FailFast()] = ()
    part: Annotated[int, Field(ge=0)] = 0
    parts: Annotated[int, Field(ge=1, le=PARTS_MAX)] = 1
    format: Annotated[int, Field(ge=1, le=DECISION_FORMAT)] = 1

    @property
    def owner(self) -> tuple[str, int]:
        """Whose statement it is: the family, and the shard of it."""
        return self.family, self.shard

    @model_validator(mode="after")
    def _part_of_parts(self) -> Decision:
        if self.part >= self.parts:
            raise ValueError("a part is counted behind the last one")
        return self


class _Format(BaseModel):
    """What every format of a statement has."""

    format: Annotated[int, Field(strict=True, ge=1)] = 1


def encode(decision: Decision) -> bytes:
    """States a decision, or a part of one, in the oldest format that can say it."""
    silent = {name for name in SINCE if getattr(decision, name) == Decision.model_fields[name].default}
    unsaid = {
        name
        for name in _OF_BURNS_SINCE
        if all(getattr(burn, name) == Burn.model_fields[name].default for burn in (*decision.burns, *decision.held))
    }
    said = [SINCE[name] for name in SINCE.keys() - silent] + [
        _OF_BURNS_SINCE[name] for name in _OF_BURNS_SINCE.keys() - unsaid
    ]
    of_burns = {name: {"__all__": unsaid} for name in ("burns", "held") if name not in silent}
    stated = decision.model_copy(update={"format": max(said, default=1)})
    return stated.model_dump_json(exclude={**dict.fromkeys(silent, True), **of_burns}).encode()


def decode(payload: bytes) -> Decision:
    """Reads a decision, or a part of one, that a shard stated; raises `Undecodable` where it is none."""
    try:
        return Decision.model_validate_json(payload)
    except ValidationError as error:
        raise no_statement("decision", DECISION_FORMAT, payload, error) from None


def no_statement(what: str, known: int, payload: bytes, error: ValidationError) -> Foreseen:
    """Why `payload` is not read: a newer version stated it, which ends the worker, or nobody did (`Undecodable`)."""
    written = _format_of(payload)
    if written > known:
        return Foreseen(
            f"A {what} of format {written} was read by a worker that knows {known}: deploy the newer worker."
        )
    if error.error_count() <= UNKNOWN_FIELDS_MAX and all(
        each["type"] == "extra_forbidden" for each in error.errors(include_url=False, include_input=False)
    ):
        return Foreseen(f"A {what} has fields that this worker does not know: deploy the newer worker.")
    return Undecodable(f"The record is no {what} of this version.")


def _format_of(payload: bytes) -> int:
    try:
        return _Format.model_validate_json(payload).format
    except ValidationError:
        return 0


class StageGrowth(BaseModel):
    """The stage that made turns of one slice longer: the last `now_s` seconds against a reference of `before_s` seconds.

    `added_ms` is per turn of the slice, whether it had this stage or not; `of_added` its share of what all parts that
    take longer added. `tail_ms` is a latency that only a share of `tail_before` of its observations exceeded before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    slice: SliceText
    stage: Name
    since_ms: Instant
    """When it was stated first; it has gone on since, or paused for minutes."""
    now_s: WindowSeconds
    before_s: WindowSeconds
    added_ms: Annotated[float, Field(gt=0)]
    of_added: Share
    mean_ms_now: Amount
    mean_ms_before: Amount
    tail_ms: Amount
    tail_now: Share
    tail_before: Share
    observed_now: Total
    observed_before: Total


class Told(Protocol):
    """What an Alertmanager was told of an alert."""

    @property
    def labels(self) -> dict[str, str]: ...
    @property
    def annotations(self) -> dict[str, str]: ...
    @property
    def starts_ms(self) -> int: ...


class EndedBefore(BaseModel):
    """An earlier firing of an alert that is pending or fires again: an Alertmanager may still have to hear of its end.

    It is small, for eight of them are in every statement about the alert.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: dict[str, str]
    annotations: dict[str, str]
    starts_ms: Instant
    ends_ms: Instant

    @property
    def state(self) -> str:
        return "resolved"

    @classmethod
    def of(cls, alert: Told, ends_ms: int) -> EndedBefore:
        """What an Alertmanager has to hear of an alert that ended: what it is, since and until when, and one line."""
        urls = {name: alert.annotations.get(name, "") for name in ("runbook_url", "dashboard_url")}
        summary = alert.annotations.get("summary", "")[:FORMER_SUMMARY_CHARACTERS]
        kept = {"summary": summary} | {name: url for name, url in urls.items() if len(url) <= FORMER_URL_CHARACTERS}
        annotations = {name: text for name, text in kept.items() if text}
        return cls(labels=alert.labels, annotations=annotations, starts_ms=alert.starts_ms, ends_ms=ends_ms)


class AlertState(BaseModel):
    """The newest state of one alert, as the compacted topic `alerts` and the table `pages` keep it.

    `decided_event_ms` and `completeness` are of the decision that confirmed or ended it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    alert: Annotated[str, Field(min_length=1)]
    state: Literal["pending", "firing", "frozen", "resolved"]
    """`pending`: it exceeds a row, and nobody is told yet. `frozen`: it fired, and no data has come since that could
    confirm or end it."""
    burn: Burn
    starts_event_ms: Instant
    decided_event_ms: Instant
    starts_ms: Instant
    ends_ms: Instant | None
    completeness: Share
    version: Count
    """Grows with every statement about this alert."""
    labels: dict[str, str]
    annotations: dict[str, str]
    family: Name = FIRST_FAMILY
    growth: StageGrowth | None = None
    """The stage that grew as it began."""
    has_fired: bool = True
    """Whether anybody was told: a pending alert may end without."""
    stated_event_ms: Instant | None = None
    """When a decision last spoke for it; `None` where that is not known."""
    former: Annotated[tuple[EndedBefore, ...], Field(max_length=FORMER_MAX)] = ()
    """Its newest firings before this one."""


def decode_alert(payload: bytes) -> AlertState:
    """Reads the state of an alert; raises `Undecodable` where it is none."""
    try:
        return AlertState.model_validate_json(payload)
    except ValidationError:
        raise Undecodable("The record is no state of an alert of this version.") from None
