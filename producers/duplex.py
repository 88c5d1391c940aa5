"""Full-duplex events: what a call in which both may speak at once observes, and its rows, judged at the edge.

An event is one row, stamped with the event time at which its outcome was known. Its kind (`duplex_event`) says which of
the columns it fills; the others are null, and are not looked at. A latency that its kind asks for and that is null never
came: the audio never stopped, the overlap was never resolved, safety never decided. That is as bad as too late, so it
counts as bad. Values that cannot be right are refused, and counted. There is no loop over rows here.
"""

from __future__ import annotations

import polars as pl

from producers.sifting import Sifted, at_least_zero, sift, within
from schemas.families import DUPLEX, DUPLEX_INDICATORS, Indicator
from schemas.refusals import Refusal

LATENCY_MS_MAX = 86_400_000.0

_LATENCY_OF = {
    "backchannel_timing": "cue_to_backchannel_ms",
    "assistant_stop_300ms": "stopped_after_ms",
    "overlap_recovery_1500ms": "resolved_after_ms",
    "barge_in_latency_200ms": "detected_after_ms",
    "micro_turn_freshness_400ms": "context_age_ms",
}
"""The latency that an indicator with a threshold judges."""

DUPLEX_COLUMNS: dict[str, pl.DataType] = {
    "at_ms": pl.Int64(),
    **{name: pl.String() for name in DUPLEX.dimensions},
    "was_stopped": pl.Boolean(),
    "answered_new_intent": pl.Boolean(),
    "was_interrupted": pl.Boolean(),
    **{column: pl.Float64() for column in _LATENCY_OF.values()},
    "safety_lead_ms": pl.Float64(),
    "frames_played": pl.Int64(),
    "gaps_ms": pl.List(pl.Float64()),
}
"""By kind: `interruption` (the user's) fills `was_stopped` and `answered_new_intent`; `assistant_turn` fills `was_stopped`
and `was_interrupted` (by the user); `backchannel`, `barge_in`, `overlap` and `micro_turn` their latencies; `action` how long
before its emission safety had decided (0 or less: not before); `playback`, a stretch of audio, the frames that were played
and the gaps that were heard before some of them."""

_NEEDED = {
    "interruption": ("was_stopped", "answered_new_intent"),
    "assistant_turn": ("was_stopped", "was_interrupted"),
    "playback": ("frames_played", "gaps_ms"),
}
"""What a kind cannot be judged without. Elsewhere null says that it never came."""


def sift_duplex(events: pl.DataFrame) -> Sifted:
    """Keeps the events that can be right."""
    gaps = pl.col("gaps_ms").list
    gaps_are_heard = gaps.eval(_is_latency(pl.element()).fill_null(False)).list.all().fill_null(True) & (
        gaps.len().fill_null(0).cast(pl.Int64) <= pl.col("frames_played").fill_null(0)
    )
    lead = pl.col("safety_lead_ms")
    rules = [
        *at_least_zero("at_ms"),
        *within(LATENCY_MS_MAX, *_LATENCY_OF.values()),
        (Refusal.NOT_FINITE, lead.is_finite().fill_null(True)),
        (Refusal.INCONSISTENT, lead.is_between(-LATENCY_MS_MAX, LATENCY_MS_MAX).fill_null(True)),
        (Refusal.NEGATIVE, (pl.col("frames_played") >= 0).fill_null(True)),
        (Refusal.INCONSISTENT, gaps_are_heard),
        *((Refusal.MALFORMED, _has_needed(kind)) for kind in _NEEDED),
    ]
    return sift(events, rules, DUPLEX.dimensions)


def duplex_rows(events: pl.DataFrame) -> pl.DataFrame:
    """One row per cell, with every measure of family `duplex`."""
    dimensions = DUPLEX.partition("operational").dimensions
    measures = [
        pl.len().cast(pl.Int64).alias("events"),
        *(expr for indicator in DUPLEX_INDICATORS for expr in _counted(indicator)),
    ]
    return events.group_by(dimensions).agg(measures).select(*dimensions, *DUPLEX.measure_names).sort(dimensions)


def _is_latency(value: pl.Expr) -> pl.Expr:
    return value.is_between(0.0, LATENCY_MS_MAX)


def _has_needed(kind: str) -> pl.Expr:
    known = pl.all_horizontal(pl.col(name).is_not_null() for name in _NEEDED[kind])
    return (pl.col("duplex_event") != kind) | known


def _counted(indicator: Indicator) -> tuple[pl.Expr, pl.Expr]:
    is_judged = pl.col("duplex_event") == indicator.duplex_event
    total, bad = _units(indicator)
    return (
        pl.when(is_judged).then(total).otherwise(0).sum().cast(pl.Int64).alias(indicator.total),
        pl.when(is_judged).then(bad).otherwise(0).sum().cast(pl.Int64).alias(indicator.bad),
    )


def _units(indicator: Indicator) -> tuple[pl.Expr, pl.Expr]:
    """How many units an event of the indicator's kind stands for, and how many of them are bad."""
    one = pl.lit(1, pl.Int64)
    if indicator.name == "speech_continuity_60ms":
        heard = pl.col("gaps_ms").list.eval(is_bad(indicator, pl.element()).cast(pl.Int64)).list.sum()
        return pl.col("frames_played"), heard
    if indicator.name in _LATENCY_OF:
        return one, is_bad(indicator, pl.col(_LATENCY_OF[indicator.name])).cast(pl.Int64)
    return one, _OUTCOMES[indicator.name].cast(pl.Int64)


def is_bad(indicator: Indicator, latency_ms: pl.Expr) -> pl.Expr:
    """Whether a latency lies on the bad side of the indicator's threshold; one that never came does."""
    high, low = indicator.threshold_ms, indicator.threshold_low_ms
    assert high is not None, "an outcome has no latency"
    match indicator.bad_when:
        case "at_or_above":
            judged = latency_ms >= high
        case "above":
            judged = latency_ms > high
        case "outside":
            judged = ~latency_ms.is_between(0 if low is None else low, high)
    return judged.fill_null(True)


_OUTCOMES = {
    "interruption_success": ~(pl.col("was_stopped") & pl.col("answered_new_intent")),
    "false_interruption": pl.col("was_stopped") & ~pl.col("was_interrupted"),
    "action_safety": ~(pl.col("safety_lead_ms") > 0).fill_null(False),
}
"""Whether an event is bad, of indicators without a threshold."""
