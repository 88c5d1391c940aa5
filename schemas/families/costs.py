"""Costs: what turns and replicas used of what has a price. Prices are applied later: they change, uses do not."""

from __future__ import annotations

from schemas.declarations import Cut, Family, Measure, PrivacyPartition
from schemas.families.purposes import MONEY

TEN_MINUTES_S = 600

COSTS = Family(
    name="costs",
    meaning="what turns and replicas used of what has a price: GPU time and tokens",
    kind="costs",
    purpose=MONEY,
    since_minor=2,
    lateness_s=6 * 3_600,
    retention_d=400,
    retention_fine_d=400,
    partitions=(
        PrivacyPartition(
            "operational", ("region", "pool", "route", "bundle", "model_version", "gpu_type", "purchase"), TEN_MINUTES_S
        ),
        PrivacyPartition(
            "tenancy", ("pool", "route", "model_version", "gpu_type", "purchase", "tenant"), TEN_MINUTES_S
        ),
    ),
    measures=(
        Measure("turns", "turns", "turns that were paid for"),
        Measure("successes", "turns", "turns that did what their user wanted", part_of="turns"),
        Measure("success_audio_ms", "ms", "audio of both sides in successful turns"),
        Measure("attempts", "attempts", "requests to models"),
        Measure("attempts_retried", "attempts", "requests after the first one of a turn", part_of="attempts"),
        Measure("attempts_fallback", "attempts", "requests to a fallback", part_of="attempts"),
        Measure("attempts_shadow", "attempts", "requests of shadow traffic", part_of="attempts"),
        Measure("tokens_prompt", "tokens", "prompt tokens written for this turn"),
        Measure("tokens_carried", "tokens", "prompt tokens carried over from the turns before"),
        Measure("tokens_retrieved", "tokens", "prompt tokens of retrieved chunks"),
        Measure("tokens_cached", "tokens", "prompt tokens that a cache had"),
        Measure("tokens_out", "tokens", "generated tokens"),
        Measure("tokens_audio", "tokens", "audio tokens, in and out"),
        Measure("chunks_retrieved", "chunks", "chunks that were retrieved"),
        Measure("gpu_used_ms", "ms", "GPU time that turns used, GPU by GPU"),
        Measure("gpu_used_ms_sumsq", "ms^2", "sum over turns of squared GPU times, so that variances add"),
        Measure("gpu_reserved_ms", "ms", "GPU time that was paid for, idle included, GPU by GPU"),
    ),
    cuts=(
        Cut("operational", ("pool",)),
        Cut("operational", ("pool", "route")),
        Cut("operational", ("pool", "bundle")),
        Cut("operational", ("region", "pool", "route", "bundle", "model_version", "gpu_type", "purchase")),
        Cut("tenancy", ("pool", "tenant")),
        Cut("tenancy", ("pool", "route", "model_version", "gpu_type", "purchase", "tenant")),
    ),
)
