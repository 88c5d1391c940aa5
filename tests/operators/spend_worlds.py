"""A small deployment whose cost is known in closed form: two routes on reserved GPUs, busy by day and less on weekends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import pi, sin
from typing import Any

import pyarrow as pa

from schemas.findings import Findings
from schemas.instants import DAY_MS, HOUR_MS
from schemas.spend import BUCKET_MS, CELL, CELL_MEASURES, Spend, spend_schema
from schemas.spend_policies import SpendPolicy
from stream_jobs.operators.cost.pricing import NANO
from stream_jobs.operators.cost.spending import Spending
from tests.operators.worlds import Changelog

MONDAY_MS = 20_486 * DAY_MS
"""2026-02-02 00:00 UTC, a Monday."""
ROUTES = ("support", "sales")
GPU_NUSD = NANO * 36 // 100 // HOUR_MS
"""Of a millisecond of a GPU: $0.36 an hour."""
GPUS = 20
POLICY = SpendPolicy("test")
Row = dict[str, Any]
Change = Callable[[Row], Row]


def unchanged(row: Row) -> Row:
    return row


def cell(**told: Any) -> Row:
    """One cell; what is paid for costs `GPU_NUSD` a millisecond."""
    of_model = {"model_version": "llm-1", "gpu_type": "h100", "purchase": "reserved", "version": 1}
    named = {"region": "eu-west-1", "pool": "realtime", "route": "support", "bundle": "v1", **of_model}
    row: Row = {**named, **dict.fromkeys(CELL_MEASURES, 0), **told}
    money = {"used_nusd": row["gpu_used_ms"] * GPU_NUSD, "reserved_nusd": row["gpu_reserved_ms"] * GPU_NUSD}
    return row | {name: value for name, value in money.items() if name not in told}


def turns_at(at_ms: int) -> int:
    """Turns of a route in an hour: three times as many at noon as at midnight, and on weekends half as many."""
    days, into_day = divmod(at_ms - MONDAY_MS, DAY_MS)
    return round((4_000 - 2_000 * sin(2 * pi * (into_day / DAY_MS + 0.25))) * (0.5 if days % 7 >= 5 else 1.0))


def hour_of(at_ms: int, change: Change = unchanged) -> list[Row]:
    """All cells of an hour, as if all of it had come in its last bucket."""
    served = [change(_served(route, turns_at(at_ms))) for route in ROUTES]
    return [*served, change(cell(route="shared", gpu_reserved_ms=GPUS * HOUR_MS))]


def _served(route: str, turns: int) -> Row:
    of_tokens = {"tokens_prompt": 300 * turns, "tokens_carried": 200 * turns, "tokens_out": 100 * turns}
    counted = {"turns": turns, "successes": turns * 93 // 100, "attempts": turns}
    return cell(route=route, gpu_used_ms=3_000 * turns, **counted, **of_tokens)


def spend(end_ms: int, rows: Sequence[Row], shard: int = 0, completeness: float = 1.0, **told: Any) -> Spend:
    """A statement of the bucket that ends there, decided."""
    columns = {name: [row[name] for row in rows] for name in (*CELL, *CELL_MEASURES, "version")}
    table = pa.table(columns, schema=spend_schema())
    about = {"bucket_start_ms": end_ms - BUCKET_MS, "version": 1, "decidable_until_ms": end_ms} | told
    return Spend(shard=shard, completeness=completeness, cells=table, **about)


def hours(from_ms: int, count: int, change: Change = unchanged) -> Iterator[Spend]:
    """A statement for each of `count` hours from there on."""
    for begins_ms in range(from_ms, from_ms + count * HOUR_MS, HOUR_MS):
        yield spend(begins_ms + HOUR_MS, hour_of(begins_ms, change))


@dataclass
class Ledger:
    """A `Spending` of one deployment on what is saved of it."""

    policy: SpendPolicy = POLICY
    shards: int = 1
    changelog: Changelog = field(default_factory=Changelog)
    stated: list[Findings] = field(default_factory=list)
    too_late: int = 0
    offset: int = 0

    def __post_init__(self) -> None:
        self.spending = Spending(self.shards, self.policy)
        self.spending.restore(self.changelog.stored)

    def restarted(self, policy: SpendPolicy | None = None) -> Ledger:
        """Another process that takes up what is saved; this one goes on as well."""
        stored = Changelog(dict(self.changelog.stored))
        return Ledger(policy or self.policy, self.shards, stored, offset=self.offset)

    def hear(self, *told: Spend, saves: bool = True, asks_every: int = 1) -> Ledger:
        """`asks_every`: after how many statements it is asked what holds."""
        for place, each in enumerate(told, start=1):
            self.offset += 1
            self.too_late += self.spending.hear(each)
            if place % asks_every == 0:
                self.stated += self.spending.findings()
        if saves:
            self.save()
        return self

    def save(self) -> None:
        for block in (*self.spending.unsaved_blocks(self.offset), *self.spending.marker(self.offset)):
            self.changelog.write(block)

    @property
    def named(self) -> set[tuple[str, str]]:
        """Alert and slice of all that was ever stated."""
        return {(each.alert, each.slice) for said in self.stated for each in said.findings}
