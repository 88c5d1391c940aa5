"""From observations to the rows of each family. Pure and columnar: there is no loop over rows here.

Thresholds are judged and histograms filled with the latency as observed; sums take it rounded to whole milliseconds,
turn by turn, so that they are integers and do not depend on the order of addition. A turn without the latency that an
indicator judges is in neither its total nor its bad turns.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from producers.observations import AMOUNTS, COUNTS, LATENCIES
from schemas.families import (
    HEARTBEATS,
    INDICATORS,
    OPERATIONAL,
    OUTCOMES,
    SCALE_OF_STAGE,
    STAGE_LATENCIES,
    STREAMS,
    TENANTS,
    TURNS,
    Family,
    Indicator,
    PrivacyPartition,
)
from schemas.histograms import bucket_indexes

_TURNS_AT_ONCE = 100_000
"""So many turns have a row for each of their stages at the same time; memory is bounded so, however many there are."""
_OUTCOME_JUDGED = {
    "turn_error": "is_error",
    "abandonment": "is_abandoned",
    "retrieval_stale": "is_retrieval_stale",
    "privacy_error": "is_privacy_error",
}


def turn_rows(turns: pl.DataFrame, partition: PrivacyPartition) -> pl.DataFrame:
    """One row per cell of the partition, with every measure of family `turns`."""
    latency = _whole_ms(LATENCIES["turn"])
    measures = [
        pl.len().cast(pl.Int64).alias("turns"),
        *(pl.col(name).sum() for name in AMOUNTS),
        latency.sum().alias("turn_latency_ms_sum"),
        (latency * latency).sum().alias("turn_latency_ms_sumsq"),
        *(expr for indicator in INDICATORS for expr in _judged(indicator)),
    ]
    return (
        turns.group_by(partition.dimensions)
        .agg(measures)
        .select(*partition.dimensions, *TURNS.measure_names)
        .sort(partition.dimensions)
    )


def outcome_rows(turns: pl.DataFrame, partition: PrivacyPartition) -> pl.DataFrame:
    """One row per cell of the partition, with every measure of family `outcomes`."""
    claims = {
        "successes": "is_success",
        "errors": "is_error",
        "abandonments": "is_abandoned",
        "interruptions": "is_interrupted",
        "handoffs": "is_handoff",
        "cancellations": "is_cancelled",
        "refusals": "is_refused",
        "synthetic_voices": "is_synthetic_voice",
        "lookups_stale": "is_retrieval_stale",
    }
    jitter = _whole_ms("jitter_ms")
    measures = {
        "outcomes": pl.len(),
        **{name: pl.col(claim).sum() for name, claim in claims.items()},
        "lookups": pl.col("is_retrieval_stale").count(),
        **{name: pl.col(name).sum() for name in COUNTS},
        "jitter_turns": pl.col("jitter_ms").count(),
        "jitter_ms_sum": jitter.sum(),
        "jitter_ms_sumsq": (jitter * jitter).sum(),
    }
    return _by_cell(turns, partition, OUTCOMES, measures)


def tenant_rows(turns: pl.DataFrame, partition: PrivacyPartition) -> pl.DataFrame:
    """One row per cell of the partition, with every measure of family `tenants`."""
    measures = {
        "tenant_lookups": pl.col("is_retrieval_stale").count(),
        "tenant_lookups_stale": pl.col("is_retrieval_stale").sum(),
        "tenant_tool_calls": pl.col("tool_calls").sum(),
        "tenant_tool_calls_unsafe": pl.col("tool_calls_unsafe").sum(),
        "tenant_synthetic_voices": pl.col("is_synthetic_voice").sum(),
        "tenant_handoffs": pl.col("is_handoff").sum(),
    }
    return _by_cell(turns, partition, TENANTS, measures)


def _by_cell(
    turns: pl.DataFrame, partition: PrivacyPartition, family: Family, measures: Mapping[str, pl.Expr]
) -> pl.DataFrame:
    return (
        turns.group_by(partition.dimensions)
        .agg(expression.cast(pl.Int64).alias(name) for name, expression in measures.items())
        .select(*partition.dimensions, *family.measure_names)
        .sort(partition.dimensions)
    )


def stage_rows(turns: pl.DataFrame) -> pl.DataFrame:
    """One row per cell, stage and non-empty histogram bucket."""
    key = (*OPERATIONAL.dimensions, *STAGE_LATENCIES.key_names)
    parts = [_stages_of(some) for some in turns.iter_slices(_TURNS_AT_ONCE)] or [_stages_of(turns)]
    return pl.concat(parts).group_by(key).agg(pl.col(*STAGE_LATENCIES.measure_names).sum()).sort(key)


def stream_rows(live: pl.DataFrame, starts: pl.DataFrame, ends: pl.DataFrame) -> pl.DataFrame:
    """Rows of one window: streams `live` at its first instant, and the `second` in which others started and ended.

    Second 0 is there for every cell with a live stream or a change, so that a gauge of zero is said, not implied.
    """
    cell = OPERATIONAL.dimensions
    key = (*cell, "second")
    gauges = (
        pl.concat([live.select(cell), starts.select(cell), ends.select(cell)])
        .unique()
        .with_columns(second=pl.lit(0, pl.Int32))
    )
    counted = [
        live.group_by(cell).agg(active_at_start=pl.len()).with_columns(second=pl.lit(0, pl.Int32)),
        starts.group_by(key).agg(starts=pl.len()),
        ends.group_by(key).agg(ends=pl.len()),
    ]
    rows = pl.concat([gauges, *counted], how="diagonal_relaxed").group_by(key)
    sums = [pl.col(name).sum().cast(pl.Int64) for name in STREAMS.measure_names]
    return rows.agg(sums).select(*key, *STREAMS.measure_names).sort(key)


def heartbeat_rows(region: str, reports: Mapping[str, Mapping[str, int]]) -> pl.DataFrame:
    """One row per reported family; `reports` maps its name to the measures of family `heartbeats`."""
    rows = [{"region": region, "reported_family": family, **measures} for family, measures in reports.items()]
    return pl.DataFrame(rows).select("region", *HEARTBEATS.key_names, *HEARTBEATS.measure_names)


def _stages_of(turns: pl.DataFrame) -> pl.DataFrame:
    """The same of some turns, whose stages are looked at together: one question of many rows is quicker than many of few."""
    cell = OPERATIONAL.dimensions
    latencies = turns.select(*cell, *(_latency_of(stage).alias(stage) for stage in SCALE_OF_STAGE))
    happened = (
        latencies.unpivot(list(SCALE_OF_STAGE), index=cell, variable_name="stage", value_name="latency_ms")
        .drop_nulls("latency_ms")
        .with_columns(scale=pl.col("stage").replace_strict(SCALE_OF_STAGE, return_dtype=pl.Int32))
    )
    rounded = _whole_ms("latency_ms")
    return (
        happened.with_columns(bucket_index=_buckets(happened["latency_ms"].to_numpy(), happened["scale"].to_numpy()))
        .group_by(*cell, *STAGE_LATENCIES.key_names)
        .agg(
            observations=pl.len().cast(pl.Int64),
            latency_ms_sum=rounded.sum(),
            latency_ms_sumsq=(rounded * rounded).sum(),
        )
    )


def _buckets(latency_ms: NDArray[np.float64], scales: NDArray[np.int32]) -> pl.Series:
    """The bucket of each latency in the histogram of its scale."""
    buckets = np.empty(len(latency_ms), np.int32)
    for scale in set(SCALE_OF_STAGE.values()):
        is_of_scale = scales == scale
        buckets[is_of_scale] = bucket_indexes(latency_ms[is_of_scale], scale)
    return pl.Series(buckets)


def _latency_of(stage: str) -> pl.Expr:
    """The stage's latency, null where it did not happen. How long an interrupted turn would have taken nobody knows."""
    if stage not in ("turn", "interrupted"):
        return pl.col(LATENCIES[stage])
    is_interrupted = pl.col("is_interrupted").fill_null(False)
    return pl.when(is_interrupted == (stage == "interrupted")).then(pl.col(LATENCIES["turn"]))


def _whole_ms(column: str) -> pl.Expr:
    """The latency in whole milliseconds, halves rounded up."""
    return (pl.col(column) + 0.5).floor().cast(pl.Int64)


def _judged(indicator: Indicator) -> tuple[pl.Expr, pl.Expr]:
    if indicator.stage is None or indicator.threshold_ms is None:
        judged = pl.col(_OUTCOME_JUDGED[indicator.name])
        is_bad = judged
    else:
        judged = _latency_of(indicator.stage)
        is_bad = (
            judged >= indicator.threshold_ms if indicator.bad_when == "at_or_above" else judged > indicator.threshold_ms
        )
    return judged.count().cast(pl.Int64).alias(indicator.total), is_bad.sum().cast(pl.Int64).alias(indicator.bad)
