"""Stages: where the time of a turn goes, as sparse base-2 exponential histograms."""

from __future__ import annotations

from schemas.declarations import Family, Key, Measure
from schemas.families.partitions import OPERATIONAL, OPERATIONAL_CUTS
from schemas.families.purposes import ANATOMY
from schemas.histograms import ZERO_INDEX

SCALE_MAX = 6
"""Finest histogram that is taken in; a finer one is downscaled at the edge, exactly."""
BUCKET_INDEX_MAX = 2_048
"""At scale 6 this is from 0.2 ns to 50 days, in ms: anything outside is no latency. It bounds a histogram's size."""

PARTS = (
    "queue_wait",
    "vad",
    "asr_first_partial",
    "final_transcript",
    "retrieval",
    "llm_first_token",
    "tts_first_audio",
    "playback",
    "orchestration",
    "network",
)
"""Contiguous parts of a turn, in order: those that happened sum to `heard`, each beginning where the one before ended."""

WHOLES = ("first_audio", "heard", "turn", "interrupted")
"""From the end of the user's speech: to the first synthesised audio byte, to hearing it, to the end of the answer, and the
same where the user interrupted it, which says nothing of how long it would have taken."""

STAGES = (
    "queue_wait",
    "asr_first_partial",
    "retrieval",
    "llm_first_token",
    "tts_first_audio",
    "first_audio",
    "turn",
    "vad",
    "final_transcript",
    "playback",
    "orchestration",
    "network",
    "heard",
    "interrupted",
)
"""Parts and wholes in the order in which the contract got them; the first seven are of its first version."""
assert set(STAGES) == {*PARTS, *WHOLES}

SCALE_OF_STAGE = {stage: 6 if stage in WHOLES else 5 for stage in STAGES}
"""Scale of the base-2 exponential histogram of each stage (OpenTelemetry's definition); 6 is ≤ 0.55 % relative error."""

STAGE_LATENCIES = Family(
    name="stages",
    meaning="latency of each stage, as sparse base-2 exponential histograms: one row per non-empty bucket",
    kind="turns",
    purpose=ANATOMY,
    partitions=(OPERATIONAL,),
    keys=(
        Key("stage", "which part of the turn", vocabulary=STAGES, first_values=7),
        Key("scale", "scale of the histogram that counted it", integer_range=(-10, SCALE_MAX)),
        Key(
            "bucket_index",
            "bucket (base^index, base^(index+1)] in ms, base = 2^(2^-scale); -32768 is the zero bucket",
            integer_range=(-BUCKET_INDEX_MAX, BUCKET_INDEX_MAX),
            marker=ZERO_INDEX,
        ),
    ),
    measures=(
        Measure("observations", "observations", "observations in this bucket"),
        Measure("latency_ms_sum", "ms", "sum of the latencies in this bucket"),
        Measure("latency_ms_sumsq", "ms^2", "sum of the squared latencies in this bucket"),
    ),
    cuts=OPERATIONAL_CUTS,
)
