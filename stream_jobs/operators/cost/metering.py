"""Metering: priced uses as a provider would bill them, one row per meter: GPU time, and each kind of token.

`Pricing` prices a row at a time. Here a row is first taken apart into what each of its prices is for, so that every meter
has its own quantity and cost; they add up to the cost of the row, since each use is rounded by itself.
"""

from __future__ import annotations

import polars as pl

from schemas.families import COSTS
from schemas.instants import HOUR_MS
from schemas.prices import HOSTED, RESOURCES, TOKENS_PRICED, Resource
from stream_jobs.operators.cost.pricing import CACHED, PROMPT, Pricing

METER = "meter"
_GPU = ("gpu_used_ms", "gpu_reserved_ms")

_OF_METER: dict[Resource, dict[str, pl.Expr]] = {
    "gpu_hour": {name: pl.col(name) for name in _GPU},
    "tokens_in": {"tokens_prompt": PROMPT - CACHED},
    "tokens_cached": {"tokens_prompt": CACHED, "tokens_cached": CACHED},
    "tokens_out": {"tokens_out": pl.col("tokens_out")},
    "tokens_audio": {"tokens_audio": pl.col("tokens_audio")},
}
"""By meter: the measures that it is about; all others are zero."""
_QUANTITY: dict[Resource, pl.Expr] = {
    "gpu_hour": pl.col("gpu_reserved_ms"),
    "tokens_in": pl.col("tokens_prompt"),
    **{name: pl.col(name) for name in RESOURCES if name not in ("gpu_hour", "tokens_in")},
}


def metered(uses: pl.DataFrame, pricing: Pricing) -> pl.DataFrame:
    """The rows of `uses` (as `Pricing.priced` takes them), meter by meter, those of nothing left out.

    Besides the columns that are no measures: meter, quantity (ms of GPU time that was paid for, or tokens), used_nusd,
    reserved_nusd, and uncosted: how much of the quantity has no price.
    """
    return pl.concat([_of_meter(uses, meter, pricing) for meter in RESOURCES])


def unit_prices_nusd(lines: pl.DataFrame, pricing: Pricing) -> pl.Series:
    """What one GPU hour, or a million tokens, of each line costs at its bucket, in nano-dollars; 0 without a price."""
    of_gpu = pl.col(METER) == "gpu_hour"
    none = {name: pl.lit(0, pl.Int64) for name in COSTS.measure_names}
    units = lines.select(pl.exclude(*COSTS.measure_names)).with_columns(**none)
    units = units.with_columns(
        gpu_reserved_ms=pl.when(of_gpu).then(HOUR_MS).otherwise(0),
        tokens_prompt=pl.when(pl.col(METER).is_in(["tokens_in", "tokens_cached"])).then(TOKENS_PRICED).otherwise(0),
        **{
            name: pl.when(pl.col(METER) == name).then(TOKENS_PRICED).otherwise(0)
            for name in ("tokens_cached", "tokens_out", "tokens_audio")
        },
    )
    return pricing.priced(units.drop("used_nusd", "reserved_nusd", strict=False))["reserved_nusd"]


def _of_meter(uses: pl.DataFrame, meter: Resource, pricing: Pricing) -> pl.DataFrame:
    is_hosted = pl.col("purchase") == HOSTED
    rows = uses.filter(~is_hosted if meter == "gpu_hour" else is_hosted)
    about = _OF_METER[meter]
    alone = rows.with_columns(**{name: about.get(name, pl.lit(0, pl.Int64)) for name in COSTS.measure_names})
    return (
        pricing.priced(alone)
        .with_columns(
            pl.lit(meter).alias(METER),
            _QUANTITY[meter].alias("quantity"),
            _uncosted(meter).alias("uncosted"),
        )
        .filter((pl.col("quantity") > 0) | (pl.col("used_nusd") > 0))
        .drop(*COSTS.measure_names, "uncosted_gpu_ms", "uncosted_tokens")
    )


def _uncosted(meter: Resource) -> pl.Expr:
    """Of GPU time only what was paid for: what turns used of it is told in other rows."""
    if meter != "gpu_hour":
        return pl.col("uncosted_tokens")
    return pl.when(pl.col("uncosted_gpu_ms") > 0).then("gpu_reserved_ms").otherwise(0).cast(pl.Int64)
