"""Late rows: what came when its bucket was closed. They land in a table of their own, which the views add.

A late frame of a source is told by its position, so that telling it again changes nothing; nothing is decided anew on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from schemas.families import Family
from schemas.tables import late_table
from stream_jobs.operators.totals.rollup_rows import timestamp, to_table


@dataclass(frozen=True, slots=True)
class Origin:
    """Where late rows came from: a Kafka topic and partition. Without an `offset` column rows are of the whole partition."""

    topic: str
    partition: int


def late_rows(family: Family, rows: pl.DataFrame, origin: Origin) -> pa.Table:
    """`rows` (slice, bucket_start_ms, keys, measures, version; perhaps offset and producer) for the family's late table."""
    given = set(rows.columns)
    absent = [pl.lit(0, pl.Int64).alias("offset")] if "offset" not in given else []
    unnamed = [pl.lit("").alias("producer")] if "producer" not in given else []
    told = rows.with_columns(
        *absent,
        *unnamed,
        timestamp("bucket_start_ms").alias("bucket_start"),
        origin_topic=pl.lit(origin.topic),
        origin_partition=pl.lit(origin.partition, pl.Int64),
    ).rename({"offset": "origin_offset"})
    return to_table(told, late_table(family))
