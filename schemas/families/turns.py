"""Turns: what was served, and how many missed each objective. The path that pages are decided on carries no more than that."""

from __future__ import annotations

from schemas.declarations import Cut, Family, Measure
from schemas.families.partitions import AUDIENCE, OPERATIONAL, OPERATIONAL_CUTS
from schemas.families.purposes import CAPACITY, SERVICE_LEVELS
from schemas.indicators import INDICATORS

TURNS = Family(
    name="turns",
    meaning="what the fleet served, and how many turns missed each objective",
    kind="turns",
    purpose=SERVICE_LEVELS,
    partitions=(OPERATIONAL, AUDIENCE),
    measures=(
        Measure("turns", "turns", "turns that ended in the window"),
        Measure("audio_in_ms", "ms", "audio received from users", purpose=CAPACITY),
        Measure("audio_out_ms", "ms", "audio synthesised for users", purpose=CAPACITY),
        Measure("tokens_in", "tokens", "prompt tokens", purpose=CAPACITY),
        Measure("tokens_out", "tokens", "generated tokens", purpose=CAPACITY),
        Measure("turn_latency_ms_sum", "ms", "sum of whole-turn latencies"),
        Measure("turn_latency_ms_sumsq", "ms^2", "sum of squared whole-turn latencies, so that variances add"),
        *(measure for indicator in INDICATORS for measure in indicator.measures),
    ),
    cuts=(
        *OPERATIONAL_CUTS,
        Cut("audience", ("pool", "language")),
        Cut("audience", ("pool", "device_class")),
        Cut("audience", ("pool", "language", "device_class")),
    ),
)
