"""Delivery: getting a batch into the warehouse however long that is away.

An outage is weather: every failed write is tried again, with growing pauses and some chance in them so that sinks do
not come back in step. What was wrong is said once, and once that it is over.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from schemas.metrics import WorkerMetrics
from stream_jobs.sinks.batches import Batch, TableRows
from stream_jobs.sinks.clickhouse import Warehouse, WarehouseError

log = logging.getLogger("turnwatch.sink")


@dataclass(frozen=True, slots=True)
class Patience:
    """Pauses double from `first_s` to `longest_s`; each is shortened by up to a half at random.

    Once asked to stop, a write under way has `drain_s` to end.
    """

    first_s: float = 0.2
    longest_s: float = 30.0
    drain_s: float = 5.0

    def pauses_s(self) -> Iterator[float]:
        pause_s = self.first_s
        while True:
            yield pause_s * random.uniform(0.5, 1.0)
            pause_s = min(pause_s * 2, self.longest_s)


class Delivery:
    def __init__(self, warehouse: Warehouse, metrics: WorkerMetrics, stop: asyncio.Event, patience: Patience) -> None:
        self._warehouse, self._metrics, self._stop, self._patience = warehouse, metrics, stop, patience
        self._trouble: str | None = None

    async def land(self, batch: Batch) -> bool:
        """Whether everything landed; not so only when asked to stop before."""
        for rows in batch.tables:
            if not await self._land_table(rows):
                return False
        return True

    async def _land_table(self, rows: TableRows) -> bool:
        for pause_s in self._patience.pauses_s():
            try:
                if not await self._write(rows.table, rows.rows):
                    return False
            except WarehouseError as error:
                self._metrics.sink_retries.labels(rows.table).inc()
                self._say_lost(rows.table, error)
                if await is_set_within(self._stop, pause_s):
                    return False
            else:
                self._say_regained()
                self._metrics.rollup_rows_landed.labels(rows.table).inc(rows.covered)
                return True
        raise AssertionError("pauses never end")

    async def _write(self, table: str, rows: pa.Table) -> bool:
        """Whether it was written; not so when it took longer than a stop can wait."""
        writing = asyncio.ensure_future(self._warehouse.write(table, rows))
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({writing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not writing.done():
                await asyncio.wait({writing}, timeout=self._patience.drain_s)
            if writing.done():
                writing.result()
                return True
            return False
        finally:
            stopping.cancel()
            writing.cancel()

    def _say_lost(self, table: str, error: WarehouseError) -> None:
        """Once per kind of trouble: what ClickHouse has answered is its code, and being away is one kind."""
        trouble = f"{table}:{error.code}" if error.code else "away"
        if trouble != self._trouble:
            log.warning("warehouse_lost: table %s: %s Rows wait in Kafka; trying again.", table, error)
        self._trouble = trouble

    def _say_regained(self) -> None:
        if self._trouble is not None:
            log.info("warehouse_regained")
        self._trouble = None


async def is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Waits for the event, `seconds` at most; whether it was set."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
