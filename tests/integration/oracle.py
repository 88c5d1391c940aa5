"""What must be in ClickHouse, computed once more from every raw observation, in one batch.

This is the spec, written a second time: definitions of cuts, indicators and buckets are stated here and not imported,
and neither the producers' aggregation nor the operators are used. `differences` then names every row that is missing,
unexpected or different, so that an empty list means equal in all tables, rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

CUTS = (("pool",), ("pool", "region"), ("pool", "route"), ("pool", "bundle"), ("pool", "region", "bundle"))
AUDIENCE_CUTS = (("pool", "language"), ("pool", "device_class"), ("pool", "language", "device_class"))
DUPLEX_CUTS = (("pool",), ("pool", "duplex_event"), ("pool", "region"), ("pool", "route"), ("pool", "bundle"))
TURN_DIMENSIONS = ("pool", "region", "route", "bundle", "language", "device_class")
DIMENSIONS = ("pool", "region", "route", "bundle")
DUPLEX_DIMENSIONS = (*DIMENSIONS, "duplex_event")
BURN_DIMENSIONS = (*TURN_DIMENSIONS, "duplex_event")
BUCKETS = {"10s": 10_000, "1m": 60_000}

AMOUNTS = ("audio_in_ms", "audio_out_ms", "tokens_in", "tokens_out")
TRAFFIC = ("turns", *AMOUNTS, "turn_latency_ms_sum", "turn_latency_ms_sumsq")
LATENCY_ABOVE_OR_AT = {
    "first_partial_500ms": ("asr_first_partial_ms", 500),
    "first_audio_1800ms": ("first_audio_ms", 1_800),
    "turn_4000ms": ("turn_ms", 4_000),
}
OUTCOMES = {
    "turn_error": "is_error",
    "abandonment": "is_abandoned",
    "retrieval_stale": "is_retrieval_stale",
    "privacy_error": "is_privacy_error",
}
NOT_WITHIN_MS = {
    "assistant_stop_300ms": ("barge_in", "stopped_after_ms", 300),
    "overlap_recovery_1500ms": ("overlap", "resolved_after_ms", 1_500),
    "barge_in_latency_200ms": ("barge_in", "detected_after_ms", 200),
    "micro_turn_freshness_400ms": ("micro_turn", "context_age_ms", 400),
}
SCALES = {
    "queue_wait": 5,
    "asr_first_partial": 5,
    "retrieval": 5,
    "llm_first_token": 5,
    "tts_first_audio": 5,
    "first_audio": 6,
    "turn": 6,
}
ZERO_BUCKET = -32_768
DIFFERENCES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that happened: turns, starts and ends of streams, and full-duplex events, from `start_ms` on."""

    start_ms: int
    end_ms: int
    turns: pl.DataFrame
    streams: pl.DataFrame
    duplex: pl.DataFrame


