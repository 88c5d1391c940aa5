"""What `turnwatch query "SELECT * FROM costs" --format csv` would print of a world of uses, and its price list as a file."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from schemas.families import COSTS
from tests.operators.cost_worlds import operational, tenancy

DAY_0 = "2026-10-01"
DAY_0_MS = 1_790_812_800_000
DIMENSIONS = tuple(dict.fromkeys(name for partition in COSTS.partitions for name in partition.dimensions))

PRICES = """apiVersion: turnwatch/v1
kind: PriceList
metadata:
  name: contract
spec:
  currency: USD
  prices:
    - { resource: gpu_hour, gpuType: h100, purchase: reserved, usd: 2.60, from: "2026-01-01", until: "2026-10-02" }
    - { resource: gpu_hour, gpuType: h100, purchase: reserved, usd: 2.40, from: "2026-10-02" }
    - { resource: gpu_hour, gpuType: h100, purchase: reserved, region: ap-south-1, usd: 2.95, from: "2026-01-01" }
    - { resource: gpu_hour, gpuType: h100, purchase: on_demand, usd: 4.10, from: "2026-01-01" }
    - { resource: tokens_in, modelVersion: hosted-large-3, usd: 2.50, from: "2026-01-01" }
    - { resource: tokens_cached, modelVersion: hosted-large-3, usd: 0.25, from: "2026-01-01" }
    - { resource: tokens_out, modelVersion: hosted-large-3, usd: 10.00, from: "2026-01-01" }
"""


def exported(path: Path, told: pl.DataFrame) -> Path:
    """Rows of both finest cuts, the first of their days being `DAY_0`."""
    cells = [
        rows.with_columns(pl.lit(",".join(partition.dimensions)).alias("cut"))
        for rows, partition in zip((operational(told), tenancy(told)), COSTS.partitions, strict=True)
    ]
    start = pl.from_epoch(pl.col("bucket_start_ms") + DAY_0_MS, time_unit="ms").dt.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    rows = pl.concat(cells, how="diagonal").with_columns(pl.col(DIMENSIONS).fill_null(""), bucket_start=start)
    rows.select("cut", *DIMENSIONS, "bucket_start", *COSTS.measure_names).write_csv(path)
    return path


def price_file(path: Path, text: str = PRICES) -> Path:
    path.write_text(text)
    return path
