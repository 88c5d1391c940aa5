"""Whose the bill is: it sums to the bill whatever was told of whom, and each share is the one that a loop finds."""

from __future__ import annotations

from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_jobs.operators.cost.metering import METER, metered, unit_prices_nusd
from stream_jobs.operators.cost.pricing import PRICED, Pricing
from stream_jobs.operators.cost.showback import (
    OPERATIONAL,
    TENANCY,
    TENANT,
    UNATTRIBUTED,
    apportioned,
    by_day,
    of_tenants,
    shared_out,
)
from tests.operators.cost_worlds import DAY_MS, PRICES, operational, reserved, tenancy, uses

PRICING = Pricing(PRICES)
ALICE, BOB = "t-00000000000000aa", "t-00000000000000bb"


def days(told: pl.DataFrame) -> pl.DataFrame:
    return by_day(PRICING.priced(operational(told)), OPERATIONAL.dimensions)


def told_of(told: pl.DataFrame, paid: pl.DataFrame) -> dict[str, dict[str, int]]:
    rows = of_tenants(shared_out(paid), by_day(tenancy(told), TENANCY.dimensions), PRICING)
    return {row.pop(TENANT): row for row in rows.to_dicts()}


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 300))
def test_tenants_and_unattributed_sum_to_the_bill(seed: int, count: int) -> None:
    told = pl.concat([uses(seed, count), reserved(seed)], how="diagonal")
    paid = days(told)
    of_each = told_of(told, paid)
    for name in (*PRICED, "turns", "successes", "success_audio_ms"):
        assert sum(row[name] for row in of_each.values()) == paid[name].sum(), name
        assert min(row[name] for row in of_each.values()) >= 0, name


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 300))
def test_sharing_out_moves_cost_between_routes_of_one_capacity_only(seed: int, count: int) -> None:
    paid = days(pl.concat([uses(seed, count), reserved(seed)], how="diagonal"))
    shared = shared_out(paid)
    capacity = ["bucket_start_ms", *(name for name in OPERATIONAL.dimensions if name != "route")]
    before, after = (each.group_by(capacity).agg(pl.col(PRICED).sum()).sort(capacity) for each in (paid, shared))
    assert before.equals(after)
    assert shared["reserved_nusd"].min() >= 0  # type: ignore[operator] # It is an integer.
    used = shared.group_by(capacity).agg(pl.col("used_nusd").sum())
    unused = shared.join(used.filter(pl.col("used_nusd") > 0), on=capacity, how="semi").filter(
        pl.col("route") == "shared"
    )
    assert unused["reserved_nusd"].sum() == 0, "capacity that somebody used is whole with who used it"


def one(**told: object) -> pl.DataFrame:
    """One use of a reserved H100 in eu-west-1, unless told otherwise."""
    row = uses(0, 1).with_columns(
        pl.lit(0, pl.Int64).alias("bucket_start_ms"),
        *(pl.lit(0, pl.Int64).alias(name) for name in ("tokens_prompt", "tokens_cached", "tokens_out", "tokens_audio")),
        region=pl.lit("eu-west-1"), pool=pl.lit("realtime"), route=pl.lit("support"), bundle=pl.lit("v1"),
        gpu_type=pl.lit("h100"), purchase=pl.lit("reserved"), model_version=pl.lit("llm-7"),
    )  # fmt: skip
    return row.with_columns(**{name: pl.lit(value, row.schema[name]) for name, value in told.items()})


def test_a_tenant_is_billed_its_share_of_the_use_and_of_what_idled() -> None:
    told = pl.concat(
        [
            one(tenant=ALICE, gpu_used_ms=900_000),
            one(tenant=BOB, gpu_used_ms=300_000, route="sales"),
            one(tenant="*", gpu_used_ms=600_000, route="sales"),
            one(tenant="*", turns=0, successes=0, gpu_used_ms=0, gpu_reserved_ms=3_600_000, route="shared"),
        ]
    )
    of_each = told_of(told, days(told))
    assert {name: (row["used_nusd"], row["reserved_nusd"]) for name, row in of_each.items()} == {
        ALICE: (650_000_000, 1_300_000_000),
        BOB: (216_666_667, 433_333_334),
        UNATTRIBUTED: (433_333_333, 866_666_666),
    }


