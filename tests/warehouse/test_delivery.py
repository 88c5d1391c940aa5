"""Delivery: a batch lands however long the warehouse is away, and trouble is said once."""

from __future__ import annotations

import asyncio
import logging
from itertools import pairwise

import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry

from schemas.metrics import WorkerMetrics
from schemas.tables import TABLES, Table
from stream_jobs.sinks.batches import TableRows, Told
from stream_jobs.sinks.clickhouse import WarehouseError
from stream_jobs.sinks.delivery import Delivery, Patience
from tests.warehouse.memory import MemoryWarehouse
from tests.warehouse.rows import arrow_of, rows_of

HASTY = Patience(first_s=0.000_1, longest_s=0.000_2, drain_s=0.0)
TRAFFIC, PAGES = TABLES["traffic_1m"], TABLES["pages"]


class FailingWarehouse(MemoryWarehouse):
    """Fails with each of `troubles` in turn, then works."""

    def __init__(self, troubles: list[WarehouseError]) -> None:
        super().__init__()
        self.troubles = troubles
        self.written: list[str] = []

    async def write(self, table: str, rows: pa.Table) -> None:
        if self.troubles and table == TRAFFIC.name:
            raise self.troubles.pop(0)
        self.written.append(table)
        await super().write(table, rows)


class SilentWarehouse(MemoryWarehouse):
    """Takes a write and never answers."""

    async def write(self, table: str, rows: pa.Table) -> None:
        await asyncio.Event().wait()


class NarrowWarehouse(MemoryWarehouse):
    """Has memory for so many rows at once."""

    def __init__(self, rows_max: int) -> None:
        super().__init__()
        self.rows_max = rows_max
        self.landed: list[int] = []
        self.refused: list[int] = []

    async def write(self, table: str, rows: pa.Table) -> None:
        if rows.num_rows > self.rows_max:
            self.refused.append(rows.num_rows)
            raise WarehouseError("Memory limit exceeded.", code=241, name="MEMORY_LIMIT_EXCEEDED")
        self.landed.append(rows.num_rows)
        await super().write(table, rows)


def told(table: Table, offset: int) -> Told:
    """One message with a seed of its own."""
    return Told("rollups", 0, offset, 1_000, arrow_of(table, rows_of(table, offset)))


def batch(messages: int = 1) -> list[TableRows]:
    offsets = range(messages)
    return [TableRows.of(table.name, [told(table, offset) for offset in offsets]) for table in (PAGES, TRAFFIC)]


def covered(table: Table) -> int:
    return len(rows_of(table, 0))


def landed(registry: CollectorRegistry, table: str) -> float | None:
    return registry.get_sample_value("turnwatch_rollup_rows_landed_total", {"table": table})


async def test_what_failed_is_tried_until_it_lands_and_nothing_else_is_written_again() -> None:
    registry = CollectorRegistry()
    warehouse = FailingWarehouse([WarehouseError("ClickHouse is away.")] * 20)
    landing = await Delivery(warehouse, WorkerMetrics(registry), asyncio.Event(), HASTY).land(batch())
    assert (landing.refused, landing.left) == ((), ())
    assert warehouse.written == [PAGES.name, TRAFFIC.name]
    assert landed(registry, TRAFFIC.name) == covered(TRAFFIC)
    assert landed(registry, PAGES.name) == covered(PAGES)
    assert registry.get_sample_value("turnwatch_sink_retries_total", {"table": TRAFFIC.name}) == 20


async def test_what_is_too_much_at_once_lands_in_smaller_writes_and_later_ones_begin_small() -> None:
    one_each = [
        Told("rollups", 0, number, 1_000, arrow_of(TRAFFIC, [rows_of(TRAFFIC, 1)[0] | {"slice": f"slice {number}"}]))
        for number in range(1_000)
    ]
    warehouse = NarrowWarehouse(rows_max=300)
    delivery = Delivery(warehouse, WorkerMetrics(CollectorRegistry()), asyncio.Event(), HASTY)
    assert not (await delivery.land([TableRows.of(TRAFFIC.name, one_each)])).left
    assert sum(warehouse.landed) == len(warehouse.final(TRAFFIC.name)) == 1_000
    assert warehouse.refused == [1_000, 500, 500]
    assert not (await delivery.land([TableRows.of(TRAFFIC.name, one_each)])).left
    assert sum(warehouse.landed) == 2_000 and 1_000 not in warehouse.refused[1:]


async def test_trouble_is_said_once_a_kind_and_once_that_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    away, busy = WarehouseError("ClickHouse is away."), WarehouseError("Too many parts.", code=252)
    warehouse = FailingWarehouse([away] * 5 + [busy] * 5)
    with caplog.at_level(logging.INFO, "turnwatch.sink"):
        await Delivery(warehouse, WorkerMetrics(CollectorRegistry()), asyncio.Event(), HASTY).land(batch())
    events = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert events == ["warehouse_lost", "warehouse_lost", "warehouse_regained"]


async def test_a_stop_ends_the_retries_and_says_that_not_everything_landed() -> None:
    stop = asyncio.Event()
    stop.set()
    warehouse = FailingWarehouse([WarehouseError("ClickHouse is away.")])
    landing = await Delivery(warehouse, WorkerMetrics(CollectorRegistry()), stop, HASTY).land(batch())
    assert [rows.table for rows in landing.left] == [TRAFFIC.name]
    assert warehouse.written == [PAGES.name]


async def test_a_stop_does_not_wait_for_a_warehouse_that_never_answers() -> None:
    stop = asyncio.Event()
    registry = CollectorRegistry()
    landing = asyncio.create_task(Delivery(SilentWarehouse(), WorkerMetrics(registry), stop, HASTY).land(batch()))
    stop.set()
    assert [rows.table for rows in (await landing).left] == [PAGES.name, TRAFFIC.name]
    assert not landed(registry, PAGES.name)


def test_pauses_grow_to_the_longest_with_some_chance_in_them() -> None:
    patience = Patience(first_s=0.2, longest_s=30.0)
    pauses = [pause for pause, _ in zip(patience.pauses_s(), range(50), strict=False)]
    assert all(0.1 <= pause <= 30.0 for pause in pauses)
    assert all(later <= 4 * earlier for earlier, later in pairwise(pauses))
    assert max(pauses) > 15.0 and len(set(pauses)) == 50
