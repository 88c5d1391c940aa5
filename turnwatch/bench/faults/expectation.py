"""What must be in ClickHouse, added up from what was told; no code of the operators is used.

Definitions of cuts, slices and buckets are stated here a second time. Every table's rows carry a measure `rows` of 1, so
that a row that is missing, or that nobody told, counts even where all of its figures are zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from schemas.families import INDICATORS
from schemas.tables import TRAFFIC_MEASURES
from turnwatch.bench.faults.world import Told

OPERATIONAL_CUTS = (("pool",), ("pool", "region"), ("pool", "route"), ("pool", "bundle"), ("pool", "region", "bundle"))
AUDIENCE_CUTS = (("pool", "language"), ("pool", "device_class"), ("pool", "language", "device_class"))
HEARTBEAT_CUTS = (("region",),)
WIDTHS_MS = {"10s": 10_000, "1m": 60_000}

SLICE = ("cut", "slice", "bucket_start_ms")
KEYS: dict[str, tuple[str, ...]] = {
    "traffic": SLICE,
    "burn_rate": (*SLICE, "indicator"),
    "stage_latency": (*SLICE, "stage", "scale", "bucket_index"),
    "concurrency": SLICE,
    "heartbeats": (*SLICE, "reported_family"),
}
MEASURES: dict[str, tuple[str, ...]] = {
    "traffic": TRAFFIC_MEASURES,
    "burn_rate": ("bad", "total"),
    "stage_latency": ("observations", "latency_ms_sum", "latency_ms_sumsq"),
    "concurrency": ("active_at_start", "starts", "ends", "peak_lower", "peak_upper"),
    "heartbeats": ("rows_sent", "observations_seen", "observations_dropped", "observations_held"),
}
TABLES = tuple(f"{question}_{suffix}" for question in KEYS for suffix in WIDTHS_MS)

Tables = dict[str, pl.DataFrame]


def question_of(table: str) -> str:
    return table.rpartition("_")[0]


def expected(told: Sequence[Told]) -> Tables:
    """Rows of all tables, keyed and measured as `KEYS` and `MEASURES` say."""
    turns, audience = _rows(told, "turns", "operational"), _rows(told, "turns", "audience")
    stages, heartbeats = _rows(told, "stages", "operational"), _rows(told, "heartbeats", "operational")
    concurrency = _concurrency(_rows(told, "streams", "operational"))
    tables: Tables = {"concurrency_10s": concurrency, "concurrency_1m": _by_minute(concurrency)}
    for suffix, width_ms in WIDTHS_MS.items():
        sliced = _sliced(turns, OPERATIONAL_CUTS, width_ms)
        if suffix == "1m":  # The audience's windows are minutes.
            sliced = pl.concat([sliced, _sliced(audience, AUDIENCE_CUTS, width_ms)], how="diagonal")
        tables[f"traffic_{suffix}"] = _summed(sliced, "traffic")
        tables[f"burn_rate_{suffix}"] = _burns(sliced)
        tables[f"stage_latency_{suffix}"] = _summed(_sliced(stages, OPERATIONAL_CUTS, width_ms), "stage_latency")
        tables[f"heartbeats_{suffix}"] = _summed(_sliced(heartbeats, HEARTBEAT_CUTS, width_ms), "heartbeats")
    return {table: shaped(rows, question_of(table)) for table, rows in tables.items()}


def expected_burns(told: Sequence[Told]) -> pl.DataFrame:
    """Rows of `burn_rate_10s` alone: all that pages depend on."""
    sliced = _sliced(_rows(told, "turns", "operational"), OPERATIONAL_CUTS, WIDTHS_MS["10s"])
    return shaped(_burns(sliced), "burn_rate")


def _rows(told: Iterable[Told], family: str, partition: str) -> pl.DataFrame:
    parts = [
        each.rows.with_columns(window_start_ms=pl.lit(each.header.window_start_ms, pl.Int64))
        for each in told
        if (each.header.family.name, each.header.partition.name) == (family, partition)
    ]
    return pl.concat(parts)


def _sliced(rows: pl.DataFrame, cuts: Iterable[tuple[str, ...]], width_ms: int) -> pl.DataFrame:
    """The rows once for each cut, with the text of their slice and the start of their bucket."""
    bucket = (pl.col("window_start_ms") // width_ms * width_ms).alias("bucket_start_ms")
    return pl.concat(
        rows.with_columns(
            bucket,
            cut=pl.lit(",".join(cut)),
            slice=pl.concat_str([pl.concat_str(pl.lit(f"{name}="), pl.col(name)) for name in cut], separator=","),
        )
        for cut in cuts
    )


def _summed(sliced: pl.DataFrame, question: str) -> pl.DataFrame:
    return sliced.group_by(KEYS[question]).agg(pl.col(MEASURES[question]).sum())


def _burns(sliced: pl.DataFrame) -> pl.DataFrame:
    """A row per indicator, where there was a turn to judge."""
    of_indicator = [
        sliced.group_by(SLICE)
        .agg(bad=pl.col(f"{indicator.name}_bad").sum(), total=pl.col(f"{indicator.name}_total").sum())
        .with_columns(indicator=pl.lit(indicator.name))
        for indicator in INDICATORS
    ]
    return pl.concat(of_indicator).filter(pl.col("total") > 0)


def _concurrency(rows: pl.DataFrame) -> pl.DataFrame:
    """Per bucket of 10 s the running count of every second, from a grid of starts and ends."""
    counts = _sliced(rows, OPERATIONAL_CUTS, WIDTHS_MS["10s"]).group_by(*SLICE, "second")
    seconds = counts.agg(pl.col("active_at_start", "starts", "ends").sum())
    buckets = seconds.select(SLICE).unique().with_row_index("place")
    placed = seconds.join(buckets, on=SLICE)
    grid = {name: np.zeros((len(buckets), 10), dtype=np.int64) for name in ("active_at_start", "starts", "ends")}
    for name, cells in grid.items():
        cells[placed["place"].to_numpy(), placed["second"].to_numpy()] = placed[name].to_numpy()
    active = grid["active_at_start"].sum(axis=1)
    after = active[:, None] + np.cumsum(grid["starts"] - grid["ends"], axis=1)
    before = np.hstack([active[:, None], after[:, :-1]])
    return buckets.select(SLICE).with_columns(
        active_at_start=pl.Series(active),
        starts=pl.Series(grid["starts"].sum(axis=1)),
        ends=pl.Series(grid["ends"].sum(axis=1)),
        peak_lower=pl.Series(np.maximum(active, after.max(axis=1))),
        peak_upper=pl.Series((before + grid["starts"]).max(axis=1)),
    )


def _by_minute(buckets: pl.DataFrame) -> pl.DataFrame:
    minute = (pl.col("bucket_start_ms") // 60_000 * 60_000).alias("minute_ms")
    return (
        buckets.group_by("cut", "slice", minute)
        .agg(
            pl.col("active_at_start").sort_by("bucket_start_ms").first(),
            pl.col("starts", "ends").sum(),
            pl.col("peak_lower", "peak_upper").max(),
        )
        .rename({"minute_ms": "bucket_start_ms"})
    )


def shaped(rows: pl.DataFrame, question: str) -> pl.DataFrame:
    """The columns of a table in the types that answers are compared in."""
    texts = {"cut", "slice", "indicator", "stage", "reported_family"}
    keys = [pl.col(key).cast(pl.String if key in texts else pl.Int64) for key in KEYS[question]]
    return rows.select(*keys, *(pl.col(name).cast(pl.Int64) for name in MEASURES[question]), rows=pl.lit(1, pl.Int64))
