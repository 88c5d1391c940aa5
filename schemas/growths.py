"""Growths: what the traffic stage tells of the parts of a turn that take longer than they did, for whoever writes a page.

A statement is about the slices of one shard at one instant and says everything there is to say: a slice that is not
named in it has no stage that grew. What "grew" means is in `stream_jobs/operators/stages/growth.py`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError, model_validator

from schemas.burns import Count, Instant, StageGrowth, no_statement
from schemas.families import PARTS

_FIRST = ("queue_wait", "asr_first_partial", "retrieval", "llm_first_token", "tts_first_audio")
PART_STAGES = (*_FIRST, *(stage for stage in PARTS if stage not in _FIRST))
"""The stages that may be named: parts of a turn, whose times add up. Those of the contract's first version lead."""
STAGE_NUMBER = {stage: number for number, stage in enumerate((*_FIRST, "turn", *PART_STAGES[len(_FIRST) :]))}
"""By number in stored state, where it has to stay what it is."""
GROWTH_FORMAT = 1
"""Grows when an older worker could not read what a newer one states."""
LISTED_MAX = 500
"""Slices named in one statement: about 380 bytes each. The others are counted."""


class Growths(BaseModel):
    """All that grew in one shard up to `decided_ms` of event time, what added most first."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    shard: Annotated[int, Field(ge=0, lt=2**31)]
    decided_ms: Instant
    grown: Annotated[tuple[StageGrowth, ...], FailFast(), Field(max_length=LISTED_MAX)] = ()
    unlisted: Count = 0
    """Further slices with a stage that grew."""
    format: Annotated[int, Field(ge=1, le=GROWTH_FORMAT)] = 1

    @model_validator(mode="after")
    def _slices_once(self) -> Growths:
        if len({each.slice for each in self.grown}) < len(self.grown):
            raise ValueError("a slice is named twice")
        return self


def decode(payload: bytes) -> Growths:
    """Reads a statement that the traffic stage made; raises `Undecodable` where it is none."""
    try:
        return Growths.model_validate_json(payload)
    except ValidationError as error:
        raise no_statement("statement of growths", GROWTH_FORMAT, payload, error) from None
