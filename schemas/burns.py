"""Burns: what the shards tell the incidents agent, and the state of an alert that it publishes.

A shard re-states everything that exceeds a row at every decision, so the agent needs no memory of increments: what is
no longer stated, by a shard that has decided a later instant, has stopped burning.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from schemas.slos import Severity


class Burn(BaseModel):
    """One (slo, slice) that exceeds a policy row at a decided instant. Shares are of turns, times in ms of event time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slo: str
    slice: str
    row: str
    severity: Severity
    factor: float
    threshold: float
    long_s: int
    short_s: int
    long_bad: int
    long_total: int
    short_bad: int
    short_total: int
    long_burn: float
    short_burn: float
    budget_left: float
    exhausted_in_s: float | None
    one_failure_costs: float
    """Share of the period's expected error budget that one bad turn spends; what low traffic makes dear."""


class Quiet(BaseModel):
    """A (slo, slice) whose long window of some row is bad and whose short window has no traffic: nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slo: str
    slice: str
    severity: Severity


class Decision(BaseModel):
    """All that burns in one shard at `decided_ms`, with the share of recent volume it was decided on.

    A large one comes in `parts` messages, `part` counting from 0; it holds once all have come. `quiet` keeps alerts
    from resolving on silence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shard: int
    decided_ms: int
    completeness: float
    burns: tuple[Burn, ...]
    quiet: tuple[Quiet, ...] = ()
    part: int = 0
    parts: int = 1


class AlertState(BaseModel):
    """The newest state of one alert, as the compacted topic `alerts` and the table `pages` keep it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alert: str
    state: Literal["firing", "resolved"]
    burn: Burn
    starts_event_ms: int
    decided_event_ms: int
    starts_ms: int
    ends_ms: int | None
    completeness: float
    version: int
    """Grows with every statement about this alert."""
    labels: dict[str, str]
    annotations: dict[str, str]
