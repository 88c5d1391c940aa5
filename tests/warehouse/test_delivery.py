"""Delivery: a batch lands however long the warehouse is away, and trouble is said once."""

from __future__ import annotations

import asyncio
import logging
from itertools import pairwise

import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry

from schemas.metrics import WorkerMetrics
from schemas.tables import TABLES
from stream_jobs.sinks.batches import Batch, TableRows
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


def batch() -> Batch:
    rows = [TableRows(table.name, arrow_of(table, rows_of(table, 1)), 7) for table in (PAGES, TRAFFIC)]
    return Batch(tuple(rows), ())


def landed(registry: CollectorRegistry, table: str) -> float | None:
    return registry.get_sample_value("turnwatch_rollup_rows_landed_total", {"table": table})


async def test_what_failed_is_tried_until_it_lands_and_nothing_else_is_written_again() -> None:
    registry = CollectorRegistry()
    warehouse = FailingWarehouse([WarehouseError("ClickHouse is away.")] * 20)
    assert await Delivery(warehouse, WorkerMetrics(registry), asyncio.Event(), HASTY).land(batch())
    assert warehouse.written == [PAGES.name, TRAFFIC.name]
    assert landed(registry, TRAFFIC.name) == landed(registry, PAGES.name) == 7
    assert registry.get_sample_value("turnwatch_sink_retries_total", {"table": TRAFFIC.name}) == 20


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
    assert not await Delivery(warehouse, WorkerMetrics(CollectorRegistry()), stop, HASTY).land(batch())
    assert warehouse.written == [PAGES.name]


async def test_a_stop_does_not_wait_for_a_warehouse_that_never_answers() -> None:
    stop = asyncio.Event()
    registry = CollectorRegistry()
    landing = asyncio.create_task(Delivery(SilentWarehouse(), WorkerMetrics(registry), stop, HASTY).land(batch()))
    stop.set()
    assert not await landing
    assert landed(registry, PAGES.name) is None


def test_pauses_grow_to_the_longest_with_some_chance_in_them() -> None:
    patience = Patience(first_s=0.2, longest_s=30.0)
    pauses = [pause for pause, _ in zip(patience.pauses_s(), range(50), strict=False)]
    assert all(0.1 <= pause <= 30.0 for pause in pauses)
    assert all(later <= 4 * earlier for earlier, later in pairwise(pauses))
    assert max(pauses) > 15.0 and len(set(pauses)) == 50
