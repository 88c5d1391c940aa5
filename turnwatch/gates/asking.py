"""What is asked of a gate over HTTP, and how it is answered: judged, recorded, and only then told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.burns import Instant
from schemas.exclusions import WHO_MAX
from schemas.failures import BadInput, Foreseen
from schemas.metrics import GateMetrics
from schemas.model_mistakes import mistakes
from schemas.releases import Slug, way_back_text
from schemas.verdicts import GateQuestion, Judge, ReleaseVerdict

JUDGING_MAX = 2
"""Questions that are judged at once: each reads many slices of ClickHouse."""
WAITING_MAX = 20
LISTED_MAX = 20
"""Slices that an answer names of each kind; a pipeline keeps answers in its own state."""

Record = Callable[[ReleaseVerdict], Awaitable[None]]
"""Returns once a verdict is on the record; raises `Foreseen` where it is not."""


class TooMany(Foreseen):
    """As many questions wait as memory and ClickHouse bear."""


class Asked(BaseModel):
    """The fields of a question, in a body or a URL."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    release: Slug
    baseline: Slug | None = None
    from_ms: Instant | None = None
    who: Annotated[str, Field(min_length=1, max_length=WHO_MAX, pattern=r"^[^\x00-\x1f\x7f]+$")] | None = None


def question(fields: Mapping[str, Any], who: str, policy: str | None) -> GateQuestion:
    """The question of these fields, asked by `who` unless they say so; raises `BadInput`. The server alone says the policy."""
    try:
        asked = Asked.model_validate(dict(fields))
    except ValidationError as error:
        raise BadInput(
            f"The question is wrong: {mistakes(error)} Write release, and perhaps baseline, from_ms, who."
        ) from None
    return GateQuestion(asked.release, asked.who or who, asked.baseline, policy, asked.from_ms)


@dataclass(slots=True)
class Desk:
    """Where questions are answered, a few at a time."""

    judge: Judge
    record: Record
    metrics: GateMetrics
    policy: str | None = None
    _judging: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(JUDGING_MAX))
    _asked: int = 0

    async def answer(self, fields: Mapping[str, Any], who: str) -> ReleaseVerdict:
        """The verdict, once it is on the record. Raises `Foreseen` where there is none."""
        if self._asked >= JUDGING_MAX + WAITING_MAX:
            raise TooMany("As many questions wait as this gate bears: ask again.")
        asked = question(fields, who, self.policy)
        self._asked += 1
        try:
            async with self._judging:
                verdict = await asyncio.to_thread(self.judge, asked)
            await self.record(verdict)
        finally:
            self._asked -= 1
        self.metrics.verdicts.labels(verdict.decision).inc()
        return verdict


def summary(verdict: ReleaseVerdict) -> dict[str, Any]:
    """What a pipeline is told: all but the judgements, which are on the record. Long lists are cut, and say how long they were."""
    back = verdict.way_back
    return {
        "release": verdict.release,
        "baseline": verdict.baseline,
        "decision": verdict.decision,
        "reasons": list(verdict.reasons),
        "because": verdict.because,
        "blockers": [{"slice": each.slice, "reasons": list(each.reasons)} for each in verdict.blockers[:LISTED_MAX]],
        "blockers_total": len(verdict.blockers) + verdict.blockers_unlisted,
        "insufficient": list(verdict.insufficient[:LISTED_MAX]),
        "insufficient_total": len(verdict.insufficient) + verdict.insufficient_unlisted,
        "way_back": way_back_text(back.way) if back else None,
        "way_back_because": back.because if back else None,
        "judged": len(verdict.judged) + verdict.unlisted,
        "policy": verdict.policy,
        "policy_version": verdict.policy_version,
        "from_ms": verdict.from_ms,
        "to_ms": verdict.to_ms,
        "at_ms": verdict.at_ms,
    }


def sentence(verdict: ReleaseVerdict) -> str:
    """The verdict in a line, for logs and events that have no room for more."""
    blockers = [f"{each.slice} ({', '.join(each.reasons)})" for each in verdict.blockers[:3]]
    total = len(verdict.blockers) + verdict.blockers_unlisted
    further = [f"and {total - 3} more"] if total > 3 else []
    named = f" {'; '.join(blockers + further)}." if blockers else ""
    back = f" Smallest way back: {way_back_text(verdict.way_back.way)}." if verdict.way_back else ""
    return f"{verdict.decision} {verdict.release}: {verdict.because}{named}{back}"
