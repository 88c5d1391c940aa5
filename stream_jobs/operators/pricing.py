"""Pricing: what uses cost, bucket by bucket, at the prices of their time.

Money is whole nano-dollars: each row is rounded once, and sums of rows are exact, so that showback sums to the bill. A price
counts for buckets that begin while it holds. A region's own price goes before one for every region.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from schemas.prices import HOSTED, PRICED, TOKENS_PRICED, UNCOSTED, Price, PriceList, Resource

__all__ = ["PRICED", "UNCOSTED", "Pricing"]

NANO = 10**9
HOUR_MS = 3_600_000
BUCKET = "bucket_start_ms"


@dataclass(frozen=True, slots=True)
class _Use:
    """What is paid for by one price: how much of it a row has, in how many units the price is."""

    resource: Resource
    amount: pl.Expr
    unit: int


_PROMPT = pl.col("tokens_prompt") + pl.col("tokens_carried") + pl.col("tokens_retrieved")
_CACHED = pl.min_horizontal(pl.col("tokens_cached"), _PROMPT)
_TOKENS = (
    _Use("tokens_in", _PROMPT - _CACHED, TOKENS_PRICED),
    _Use("tokens_cached", _CACHED, TOKENS_PRICED),
    _Use("tokens_out", pl.col("tokens_out"), TOKENS_PRICED),
    _Use("tokens_audio", pl.col("tokens_audio"), TOKENS_PRICED),
)


class Pricing:
    """A price list, laid out to be joined with columns of uses."""

    def __init__(self, prices: PriceList) -> None:
        resources: tuple[Resource, ...] = ("gpu_hour", *(use.resource for use in _TOKENS))
        self._prices = {
            resource: (
                _laid_out([price for price in prices.prices if price.resource == resource and price.region]),
                _laid_out([price for price in prices.prices if price.resource == resource and not price.region]),
            )
            for resource in resources
        }

    def priced(self, uses: pl.DataFrame) -> pl.DataFrame:
        """`uses` with the columns of `PRICED` and `UNCOSTED`.

        Columns: bucket_start_ms, region, gpu_type, purchase, model_version and the measures of family `costs`; a dimension
        that is not told is empty, and has no price but one for everything.
        """
        is_hosted = pl.col("purchase") == HOSTED
        rows = self._with_price(uses, "gpu_hour", ["gpu_type", "purchase"])
        per_ms = pl.col("gpu_hour_usd") * (NANO / HOUR_MS)
        has_price = pl.col("gpu_hour_usd").is_not_null()
        rows = rows.with_columns(
            used_nusd=_money(pl.when(~is_hosted).then(pl.col("gpu_used_ms") * per_ms)),
            reserved_nusd=_money(pl.when(~is_hosted).then(pl.col("gpu_reserved_ms") * per_ms)),
            uncosted_gpu_ms=pl.when(is_hosted | has_price)
            .then(0)
            .otherwise(pl.max_horizontal("gpu_reserved_ms", "gpu_used_ms"))
            .cast(pl.Int64),
            uncosted_tokens=pl.lit(0, pl.Int64),
        ).drop("gpu_hour_usd")
        for use in _TOKENS:
            rows = self._with_tokens(rows, use, is_hosted)
        return rows

    def _with_tokens(self, rows: pl.DataFrame, use: _Use, is_hosted: pl.Expr) -> pl.DataFrame:
        usd = pl.col(f"{use.resource}_usd")
        amount = pl.when(is_hosted).then(use.amount).otherwise(0)
        cost = _money(amount * usd * (NANO / use.unit))
        without = pl.when(usd.is_null()).then(amount).otherwise(0)
        return (
            self._with_price(rows, use.resource, ["model_version"])
            .with_columns(
                pl.col("used_nusd") + cost,
                pl.col("reserved_nusd") + cost,
                pl.col("uncosted_tokens") + without,
            )
            .drop(f"{use.resource}_usd")
        )

    def _with_price(self, rows: pl.DataFrame, resource: Resource, of: list[str]) -> pl.DataFrame:
        """`rows` with the price of their time in `<resource>_usd`, null where there is none."""
        of_region, of_all = self._prices[resource]
        numbered = rows.with_row_index("_row").sort(BUCKET)
        nearest = _joined(_joined(numbered, of_region, [*of, "region"], "_own"), of_all, of, "_any")
        return (
            nearest.sort("_row")
            .with_columns(pl.coalesce("_own", "_any").alias(f"{resource}_usd"))
            .drop("_row", "_own", "_any")
        )


def _joined(rows: pl.DataFrame, prices: pl.DataFrame, by: list[str], name: str) -> pl.DataFrame:
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
    return nano.fill_null(0.0).round().cast(pl.Int64)
