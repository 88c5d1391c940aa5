"""Rollups of the boards' world: what happened, grouped into every cut of a family and both resolutions."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from schemas.dimensions import DIMENSIONS
from schemas.families import HEARTBEATS, INDICATORS, OUTCOMES, PRIVACY, STAGE_LATENCIES, STREAMS, TURNS, Family
from schemas.slices import slice_text
from schemas.tables import TABLES

WIDTHS_MS = {"10s": 10_000, "1m": 60_000}


def rows(turns: pl.DataFrame, latencies: pl.DataFrame, fine_ms: int) -> dict[str, pa.Table]:
    """Every rollup by its table; those of 10 s from `fine_ms` on."""
    told: dict[str, pa.Table] = {}
    for suffix, width_ms in WIDTHS_MS.items():
        from_ms = fine_ms if suffix == "10s" else 0
        served, took = (frame.filter(pl.col("bucket_ms") >= from_ms) for frame in (turns, latencies))
        tables = {
            "traffic": _traffic(served, width_ms),
            "burn_rate": _burn_rate(served, width_ms),
            "outcomes": _outcomes(served, width_ms),
            "stage_latency": _stage_latency(took, width_ms),
            "concurrency": _concurrency(served, width_ms),
            "heartbeats": _heartbeats(served, width_ms),
            "privacy": _privacy(served, width_ms),
        }
        told |= {f"{name}_{suffix}": landed(f"{name}_{suffix}", frame) for name, frame in tables.items()}
    return told


def by_cut(
    frame: pl.DataFrame, family: Family, width_ms: int, keys: tuple[str, ...], sums: list[pl.Expr]
) -> pl.DataFrame:
    """`frame` grouped into every cut of the family that it has the dimensions of, with the slice columns of its table.

    Buckets are of `width_ms`, and of at least the k-window of the cut's partition.
    """
    named = dict.fromkeys(name for cut in family.cuts for name in cut.dimensions)
    parts = []
    for cut in family.cuts:
        if not set(cut.dimensions) <= set(frame.columns):
            continue
        width = max(width_ms, 1000 * family.partition(cut.partition).k_window_s)
        bucketed = frame.with_columns((pl.col("bucket_ms") // width * width).alias("bucket_ms"))
        grouped = bucketed.group_by(*cut.dimensions, *keys, "bucket_ms").agg(*sums)
        absent = (pl.lit("").alias(name) for name in named if name not in cut.dimensions)
        parts.append(grouped.with_columns(pl.lit(cut.name).alias("cut"), slice_text(cut.dimensions), *absent))
    return pl.concat(parts, how="diagonal").with_columns(
        pl.from_epoch("bucket_ms", "ms").dt.replace_time_zone("UTC").alias("bucket_start"), pl.lit(1).alias("version")
    )


def landed(table: str, frame: pl.DataFrame) -> pa.Table:
    """The frame as rows of a table; dimensions that it does not have are empty."""
    known = TABLES[table]
    of_other_families = (pl.lit("").alias(name) for name in DIMENSIONS if name not in frame.columns)
    frame = frame.with_columns(of_other_families)
    return frame.select(known.column_names).to_arrow().cast(known.arrow_schema)


def _traffic(turns: pl.DataFrame, width_ms: int) -> pl.DataFrame:
    return by_cut(turns, TURNS, width_ms, (), [pl.col(name).sum() for name in TURNS.measure_names])


def _burn_rate(turns: pl.DataFrame, width_ms: int) -> pl.DataFrame:
    names = [name for each in INDICATORS for name in (each.bad, each.total)]
    grouped = by_cut(turns, TURNS, width_ms, (), [pl.col(name).sum() for name in names])
    return pl.concat(
        grouped.drop(names).with_columns(
            grouped[each.bad].alias("bad"), grouped[each.total].alias("total"), pl.lit(each.name).alias("indicator")
        )
        for each in INDICATORS
    )


def _outcomes(turns: pl.DataFrame, width_ms: int) -> pl.DataFrame:
    """A turn succeeds unless it ends in an error or is abandoned."""
    told = {
        "outcomes": pl.col("turns"),
        "errors": pl.col("turn_error_bad"),
        "abandonments": pl.col("abandonment_bad"),
        "successes": pl.max_horizontal(pl.col("turns") - pl.col("turn_error_bad") - pl.col("abandonment_bad"), 0),
        "handoffs": pl.col("turns") // 40,
    }
    sums = [told.get(name, pl.lit(0, pl.Int64)).sum().alias(name) for name in OUTCOMES.measure_names]
    return by_cut(turns, OUTCOMES, width_ms, (), sums)


def _stage_latency(latencies: pl.DataFrame, width_ms: int) -> pl.DataFrame:
    sums = [
        pl.col("turns").sum().alias("observations"),
        (pl.col("turns") * pl.col("latency_ms")).sum().alias("latency_ms_sum"),
        (pl.col("turns") * pl.col("latency_ms") ** 2).sum().alias("latency_ms_sumsq"),
    ]
    return by_cut(latencies, STAGE_LATENCIES, width_ms, ("stage", "scale", "bucket_index"), sums)


def _concurrency(turns: pl.DataFrame, width_ms: int) -> pl.DataFrame:
    sums = [
        (pl.col("turns").sum() * 3).alias("active_at_start"),
        pl.col("turns").sum().alias("starts"),
        pl.col("turns").sum().alias("ends"),
        (pl.col("turns").sum() * 3 + 1).alias("peak_lower"),
        (pl.col("turns").sum() * 4).alias("peak_upper"),
        (pl.col("turns").sum() // 10).alias("replicas_needed"),
    ]
    return by_cut(turns, STREAMS, width_ms, (), sums)


def _heartbeats(turns: pl.DataFrame, width_ms: int) -> pl.DataFrame:
    reported = turns.with_columns(pl.lit("turns").alias("reported_family"))
    sums = [
        pl.len().cast(pl.Int64).alias("rows_sent"),
        pl.col("turns").sum().alias("observations_seen"),
        (pl.col("turns").sum() // 50).alias("observations_dropped"),
        (pl.col("turns").sum() // 20).alias("observations_held"),
    ]
    return by_cut(reported, HEARTBEATS, width_ms, ("reported_family",), sums)


def _privacy(turns: pl.DataFrame, width_ms: int) -> pl.DataFrame:
    """Every tenth turn loses its language, every twentieth waits for others, and every fiftieth was refused."""
    fates = {"kept": 0.9, "generalised": 0.1, "held": 0.05, "refused": 0.02}
    parts = []
    for fate, share in fates.items():
        facts = {"reported_family": "turns", "fate": fate, "because": "email" if fate == "refused" else "language"}
        told = turns.with_columns(pl.lit(value).alias(name) for name, value in facts.items())
        sums = [(pl.col("turns").sum() * share).cast(pl.Int64).alias("observations")]
        parts.append(by_cut(told, PRIVACY, width_ms, tuple(facts), sums))
    return pl.concat(parts)
