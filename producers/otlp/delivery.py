"""Delivery to a collector: what was taken of OTLP travels as batches of observations, and the collector has them on disk.

A batch is known by who sends it and its number. The points behind it are told once: when they come again they are repeats
that add nothing. So what a collector did not take waits here, in order, and nobody is told that it was taken until it was.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Protocol

import aiohttp
import polars as pl

from producers.observation_batches import BATCH_ROWS_MAX, PATH, Answer, BatchHeader, encode_batch, read_answer

PENDING_BATCHES_MAX, PENDING_ROWS_MAX = 1_000, 500_000
"""What waits for a collector: of rows with 30 measures 120 MB. Beyond it nothing is taken."""
PARTS_MAX = 64
ANSWER_TIMEOUT_S = 10.0
RETRY_AFTER_S = 2


class NotTaken(Exception):
    """The collector did not take a batch, and may take it later. The message is a sentence for whoever sent the points."""

    def __init__(self, sentence: str, retry_after_s: int = RETRY_AFTER_S, is_busy: bool = False) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s
        self.is_busy = is_busy


class Collecting(Protocol):
    """Who takes batches: a collector over HTTP, or one in this process."""

    async def take(self, headers: Mapping[str, str], body: bytes) -> Answer: ...


class CollectorOverHttp:
    """A collector at an address such as `http://127.0.0.1:4319`. One that is away answers 503."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url.rstrip("/") + PATH
        self._session = session

    async def take(self, headers: Mapping[str, str], body: bytes) -> Answer:
        timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S)
        try:
            async with self._session.post(self._url, data=BytesIO(body), headers=headers, timeout=timeout) as response:
                told = {name.lower(): value for name, value in response.headers.items()}
                return read_answer(response.status, told, await response.content.read(65_536))
        except (aiohttp.ClientError, TimeoutError, OSError):
            return Answer(503, error="The collector cannot be reached.", retry_after_s=RETRY_AFTER_S)


@dataclass(frozen=True, slots=True)
class Origin:
    """Numbers of batches that are made of a Kafka record: the same whoever reads it, and however often.

    A record has room for `PARTS_MAX` numbers of each kind. The incarnation is the record's day, for a collector forgets
    who was silent for a week.
    """

    sender: str
    day: int
    offset: int


@dataclass(slots=True)
class Delivery:
    """Sends tables in order. `lost` counts rows of batches that the collector will never take, by kind."""

    collecting: Collecting
    sender: str
    incarnation: int
    lost: Counter[str] = field(default_factory=Counter)
    _pending: deque[tuple[BatchHeader, pl.DataFrame]] = field(default_factory=deque)
    _sequences: Counter[str] = field(default_factory=Counter)
    _rows: Counter[str] = field(default_factory=Counter)
    _pending_rows: int = 0
    _failures: int = 0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_full(self) -> bool:
        return len(self._pending) >= PENDING_BATCHES_MAX or self._pending_rows >= PENDING_ROWS_MAX

    def add(self, tables: Mapping[str, pl.DataFrame], origin: Origin | None = None) -> None:
        """Numbers what has to be sent; `flush` sends it."""
        for kind, rows in tables.items():
            for part, piece in enumerate(_pieces(rows)):
                if origin is not None and part >= PARTS_MAX:
                    self.lost[kind] += len(piece)
                    continue
                header = self._next(kind, len(piece)) if origin is None else _numbered(kind, origin, part)
                self._pending.append((header, piece))
                self._pending_rows += len(piece)

    async def flush(self) -> None:
        """Returns when everything that waits was taken; raises `NotTaken` where the collector does not take it for now.

        Whoever waited while another one was refused is refused with it: a collector that hangs is not asked by each.
        """
        failures = self._failures
        async with self._lock:
            if self._failures > failures:
                raise NotTaken("The collector took nothing a moment ago.")
            while self._pending:
                await self._send_first()

    async def _send_first(self) -> None:
        header, rows = self._pending[0]
        headers, body = await asyncio.to_thread(encode_batch, header, rows)
        answer = await self.collecting.take(headers, body)
        if not answer.is_final:
            self._failures += 1
            raise NotTaken(answer.error, answer.retry_after_s or RETRY_AFTER_S, is_busy=answer.status == 429)
        if not answer.is_taken:
            self.lost[header.kind] += len(rows)
        self._pending.popleft()
        self._pending_rows -= len(rows)

    def _next(self, kind: str, rows: int) -> BatchHeader:
        self._rows[kind] += rows
        header = BatchHeader(
            kind, self.sender, self.incarnation, self._sequences[kind], self._rows[kind], self.lost[kind]
        )
        self._sequences[kind] += 1
        return header


def _numbered(kind: str, origin: Origin, part: int) -> BatchHeader:
    return BatchHeader(kind, origin.sender, origin.day, origin.offset * PARTS_MAX + part, 0, 0)


def _pieces(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """What fits into a batch each."""
    for offset in range(0, len(rows), BATCH_ROWS_MAX):
        yield rows.slice(offset, BATCH_ROWS_MAX)
