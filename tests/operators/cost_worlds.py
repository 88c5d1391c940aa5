"""Seeded days of what a fleet used: single uses with all that is known of them, and the cells that each partition tells."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from schemas.dimensions import GENERALISED
from schemas.families import COSTS
from schemas.prices import Price, PriceList

OPERATIONAL, TENANCY = COSTS.partitions
BUCKET_MS = 600_000
DAY_MS = 86_400_000
GPUS = [("h100", "reserved", "llm-7"), ("h100", "on_demand", "llm-7"), ("a100-mig-1g", "owned", "asr-2")]
HOSTED = ("", "hosted", "hosted-large-3")

PRICES = PriceList(
    "test",
    (
        Price("gpu_hour", Decimal("2.60"), 0, DAY_MS, None, "h100", "reserved"),
        Price("gpu_hour", Decimal("2.40"), DAY_MS, None, None, "h100", "reserved"),
        Price("gpu_hour", Decimal("2.95"), 0, None, "ap-south-1", "h100", "reserved"),
        Price("gpu_hour", Decimal("4.10"), 0, None, None, "h100", "on_demand"),
        Price("tokens_in", Decimal("2.5"), 0, None, None, None, None, "hosted-large-3"),
        Price("tokens_cached", Decimal("0.25"), 0, None, None, None, None, "hosted-large-3"),
        Price("tokens_out", Decimal("10"), 0, None, None, None, None, "hosted-large-3"),
        Price("tokens_out", Decimal("14"), 0, None, "ap-south-1", None, None, "hosted-large-3"),
    ),
)
"""A price that changes at midnight, regions with their own, and two things without a price: MIG shares and audio tokens."""


def uses(seed: int, count: int = 300, days: int = 2) -> pl.DataFrame:
    """Single uses: every dimension, a tenant (which may be generalised), and all measures."""
    rng = np.random.default_rng(seed)
    bought = [[*GPUS, HOSTED][place] for place in rng.integers(0, 4, count)]
    columns: dict[str, Any] = {
        "bucket_start_ms": rng.integers(0, days * DAY_MS // BUCKET_MS, count) * BUCKET_MS,
        "region": rng.choice(["eu-west-1", "ap-south-1"], count),
        "pool": rng.choice(["realtime", "batch"], count, p=[0.8, 0.2]),
        "route": rng.choice(["support", "sales"], count),
        "bundle": rng.choice(["v1", "v2"], count),
        "gpu_type": [each[0] for each in bought],
        "purchase": [each[1] for each in bought],
        "model_version": [each[2] for each in bought],
        "tenant": rng.choice(["t-00000000000000aa", "t-00000000000000bb", GENERALISED], count),
        **{name: np.zeros(count, dtype=np.int64) for name in COSTS.measure_names},
    }
    is_hosted = np.array([each is HOSTED for each in bought])
    columns |= {
        "turns": np.ones(count, dtype=np.int64),
        "successes": rng.integers(0, 2, count),
        "gpu_used_ms": np.where(is_hosted, 0, rng.integers(1, 90_000, count)),
        "tokens_prompt": rng.integers(0, 5_000, count),
        "tokens_cached": rng.integers(0, 6_000, count),
        "tokens_out": rng.integers(0, 900, count),
        "tokens_audio": np.where(rng.random(count) < 0.1, 400, 0),
    }
    columns["success_audio_ms"] = columns["successes"] * 4_000
    return pl.DataFrame(columns)


def reserved(seed: int, days: int = 2) -> pl.DataFrame:
    """What replicas were there for, told of no route that a turn has; one kind of GPU that no turn uses."""
    rng = np.random.default_rng(seed)
    kinds = [*GPUS, ("l4", "on_demand", "tts-1")]
    rows = [
        {"bucket_start_ms": at_ms, "region": region, "pool": pool, "route": "shared", "bundle": bundle,
         "gpu_type": kind[0], "purchase": kind[1], "model_version": kind[2], "tenant": GENERALISED,
         **dict.fromkeys(COSTS.measure_names, 0), "gpu_reserved_ms": int(rng.integers(0, 40_000_000))}
        for at_ms in range(0, days * DAY_MS, DAY_MS // 2)
        for region in ("eu-west-1", "ap-south-1") for pool in ("realtime", "batch") for bundle in ("v1", "v2")
        for kind in kinds
    ]  # fmt: skip
    return pl.DataFrame(rows)


def operational(told: pl.DataFrame) -> pl.DataFrame:
    """The cells of the operational partition, bucket by bucket."""
    return _cells(told, OPERATIONAL.dimensions)


def tenancy(told: pl.DataFrame) -> pl.DataFrame:
    """The cells of the tenancy partition."""
    return _cells(told, TENANCY.dimensions)


def _cells(told: pl.DataFrame, dimensions: tuple[str, ...]) -> pl.DataFrame:
    sums = pl.col(COSTS.measure_names).sum()
    return told.group_by("bucket_start_ms", *dimensions).agg(sums).sort("bucket_start_ms", *dimensions)
