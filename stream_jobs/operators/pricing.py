"""Pricing: what uses cost, bucket by bucket, at the prices of their time.

Money is whole nano-dollars: each row is rounded once, and sums of rows are exact, so that showback sums to the bill. A price
counts for buckets that begin while it holds. A region's own price goes before one for every region.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from schemas.prices import (
    HOSTED,
    NANO_PER_USD,
    PRICED,
    RESOURCES,
    TOKENS_PRICED,
    UNCOSTED,
    Price,
    PriceList,
    Resource,
)

__all__ = ["CACHED", "PRICED", "PROMPT", "UNCOSTED", "Pricing"]

NANO = NANO_PER_USD
HOUR_MS = 3_600_000
BUCKET = "bucket_start_ms"
_COST_MAX = 2.0**60
_WHAT = (BUCKET, "region", "gpu_type", "purchase", "model_version")
"""What decides on a price."""
PRICES = tuple(f"{resource}_usd" for resource in RESOURCES)
_IS_HOSTED = pl.col("purchase") == HOSTED


@dataclass(frozen=True, slots=True)
class _Use:
    """What is paid for by one price: how much of it a row has, in how many units the price is."""

    resource: Resource
    amount: pl.Expr
    unit: int


PROMPT = pl.col("tokens_prompt") + pl.col("tokens_carried") + pl.col("tokens_retrieved")
CACHED = pl.min_horizontal(pl.col("tokens_cached"), PROMPT)
"""Tokens that go into a model, and those of them that its cache had: never more than went in."""
_TOKENS = (
    _Use("tokens_in", PROMPT - CACHED, TOKENS_PRICED),
    _Use("tokens_cached", CACHED, TOKENS_PRICED),
    _Use("tokens_out", pl.col("tokens_out"), TOKENS_PRICED),
    _Use("tokens_audio", pl.col("tokens_audio"), TOKENS_PRICED),
)


class Pricing:
    """A price list, laid out to be joined with columns of uses.

    `changes_ms`: the instants at which a price begins or ends, in order. Between two of them prices stay as they are.
    """

    def __init__(self, prices: PriceList) -> None:
        self._prices = {
            resource: (
                _laid_out([price for price in prices.prices if price.resource == resource and price.region]),
                _laid_out([price for price in prices.prices if price.resource == resource and not price.region]),
            )
            for resource in RESOURCES
        }
        ends = {price.until_ms for price in prices.prices if price.until_ms is not None}
        self.changes_ms = sorted(ends | {price.from_ms for price in prices.prices})

    def priced(self, uses: pl.DataFrame) -> pl.DataFrame:
        """`uses` with the columns of `PRICED` and `UNCOSTED`.

        Columns: bucket_start_ms, region, gpu_type, purchase, model_version and the measures of family `costs`; a dimension
        that is not told is empty, and has no price but one for everything.
        """
        return self.at_prices(self.with_prices(uses))

    def with_prices(self, uses: pl.DataFrame) -> pl.DataFrame:
        """`uses` with the columns `PRICES`: in dollars, null where there is none. Nothing is asked of measures."""
        prices = self._prices_of(uses.select(_WHAT).unique())
        return uses.join(prices, on=_WHAT, how="left", maintain_order="left")

    def at_prices(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`priced` of rows that have `PRICES` already; these columns are gone then."""
        costs = [_money(_amount(use) * _usd(use.resource) * (NANO / use.unit)) for use in _TOKENS]
        without = [pl.when(_usd(use.resource).is_null()).then(_amount(use)).otherwise(0) for use in _TOKENS]
        return rows.with_columns(
            used_nusd=_of_gpus("gpu_used_ms") + pl.sum_horizontal(costs),
            reserved_nusd=_of_gpus("gpu_reserved_ms") + pl.sum_horizontal(costs),
            uncosted_gpu_ms=pl.when(_IS_HOSTED | _usd("gpu_hour").is_not_null())
            .then(0)
            .otherwise(pl.max_horizontal("gpu_reserved_ms", "gpu_used_ms"))
            .cast(pl.Int64),
            uncosted_tokens=pl.sum_horizontal(without).cast(pl.Int64),
        ).drop(PRICES)

    def _prices_of(self, what: pl.DataFrame) -> pl.DataFrame:
        """The prices of what is bought somewhere at some time: far fewer than there are rows that buy it."""
        for resource in RESOURCES:
            of = ["gpu_type", "purchase"] if resource == "gpu_hour" else ["model_version"]
            what = self._with_price(what, resource, of)
        return what

    def _with_price(self, rows: pl.DataFrame, resource: Resource, of: list[str]) -> pl.DataFrame:
        """`rows` with the price of their time in `<resource>_usd`, null where there is none."""
        of_region, of_all = self._prices[resource]
        nearest = _joined(_joined(rows.sort(BUCKET), of_region, [*of, "region"], "_own"), of_all, of, "_any")
        return nearest.with_columns(pl.coalesce("_own", "_any").alias(f"{resource}_usd")).drop("_own", "_any")


def _usd(resource: Resource) -> pl.Expr:
    return pl.col(f"{resource}_usd")


def _amount(use: _Use) -> pl.Expr:
    return pl.when(_IS_HOSTED).then(use.amount).otherwise(0)


def _of_gpus(measure: str) -> pl.Expr:
    return _money(pl.when(~_IS_HOSTED).then(pl.col(measure) * _usd("gpu_hour") * (NANO / HOUR_MS)))


def _joined(rows: pl.DataFrame, prices: pl.DataFrame, by: list[str], name: str) -> pl.DataFrame:
    if prices.is_empty():
        return rows.with_columns(pl.lit(None, pl.Float64).alias(name))
    wanted = prices.select("from_ms", "until_ms", pl.col("usd").alias(name), *by)
    found = rows.join_asof(
        wanted, left_on=BUCKET, right_on="from_ms", by=by, strategy="backward", check_sortedness=False
    )
    holds = pl.col("until_ms").is_null() | (pl.col(BUCKET) < pl.col("until_ms"))
    return found.with_columns(pl.when(holds).then(pl.col(name)).alias(name)).drop("from_ms", "until_ms", strict=False)


def _laid_out(prices: Sequence[Price]) -> pl.DataFrame:
    columns = {
        "from_ms": [price.from_ms for price in prices],
        "until_ms": [price.until_ms for price in prices],
        "usd": [float(price.usd) for price in prices],
        "region": [price.region or "" for price in prices],
        "gpu_type": [price.gpu_type or "" for price in prices],
        "purchase": [price.purchase or "" for price in prices],
        "model_version": [price.model_version or "" for price in prices],
    }
    types = {"from_ms": pl.Int64, "until_ms": pl.Int64, "usd": pl.Float64}
    return pl.DataFrame(columns, schema={name: types.get(name, pl.String) for name in columns}).sort("from_ms")


def _money(nano: pl.Expr) -> pl.Expr:
    """Whole nano-dollars; nothing in a bucket costs a billion dollars, whatever a price list or a frame says."""
    return nano.fill_null(0.0).clip(upper_bound=_COST_MAX).round().cast(pl.Int64)
