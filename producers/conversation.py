"""What the simulated callers and the assistant do to each other while both may speak: full-duplex events, drawn healthy.

Events happen where a turn of a full-duplex call ends: so many of each kind per turn on average, with outcomes and
latencies whose bad share lies well within each objective. They have dice of their own, so that turns are the same with
and without them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.random import Generator
from numpy.typing import NDArray

from producers.duplex import DUPLEX_COLUMNS
from schemas.arrays import Floats
from schemas.families import OPERATIONAL

EVENTS_PER_TURN = {
    "interruption": 0.08,
    "barge_in": 0.1,
    "backchannel": 0.3,
    "overlap": 0.1,
    "micro_turn": 2.0,
    "action": 0.15,
}
"""Besides an assistant's turn and a playback, of which every turn has one."""

AUDIO_FRAME_MS = 20
GAPS_PER_PLAYBACK = 0.3
UNANSWERED_SHARE, STOPPED_SHARE, UNASKED_SHARE, UNDECIDED_SHARE = 0.01, 0.08, 0.003, 0.000_05
"""Interruptions that are not answered; assistant's turns that the user interrupts, and that stop unasked; actions that
safety had not decided on."""


def duplex_events(turns: pl.DataFrame, rng: Generator) -> pl.DataFrame:
    """The events of these turns of full-duplex calls: `producer` and `DUPLEX_COLUMNS`."""
    parts = [_assistant_turns(turns, rng), _playbacks(turns, rng), *_others(turns, rng)]
    events = pl.concat(parts, how="diagonal_relaxed").with_columns(at_ms="ended_at_ms")
    absent = [pl.lit(None).alias(name) for name in DUPLEX_COLUMNS if name not in events.columns]
    typed = [pl.col(name).cast(dtype) for name, dtype in DUPLEX_COLUMNS.items()]
    return events.with_columns(absent).select("producer", *typed)


def _assistant_turns(turns: pl.DataFrame, rng: Generator) -> pl.DataFrame:
    was_interrupted = rng.random(len(turns)) < STOPPED_SHARE
    stops_unasked = rng.random(len(turns)) < UNASKED_SHARE
    return _of_kind(turns, "assistant_turn").with_columns(
        was_interrupted=pl.Series(was_interrupted), was_stopped=pl.Series(was_interrupted | stops_unasked)
    )


def _playbacks(turns: pl.DataFrame, rng: Generator) -> pl.DataFrame:
    """A stretch of audio for each turn, as long as what was said; few gaps, and few of those are heard as one."""
    frames = 1 + turns["audio_out_ms"].to_numpy() // AUDIO_FRAME_MS
    gaps = np.minimum(rng.poisson(GAPS_PER_PLAYBACK, len(turns)), frames)
    owners = pl.DataFrame(
        {"place": np.repeat(np.arange(len(turns)), gaps), "gaps_ms": _around(rng, gaps.sum(), 25, 0.4)}
    )
    heard = owners.group_by("place", maintain_order=True).agg("gaps_ms")
    played = _of_kind(turns, "playback").with_columns(frames_played=pl.Series(frames))
    places = played.with_columns(pl.int_range(pl.len()).cast(owners["place"].dtype).alias("place"))
    joined = places.join(heard, on="place", how="left", maintain_order="left").drop("place")
    return joined.with_columns(pl.col("gaps_ms").fill_null(pl.lit([], dtype=pl.List(pl.Float64))))


def _others(turns: pl.DataFrame, rng: Generator) -> Iterator[pl.DataFrame]:
    for kind, mean in EVENTS_PER_TURN.items():
        owner = np.repeat(np.arange(len(turns)), rng.poisson(mean, len(turns)))
        outcomes = {name: pl.Series(values) for name, values in _outcomes(kind, len(owner), rng).items()}
        yield _of_kind(turns, kind)[owner].with_columns(**outcomes)


def _outcomes(kind: str, count: int, rng: Generator) -> dict[str, NDArray[np.bool_] | Floats]:
    match kind:
        case "interruption":
            answered = rng.random(count) >= UNANSWERED_SHARE
            return {"was_stopped": np.ones(count, dtype=bool), "answered_new_intent": answered}
        case "barge_in":
            detected = _around(rng, count, 110, 0.22)
            return {"detected_after_ms": detected, "stopped_after_ms": detected + _around(rng, count, 50, 0.3)}
        case "backchannel":
            return {"cue_to_backchannel_ms": _around(rng, count, 430, 0.25)}
        case "overlap":
            return {"resolved_after_ms": _around(rng, count, 700, 0.3)}
        case "micro_turn":
            return {"context_age_ms": _around(rng, count, 200, 0.28)}
    lead_ms = _around(rng, count, 80, 0.4)
    return {"safety_lead_ms": np.where(rng.random(count) < UNDECIDED_SHARE, 0.0, lead_ms)}


def _of_kind(turns: pl.DataFrame, kind: str) -> pl.DataFrame:
    return turns.select("producer", "ended_at_ms", *OPERATIONAL.dimensions, duplex_event=pl.lit(kind))


def _around(rng: Generator, count: int, median_ms: float, spread: float) -> Floats:
    """Lognormal latencies."""
    return median_ms * np.exp(spread * rng.standard_normal(count))
