"""The bill out of ClickHouse: what was told again counts once, what came late counts too, and days are read one by one."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from clickhouse_connect.driver.client import Client
from typer.testing import CliRunner

from schemas.families import COSTS
from schemas.tables import TABLES, late_table
from schemas.warehouse import ClickHouseAddress
from stream_jobs.operators.cost.pricing import Pricing
from tests.cli.cost_exports import price_file
from tests.operators.cost_worlds import DAY_MS, PRICES, operational, reserved, tenancy, uses
from turnwatch.cli import app
from turnwatch.costs.bill import billed
from turnwatch.costs.cost_rows import CostRows, Costs, stored

IN_TIME, LATE = TABLES["costs_10m"], TABLES[late_table(COSTS)]
FIRST_MS = (int(time.time() * 1_000) // DAY_MS - 10) * DAY_MS
"""Recent enough for the table's retention."""


def cells(told: pl.DataFrame) -> CostRows:
    moved = told.with_columns(pl.col("bucket_start_ms") + FIRST_MS)
    return CostRows(operational(moved), tenancy(moved))


def insert(client: Client, name: str, rows: CostRows, **others: Any) -> None:
    """Both finest cuts, each row of its slice, as the table `name` has them."""
    for each, partition in zip((rows.operational, rows.tenancy), COSTS.partitions, strict=True):
        text = pl.format(",".join(f"{name}={{}}" for name in partition.dimensions), *partition.dimensions)
        told = each.with_columns(
            cut=pl.lit(",".join(partition.dimensions)),
            slice=text,
            bucket_start=pl.from_epoch("bucket_start_ms", time_unit="ms").dt.replace_time_zone("UTC"),
            **{name: pl.lit(value) for name, value in others.items()},
        )
        missing = [name for name in TABLES[name].column_names if name not in told.columns]
        full = told.with_columns(pl.lit("").alias(name) for name in missing)
        table = full.select(TABLES[name].column_names).to_arrow().cast(TABLES[name].arrow_schema)
        client.insert_arrow(name, table)


def test_the_bill_is_of_all_that_was_told_once(client: Client, address: ClickHouseAddress) -> None:
    in_time = pl.concat([uses(3, 200), reserved(3)], how="diagonal")
    late = uses(4, 60)
    insert(client, IN_TIME.name, cells(uses(5, 50)), version=1)
    before = cells(pl.concat([in_time, uses(5, 50)], how="diagonal"))
    insert(client, IN_TIME.name, before, version=2)
    origin = {"origin_topic": "aggregates.costs", "origin_partition": 0, "origin_offset": 7}
    for _ in range(2):
        insert(client, LATE.name, cells(late), version=1, **origin)
    everything = cells(pl.concat([in_time, uses(5, 50), late], how="diagonal"))
    end_ms = FIRST_MS + 2 * DAY_MS
    expected = billed(Costs(FIRST_MS, end_ms, iter([everything])), "tenant", Pricing(PRICES))
    found = billed(stored(address, FIRST_MS, end_ms, with_tenants=True), "tenant", Pricing(PRICES))
    assert found.rows.equals(expected.rows) and found.total.equals(expected.total)
    with_a_day_of_nothing = stored(address, FIRST_MS - DAY_MS, end_ms, with_tenants=True)
    assert billed(with_a_day_of_nothing, "tenant", Pricing(PRICES)).rows.equals(expected.rows)
    first_day = billed(stored(address, FIRST_MS, FIRST_MS + DAY_MS), "pool", Pricing(PRICES))
    assert 0 < first_day.total["reserved_nusd"].item() < found.total["reserved_nusd"].item()


def test_what_is_exported_of_clickhouse_is_reconciled_with_it(
    client: Client, address: ClickHouseAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = pl.concat([uses(3, 100), reserved(3)], how="diagonal").filter(pl.col("gpu_type") == "h100")
    insert(client, IN_TIME.name, cells(told), version=1)
    monkeypatch.setenv("TURNWATCH_CLICKHOUSE__URL", address.url)
    monkeypatch.setenv("TURNWATCH_PRICES", str(price_file(tmp_path / "prices.yaml")))
    invoice = tmp_path / "focus.csv"
    exported = CliRunner().invoke(app, ["cost", "export", "--data", "12d", "--out", str(invoice)])
    assert exported.exit_code == 0, exported.output
    ended = CliRunner().invoke(app, ["cost", "reconcile", str(invoice), "--tolerance", "0", "--format", "json"])
    assert ended.exit_code == 0, ended.output
    answer = json.loads(ended.stdout)
    assert answer["prices"] == "contract" and float(answer["total"]["ours_usd"]) > 100