def observed(chunks: Iterable[Any]) -> Observed:
    """All observations of a simulation or a replay, whichever producer made them."""
    steps = list(chunks)
    turns = pl.concat([rows for step in steps for rows in step.turns.values()])
    streams = pl.concat([rows for step in steps for rows in step.streams.values()])
    duplex = [rows for step in steps for rows in step.duplex.values()]
    end_ms = -(-steps[-1].end_ms // 60_000) * 60_000  # Collectors go on to the end of the minute.
    return Observed(steps[0].start_ms, end_ms, turns, streams, pl.concat(duplex) if duplex else pl.DataFrame())


def expected(world: Observed) -> dict[str, pl.DataFrame]:
    """Rows of every operational cut by table: keys, dimensions and measures, without versions."""
    concurrency = _concurrency(world)
    tables: dict[str, pl.DataFrame] = {}
    for suffix, width_ms in BUCKETS.items():
        bucket = (pl.col("ended_at_ms") // width_ms * width_ms).alias("bucket_start_ms")
        turns = world.turns.with_columns(bucket)
        tables[f"traffic_{suffix}"] = _of_all_cuts(turns, CUTS, _traffic, TURN_DIMENSIONS)
        tables[f"burn_rate_{suffix}"] = _of_all_cuts(turns, CUTS, _burn, BURN_DIMENSIONS)
        tables[f"stage_latency_{suffix}"] = _of_all_cuts(turns, CUTS, _stages, DIMENSIONS)
        if len(world.duplex):  # A replayed trace knows of none.
            events = world.duplex.with_columns((pl.col("at_ms") // width_ms * width_ms).alias("bucket_start_ms"))
            tables[f"duplex_events_{suffix}"] = _of_all_cuts(events, DUPLEX_CUTS, _events, DUPLEX_DIMENSIONS)
            burn = _of_all_cuts(events, DUPLEX_CUTS, _duplex_burn, BURN_DIMENSIONS)
            of_both = pl.concat([tables[f"burn_rate_{suffix}"], burn], how="diagonal")
            tables[f"burn_rate_{suffix}"] = of_both
        tables[f"concurrency_{suffix}"] = _coarser(concurrency, width_ms)
    return tables


def differences(expected: dict[str, pl.DataFrame], found: dict[str, pl.DataFrame]) -> list[str]:
    """A line for each table that is not exactly what it must be; the worst of it shown."""
    lines = []
    for name, wanted in expected.items():
        is_measure = [column for column in _measures(name) if column in wanted.columns]
        keys = [column for column in wanted.columns if column not in is_measure]
        got = found[name].select(wanted.columns).cast(wanted.schema)
        missing = wanted.join(got, on=keys, how="anti")
        surplus = got.join(wanted, on=keys, how="anti")
        twice = len(got) - got.n_unique(subset=keys)
        both = wanted.join(got, on=keys, suffix="_found")
        unlike = both.filter(pl.any_horizontal(pl.col(column) != pl.col(f"{column}_found") for column in is_measure))
        if len(missing) or len(surplus) or len(unlike) or twice:
            shown = [part.head(DIFFERENCES_SHOWN).to_dicts() for part in (unlike, missing, surplus)]
            lines.append(
                f"{name}: of {len(wanted)} rows {len(missing)} missing, {len(surplus)} unexpected, {len(unlike)} different, "
                f"{twice} twice: {shown}"
            )
    return lines


def _measures(table: str) -> tuple[str, ...]:
    kind = table.rpartition("_")[0]
    return {
        "traffic": TRAFFIC,
        "burn_rate": ("bad", "total"),
        "duplex_events": ("events",),
        "stage_latency": ("observations", "latency_ms_sum", "latency_ms_sumsq"),
        "concurrency": ("active_at_start", "starts", "ends", "peak_lower", "peak_upper", "replicas_needed"),
    }[kind]


Count = Callable[[pl.DataFrame, list[str]], pl.DataFrame]


def _of_all_cuts(
    observations: pl.DataFrame, cuts: tuple[tuple[str, ...], ...], count: Count, dimensions: tuple[str, ...]
) -> pl.DataFrame:
    parts = []
    for cut in cuts:
        counted = count(observations, [*cut, "bucket_start_ms"])
        absent = [pl.lit("").alias(name) for name in dimensions if name not in cut]
        text = pl.concat_str([pl.concat_str(pl.lit(f"{name}="), name) for name in cut], separator=",")
        parts.append(counted.with_columns(text.alias("slice"), pl.lit(",".join(cut)).alias("cut"), *absent))
    return pl.concat(parts, how="diagonal")


def _traffic(turns: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    latency = _to_whole_ms(pl.col("turn_ms"))
    return turns.group_by(keys).agg(
        turns=pl.len().cast(pl.Int64),
        **{name: pl.col(name).sum() for name in AMOUNTS},
        turn_latency_ms_sum=latency.sum(),
        turn_latency_ms_sumsq=latency.pow(2).sum(),
    )


def _burn(turns: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    verdicts = {
        name: (pl.col(column) >= limit, pl.col(column)) for name, (column, limit) in LATENCY_ABOVE_OR_AT.items()
    }
    verdicts["queue_wait_250ms"] = (pl.col("queue_wait_ms") > 250, pl.col("queue_wait_ms"))
    verdicts |= {name: (pl.col(column), pl.col(column)) for name, column in OUTCOMES.items()}
    parts = [
        turns.filter(judged.is_not_null())
        .group_by(keys)
        .agg(bad=is_bad.cast(pl.Int64).sum(), total=pl.len().cast(pl.Int64))
        .with_columns(indicator=pl.lit(name))
        for name, (is_bad, judged) in verdicts.items()
    ]
    return pl.concat(parts)


def _events(events: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    return events.group_by(keys).agg(events=pl.len().cast(pl.Int64))


def _duplex_burn(events: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Of each indicator what is judged, kind by kind; what never came is bad."""
    lead, cue = pl.col("safety_lead_ms"), pl.col("cue_to_backchannel_ms")
    is_bad = {
        "interruption_success": ("interruption", ~pl.col("was_stopped") | ~pl.col("answered_new_intent")),
        "false_interruption": ("assistant_turn", pl.col("was_stopped") & ~pl.col("was_interrupted")),
        "backchannel_timing": ("backchannel", cue.is_null() | (cue < 200) | (cue > 800)),
        "action_safety": ("action", lead.is_null() | (lead <= 0)),
    }
    for name, (kind, column, limit) in NOT_WITHIN_MS.items():
        is_bad[name] = (kind, pl.col(column).is_null() | (pl.col(column) > limit))
    parts = [
        events.filter(pl.col("duplex_event") == kind)
        .group_by(keys)
        .agg(bad=verdict.cast(pl.Int64).sum(), total=pl.len().cast(pl.Int64))
        .with_columns(indicator=pl.lit(name))
        for name, (kind, verdict) in is_bad.items()
    ]
    played = events.filter(pl.col("duplex_event") == "playback")
    heard = played.explode("gaps_ms").group_by(keys).agg(bad=(pl.col("gaps_ms") > 60).cast(pl.Int64).sum())
    frames = played.group_by(keys).agg(total=pl.col("frames_played").sum())
    with_gaps = frames.join(heard, on=keys, how="left").with_columns(pl.col("bad").fill_null(0))
    parts.append(with_gaps.with_columns(indicator=pl.lit("speech_continuity_60ms")))
    return pl.concat(parts, how="diagonal").filter(pl.col("total") > 0)


def _stages(turns: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    parts = []
    for stage, scale in SCALES.items():
        happened = turns.filter(pl.col(f"{stage}_ms").is_not_null())
        latency = _to_whole_ms(pl.col(f"{stage}_ms"))
        indexes = pl.Series("bucket_index", _histogram_indexes(happened[f"{stage}_ms"].to_numpy(), scale))
        counted = (
            happened.with_columns(indexes)
            .group_by([*keys, "bucket_index"])
            .agg(
                observations=pl.len().cast(pl.Int64),
                latency_ms_sum=latency.sum(),
                latency_ms_sumsq=latency.pow(2).sum(),
            )
        )
        parts.append(counted.with_columns(stage=pl.lit(stage), scale=pl.lit(scale, dtype=pl.Int64)))
    return pl.concat(parts)


def _histogram_indexes(latency_ms: NDArray[np.float64], scale: int) -> NDArray[np.int64]:
    """Looked up in the list of all bounds: bucket i holds what is above 2^(i / 2^scale) and not above the next."""
    lowest, highest = -40 << scale, 40 << scale
    bounds_ms = np.exp2(np.arange(lowest, highest) / 2**scale)
    indexes = np.searchsorted(bounds_ms, latency_ms, side="left") - 1 + lowest
    return np.where(latency_ms > 0, indexes, ZERO_BUCKET)


def _to_whole_ms(latency: pl.Expr) -> pl.Expr:
    """Rounded, halves upwards."""
    whole = latency.floor()
    return (whole + (latency - whole >= 0.5)).cast(pl.Int64)


def _concurrency(world: Observed) -> pl.DataFrame:
    """Streams of every slice in buckets of 10 s, from the sorted times of its starts and ends."""
    rows = []
    for cut in CUTS:
        for values, changes in world.streams.partition_by(cut, as_dict=True).items():
            texts = dict(zip(cut, values, strict=True))
            of_slice = {
                "cut": ",".join(cut),
                "slice": ",".join(f"{name}={value}" for name, value in texts.items()),
                **{name: texts.get(name, "") for name in DIMENSIONS},
            }
            starts = np.sort(changes.filter("is_start")["at_ms"].to_numpy())
            ends = np.sort(changes.filter(~pl.col("is_start"))["at_ms"].to_numpy())
            for bucket_ms in range(world.start_ms, world.end_ms, BUCKETS["10s"]):
                counts = _bucket_of_streams(starts, ends, bucket_ms)
                if counts["active_at_start"] or counts["starts"] or counts["ends"]:
                    rows.append(of_slice | {"bucket_start_ms": bucket_ms} | counts)
    return pl.DataFrame(rows)


def _bucket_of_streams(starts: NDArray[np.int64], ends: NDArray[np.int64], bucket_ms: int) -> dict[str, int]:
    """Counts of one bucket, and its peak if all ends of a second came before its starts, and the other way round."""
    seconds = bucket_ms + 1_000 * np.arange(11)
    started, ended = np.searchsorted(starts, seconds), np.searchsorted(ends, seconds)
    active = started - ended
    return {
        "active_at_start": int(active[0]),
        "starts": int(started[-1] - started[0]),
        "ends": int(ended[-1] - ended[0]),
        "peak_lower": int(active.max()),
        "peak_upper": int((active[:-1] + np.diff(started)).max()),
        "replicas_needed": 0,  # No capacity figures are configured.
    }


def _coarser(buckets: pl.DataFrame, width_ms: int) -> pl.DataFrame:
    keys = ["cut", "slice", *DIMENSIONS]
    wide = (pl.col("bucket_start_ms") // width_ms * width_ms).alias("bucket_start_ms")
    first = pl.col("active_at_start").sort_by("bucket_start_ms").first()
    sums, peaks = pl.col("starts", "ends").sum(), pl.col("peak_lower", "peak_upper", "replicas_needed").max()
    return buckets.group_by(*keys, wide.alias("wide_ms")).agg(first, sums, peaks).rename({"wide_ms": "bucket_start_ms"})
