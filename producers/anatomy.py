"""What a simulated turn is made of: the stages that fit into its latency, its tokens and its audio.

The time to first audio is a distribution of its own, capped by the turn; the stages before it share it out. So a turn
that is slow because it talks for long, or decodes slowly, leaves first audio alone, and parts never exceed their whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.random import Generator

from producers.observations import LATENCIES
from schemas.arrays import Floats

FIRST_AUDIO_MS_MEDIAN, FIRST_AUDIO_SPREAD = 850.0, 0.32
FIRST_AUDIO_SHARE_MAX = 0.9
"""Of the whole turn."""
RETRIEVAL_SHARE = 0.6
"""Of the turns that look something up."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stage before first audio: its mean share of that time, how steady the share is, and whether it needs audio."""

    stage: str
    share: float
    steadiness: float
    needs_audio: bool = False


PARTS = (
    Part("queue_wait", 0.03, 0.8),
    Part("asr_first_partial", 0.24, 8.0, needs_audio=True),
    Part("retrieval", 0.13, 4.0),
    Part("llm_first_token", 0.35, 8.0),
    Part("tts_first_audio", 0.2, 8.0, needs_audio=True),
)
_UNNAMED_SHARE = 1 - sum(part.share for part in PARTS)
"""Network and glue, which no stage counts."""


def stage_latencies(rng: Generator, turn_ms: Floats, has_audio: bool) -> dict[str, pl.Series]:
    """The latency column of every stage; null where a stage did not happen."""
    count = len(turn_ms)
    drawn = FIRST_AUDIO_MS_MEDIAN * np.exp(FIRST_AUDIO_SPREAD * rng.standard_normal(count))
    first_audio = np.minimum(drawn, FIRST_AUDIO_SHARE_MAX * turn_ms)
    weights = {part.stage: rng.gamma(part.steadiness, part.share / part.steadiness, count) for part in PARTS}
    unit = first_audio / (np.sum(list(weights.values()), axis=0) + _UNNAMED_SHARE)
    latencies = {
        part.stage: pl.Series(weights[part.stage] * unit) for part in PARTS if has_audio or not part.needs_audio
    }
    looked_up = pl.Series(rng.random(count) < RETRIEVAL_SHARE)
    latencies["retrieval"] = latencies["retrieval"].set(~looked_up, None)
    latencies["turn"] = pl.Series(turn_ms)
    if has_audio:
        latencies["first_audio"] = pl.Series(first_audio)
    nothing = pl.repeat(None, count, dtype=pl.Float64, eager=True)
    return {column: latencies.get(stage, nothing) for stage, column in LATENCIES.items()}


def slowed(latencies: dict[str, pl.Series], stage: str, slower_ms: Floats) -> dict[str, pl.Series]:
    """The same turns, each that much slower in `stage`, and with it until its first audio; where it has that stage."""
    happened = latencies[LATENCIES[stage]].is_not_null().to_numpy()
    more = pl.Series(np.where(happened, slower_ms, 0.0))
    until_then = {LATENCIES[name]: latencies[LATENCIES[name]] + more for name in (stage, "first_audio")}
    return {**latencies, **until_then}


def amounts(rng: Generator, count: int, has_audio: bool) -> dict[str, pl.Series]:
    """Tokens and milliseconds of audio of each turn; without audio nothing is heard or said."""
    spoken_in_ms = rng.gamma(3.0, 1_100.0, count) * has_audio
    tokens_out = 1 + rng.gamma(2.0, 30.0, count)
    return {
        "audio_in_ms": _whole(spoken_in_ms),
        "audio_out_ms": _whole(tokens_out * 75.0 * has_audio),
        "tokens_in": _whole(40 + rng.gamma(2.0, 250.0, count)),
        "tokens_out": _whole(tokens_out),
    }


def _whole(values: Floats) -> pl.Series:
    return pl.Series(np.rint(values).astype(np.int64))
