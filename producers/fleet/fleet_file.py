"""What a fleet file may say, and nothing else: the calls, whom they come from, how stages answer, what servers cost.

Every number has a range and every name a vocabulary, so that a file with a mistake ends in a sentence that names the
field, and not in traffic that is subtly wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.dimensions import DIMENSIONS, SLUG

Pool = Literal["realtime", "batch"]
Station = Literal["asr", "llm", "tts", "retrieval"]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, lt=1e9)]
Slug = Annotated[str, Field(pattern=rf"^{SLUG}$")]
Shares = Annotated[dict[str, Annotated[float, Field(ge=0, lt=1e9)]], Field(min_length=1)]

DRAWN_STAGES = (
    "vad",
    "asr_first_partial",
    "final_transcript",
    "retrieval",
    "tts_first_audio",
    "playback",
    "orchestration",
    "network",
)
"""Stages with a lognormal of their own. `queue_wait` and `llm_first_token` come from the stations."""


class Said(BaseModel):
    """Closed to what is not declared, and never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RegionSaid(Said):
    share: Share
    collectors: int = Field(ge=1, le=64)
    peak_shift_h: float = Field(ge=-24, le=24)


class PoolSaid(Said):
    share: Share
    has_audio: bool
    routes: Shares


class LongTail(Said):
    """`count` names of which number n has a share proportional to n^-exponent."""

    count: int = Field(ge=1, le=20_000)
    exponent: float = Field(ge=0, le=4)


class StageSaid(Said):
    median_ms: Positive
    spread: float = Field(ge=0, le=2)


class StationSaid(Said):
    """A request takes `service_ms` of one of `slots` places of a GPU that works on them at once."""

    service_ms: Positive
    slots: int = Field(ge=1, le=4_096)


class ServersSaid(Said):
    utilisation: float = Field(gt=0, lt=1)
    llm_times: Positive
    asr: StationSaid
    tts: StationSaid
    retrieval: StationSaid


class ModelSaid(Said):
    """What serves a station, on what, and what an hour of one such GPU costs."""

    model_version: Slug
    gpu_type: Slug
    purchase: Literal["reserved", "on_demand", "spot", "hosted", "owned"]
    dollars_per_gpu_hour: float = Field(ge=0, lt=1e6)


class Fleet(Said):
    """The fleet as its file says it."""

    calls: float = Field(ge=1, le=1_000_000)
    call_s_mean: float = Field(ge=10, le=86_400)
    turns_per_call_s: float = Field(gt=0, le=10)
    duplex_share: Share
    regions: Annotated[dict[str, RegionSaid], Field(min_length=1)]
    pools: dict[Pool, PoolSaid]
    bundles: dict[Pool, Shares]
    tenants: LongTail
    client_versions: LongTail
    languages: Shares
    accents: dict[str, Shares]
    noise_classes: Shares
    devices: Shares
    connections: dict[str, Shares]
    codecs: dict[str, Shares]
    voices: Shares
    stages: dict[str, StageSaid]
    network_times: dict[str, Positive]
    retrieval_share: Share
    tokens_out_mean: Positive
    interrupted_share: Share
    error_share: Share
    abandoned_share: Share
    stale_share: Share
    retry_share: Share
    fallback_share: Share
    shadow_share: Share
    success_share: Share
    handoff_share: Share
    cancelled_share: Share
    refused_share: Share
    tool_calls_mean: float = Field(ge=0, le=100)
    unsafe_share: Share
    jitter: StageSaid
    late_chunk_share: Share
    label_share: Share
    consents: Shares
    noise_times: dict[str, Positive]
    accents_like: dict[str, str]
    index_age_s: Positive
    prompt_parts: dict[Literal["prompt", "carried"], Share]
    draft_tokens: int = Field(ge=0, le=16)
    draft_acceptance: Share
    servers: ServersSaid
    models: dict[Station, ModelSaid]

    @model_validator(mode="after")
    def _names_are_known(self) -> Fleet:
        _all_match("region", self.regions)
        for pool, said in self.pools.items():
            _all_match("route", said.routes)
            if pool not in self.bundles:
                raise ValueError(f"bundles: pool {pool} has none")
            _all_match("bundle", self.bundles[pool])
        for dimension, values in _VALUES.items():
            _all_match(dimension, getattr(self, values))
        _complete("connections", self.devices, self.connections)
        for shares in self.connections.values():
            _all_match("connection", shares)
            _complete("codecs", shares, self.codecs)
            _complete("network_times", shares, self.network_times)
        for shares in self.codecs.values():
            _all_match("codec", shares)
        for shares in self.accents.values():
            _all_match("accent", shares)
        _complete("accents", ("default",), self.accents)
        _complete("stages", DRAWN_STAGES, self.stages)
        _complete("models", ("asr", "llm", "tts", "retrieval"), self.models)
        _complete("noise_times", self.noise_classes, self.noise_times)
        _complete("prompt_parts", ("prompt", "carried"), self.prompt_parts)
        _all_match("consent", self.consents)
        return self


_VALUES = {
    "language": "languages",
    "noise_class": "noise_classes",
    "device_class": "devices",
    "voice": "voices",
}


def _all_match(dimension: str, names: Mapping[str, object]) -> None:
    """Raises ValueError where the dimension does not allow one of the names, or all shares are 0."""
    wrong = [name for name in names if not re.match(DIMENSIONS[dimension].full_pattern, name) or name == "*"]
    if wrong:
        raise ValueError(f"{', '.join(map(repr, wrong))}: dimension {dimension} does not allow that value")
    numbers = [value for value in names.values() if isinstance(value, (int, float))]
    if numbers and sum(numbers) <= 0:
        raise ValueError(f"the shares of {dimension} sum to 0")


def _complete(field: str, wanted: Iterable[str], said: Iterable[str]) -> None:
    """Raises ValueError where the field does not say something that it has to."""
    known = set(said)
    missing = [name for name in wanted if name not in known]
    if missing:
        raise ValueError(f"{field}: nothing is said for {', '.join(missing)}")
