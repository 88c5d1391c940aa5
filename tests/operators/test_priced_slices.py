"""Slices that are remembered cost what slices cost that are cut up and priced anew, and are cut up once."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import polars as pl
import pytest

from schemas.families import COSTS
from schemas.spend import BUCKET_MS
from stream_jobs.operators.cost import priced_slices
from stream_jobs.operators.cost.priced_slices import DIMENSIONS, PRICE_TIMES_MAX, PricedSlices, finest
from stream_jobs.operators.cost.pricing import BUCKET, Pricing
from tests.operators.family_worlds import START_MS
from tests.operators.test_pricing_watch import SLICE, price_list
from turnwatch.bench.fuzz.specimens import dimension_values

MODEL, GPU = dimension_values("model_version")[0], dimension_values("gpu_type")[0]
TENANT = "pool=realtime,route={},model_version=m,gpu_type=h100,purchase=hosted,tenant=*"
HOSTED = f"region=,pool=realtime,route={{}},bundle=b,model_version={MODEL},gpu_type=none,purchase=hosted".replace(
    "region=", f"region={dimension_values('region')[0]}"
)
RESERVED = f"region={dimension_values('region')[0]},pool=p,route={{}},bundle=b,model_version=m,gpu_type={GPU},purchase=reserved"
TEXTS = [form.format(route) for form in (SLICE, TENANT, HOSTED, RESERVED, "pool=realtime,route={}") for route in "cab"]


def totals(texts: Sequence[str], buckets: Sequence[int], dice: Random) -> pl.DataFrame:
    """Every slice in every bucket, in any order."""
    rows = [
        {BUCKET: START_MS + place * BUCKET_MS, "slice": text}
        | {name: dice.randrange(10**6) for name in COSTS.measure_names}
        | {"version": 1}
        for place in buckets
        for text in texts
    ]
    return pl.DataFrame(dice.sample(rows, len(rows)))


def anew(told: pl.DataFrame) -> pl.DataFrame:
    return Pricing(price_list()).priced(finest(told))


@pytest.mark.parametrize("remembered_max", [1, 100])
def test_what_is_remembered_is_priced_as_what_is_heard_of_for_the_first_time(remembered_max: int) -> None:
    dice, slices = Random(7), PricedSlices(Pricing(price_list()), remembered_max)
    most = remembered_max
    for _ in range(8):
        told = totals(dice.sample(TEXTS, dice.randrange(1, len(TEXTS))), dice.sample(range(8), 3), dice)
        found, expected = pl.DataFrame(pl.from_arrow(slices.priced(told))), anew(told)
        key = [BUCKET, "slice"]
        assert found.select(expected.columns).sort(key).equals(expected.sort(key))
        for _, bucket in found.group_by("cut", BUCKET):
            assert bucket.equals(bucket.sort(DIMENSIONS)), "cells are in order, as they are said"
        most = max(most, told["slice"].n_unique())
        assert 0 < slices.remembered <= most


def test_a_slice_is_cut_up_once_and_its_prices_are_looked_up_once_until_one_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dice, cut, asked = Random(7), [0], [0]
    pricing = Pricing(price_list())
    slices = PricedSlices(pricing)
    slices.priced(totals(TEXTS, [0], dice))
    whole, looked_up = finest, pricing.with_prices

    def counted(told: pl.DataFrame) -> pl.DataFrame:
        cut[0] += len(told)
        return whole(told)

    def counted_prices(uses: pl.DataFrame) -> pl.DataFrame:
        asked[0] += 1
        return looked_up(uses)

    monkeypatch.setattr(priced_slices, "finest", counted)
    monkeypatch.setattr(pricing, "with_prices", counted_prices)
    for place in (0, 1, 1):
        slices.priced(totals(TEXTS, [place], dice))
    assert (cut, asked) == ([0], [0]), "neither wider cuts nor other buckets need it"
    slices.priced(totals(TEXTS[:3], [1, 3, 6], dice))
    assert (cut, asked) == ([0], [2]), "a price changed twice"
    assert len(slices._at) <= PRICE_TIMES_MAX
    slices.priced(totals([*TEXTS, SLICE.format("new")], [0], dice))
    assert cut == [1]


def test_nothing_is_priced_of_nothing() -> None:
    told = totals(TEXTS[:1], [0], Random(7)).clear()
    assert PricedSlices(Pricing(price_list())).priced(told).num_rows == 0
