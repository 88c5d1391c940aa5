"""The turns that begin in a step: how long each stage takes them, what they say, and what they cost the GPUs.

Stages are independent lognormals, besides the waits (`pool_servers.py`) and the language model, whose time follows from the
prompt. The answer is heard once every stage has passed (`heard`); the turn ends when its tokens have been made.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from producers.fleet.calibration import load_calibration
from producers.fleet.calls import Calls_
from producers.fleet.crowd import Crowd
from producers.fleet.effects import SlowTail
from producers.fleet.engine_load import llm_engine
from producers.fleet.fleet_file import DRAWN_STAGES, Fleet
from producers.fleet.table import Columns, Table
from producers.fleet.timeline import STEP_MS, InForce
from schemas.arrays import Floats

AUDIO_STAGES = frozenset({"vad", "asr_first_partial", "final_transcript", "tts_first_audio", "playback", "network"})
"""Stages that only turns with audio have."""
TOKENS_OUT_SHAPE = 3.0
"""Of the gamma distribution of an answer's tokens."""
AUDIO_MS_PER_TOKEN = 75.0
SPEECH_MS_SHAPE, SPEECH_MS_MEAN = 3.0, 3_300.0


def begun(
    fleet: Fleet, crowd: Crowd, calls: Calls_, in_force: InForce, bursts: Floats, begin_ms: int, rng: Generator
) -> Table:
    """The turns that begin in the step. `bursts` by region's code.

    Values: `request_ms`, each drawn stage by its name, tokens and audio, what multiplies the model's times (`llm_times`,
    `answer_times`), further attempts, and outcomes.
    """
    call, request_ms = _requests(calls, bursts, begin_ms, rng)
    count, mine = len(call), calls[call]
    has_audio = ~mine["is_batch"]
    usual_in = np.maximum(1.0, np.floor(prompt_tokens(rng.random(count)) * mine["tokens_times"]))
    longer, slower = in_force.prompts_times(calls), in_force.times(calls, "llm_first_token")
    tokens_in = usual_in if longer is None else np.floor(usual_in * longer[call])
    first_spread, decode_spread = fleet_noise(fleet)
    llm_noise = np.exp(first_spread * rng.standard_normal(count))
    answer_noise = np.exp(decode_spread * rng.standard_normal(count))
    values: Columns = {
        "request_ms": request_ms,
        **_stages(fleet, crowd, calls, call, has_audio, in_force, rng),
        "tokens_in": tokens_in,
        "tokens_cached": np.floor(tokens_in * load_calibration().prefix_cache.hit_share),
        "carried_extra": np.maximum(0.0, tokens_in - usual_in),
        "tokens_out": 1 + rng.gamma(TOKENS_OUT_SHAPE, (fleet.tokens_out_mean - 1) / TOKENS_OUT_SHAPE, count),
        "audio_in_ms": np.where(has_audio, rng.gamma(SPEECH_MS_SHAPE, SPEECH_MS_MEAN / SPEECH_MS_SHAPE, count), 0.0),
        "answer_times": answer_noise * _answer_times(calls, call, in_force, rng),
        "llm_times": llm_noise if slower is None else llm_noise * slower[call],
        "is_retry": rng.random(count) < in_force.attempts_share(calls, "retry", fleet.retry_share)[call],
        "is_shadowed": rng.random(count) < in_force.attempts_share(calls, "shadow", fleet.shadow_share)[call],
        "is_fallback": rng.random(count) < fleet.fallback_share,
        "is_stale": rng.random(count) < in_force.stale_share(calls, fleet.stale_share)[call],
        "is_error": rng.random(count) < fleet.error_share,
        "is_abandoned": rng.random(count) < fleet.abandoned_share,
        "is_interrupted": (rng.random(count) < fleet.interrupted_share) & has_audio,
        "is_success": rng.random(count) < fleet.success_share,
    }
    return Table(mine, values)


def fleet_noise(fleet: Fleet) -> tuple[float, float]:
    """Spread of the first token and of decoding that the fitted service model does not explain."""
    model = llm_engine(fleet.servers.llm_times, fleet.tokens_out_mean).model
    return model.first_token_spread, model.decode_spread


def prompt_tokens(at: Floats) -> Floats:
    """Prompt tokens at these points of [0, 1), by the recorded quantiles."""
    quantiles = load_calibration().prompt_tokens.quantiles
    tokens: Floats = np.interp(at, np.linspace(0, 1, len(quantiles)), quantiles)
    return tokens


def _requests(calls: Calls_, bursts: Floats, begin_ms: int, rng: Generator) -> tuple[NDArray[np.intp], Floats]:
    """Poisson turns of each call in its part of the step."""
    from_ms = np.maximum(calls["started_ms"], begin_ms)
    exposed_ms = np.clip(np.minimum(calls["ends_ms"], begin_ms + STEP_MS) - from_ms, 0, None)
    counts = rng.poisson(calls["turns_per_s"] * bursts[calls["region"]] * exposed_ms / 1_000)
    call = np.repeat(np.arange(len(calls)), counts)
    request_ms = from_ms[call] + np.floor(rng.random(len(call)) * exposed_ms[call])
    return call, request_ms.astype(float)


def _stages(
    fleet: Fleet,
    crowd: Crowd,
    calls: Calls_,
    call: NDArray[np.intp],
    has_audio: NDArray[np.bool_],
    in_force: InForce,
    rng: Generator,
) -> Columns:
    """The lognormal stages; NaN where a turn has no audio or looks nothing up."""
    stages: dict[str, Floats] = {}
    all_have_audio = bool(has_audio.all())
    for stage in DRAWN_STAGES:
        said = fleet.stages[stage]
        drawn = said.median_ms * np.exp(said.spread * rng.standard_normal(len(call)))
        times = in_force.times(calls, stage)
        if times is not None:
            drawn *= times[call]
        stages[stage] = np.where(has_audio, drawn, np.nan) if stage in AUDIO_STAGES and not all_have_audio else drawn
    by_connection = np.array([fleet.network_times[name] for name in crowd.vocabularies["connection"].names])
    stages["network"] *= by_connection[calls["connection"][call]]
    stages["retrieval"] = np.where(rng.random(len(call)) < fleet.retrieval_share, stages["retrieval"], np.nan)
    return {**stages}


def _answer_times(calls: Calls_, call: NDArray[np.intp], in_force: InForce, rng: Generator) -> Floats:
    """By turn, how many times as long its answer takes after it is heard."""
    times = np.ones(len(call))
    for event, effect in in_force.of(SlowTail):
        is_slow = rng.random(len(call)) < effect.weight
        tail = np.where(is_slow, effect.times, effect.body_times)
        times = np.where(in_force.mask(event, calls)[call], times * tail, times)
    return times
