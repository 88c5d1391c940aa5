"""Seeded worlds: frames of a few producers in a few windows, and what a changelog and a shard would make of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from schemas.families import AUDIENCE, OPERATIONAL, TURNS
from schemas.frames import FrameHeader, encode
from schemas.rows import arrow_schema
from stream_jobs.operators.totals.blocks import Block, applied_offset
from stream_jobs.operators.totals.intake import Intake
from stream_jobs.operators.totals.ledger import Ledger
from stream_jobs.operators.totals.opening import Record

START_MS = 1_700_000_040_000 // 60_000 * 60_000
WINDOW_MS = 10_000
SHARDS = 2


@dataclass(frozen=True)
class World:
    """Records of one source partition in the order they were first sent, and every row that is in them."""

    records: tuple[Record, ...]
    rows: pl.DataFrame


def world(seed: int, windows: int = 5, producers: int = 3, rows_per_frame: int = 12, audience: bool = False) -> World:
    """`audience`: each producer also sends a frame of the other privacy partition, which the oracle does not count."""
    rng = np.random.default_rng(seed)
    records: list[Record] = []
    rows: list[pl.DataFrame] = []
    for window in range(windows):
        for producer in range(producers):
            table = _rows(rng, rows_per_frame)
            start_ms = START_MS + window * WINDOW_MS
            header = FrameHeader(TURNS, OPERATIONAL, f"host-{producer}", 1, window, start_ms)
            headers, payload = encode(header, table)
            records.append(Record(len(records), start_ms + WINDOW_MS + 500, dict(headers), payload))
            rows.append(pl.DataFrame(pl.from_arrow(table)).with_columns(bucket_start_ms=pl.lit(start_ms)))
    for producer in range(producers if audience else 0):
        header = FrameHeader(TURNS, AUDIENCE, f"host-{producer}", 1, windows, START_MS)
        headers, payload = encode(header, _audience_rows(rng, rows_per_frame))
        place = int(rng.integers(0, len(records)))
        records.insert(place, Record(place, START_MS + 61_000, dict(headers), payload))
    return World(tuple(records), pl.concat(rows))


def _audience_rows(rng: np.random.Generator, count: int) -> pa.Table:
    columns: dict[str, Any] = {name: [None] * count for name in TURNS.dimensions}
    columns |= {
        "pool": ["realtime"] * count,
        "language": rng.choice(["de", "en", "fr", "es"], count).tolist(),
        "device_class": rng.choice(["phone", "car"], count).tolist(),
    }
    columns |= {name: np.ones(count, dtype=np.int64) for name in TURNS.measure_names}
    return pa.table(columns, schema=arrow_schema(TURNS))


def _rows(rng: np.random.Generator, count: int) -> pa.Table:
    columns: dict[str, Any] = {name: [None] * count for name in TURNS.dimensions}
    columns |= {
        "region": rng.choice(["eu-west-1", "us-east-1"], count).tolist(),
        "pool": rng.choice(["realtime", "batch"], count).tolist(),
        "route": rng.choice(["support", "sales"], count).tolist(),
        "bundle": rng.choice(["v1", "v2", "v3"], count).tolist(),
    }
    for measure in TURNS.measures:
        high = rng.integers(0, 50, count)
        columns[measure.name] = high if measure.part_of is None else rng.binomial(columns[measure.part_of], 0.2)
    return pa.table(columns, schema=arrow_schema(TURNS))


def renumbered(records: Sequence[Record]) -> list[Record]:
    """The same messages as the log would hold them in this order."""
    return [Record(offset, record.append_ms, record.headers, record.payload) for offset, record in enumerate(records)]


def oracle(rows: pl.DataFrame) -> dict[tuple[str, int], tuple[int, ...]]:
    """(slice, bucket) to measures, by loops over raw rows: shares nothing with the operators."""
    totals: dict[tuple[str, int], list[int]] = {}
    for row in rows.iter_rows(named=True):
        for cut in (("pool",), ("pool", "region"), ("pool", "route"), ("pool", "bundle"), ("pool", "region", "bundle")):
            key = (",".join(f"{name}={row[name]}" for name in cut), row["bucket_start_ms"])
            known = totals.setdefault(key, [0] * len(TURNS.measures))
            for place, measure in enumerate(TURNS.measures):
                known[place] += row[measure.name]
    return {key: tuple(values) for key, values in totals.items()}


@dataclass
class Changelog:
    """Keeps what was confirmed, the newest write of each key."""

    stored: dict[bytes, bytes] = field(default_factory=dict)

    def write(self, block: Block) -> None:
        if block.value is None:
            self.stored.pop(block.key, None)
        elif block.key not in self.stored or applied_offset(block.value) >= applied_offset(self.stored[block.key]):
            self.stored[block.key] = block.value


class Crash(Exception):
    """The process died here."""


@dataclass
class Plant:
    """Intake, its changelog and the shards that hear its partials; survives crashes as a worker does."""

    survive: Callable[[], None] = lambda: None
    """Called between each pair of effects; raises `Crash` where the process shall die."""
    changelog: Changelog = field(default_factory=Changelog)
    ledgers: list[Ledger] = field(default_factory=lambda: [Ledger(TURNS, 180_000, sources=1) for _ in range(SHARDS)])
    committed: int = -1

    def run(self, log: Sequence[Record], batches: Sequence[int]) -> None:
        """Works through the log in batches of these sizes, beginning again from what is saved after each crash."""
        while self.committed < len(log) - 1:
            try:
                self._run_once(log, batches)
            except Crash:
                continue

    def _run_once(self, log: Sequence[Record], batches: Sequence[int]) -> None:
        intake = Intake.restored(TURNS, 0, SHARDS, self.changelog.stored)
        self._send(intake)
        turn = 0
        place = self.committed + 1
        while place < len(log):
            size = batches[turn % len(batches)]
            intake.apply(log[place : place + size])
            self.survive()
            self._save(intake)
            self._send(intake)
            place += size
            self.committed = min(place, len(log)) - 1
            turn += 1

    def _save(self, intake: Intake) -> None:
        for block in (*intake.unsaved_blocks(), *intake.marker()):
            self.changelog.write(block)
            self.survive()

    def _send(self, intake: Intake) -> None:
        for shard, partial in intake.unsent_partials():
            self.ledgers[shard].apply(partial)
            self.survive()

    def totals(self) -> dict[tuple[str, int], tuple[int, ...]]:
        found: dict[tuple[str, int], tuple[int, ...]] = {}
        for ledger in self.ledgers:
            keys = [key for key in ledger.kept() if key[0] == OPERATIONAL.name]
            for row in ledger.totals(keys).iter_rows(named=True):
                found[row["slice"], row["bucket_start_ms"]] = tuple(row[name] for name in TURNS.measure_names)
        return found
