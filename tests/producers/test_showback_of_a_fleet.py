"""The bill of a simulated fleet, told through the privacy gate: it sums, and nobody is billed more use than it had."""

from __future__ import annotations

from decimal import Decimal

import polars as pl

from producers.collector import Collector
from producers.fleet.engine import simulate_fleet
from schemas.dimensions import GENERALISED
from schemas.families import COSTS
from schemas.prices import Price, PriceList
from stream_jobs.operators.cost.pricing import Pricing
from stream_jobs.operators.cost.showback import TENANT, UNATTRIBUTED
from tests.producers.fleets import START_MS, rows_of_kind, small, without_events
from tests.producers.worlds import rows_of
from turnwatch.costs.bill import billed
from turnwatch.costs.cost_rows import CostRows, Costs

MINUTES = 4
END_MS = START_MS + COSTS.partitions[0].k_window_s * 1_000


def test_nobody_is_billed_more_use_than_it_had_and_what_the_gate_released_is_billed() -> None:
    scenario = without_events(small("cost_spike_45", calls=900))
    chunks = list(simulate_fleet(scenario, 5, START_MS, MINUTES * 60_000))
    observed = rows_of_kind(chunks, "costs")
    pricing = Pricing(
        PriceList(
            "of the fleet",
            tuple(
                Price("gpu_hour", Decimal(each.dollars_per_gpu_hour), 0, None, None, each.gpu_type, each.purchase)
                for each in scenario.fleet.models.values()
            ),
        )
    )
    collector = Collector("p-1", "us-east-1", 1, START_MS)
    collector.observe("costs", observed)
    frames = list(collector.flush(END_MS))
    told = CostRows(*(_cells(rows_of(frames, "costs", each.name), each.dimensions) for each in COSTS.partitions))

    bill = billed(Costs(START_MS, END_MS, iter([told])), "tenant", pricing)
    for name in ("used_nusd", "reserved_nusd", "turns", "successes"):
        assert bill.rows[name].sum() == bill.total[name].item() > 0, name

    truth = pricing.priced(observed.rename({"at_ms": "bucket_start_ms"}).with_columns(_square()))
    of_each = truth.group_by(TENANT).agg(pl.col("used_nusd").sum().alias("really"))
    named = bill.rows.filter(pl.col(TENANT) != UNATTRIBUTED).join(of_each, on=TENANT, how="left")
    assert named.height >= 5
    assert (named["used_nusd"] - named["really"]).max() <= 1_000, "but for rounding of its turns"  # type: ignore[operator]
    attributed = told.tenancy.filter(pl.col(TENANT) != GENERALISED)["gpu_used_ms"].sum()
    share = int(attributed) / int(told.tenancy["gpu_used_ms"].sum())
    of_bill = named["used_nusd"].sum() / bill.total["used_nusd"].item()
    assert of_bill > 0.1 and abs(share - of_bill) < 0.01, "what was released is billed, by the time it used"


def _cells(rows: pl.DataFrame, dimensions: tuple[str, ...]) -> pl.DataFrame:
    texts = rows.rename({"window_start_ms": "bucket_start_ms"}).with_columns(pl.col(dimensions).cast(pl.String))
    return texts.group_by("bucket_start_ms", *dimensions).agg(pl.col(COSTS.measure_names).sum().cast(pl.Int64))


def _square() -> pl.Expr:
    return pl.lit(0, pl.Int64).alias("gpu_used_ms_sumsq")
