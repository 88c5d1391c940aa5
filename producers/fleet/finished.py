"""Turns with everything that is known of them at their end, in columns; those under way wait here for theirs."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from producers.fleet.fleet_file import Fleet
from producers.fleet.table import Columns, Table
from producers.fleet.turns import AUDIO_MS_PER_TOKEN
from schemas.families import PARTS

AFTER_AUDIO = ("playback", "network")
"""Parts that pass after the first audio has been made."""
CHUNK_MS, AUDIO_TOKEN_MS = 200, 40
"""Length of a chunk of audio that is sent, and of what an audio token stands for."""


def finished(fleet: Fleet, turns: Table, rng: Generator) -> Table:
    """The turns as observed once they end. Where a turn has no audio, nothing is heard and no audio is made."""
    parts = {name: np.asarray(turns.values[name], dtype=float) for name in PARTS}
    happened = {name: np.nan_to_num(values) for name, values in parts.items()}
    heard = np.sum([happened[name] for name in PARTS], axis=0)
    first_audio = heard - np.sum([happened[name] for name in AFTER_AUDIO], axis=0)
    has_audio = ~np.isnan(parts["vad"])
    turn_ms = heard + turns.values["answer"]
    silent = np.where(has_audio, 0.0, np.nan)
    values: Columns = {
        "ended_at_ms": np.floor(turns.values["request_ms"] + turn_ms).astype(np.int64),
        **{f"{name}_ms": parts[name] for name in PARTS},
        "heard_ms": heard + silent,
        "first_audio_ms": first_audio + silent,
        "turn_ms": turn_ms,
        "is_duplex": turns.calls["is_duplex"],
        **_outcomes(fleet, turns, rng),
        **_amounts(fleet, turns, has_audio, rng),
        **{name: column for name, column in turns.values.items() if name.startswith("gpu_")},
    }
    return Table(turns.calls, values)


def split(turns: Table, end_ms: int) -> tuple[Table, Table]:
    """Those that end before the instant, and the others."""
    is_over = turns.values["ended_at_ms"] < end_ms
    return turns.taken(is_over), turns.taken(~is_over)


def _outcomes(fleet: Fleet, turns: Table, rng: Generator) -> Columns:
    """What became of each turn. Whether retrieval was stale is unknown (NaN) where there was none."""
    count, drawn = len(turns), turns.values
    return {
        "is_interrupted": drawn["is_interrupted"],
        "is_error": drawn["is_error"],
        "is_abandoned": drawn["is_abandoned"],
        "is_success": drawn["is_success"] & ~(drawn["is_error"] | drawn["is_abandoned"]),
        "is_handoff": rng.random(count) < fleet.handoff_share,
        "is_cancelled": rng.random(count) < fleet.cancelled_share,
        "is_refused": rng.random(count) < fleet.refused_share,
        "is_retrieval_stale": np.where(np.isnan(drawn["retrieval"].astype(float)), np.nan, drawn["is_stale"]),
        "is_privacy_error": np.zeros(count, dtype=bool),
        "is_synthetic_voice": turns.calls["is_synthetic"],
        "retries": drawn["is_retry"].astype(np.int64),
        "fallbacks": drawn["is_fallback"].astype(np.int64),
        "shadows": drawn["is_shadowed"].astype(np.int64),
    }


def _amounts(fleet: Fleet, turns: Table, has_audio: NDArray[np.bool_], rng: Generator) -> Columns:
    """Tokens, audio, tool calls, and how audio arrived."""
    drawn = turns.values
    audio_out_ms = np.rint(np.where(has_audio, drawn["tokens_out"] * AUDIO_MS_PER_TOKEN, 0.0))
    chunks = np.ceil(audio_out_ms / CHUNK_MS).astype(np.int64)
    tool_calls = rng.poisson(fleet.tool_calls_mean, len(turns))
    jitter = fleet.jitter.median_ms * np.exp(fleet.jitter.spread * rng.standard_normal(len(turns)))
    return {
        "tokens_in": drawn["tokens_in"].astype(np.int64),
        "tokens_cached": drawn["tokens_cached"].astype(np.int64),
        "tokens_out": np.rint(drawn["tokens_out"]).astype(np.int64),
        "tokens_audio": np.rint((drawn["audio_in_ms"] + audio_out_ms) / AUDIO_TOKEN_MS).astype(np.int64),
        "carried_extra": drawn["carried_extra"],
        "audio_in_ms": np.rint(drawn["audio_in_ms"]).astype(np.int64),
        "audio_out_ms": audio_out_ms.astype(np.int64),
        "tool_calls": tool_calls,
        "tool_calls_unsafe": rng.binomial(tool_calls, fleet.unsafe_share),
        "jitter_ms": np.where(has_audio, jitter, np.nan),
        "chunks": chunks,
        "chunks_late": rng.binomial(chunks, fleet.late_chunk_share),
    }
