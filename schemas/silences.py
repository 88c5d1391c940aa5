"""Silences: what intake tells of producers that have stopped reporting, and the alerts that follow.

A statement is about one family in one source partition and says everything there is to say, so the newest one is all
that anybody has to know: a producer that is not named in it is not silent there.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError, model_validator

from schemas.burns import Amount, Count, Instant, Name, no_statement
from schemas.slos import Severity

REMEMBERED_MS = 15 * 60_000
"""How long, in event time, a producer that fell silent still counts as missing volume while others of its source
partition go on: until then nothing resolves on its silence."""
LAGGING_MAX_MS = 3_600_000
"""The same for a whole source partition that is behind the others. It may only be lagging, so it is given as long as
the ledger waits for its rows."""
SILENCE_FORMAT = 1
"""Grows when an older worker could not read what a newer one states. What was stated before there was a number is 1."""
LISTED_MAX = 500
"""Silent producers named in one statement: about 100 bytes each. The others are counted."""


class SilentProducer(BaseModel):
    """A producer that has not reported since a window end (event time), and its recent volume a window."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    producer: Name
    since_ms: Instant
    volume: Amount


class Silence(BaseModel):
    """Who is silent in one family of one source partition, those with the largest volume first."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    family: Name
    source_partition: Annotated[int, Field(ge=0, lt=2**31)]
    version: Count
    """Source records applied; it only grows."""
    newest_ms: Instant
    """Newest window end that any producer of the source partition has reported."""
    volume: Amount
    """Recent volume a window of all its producers, the silent ones included."""
    silent: Annotated[tuple[SilentProducer, ...], FailFast(), Field(max_length=LISTED_MAX)] = ()
    unlisted: Count = 0
    """Further silent producers."""
    unlisted_volume: Amount = 0.0
    format: Annotated[int, Field(ge=1, le=SILENCE_FORMAT)] = 1

    @model_validator(mode="after")
    def _names_once(self) -> Silence:
        if len({each.producer for each in self.silent}) < len(self.silent):
            raise ValueError("a producer is silent twice")
        return self


class SilenceAlert(BaseModel):
    """The newest state of one `TelemetrySilent`: of one producer, or of the family's producers together (`None`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    alert: Annotated[str, Field(min_length=1)]
    state: Literal["firing", "resolved"]
    family: Name
    producer: Name | None
    severity: Severity
    since_ms: Instant
    starts_ms: Instant
    ends_ms: Instant | None
    labels: dict[str, str]
    annotations: dict[str, str]


def decode(payload: bytes) -> Silence:
    """Reads a statement that intake made; raises `Undecodable` where it is none."""
    try:
        return Silence.model_validate_json(payload)
    except ValidationError as error:
        raise no_statement("silence", SILENCE_FORMAT, payload, error) from None
