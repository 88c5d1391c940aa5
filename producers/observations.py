"""Raw observations, as columns. They live inside a producer and never leave it.

Turns are one row each, stamped with the event time at which they ended. Streams (calls) are changes: a row when one
starts, with its dimensions, and a row when it ends. What cannot be right (a value outside of a dimension's vocabulary,
a negative latency, a part longer than its whole) is refused here, and counted.
"""

from __future__ import annotations

import polars as pl

from producers.refusing import WHY
from producers.sifting import Sifted as Sifted
from producers.sifting import at_least_zero, at_most, known, within
from producers.sifting import sift as sift
from schemas.dimensions import DIMENSIONS, GENERALISED
from schemas.families import COSTS, OPERATIONAL, OUTCOMES, PARTS, QUALITY, QUEUES, RELEASES, STAGES, TENANTS, TURNS
from schemas.refusals import Refusal

LATENCY_MS_MAX = 3_600_000.0
"""No stage and no turn takes an hour: that is a broken clock, and the squares of a few such turns are more than a row holds."""

LATENCIES = {stage: f"{stage}_ms" for stage in STAGES if stage != "interrupted"}
"""Column of each stage's latency in ms; null where the stage did not happen. An interrupted turn's whole is in `turn_ms`."""

AMOUNTS = ("audio_in_ms", "audio_out_ms", "tokens_in", "tokens_out")
COUNTS = (
    "tool_calls",
    "tool_calls_unsafe",
    "retries",
    "fallbacks",
    "shadows",
    "tokens_cached",
    "tokens_audio",
    "chunks",
    "chunks_late",
)
"""Further amounts of a turn; 0 where a producer does not count them."""
TURN_DIMENSIONS = tuple(dict.fromkeys((*TURNS.dimensions, *OUTCOMES.dimensions, *TENANTS.dimensions)))

TURN_COLUMNS: dict[str, pl.DataType] = {
    "ended_at_ms": pl.Int64(),
    "session": pl.UInt64(),
    **{name: pl.String() for name in TURN_DIMENSIONS},
    **{name: pl.Int64() for name in (*AMOUNTS, *COUNTS)},
    **{column: pl.Float64() for column in LATENCIES.values()},
    "jitter_ms": pl.Float64(),
    "is_error": pl.Boolean(),
    "is_abandoned": pl.Boolean(),
    "is_retrieval_stale": pl.Boolean(),
    "is_privacy_error": pl.Boolean(),
    "is_interrupted": pl.Boolean(),
    "is_success": pl.Boolean(),
    "is_handoff": pl.Boolean(),
    "is_cancelled": pl.Boolean(),
    "is_refused": pl.Boolean(),
    "is_synthetic_voice": pl.Boolean(),
}
"""`session` is an opaque keyed hash; `is_retrieval_stale` is null where nothing was retrieved, `is_privacy_error` where
nobody looked for one (such as a redaction that failed, or words that reached a caller they were not for), and other claims
where nobody knows."""

STREAM_COLUMNS: dict[str, pl.DataType] = {
    "at_ms": pl.Int64(),
    "session": pl.UInt64(),
    "is_start": pl.Boolean(),
    **{name: pl.String() for name in OPERATIONAL.dimensions},
}
"""Changes of streams; the dimensions of an end may be null, it takes those of its start."""


QUEUE_COLUMNS: dict[str, pl.DataType] = {
    "at_ms": pl.Int64(),
    "host": pl.String(),
    **{name: pl.String() for name in QUEUES.dimensions},
    "queue": pl.String(),
    **{name: pl.Int64() for name in QUEUES.measure_names if name not in ("depth_from", "depth_to")},
}
"""Samples of engines: gauges as they are at `at_ms`, counters since the sample before. `host` tells engines apart, and stays here."""

QUALITY_COLUMNS: dict[str, pl.DataType] = {
    "at_ms": pl.Int64(),
    "session": pl.UInt64(),
    **{name: pl.String() for name in QUALITY.dimensions},
    **{
        name: pl.Int64()
        for name in QUALITY.measure_names
        if name != "calls" and not name.endswith("sumsq") and name != "word_errors_by_words"
    },
}
"""Labelled calls, stamped with when they took place, however late the label comes."""

COST_COLUMNS: dict[str, pl.DataType] = {
    "at_ms": pl.Int64(),
    "session": pl.UInt64(),
    **{name: pl.String() for name in COSTS.dimensions},
    **{name: pl.Int64() for name in COSTS.measure_names if not name.endswith("sumsq")},
}
"""What turns used, or replicas reserved; `session` is null of what no call used, such as an idle replica."""

