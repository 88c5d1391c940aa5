"""Prices of their time and place: held to a loop over rows, and to what a bill would say."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.families import COSTS, COUNT_MAX
from schemas.instants import HOUR_MS
from schemas.prices import Price, PriceList, overlap
from stream_jobs.operators.cost.pricing import NANO, PRICED, UNCOSTED, Pricing

GPU: dict[str, Any] = {"gpu_type": "h100", "purchase": "on_demand"}


def uses(**told: Any) -> dict[str, Any]:
    dimensions = {
        "bucket_start_ms": 0,
        "region": "eu-west-1",
        "gpu_type": "h100",
        "purchase": "on_demand",
        "model_version": "",
    }
    return dimensions | dict.fromkeys(COSTS.measure_names, 0) | told


def priced(prices: list[Price], *rows: dict[str, Any]) -> list[dict[str, int]]:
    return (
        Pricing(PriceList("test", tuple(prices))).priced(pl.DataFrame(list(rows))).select(*PRICED, *UNCOSTED).to_dicts()
    )


def test_an_hour_of_a_gpu_costs_its_price_and_what_idles_is_reserved_only() -> None:
    (cost,) = priced(
        [Price("gpu_hour", Decimal("4.10"), 0, **GPU)], uses(gpu_used_ms=HOUR_MS // 4, gpu_reserved_ms=HOUR_MS)
    )
    assert cost == {
        "used_nusd": 1_025_000_000,
        "reserved_nusd": 4_100_000_000,
        "uncosted_gpu_ms": 0,
        "uncosted_tokens": 0,
    }


def test_no_figure_that_a_contract_takes_costs_more_than_can_be_counted() -> None:
    """A column that overflows would end a worker, and every one that is started after it."""
    dearest = [Price("gpu_hour", Decimal(1_000_000), 0, **GPU)]
    (cost,) = priced(dearest, uses(gpu_used_ms=COUNT_MAX, gpu_reserved_ms=COUNT_MAX))
    assert cost["used_nusd"] == cost["reserved_nusd"] == 2**60


def test_what_has_no_price_is_uncosted_and_costs_nothing() -> None:
    prices = [Price("gpu_hour", Decimal(4), 0, **GPU), Price("tokens_out", Decimal(3), 0, model_version="m")]
    unknown = uses(gpu_type="l4", gpu_used_ms=5, gpu_reserved_ms=9)
    hosted = uses(purchase="hosted", model_version="m", gpu_type="", tokens_prompt=70, tokens_out=2_000_000)
    assert priced(prices, unknown, hosted) == [
        {"used_nusd": 0, "reserved_nusd": 0, "uncosted_gpu_ms": 9, "uncosted_tokens": 0},
        {"used_nusd": 6 * NANO, "reserved_nusd": 6 * NANO, "uncosted_gpu_ms": 0, "uncosted_tokens": 70},
    ]


def test_cached_tokens_have_their_own_price_and_are_no_input_besides() -> None:
    prices = [
        Price("tokens_in", Decimal(2), 0, model_version="m"),
        Price("tokens_cached", Decimal("0.5"), 0, model_version="m"),
    ]
    told = uses(
        purchase="hosted",
        model_version="m",
        tokens_prompt=600_000,
        tokens_carried=300_000,
        tokens_retrieved=100_000,
        tokens_cached=400_000,
    )
    assert priced(prices, told)[0]["used_nusd"] == 1_400_000_000


@pytest.mark.parametrize(("at_ms", "usd"), [(999, None), (1_000, 4), (1_999, 4), (2_000, 5), (3_000, None)])
def test_a_price_holds_from_its_instant_until_the_other_which_is_excluded(at_ms: int, usd: int | None) -> None:
    prices = [Price("gpu_hour", Decimal(5), 2_000, 3_000, **GPU), Price("gpu_hour", Decimal(4), 1_000, 2_000, **GPU)]
    (cost,) = priced(prices, uses(bucket_start_ms=at_ms, gpu_reserved_ms=HOUR_MS))
    assert cost["reserved_nusd"] == (usd or 0) * NANO
    assert (cost["uncosted_gpu_ms"] > 0) == (usd is None)


def test_a_regions_own_price_goes_before_one_for_every_region() -> None:
    prices = [Price("gpu_hour", Decimal(4), 0, **GPU), Price("gpu_hour", Decimal(7), 0, region="eu-west-1", **GPU)]
    told = [uses(gpu_reserved_ms=HOUR_MS), uses(region="us-east-1", gpu_reserved_ms=HOUR_MS)]
    assert [cost["reserved_nusd"] for cost in priced(prices, *told)] == [7 * NANO, 4 * NANO]


@given(seed=st.integers(0, 2**32))
def test_columns_are_priced_as_a_loop_over_rows_would(seed: int) -> None:
    rng = np.random.default_rng(seed)
    prices = [
        Price("gpu_hour", Decimal(int(rng.integers(1, 9))), start, start + 500, region, gpu, "on_demand")
        for start in range(0, 3_000, 500)
        for region in (None, "eu-west-1")
        for gpu in ("h100", "l4")
        if rng.random() < 0.7
    ]
    rows = [
        uses(
            bucket_start_ms=int(rng.integers(0, 3_500)), region=str(rng.choice(["eu-west-1", "us-east-1"])),
            gpu_type=str(rng.choice(["h100", "l4", "a10"])), gpu_reserved_ms=int(rng.integers(0, 10**9)),
        )
        for _ in range(20)
    ]  # fmt: skip
    for row, cost in zip(rows, priced(prices, *rows), strict=True):
        usd = _price(prices, row)
        expected = 0 if usd is None else round(row["gpu_reserved_ms"] * float(usd) * (NANO / HOUR_MS))
        assert cost["reserved_nusd"] == pytest.approx(expected, abs=1)
        assert cost["uncosted_gpu_ms"] == (row["gpu_reserved_ms"] if usd is None else 0)


def _price(prices: list[Price], row: dict[str, Any]) -> Decimal | None:
    holding = [
        price
        for price in prices
        if price.gpu_type == row["gpu_type"] and price.from_ms <= row["bucket_start_ms"] < (price.until_ms or 10**15)
    ]
    own = [price for price in holding if price.region == row["region"]]
    everywhere = [price for price in holding if price.region is None]
    return (own or everywhere)[0].usd if own or everywhere else None


def test_two_prices_for_one_moment_are_found_whatever_their_order() -> None:
    early, late = Price("gpu_hour", Decimal(4), 0, 2_000, **GPU), Price("gpu_hour", Decimal(4), 1_999, **GPU)
    assert overlap((late, early)) == (early, late)
    assert overlap((early, Price("gpu_hour", Decimal(4), 2_000, **GPU))) is None
    assert overlap((early, Price("gpu_hour", Decimal(4), 1_000, region="eu-west-1", **GPU))) is None
