"""Batch work on realtime pools: which slices have enough of it in a minute that somebody should hear of it."""

from __future__ import annotations

import polars as pl

from stream_jobs.operators.saturation.queue_episodes import ORIGIN
from stream_jobs.operators.saturation.wording import BATCH_ON_REALTIME, REALTIME

BATCH_ARRIVALS_MIN, BATCH_SHARE_MIN = 10, 0.01
"""Batch work on a realtime pool is as many requests a minute at least, and such a share."""
IS_REALTIME = pl.format("{},", "slice").str.contains(f"pool={REALTIME},", literal=True)


def loaded_slices(queues: pl.DataFrame) -> pl.DataFrame:
    """Realtime slices with batch work in a minute: what they show, and the queue that has most of it, with figures."""
    is_loaded = (pl.col("batch_arrivals") >= BATCH_ARRIVALS_MIN) & (
        pl.col("batch_arrivals") >= BATCH_SHARE_MIN * pl.col("arrivals")
    )
    unsaid = [pl.lit(None, kind).alias(name) for name, kind in ORIGIN.items()]
    return (
        queues.filter(IS_REALTIME & is_loaded)
        .sort("slice", "batch_arrivals", "queue", descending=[False, True, False])
        .unique("slice", keep="first", maintain_order=True)
        .select(
            "slice",
            "batch_arrivals",
            pl.lit(BATCH_ON_REALTIME).alias("alert"),
            pl.lit("").alias("queue"),
            *unsaid,
            loaded_queue="queue",
            batch_share=pl.col("batch_arrivals") / pl.col("arrivals"),
        )
    )
