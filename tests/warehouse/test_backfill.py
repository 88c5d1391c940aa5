"""Backfill: a new objective and a new cut over what ClickHouse has, the same however often it is run."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from schemas.failures import BadInput
from schemas.tables import TABLES
from schemas.warehouse import ClickHouseAddress
from tests.warehouse.rows import arrow_of, final_rows, rows_of
from tests.warehouse.test_budgets import DAY_MS, DAYS, SLO, World, drawn, insert
from turnwatch.backfill import backfill_cut, backfill_slo

SEED = 3


def nobody(done: int, of: int) -> None:
    assert 0 < done <= of


def rows_of_cut(address: ClickHouseAddress, table: str, cut: str) -> list[dict[str, Any]]:
    return [row for row in final_rows(address, table) if row["cut"] == cut]


def filled(world: World) -> Counter[tuple[int, str, str]]:
    """Turns by minute, region and bundle, read off the cells."""
    found: Counter[tuple[int, str, str]] = Counter()
    for minute, cells in world.cells["operational"].items():
        for cell, (_, total) in cells.items():
            found[minute, dict(cell)["region"], dict(cell)["bundle"]] += total
    return found


def test_a_new_cut_is_the_sum_of_a_finer_one(client: Client, address: ClickHouseAddress) -> None:
    world = replace(drawn(SEED), events=())
    insert(client, world)
    from_ms, to_ms = world.newest_ms - (DAYS + 1) * DAY_MS, world.newest_ms
    expected = filled(world)
    assert backfill_cut(client, "region,bundle", from_ms, to_ms, True, nobody) == len(expected)
    assert rows_of_cut(address, "burn_rate_1m", "region,bundle") == []
    assert backfill_cut(client, "region,bundle", from_ms, to_ms, False, nobody) == len(expected)
    rows = rows_of_cut(address, "burn_rate_1m", "region,bundle")
    found = {(int(row["bucket_start"].timestamp() * 1_000), row["region"], row["bundle"]): row["total"] for row in rows}
    assert found == expected
    assert {row["slice"] for row in rows} == {f"region={region},bundle={bundle}" for _, region, bundle in expected}
    assert {row["pool"] for row in rows} == {""}
    backfill_cut(client, "region,bundle", from_ms, to_ms, False, nobody)
    assert rows_of_cut(address, "burn_rate_1m", "region,bundle") == rows


def test_what_came_late_is_added_up_too(client: Client, address: ClickHouseAddress) -> None:
    table = TABLES["turns_late"]
    (one,) = rows_of(table, SEED, count=1)
    parts = [
        one | {"cut": "pool,region,bundle", "slice": f"pool=batch,region=eu-west-1,bundle={bundle}", "turns": turns}
        | {"pool": "batch", "region": "eu-west-1", "route": "", "bundle": bundle, "language": "", "device_class": ""}
        for bundle, turns in (("v1", 3), ("v2", 4))
    ]  # fmt: skip
    client.insert_arrow(table.name, arrow_of(table, parts))
    start_ms = int(one["bucket_start"].timestamp() * 1_000)
    with pytest.raises(BadInput, match="Nothing is stored of pool,region,bundle of turns"):
        backfill_cut(client, "region,bundle", start_ms - 2 * DAY_MS, start_ms - DAY_MS, False, nobody)
    assert backfill_cut(client, "region,bundle", start_ms, start_ms + DAY_MS, False, nobody) == 2
    told = rows_of_cut(address, table.name, "region,bundle")
    assert [(row["slice"], row["turns"], row["producer"]) for row in told] == [
        ("region=eu-west-1,bundle=v1", 3, one["producer"]),
        ("region=eu-west-1,bundle=v2", 4, one["producer"]),
    ]


def test_a_new_objective_has_its_windows_once(
    client: Client, address: ClickHouseAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = replace(drawn(SEED), events=())
    insert(client, world)
    monkeypatch.setattr("turnwatch.backfill.chosen_slo", lambda _: SLO)
    span = (world.newest_ms - DAY_MS, world.newest_ms)
    count = backfill_slo(client, address, "new", *span, True, nobody)
    assert final_rows(address, "burn_windows") == [] and count > 100
    assert backfill_slo(client, address, "new", *span, False, nobody) == count
    rows = final_rows(address, "burn_windows")
    assert len(rows) == count
    of_period = [row for row in rows if row["slice"] == "pool=realtime" and row["window_s"] == SLO.period_s]
    newest = max(of_period, key=lambda row: row["decided_at"])
    told = client.query(
        "SELECT bad, total FROM budgets WHERE slice = 'pool=realtime' AND day = (SELECT max(day) FROM budgets)"
    )
    assert (newest["bad"], newest["total"]) == told.result_rows[0]
    streamed = rows[0] | {"completeness": 0.5, "bad": 1, "version": rows[0]["version"] + 5_000}
    client.insert_arrow("burn_windows", arrow_of(TABLES["burn_windows"], [streamed]))
    backfill_slo(client, address, "new", *span, False, nobody)
    assert final_rows(address, "burn_windows") == [streamed, *rows[1:]]