RELEASE_COLUMNS: dict[str, pl.DataType] = {
    "at_ms": pl.Int64(),
    "host": pl.String(),
    **{name: pl.String() for name in RELEASES.dimensions},
    "artifact_kind": pl.String(),
    "is_start": pl.Boolean(),
}
"""A host began or ended to serve an artifact; a start that is told again while it lasts is no news."""


def no_stream_changes() -> pl.DataFrame:
    return pl.DataFrame(schema=STREAM_COLUMNS)


def with_unsaid(rows: pl.DataFrame, columns: dict[str, pl.DataType]) -> pl.DataFrame:
    """The rows with every declared column, in order. What a producer leaves out is null, but `*` of a dimension that may be
    generalised, and 0 of a count."""
    absent = [pl.lit(None, dtype).alias(name) for name, dtype in columns.items() if name not in rows.columns]
    unsaid = [pl.col(name).fill_null(pl.lit(value)) for name in columns if (value := _unsaid(name)) is not None]
    return rows.with_columns(absent).with_columns(unsaid).select(list(columns))


def _unsaid(name: str) -> str | int | None:
    if name in DIMENSIONS and DIMENSIONS[name].is_identifying:
        return GENERALISED
    return 0 if name in _COUNTED else None


_COUNTED = {*COUNTS, *QUEUES.measure_names, *QUALITY.measure_names, *COSTS.measure_names}


def sift_turns(turns: pl.DataFrame) -> Sifted:
    """Keeps the turns that can be right."""
    rules = [
        *at_least_zero("ended_at_ms", *AMOUNTS, *COUNTS),
        *at_most(*AMOUNTS, *COUNTS),
        *within(LATENCY_MS_MAX, *LATENCIES.values(), "jitter_ms"),
        *known(Refusal.NO_SESSION, "session"),
        *known(Refusal.MALFORMED, "is_error", "is_abandoned"),
        *((Refusal.INCONSISTENT, _is_no_longer(part, whole)) for part, whole in _parts_and_wholes()),
        *((Refusal.INCONSISTENT, (pl.col(part) <= pl.col(whole)).fill_null(True)) for part, whole in _SUBSETS.items()),
    ]
    return sift(with_unsaid(turns, TURN_COLUMNS), rules, TURN_DIMENSIONS)


_SUBSETS = {"tool_calls_unsafe": "tool_calls", "chunks_late": "chunks"}


def _parts_and_wholes() -> tuple[tuple[pl.Expr, pl.Expr], ...]:
    parts = pl.sum_horizontal(pl.col(LATENCIES[stage]).fill_null(0.0) for stage in PARTS)
    turn, heard, first_audio = (pl.col(LATENCIES[stage]) for stage in ("turn", "heard", "first_audio"))
    return (parts, turn), (parts, heard), (first_audio, turn), (heard, turn)


def _is_no_longer(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    """Stages are timed one by one, so their sum may exceed the whole by rounding, never by more. What is unknown may be."""
    return (part <= whole + 1.0).fill_null(True)


def sift_stream_changes(changes: pl.DataFrame) -> Sifted:
    """Keeps the changes whose stream, time and (for starts) dimensions are known."""
    rules = [
        *at_least_zero("at_ms"),
        *known(Refusal.NO_SESSION, "session"),
        *known(Refusal.MALFORMED, "is_start"),
    ]
    is_start = changes["is_start"].fill_null(True)
    starts = sift(changes.filter(is_start), rules, OPERATIONAL.dimensions)
    ends = sift(changes.filter(~is_start), rules, ())
    sound = pl.concat([starts.sound, ends.sound])
    if starts.why is None and ends.why is None:
        return Sifted(sound)
    why = pl.Series(WHY, [None], pl.String).new_from_index(0, len(changes))
    for part, is_of_part in ((starts, is_start), (ends, ~is_start)):
        if part.why is not None:
            why = why.scatter(is_of_part.arg_true(), part.why)
    refused = starts if starts.broken is not None else ends
    return Sifted(sound, why, refused.broken, refused.claims)


KINDS: dict[str, dict[str, pl.DataType]] = {
    "turns": TURN_COLUMNS,
    "streams": STREAM_COLUMNS,
    "queues": QUEUE_COLUMNS,
    "quality": QUALITY_COLUMNS,
    "costs": COST_COLUMNS,
    "releases": RELEASE_COLUMNS,
}
"""Columns of every kind of observation but full-duplex events, which `producers/duplex.py` declares."""
