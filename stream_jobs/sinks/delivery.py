"""Delivery: getting rows into the warehouse however long that is away, and finding the message that it will never take.

An outage is weather: every failed write is tried again, with growing pauses and some chance in them so that sinks do
not come back in step. What was wrong is said once, and once that it is over. A write that takes too long or too much
memory is tried in halves, and later writes stay that small until they land again.

Rows that ClickHouse refuses are either one message's fault or their table's, which somebody may have altered. So a few
messages are tried alone: when ClickHouse takes one of them, the table is well, and halving finds those it refuses; they
go to the dead letters. When it takes none, everything waits, for the table to be mended or for more messages to try.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from schemas.metrics import WorkerMetrics
from schemas.rejections import Reason
from stream_jobs.sinks.batches import DeadLetter, TableRows
from stream_jobs.sinks.clickhouse import Warehouse, WarehouseError

log = logging.getLogger("turnwatch.sink")

TRIED_ALONE = 8
"""Messages that are tried alone to tell a refused message from a table that refuses everything."""

PIECE_MESSAGES_MIN, PIECE_MESSAGES_MAX = 64, 1 << 20
"""Writes do not get smaller than this over time-outs: ClickHouse would drown in small parts when it is back."""


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


@dataclass(frozen=True, slots=True)
class Landing:
    """What became of rows: how many `landed`; which messages are `refused` for good; what is `left` to be tried again."""

    landed: int = 0
    refused: tuple[DeadLetter, ...] = ()
    left: tuple[TableRows, ...] = ()

    @classmethod
    def of_all(cls, landings: Iterable[Landing]) -> Landing:
        each = list(landings)
        refused = tuple(letter for landing in each for letter in landing.refused)
        left = tuple(rows for landing in each for rows in landing.left)
        return cls(sum(landing.landed for landing in each), refused, left)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps a table's rows from landing, and since when."""

    code: int | None
    since_s: float


class Stopped(Exception):
    """Asked to stop, and the write under way would take too long."""


class Delivery:
    def __init__(self, warehouse: Warehouse, metrics: WorkerMetrics, stop: asyncio.Event, patience: Patience) -> None:
        self._warehouse, self._metrics, self._stop, self._patience = warehouse, metrics, stop, patience
        self._troubles: dict[str, Trouble] = {}
        self._well: set[str] = set()
        self._piece_messages = PIECE_MESSAGES_MAX
        self._pauses_s = patience.pauses_s()
        self._is_over = False
        metrics.sink_waiting_seconds.set_function(self.waiting_s)

    def waiting_s(self) -> float:
        """For how long rows have been waiting for ClickHouse."""
        since = [trouble.since_s for trouble in self._troubles.values()]
        return time.monotonic() - min(since) if since else 0.0

    async def land(self, tables: Sequence[TableRows]) -> Landing:
        """Returns when everything has landed or is refused, but for what is left: because it cannot be told whose fault
        it is that rows are refused, or because of a stop."""
        self._well.clear()
        landing = Landing.of_all([await self._land_table(rows) for rows in tables])
        if not landing.left:
            self._pauses_s = self._patience.pauses_s()
            for table in list(self._troubles):  # Of rows that are another sink's by now.
                self._say_regained(table)
        elif not self._is_over:
            await is_set_within(self._stop, next(self._pauses_s))
        return landing

    async def _land_table(self, rows: TableRows) -> Landing:
        landing = Landing.of_all([await self._land_piece(piece, rows) for piece in rows.cut(self._piece_messages)])
        self._metrics.rollup_rows_landed.labels(rows.table).inc(landing.landed)
        if not landing.left:
            self._say_regained(rows.table)
        return landing

    async def _land_piece(self, piece: TableRows, among: TableRows) -> Landing:
        """Tries until it has landed or is refused; in halves where less at once may help."""
        for pause_s in self._patience.pauses_s():
            if self._is_over:
                break
            try:
                await self._write(piece.table, piece.rows)
            except Stopped:
                break
            except WarehouseError as error:
                self._metrics.sink_retries.labels(piece.table).inc()
                if error.is_about_rows:
                    return await self._land_refused(piece, among, error)
                self._say_lost(piece.table, error, str(error))
                self._is_over = await is_set_within(self._stop, pause_s)
                if error.asks_for_less and len(piece.told) > PIECE_MESSAGES_MIN:
                    self._piece_messages = max(PIECE_MESSAGES_MIN, len(piece.told) // 2)
                    return await self._land_halves(piece, among)
            else:
                self._note_landed(piece)
                return Landing(landed=piece.covered)
        return Landing(left=(piece,))

    async def _land_halves(self, piece: TableRows, among: TableRows) -> Landing:
        halves = piece.cut((len(piece.told) + 1) // 2)
        return Landing.of_all([await self._land_piece(half, among) for half in halves])

    async def _land_refused(self, piece: TableRows, among: TableRows, error: WarehouseError) -> Landing:
        """Halves what ClickHouse refuses until it is one message, provided that the table takes others."""
        if not (piece.table in self._well or await self._takes_any(among)):
            self._say_lost(piece.table, error, f"ClickHouse refuses all rows there are for it ({error.answer}).")
            return Landing(left=(piece,))
        if len(piece.told) > 1:
            return await self._land_halves(piece, among)
        said = f"ClickHouse refused its rows for table {piece.table} ({error.answer}), and took others of that table."
        return Landing(refused=(piece.told[0].refused(Reason.REFUSED_BY_WAREHOUSE, said),))

    async def _takes_any(self, rows: TableRows) -> bool:
        """Whether the table takes one of some messages; chosen by chance, for the same few may all be bad."""
        for told in random.sample(rows.told, min(TRIED_ALONE, len(rows.told))):
            try:
                await self._write(rows.table, told.rows)
            except WarehouseError:
                continue
            except Stopped:
                break
            self._well.add(rows.table)
            return True
        return False

    async def _write(self, table: str, rows: pa.Table) -> None:
        """Writes once; raises `WarehouseError`, or `Stopped` when it takes longer than a stop can wait."""
        writing = asyncio.ensure_future(self._warehouse.write(table, rows))
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({writing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not writing.done():
                await asyncio.wait({writing}, timeout=self._patience.drain_s)
            if not writing.done():
                self._is_over = True
                raise Stopped
            writing.result()
        finally:
            stopping.cancel()
            writing.cancel()

    def _note_landed(self, piece: TableRows) -> None:
        self._well.add(piece.table)
        if len(piece.told) >= self._piece_messages:
            self._piece_messages = min(PIECE_MESSAGES_MAX, self._piece_messages * 2)

    def _say_lost(self, table: str, error: WarehouseError, sentence: str) -> None:
        """Once per kind of trouble: what ClickHouse has answered is its code, and being away is one kind."""
        before = self._troubles.get(table)
        since_s = before.since_s if before else time.monotonic()
        self._troubles[table] = Trouble(error.code, since_s)
        if before is None or before.code != error.code:
            log.warning("warehouse_lost: table %s: %s Rows wait in Kafka; trying again.", table, sentence)

    def _say_regained(self, table: str) -> None:
        trouble = self._troubles.pop(table, None)
        if trouble is not None:
            log.info("warehouse_regained: table %s, after %.0f s.", table, time.monotonic() - trouble.since_s)


async def is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Waits for the event, `seconds` at most; whether it was set."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
