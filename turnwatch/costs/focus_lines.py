"""The bill as lines of FOCUS 1.2: one per day, capacity and meter, what was paid for, at the price of that day.

BilledCost, EffectiveCost and ContractedCost are the cost by the price list, and so is ListCost, since a price list tells what
is paid and no list prices. They are sums of rows that were each rounded to a nano-dollar, so PricingQuantity ×
ContractedUnitPrice is as far from them as that rounding. What has no price is no line: FOCUS knows no charge without one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from schemas.focus import FOCUS_NAMES
from schemas.instants import DAY_MS, HOUR_MS
from schemas.prices import HOSTED, TOKENS_PRICED, Price, Resource
from stream_jobs.operators.cost.metering import METER, metered, unit_prices_nusd
from stream_jobs.operators.cost.pricing import BUCKET, Pricing
from stream_jobs.operators.cost.showback import OPERATIONAL, by_day
from turnwatch.costs.cost_rows import Costs
from turnwatch.costs.money import CURRENCY, decimal_of, dollars_of

LINE = (*(name for name in OPERATIONAL.dimensions if name != "route"), METER)
"""What a line is of: replicas are told of no route."""
_QUANTITY_DIGITS = 12
_PICO_PER_MS = 10**_QUANTITY_DIGITS / HOUR_MS
_INSTANT = "%Y-%m-%dT%H:%M:%SZ"
_METERS: dict[Resource, str] = {
    "gpu_hour": "GPU time",
    "tokens_in": "Input tokens",
    "tokens_cached": "Cached input tokens",
    "tokens_out": "Output tokens",
    "tokens_audio": "Audio tokens",
}


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who bills whom: the provider's name and the account's identifier."""

    provider: str
    account: str


def metered_days(costs: Costs, pricing: Pricing) -> Iterator[pl.DataFrame]:
    """What every meter counted and cost, by day and `LINE`; a stretch of rows at a time."""
    for each in costs.stretches:
        yield by_day(metered(each.operational, pricing), LINE)


def focus_lines(days: pl.DataFrame, pricing: Pricing, issuer: Issuer, from_ms: int, to_ms: int) -> pl.DataFrame:
    """The lines, as text in the columns of `FOCUS_NAMES`, null where there is nothing to say."""
    priced = days.filter((pl.col("quantity") > pl.col("uncosted")) | (pl.col("used_nusd") > 0))
    units = unit_prices_nusd(priced, pricing).alias("unit_nusd")
    return priced.with_columns(units).sort(BUCKET, *LINE).select(**_columns(issuer, from_ms, to_ms)).select(FOCUS_NAMES)


def sku() -> pl.Expr:
    """What is sold, whatever the terms: `gpu_hour/h100`, `tokens_out/hosted-large-3`."""
    of = pl.when(_is_gpu()).then(pl.col("gpu_type")).otherwise("model_version")
    return pl.concat_str([pl.col(METER), of], separator="/")


def sku_price() -> pl.Expr:
    """What has a price: the same with its purchase, `gpu_hour/h100/reserved`; its region stands beside it."""
    return pl.concat_str([sku(), pl.col("purchase")], separator="/")


def priced_sku(price: Price) -> str:
    """The same of an entry of a price list."""
    return "/".join((price.resource, price.gpu_type or price.model_version or "", price.purchase or HOSTED))


def _is_gpu() -> pl.Expr:
    return pl.col(METER) == "gpu_hour"


def _columns(issuer: Issuer, from_ms: int, to_ms: int) -> dict[str, pl.Expr]:
    cost = dollars_of(pl.col("reserved_nusd"))
    nothing = pl.lit(None, pl.String)
    return {
        **dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), cost),
        "x_UsedCost": dollars_of(pl.col("used_nusd")),
        "ContractedUnitPrice": dollars_of(pl.col("unit_nusd")),
        "BillingCurrency": pl.lit(CURRENCY),
        "BillingAccountId": pl.lit(issuer.account),
        **dict.fromkeys(("InvoiceIssuerName", "ProviderName", "PublisherName"), pl.lit(issuer.provider)),
        **dict.fromkeys(("BillingAccountName", "ChargeClass", "InvoiceId"), nothing),
        **_periods(from_ms, to_ms),
        **_quantities(),
        **_service(),
        "RegionId": pl.col("region"),
        "RegionName": pl.col("region"),
        "x_Bundle": pl.col("bundle"),
        "x_GpuType": pl.when(pl.col("gpu_type") != "").then("gpu_type"),
        "x_ModelVersion": pl.when(pl.col("model_version") != "").then("model_version"),
        "x_Pool": pl.col("pool"),
        "x_Purchase": pl.col("purchase"),
    }


def _periods(from_ms: int, to_ms: int) -> dict[str, pl.Expr]:
    """The day of a line as far as it was asked about, and its month."""
    month = pl.from_epoch(BUCKET, time_unit="ms").dt.truncate("1mo")
    return {
        "BillingPeriodStart": month.dt.strftime(_INSTANT),
        "BillingPeriodEnd": month.dt.offset_by("1mo").dt.strftime(_INSTANT),
        "ChargePeriodStart": _written(pl.max_horizontal(pl.col(BUCKET), pl.lit(from_ms))),
        "ChargePeriodEnd": _written(pl.min_horizontal(pl.col(BUCKET) + DAY_MS, pl.lit(to_ms))),
    }


def _written(at_ms: pl.Expr) -> pl.Expr:
    return pl.from_epoch(at_ms, time_unit="ms").dt.strftime(_INSTANT)


def _quantities() -> dict[str, pl.Expr]:
    """GPU hours to the twelfth decimal and seconds exactly; millions of tokens and tokens, both exactly."""
    quantity = pl.col("quantity")
    hours = decimal_of((quantity.cast(pl.Float64) * _PICO_PER_MS).round().cast(pl.Int64), _QUANTITY_DIGITS)
    return {
        "PricingQuantity": pl.when(_is_gpu()).then(hours).otherwise(decimal_of(quantity, 6)),
        "PricingUnit": pl.when(_is_gpu()).then(pl.lit("GPU-Hours")).otherwise(pl.lit(f"{TOKENS_PRICED} Tokens")),
        "ConsumedQuantity": pl.when(_is_gpu()).then(decimal_of(quantity, 3)).otherwise(quantity.cast(pl.String)),
        "ConsumedUnit": pl.when(_is_gpu()).then(pl.lit("GPU-Seconds")).otherwise(pl.lit("Tokens")),
    }


def _service() -> dict[str, pl.Expr]:
    meter = pl.col(METER).replace_strict(_METERS)
    agreed = pl.when(pl.col("purchase") == "owned").then(pl.lit("Other")).otherwise(pl.lit("Standard"))
    return {
        "ChargeCategory": pl.lit("Usage"),
        "ChargeFrequency": pl.lit("Usage-Based"),
        "ChargeDescription": pl.concat_str([meter, pl.lit(" of "), sku_price()]),
        "PricingCategory": pl.when(pl.col("purchase") == "spot").then(pl.lit("Dynamic")).otherwise(agreed),
        "ServiceCategory": pl.when(_is_gpu()).then(pl.lit("Compute")).otherwise(pl.lit("AI and Machine Learning")),
        "ServiceSubcategory": pl.when(_is_gpu()).then(pl.lit("Other (Compute)")).otherwise(pl.lit("Generative AI")),
        "ServiceName": pl.when(_is_gpu()).then(pl.lit("GPU capacity")).otherwise(pl.lit("Hosted models")),
        "SkuId": sku(),
        "SkuMeter": meter,
        "SkuPriceId": sku_price(),
    }
