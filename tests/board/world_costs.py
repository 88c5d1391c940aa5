"""What the fleet of the board's world used and paid: replicas on a route of their own, hosted tokens, and a GPU without a price."""

from __future__ import annotations

import numpy as np
import polars as pl

from schemas.families import COSTS
from schemas.slices import slice_text
from schemas.tables import TABLES
from tests.board.world import BUNDLES, REGIONS, ROUTES
from tests.board.world_cells import DAY_MS, HOUR_MS, TEN_MINUTES_MS, Timed, cells_of

SHARED = "shared"
_MODELS = (
    ("hear-1", "l4", "on_demand", 0.7e9, 90),
    ("talk-1", "h100", "reserved", 2.4e9, 400),
    ("hosted-large-3", "none", "hosted", 0.0, 0),
    ("try-1", "b300", "spot", 0.0, 30),
)
"""Model, GPU, purchase, nano-dollars for an hour of it (0: has no price) and GPU time of a turn in ms."""


def costs(random: np.random.Generator, world: Timed) -> pl.DataFrame:
    """Ten minutes of the last day and of the same day a week before, else some hours' worth at once, for ten weeks.

    Replicas are told on route `shared`.
    """
    newest = world.end_ms // HOUR_MS * HOUR_MS
    spans = [
        (70, 16, 12 * HOUR_MS),
        (16, 8, 3 * HOUR_MS),
        (8, 7, TEN_MINUTES_MS),
        (7, 1, 3 * HOUR_MS),
        (1, 0, TEN_MINUTES_MS),
    ]
    starts = [np.arange(newest - begin * DAY_MS, newest - end * DAY_MS, step) for begin, end, step in spans]
    widths = np.repeat([step // 1_000 for *_, step in spans], [len(each) for each in starts])
    buckets = pl.DataFrame({"bucket_ms": np.concatenate(starts), "width_s": widths})
    models = pl.DataFrame(
        _MODELS, schema=["model_version", "gpu_type", "purchase", "nusd_hour", "gpu_ms"], orient="row"
    )
    cells = cells_of(buckets, region=REGIONS, pool=("realtime",), route=ROUTES, bundle=BUNDLES)
    served = cells.join(models, how="cross").with_columns(turns=pl.lit(0))
    is_dear = (pl.col("bundle") == BUNDLES[1]) & (pl.col("bucket_ms") >= newest - DAY_MS)
    answers = pl.col("model_version") == "talk-1"
    served = served.with_columns(turns=pl.Series(random.poisson(0.1 * served["width_s"].to_numpy())) * answers)
    served = served.with_columns(
        successes=(pl.col("turns") * 0.9).cast(pl.Int64),
        success_audio_ms=pl.col("turns") * 9_000,
        attempts_retried=pl.col("turns") // 10,
        attempts_shadow=pl.when(is_dear).then(pl.col("turns") // 2).otherwise(0),
        tokens_prompt=pl.col("turns") * 300,
        tokens_carried=pl.col("turns") * pl.when(is_dear).then(900).otherwise(300),
        tokens_retrieved=pl.col("turns") * 100,
        tokens_cached=pl.col("turns") * 120,
        tokens_out=pl.col("turns") * 80,
        chunks_retrieved=pl.col("turns") * 3,
        gpu_used_ms=(pl.col("width_s") * pl.col("gpu_ms") / 10 * pl.when(is_dear).then(2.0).otherwise(1.0)).cast(
            pl.Int64
        ),
    ).with_columns(attempts=pl.col("turns") + pl.col("attempts_retried") + pl.col("attempts_shadow"))
    hosted = pl.when(pl.col("purchase") == "hosted").then(pl.col("width_s") * 20_000).otherwise(0)
    served = served.with_columns(used_nusd=_price("gpu_used_ms") + hosted, reserved_nusd=hosted)
    keys = ("region", "pool", "bundle", "model_version", "gpu_type", "purchase", "nusd_hour", "bucket_ms", "width_s")
    replicas = (
        served.filter(pl.col("purchase") != "hosted")
        .group_by(*keys, maintain_order=True)
        .agg(gpu_reserved_ms=(pl.col("gpu_used_ms").sum() * 1.6).cast(pl.Int64))
        .with_columns(route=pl.lit(SHARED), reserved_nusd=_price("gpu_reserved_ms"))
    )
    told = pl.concat([served, replicas], how="diagonal").with_columns(pl.selectors.numeric().fill_null(0))
    unpriced = (pl.col("nusd_hour") == 0) & (pl.col("purchase") != "hosted")
    absent = {name: pl.lit(0) for name in COSTS.measure_names if name not in told.columns}
    return told.with_columns(
        uncosted_gpu_ms=pl.max_horizontal("gpu_used_ms", "gpu_reserved_ms") * unpriced,
        uncosted_tokens=pl.lit(0),
        **absent,
    )


def _price(used_ms: str) -> pl.Expr:
    return (pl.col(used_ms) * pl.col("nusd_hour") / HOUR_MS).cast(pl.Int64)


def spend(costs: pl.DataFrame) -> pl.DataFrame:
    """The finest cut, and the same turns by tenant, which nobody may add to it."""
    table = set(TABLES["spend_10m"].column_names)
    measures = tuple(name for name in costs.columns if name in table and costs[name].dtype.is_numeric())
    finest = max((cut for cut in COSTS.cuts if "region" in cut.dimensions), key=lambda cut: len(cut.dimensions))
    rows = costs.with_columns(slice_text(finest.dimensions), cut=pl.lit(finest.name))
    of_tenants = next(cut for cut in COSTS.cuts if {"tenant", "route"} <= set(cut.dimensions))
    tenants = costs.with_columns(tenant=pl.lit("*"))
    sums = tenants.group_by(*of_tenants.dimensions, "bucket_ms").agg(pl.col(measures).sum())
    sums = sums.with_columns(slice_text(of_tenants.dimensions), cut=pl.lit(of_tenants.name))
    return pl.concat([rows.select("cut", "slice", "bucket_ms", *finest.dimensions, *measures), sums], how="diagonal")
