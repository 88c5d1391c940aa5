"""Pricing: what uses cost, bucket by bucket, at the prices of their time.

Money is whole nano-dollars: each row is rounded once, and sums of rows are exact, so that showback sums to the bill. A price
counts for buckets that begin while it holds. A region's own price goes before one for every region.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.prices import HOSTED, NANO_PER_USD, PRICED, RESOURCES, UNCOSTED, Price, PriceList, Resource
from stream_jobs.operators.cost.price_arithmetic import USED, money

__all__ = ["CACHED", "PRICED", "PROMPT", "UNCOSTED", "Pricing"]

NANO = NANO_PER_USD
BUCKET = "bucket_start_ms"
_WHAT = (BUCKET, "region", "gpu_type", "purchase", "model_version")
"""What decides on a price."""
PRICES: dict[Resource, str] = {resource: f"{resource}_usd" for resource in RESOURCES}
"""The column of each price."""

PROMPT = pl.col("tokens_prompt") + pl.col("tokens_carried") + pl.col("tokens_retrieved")
CACHED = pl.min_horizontal(pl.col("tokens_cached"), PROMPT)
"""Tokens that go into a model, and those of them that its cache had: never more than went in."""


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
        rows = self.with_prices(uses)
        used = {name: rows[name].cast(pl.Int64).to_numpy() for name in USED}
        costs = money(used, is_hosted(rows), usd_of(rows))
        return rows.drop(PRICES.values()).with_columns(**{name: pl.Series(values) for name, values in costs.items()})

    def with_prices(self, uses: pl.DataFrame) -> pl.DataFrame:
        """`uses` with the columns of `PRICES`: in dollars, null where there is none. Nothing is asked of measures."""
        prices = self._prices_of(uses.select(_WHAT).unique())
        return uses.join(prices, on=_WHAT, how="left", maintain_order="left")

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


def is_hosted(rows: pl.DataFrame) -> NDArray[np.bool_]:
    """Whether each row is paid for by the token."""
    return (rows["purchase"] == HOSTED).to_numpy()


def usd_of(rows: pl.DataFrame) -> dict[Resource, NDArray[np.float64]]:
    """The columns of `PRICES` as arrays, NaN where there is none."""
    return {resource: rows[name].to_numpy() for resource, name in PRICES.items()}


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
