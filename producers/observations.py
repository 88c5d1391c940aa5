"""Raw observations, as columns. They live inside a producer and never leave it.

Turns are one row each, stamped with the event time at which they ended. Streams (calls) are changes: a row when one
starts, with its dimensions, and a row when it ends. What cannot be right (a value outside of a dimension's vocabulary,
a negative latency, a part longer than its whole) is refused here, and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import and_

import polars as pl

from schemas.dimensions import DIMENSIONS
from schemas.families import OPERATIONAL, STAGES, TURNS

LATENCIES = {stage: f"{stage}_ms" for stage in STAGES}
"""Column of each stage's latency in ms; null where the stage did not happen."""

WHOLES = ("first_audio", "turn")
AMOUNTS = ("audio_in_ms", "audio_out_ms", "tokens_in", "tokens_out")

TURN_COLUMNS: dict[str, pl.DataType] = {
    "ended_at_ms": pl.Int64(),
    "session": pl.UInt64(),
    **{name: pl.String() for name in TURNS.dimensions},
    **{name: pl.Int64() for name in AMOUNTS},
    **{column: pl.Float64() for column in LATENCIES.values()},
    "is_error": pl.Boolean(),
    "is_abandoned": pl.Boolean(),
    "is_retrieval_stale": pl.Boolean(),
    "is_privacy_error": pl.Boolean(),
}
"""`session` is an opaque keyed hash; `is_retrieval_stale` is null where nothing was retrieved, `is_privacy_error` where
nobody looked for one (such as a redaction that failed, or words that reached a caller they were not for)."""

STREAM_COLUMNS: dict[str, pl.DataType] = {
    "at_ms": pl.Int64(),
    "session": pl.UInt64(),
    "is_start": pl.Boolean(),
    **{name: pl.String() for name in OPERATIONAL.dimensions},
}
"""Changes of streams; the dimensions of an end may be null, it takes those of its start."""


@dataclass(frozen=True, slots=True)
class Sifted:
    """Observations that may be counted, and how many were refused."""

    sound: pl.DataFrame
    refused: int


def no_turns() -> pl.DataFrame:
    return pl.DataFrame(schema=TURN_COLUMNS)


def no_stream_changes() -> pl.DataFrame:
    return pl.DataFrame(schema=STREAM_COLUMNS)


def sift_turns(turns: pl.DataFrame) -> Sifted:
    """Keeps the turns that can be right."""
    numbers = [pl.col(name) >= 0 for name in (*AMOUNTS, "ended_at_ms")]
    latencies = [pl.col(LATENCIES[stage]).fill_null(0.0).is_between(0.0, pl.lit(86_400_000.0)) for stage in STAGES]
    parts = pl.sum_horizontal(pl.col(LATENCIES[stage]).fill_null(0.0) for stage in STAGES if stage not in WHOLES)
    # Stages are timed one by one, so their sum may exceed the whole by rounding, never by more.
    is_consistent = (pl.col(LATENCIES["turn"]).is_null() | (parts <= pl.col(LATENCIES["turn"]) + 1.0)) & (
        pl.col(LATENCIES["first_audio"]).is_null()
        | (pl.col(LATENCIES["first_audio"]) <= pl.col(LATENCIES["turn"]) + 1.0)
    )
    known = [pl.col(name).is_not_null() for name in ("session", "is_error", "is_abandoned")]
    return sift(turns, [*numbers, *latencies, *known, is_consistent], TURNS.dimensions)


def sift_stream_changes(changes: pl.DataFrame) -> Sifted:
    """Keeps the changes whose stream, time and (for starts) dimensions are known."""
    known = [pl.col("session").is_not_null(), pl.col("is_start").is_not_null(), pl.col("at_ms") >= 0]
    ends = changes.filter(~pl.col("is_start").fill_null(True))
    starts = sift(changes.filter(pl.col("is_start").fill_null(True)), known, OPERATIONAL.dimensions)
    sound_ends = sift(ends, known, ())
    return Sifted(pl.concat([starts.sound, sound_ends.sound]), starts.refused + sound_ends.refused)


def sift(rows: pl.DataFrame, claims: list[pl.Expr], dimensions: tuple[str, ...]) -> Sifted:
    """Keeps the rows of which every claim holds and whose values of these dimensions are allowed."""
    vocabulary = [pl.col(name).is_in(_valid_values(rows[name], name)) for name in dimensions]
    sound = rows.filter(reduce(and_, [*claims, *vocabulary]).fill_null(False))
    return Sifted(sound, len(rows) - len(sound))


def _valid_values(values: pl.Series, name: str) -> list[str]:
    """The distinct values that the dimension allows: patterns are tried once per value, not once per row."""
    distinct = values.drop_nulls().unique()
    valid: list[str] = distinct.filter(distinct.str.contains(DIMENSIONS[name].full_pattern)).to_list()
    return valid