def test_gpu_time_without_a_price_is_told_once_though_turns_and_replicas_tell_of_it() -> None:
    of_share = {"gpu_type": "a100-mig-1g", "purchase": "owned"}
    replica = one(tenant="*", turns=0, successes=0, gpu_used_ms=0, gpu_reserved_ms=5_000, route="shared", **of_share)
    used = one(gpu_used_ms=2_000, **of_share)
    for told, expected in (
        (pl.concat([used, replica]), {"support": 5_000, "shared": 0}),
        (replica, {"shared": 5_000}),
        (used, {"support": 2_000}),
    ):
        rows = shared_out(days(told))
        assert dict(zip(rows["route"], rows["uncosted_gpu_ms"], strict=True)) == expected
        assert rows["reserved_nusd"].sum() == 0


def test_a_tenant_pays_the_prices_of_the_regions_that_served_its_cell() -> None:
    """Which region served whom is not told: each tenant has the cell's own mix of regions."""
    told = pl.concat(
        [
            one(tenant=ALICE, gpu_used_ms=3_600_000),
            one(tenant=BOB, gpu_used_ms=3_600_000, region="ap-south-1"),
        ]
    )
    used = {name: row["used_nusd"] for name, row in told_of(told, days(told)).items()}
    assert used == {ALICE: 2_775_000_000, BOB: 2_775_000_000, UNATTRIBUTED: 0}


def test_what_the_gate_held_back_joins_a_later_bucket_of_its_day_and_is_attributed_all_the_same() -> None:
    paid = days(one(tenant=ALICE, gpu_used_ms=1_000))
    seen = one(tenant=ALICE, gpu_used_ms=1_000, bucket_start_ms=DAY_MS // 2)
    assert told_of(seen, paid)[UNATTRIBUTED]["used_nusd"] == 0
    a_day_later = told_of(one(tenant=ALICE, gpu_used_ms=1_000, bucket_start_ms=DAY_MS), paid)
    assert a_day_later[ALICE]["used_nusd"] == 0
    assert a_day_later[UNATTRIBUTED]["used_nusd"] == paid["used_nusd"].sum()


def test_more_told_of_tenants_than_of_the_cell_is_scaled_to_the_bill() -> None:
    paid = days(one(tenant=ALICE, gpu_used_ms=1_000_000))
    seen = pl.concat([one(tenant=ALICE, gpu_used_ms=900_000), one(tenant=BOB, gpu_used_ms=300_000)])
    used = {name: row["used_nusd"] for name, row in told_of(seen, paid).items()}
    assert used == {ALICE: 541_666_666, BOB: 180_555_556, UNATTRIBUTED: 0}


@pytest.mark.parametrize("seed", range(5))
def test_parts_are_within_one_of_their_share_and_sum_to_the_whole(seed: int) -> None:
    weights = uses(seed, 40)["gpu_used_ms"]
    rows = pl.DataFrame({"group": [0] * 40, "weight": weights, "whole": [1_000_003] * 40})
    parts = rows.select(apportioned(pl.col("whole"), pl.col("weight"), ["group"])).to_series()
    assert parts.sum() == 1_000_003
    exact = [Fraction(1_000_003 * weight, int(weights.sum())) for weight in weights]
    assert max(abs(part - share) for part, share in zip(parts, exact, strict=True)) <= 1


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_meters_add_up_to_the_rows_and_cost_what_their_units_cost(seed: int) -> None:
    rows = operational(pl.concat([uses(seed), reserved(seed)], how="diagonal"))
    whole, lines = PRICING.priced(rows), metered(rows, PRICING)
    assert [lines[name].sum() for name in PRICED] == [whole[name].sum() for name in PRICED]
    without = whole.filter(pl.col("uncosted_gpu_ms") > 0)["gpu_reserved_ms"].sum()
    assert lines["uncosted"].sum() == int(without) + int(whole["uncosted_tokens"].sum()) > 0
    per_unit = pl.when(pl.col(METER) == "gpu_hour").then(3_600_000).otherwise(1_000_000)
    costs = lines.with_columns(unit_prices_nusd(lines, PRICING).alias("unit_nusd")).with_columns(
        expected=(pl.col("quantity") * pl.col("unit_nusd") / per_unit).round().cast(pl.Int64)
    )
    assert (costs["expected"] - costs["reserved_nusd"]).abs().max() == 0
