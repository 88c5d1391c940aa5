"""Showback: whose the bill is, shared out so that it sums to the bill to the nano-dollar.

Replicas tell what was paid for, turns what they used. What was paid for goes to those who used it on the same day, in
proportion to the cost of their use: of the same region, pool, bundle, model, kind of GPU and purchase. What nobody used
stays where it was told. Tenants are seen in a partition of their own, without region and bundle, so a tenant's share of a
cell is its share of what the cell used; what that partition does not tell of anybody is `unattributed`.

Everything is by UTC day: prices begin and end at midnight, and within a day a window that the privacy gate held back has
joined the next one.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from schemas.dimensions import GENERALISED, OTHER
from schemas.families import COSTS
from schemas.instants import DAY_MS
from stream_jobs.operators.cost.pricing import BUCKET, PRICED, UNCOSTED, Pricing

OPERATIONAL, TENANCY = COSTS.partitions
TENANT = "tenant"
UNATTRIBUTED = "unattributed"
"""Whose cost is told of no tenant."""

_DAY = (BUCKET,)
_CAPACITY = (*_DAY, *(name for name in OPERATIONAL.dimensions if name != "route"))
"""What replicas are bought as: turns of any route use it."""
_CELL = (*_DAY, *(name for name in TENANCY.dimensions if name != TENANT))
"""What both partitions know."""
_PLACE = (*_CELL, "region")


def by_day(rows: pl.DataFrame, dimensions: Sequence[str]) -> pl.DataFrame:
    """Sums of every number by the UTC day that a bucket begins in, and by `dimensions`."""
    numbers = [name for name, dtype in rows.schema.items() if dtype.is_numeric() and name != BUCKET]
    day = (pl.col(BUCKET) // DAY_MS * DAY_MS).alias(BUCKET)
    return rows.group_by(day, *dimensions).agg(pl.col(numbers).sum()).sort(BUCKET, *dimensions)


def shared_out(paid: pl.DataFrame) -> pl.DataFrame:
    """Priced days of the operational cells, `reserved_nusd` moved to the routes that used the capacity.

    Its sum within each capacity is as before; where nobody used it, every row is. `uncosted_gpu_ms` moves alike, and is from
    here on what was paid for, or used where that is more: rows of turns and of replicas tell of the same GPUs.
    """
    used = pl.col("used_nusd").sum().over(_CAPACITY)
    moved = apportioned(pl.col("reserved_nusd").sum().over(_CAPACITY), pl.col("used_nusd"), _CAPACITY)
    return paid.sort(BUCKET, *OPERATIONAL.dimensions).with_columns(
        reserved_nusd=pl.when(used > 0).then(moved).otherwise("reserved_nusd"), uncosted_gpu_ms=_uncosted_gpu_ms()
    )


def _uncosted_gpu_ms() -> pl.Expr:
    """GPU time without a price: a capacity has one for all of a day, or none."""
    used, reserved = (pl.col(name).sum().over(_CAPACITY) for name in ("gpu_used_ms", "gpu_reserved_ms"))
    moved = apportioned(pl.max_horizontal(used, reserved), pl.col("gpu_used_ms"), _CAPACITY)
    has_none = pl.col("uncosted_gpu_ms").sum().over(_CAPACITY) > 0
    return pl.when(~has_none).then(0).when(used > 0).then(moved).otherwise("gpu_reserved_ms").cast(pl.Int64)


def of_tenants(paid: pl.DataFrame, seen: pl.DataFrame, pricing: Pricing) -> pl.DataFrame:
    """Cost and turns of each tenant, and of `UNATTRIBUTED`: each column sums to that of `paid`.

    `paid` are days of the operational cells as `shared_out` leaves them, `seen` days of the tenancy cells. Columns: tenant,
    turns, successes, success_audio_ms, used_nusd, reserved_nusd.
    """
    places = paid.group_by(_PLACE).agg(pl.col(PRICED).sum())
    whole = _weighed(by_day(paid.drop(*PRICED, *UNCOSTED), _CELL[1:]), places, pricing)
    tenants = _weighed(seen.filter(_is_named()), places, pricing)
    shares = pl.concat([tenants, _of_nobody(whole, tenants)]).sort(*_PLACE, "is_nobody", TENANT)
    costs = (
        shares.join(places, on=_PLACE, maintain_order="left")
        .with_columns(apportioned(pl.col(name), pl.col("weight"), _PLACE).alias(name) for name in PRICED)
        .group_by(TENANT)
        .agg(pl.col(PRICED).sum())
    )
    return _with_turns(costs, paid, seen.filter(_is_named()))


def apportioned(whole: pl.Expr, weight: pl.Expr, over: Sequence[str]) -> pl.Expr:
    """Whole parts of `whole` in proportion to `weight`, group by group, that sum to it exactly.

    Each row gets the difference of two rounded running shares, so none is off by more than one. A group whose weights are
    all zero gets nothing.
    """
    total = weight.sum().over(over)

    def share_up_to(weights: pl.Expr) -> pl.Expr:
        share = (whole * (weights / total)).round().cast(pl.Int64, strict=False)
        return pl.when(total == 0).then(0).when(weights == total).then(whole).otherwise(share)

    up_to = weight.cum_sum().over(over)
    return share_up_to(up_to) - share_up_to(up_to - weight)


def _is_named() -> pl.Expr:
    return ~pl.col(TENANT).is_in([GENERALISED, OTHER, ""])


def _weighed(uses: pl.DataFrame, places: pl.DataFrame, pricing: Pricing) -> pl.DataFrame:
    """What `uses` would cost in each region that its cell was paid in: the weight of its share there."""
    rows = uses.join(places.select(_PLACE), on=_CELL)
    priced = pricing.priced(rows).rename({"used_nusd": "weight"})
    tenant = pl.col(TENANT) if TENANT in uses.columns else pl.lit(UNATTRIBUTED)
    return priced.select(*_PLACE, tenant.alias(TENANT), pl.lit(TENANT not in uses.columns).alias("is_nobody"), "weight")


def _of_nobody(whole: pl.DataFrame, tenants: pl.DataFrame) -> pl.DataFrame:
    """What is left of each cell beside its tenants; everything where its use has no weight."""
    told = tenants.group_by(_PLACE).agg(pl.col("weight").sum().alias("told"))
    left = pl.max_horizontal(pl.col("weight") - pl.col("told"), 0)
    nothing_weighs = (pl.col("weight") == 0) & (pl.col("told") == 0)
    joined = whole.join(told, on=_PLACE, how="left").with_columns(pl.col("told").fill_null(0))
    return joined.with_columns(weight=pl.when(nothing_weighs).then(1).otherwise(left)).select(tenants.columns)


_TURNS = ("turns", "successes", "success_audio_ms")


def _with_turns(costs: pl.DataFrame, paid: pl.DataFrame, named: pl.DataFrame) -> pl.DataFrame:
    told = named.group_by(TENANT).agg(pl.col(_TURNS).sum())
    left = paid.select(pl.lit(UNATTRIBUTED).alias(TENANT), *(pl.col(name).sum() - told[name].sum() for name in _TURNS))
    return (
        pl.concat([told, left])
        .join(costs, on=TENANT, how="full", coalesce=True)
        .with_columns(pl.col(*_TURNS, *PRICED).fill_null(0))
        .select(TENANT, *_TURNS, *PRICED)
    )
