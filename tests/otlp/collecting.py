"""A collector that remembers what it took, for what hands batches to one; it answers as often as told that it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from producers.drive import Clock
from producers.observation_batches import Answer, Batch, decode_batch, decode_header
from producers.otlp.delivery import Delivery
from producers.otlp.gateway import Gateway
from producers.otlp.receiver import Receiver
from tests.otlp.exports import NOW_MS


@dataclass(slots=True)
class Remembering:
    """Knows a repeat by its numbers, as a collector does. `refusals` are answered first, one each."""

    refusals: list[Answer] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)

    async def take(self, headers: Mapping[str, str], body: bytes) -> Answer:
        if self.refusals:
            return self.refusals.pop(0)
        batch = decode_batch(decode_header(headers), body)
        is_repeated = any(_number(batch) == _number(each) for each in self.batches)
        if not is_repeated:
            self.batches.append(batch)
        return Answer(200, 0 if is_repeated else len(batch.rows), is_repeated=is_repeated)

    def sum(self, kind: str, measure: str) -> int:
        return sum(int(each.rows[measure].sum()) for each in self.batches if each.header.kind == kind)

    def rows(self, kind: str) -> pl.DataFrame:
        return pl.concat([each.rows for each in self.batches if each.header.kind == kind])


def _number(batch: Batch) -> tuple[object, ...]:
    return batch.header.recorder, batch.header.incarnation, batch.header.kind, batch.header.sequence


@dataclass(slots=True)
class SetClock:
    now: int = NOW_MS

    def now_ms(self) -> int:
        return self.now

    async def sleep_until(self, at_ms: int) -> None:
        self.now = max(self.now, at_ms)


def gateway_to(collecting: Remembering, clock: Clock | None = None) -> Gateway:
    clock = clock or SetClock()
    receiver = Receiver("eu-west-1", clock.now_ms() - 60_000)
    return Gateway(receiver, Delivery(collecting, "otlp-a", clock.now_ms()), clock)
