"""Seeded days of event time: frames of short-lived bundles with quiet stretches, some of them late, and who hears of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.families import OPERATIONAL, TURNS
from schemas.frames import FrameHeader, encode
from schemas.partials import Partial
from schemas.rows import arrow_schema
from stream_jobs.operators.totals.intake import Intake
from stream_jobs.operators.totals.opening import Record
from tests.operators.worlds import START_MS, Changelog, Crash

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
_PAUSES_MS = (0, 10_000, 10_000, MINUTE_MS, HOUR_MS, 7 * HOUR_MS, 26 * HOUR_MS, 40 * HOUR_MS)

Cell = tuple[str, int]
"""Slice and bucket start in ms."""


def frame(offset: int, start_ms: int, bundles: Sequence[str], turns: int = 1, append_ms: int | None = None) -> Record:
    """A frame with one row a bundle."""
    columns: dict[str, Any] = {name: [None] * len(bundles) for name in TURNS.dimensions}
    columns |= {"region": "eu-west-1", "pool": "realtime", "route": "support"}
    columns = {name: value if isinstance(value, list) else [value] * len(bundles) for name, value in columns.items()}
    columns |= {"bundle": list(bundles)}
    columns |= {name: np.full(len(bundles), turns, dtype=np.int64) for name in TURNS.measure_names}
    table = pa.table(columns, schema=arrow_schema(TURNS))
    headers, payload = encode(FrameHeader(TURNS, OPERATIONAL, "host-1", 1, offset, start_ms), table)
    return Record(offset, append_ms or start_ms + 10_500, dict(headers), payload)


def days(seed: int, frames: int = 60) -> list[Record]:
    """A log in which bundles come, go and come back, faster than a small cap has room for."""
    dice, now_ms = random.Random(seed), START_MS
    log: list[Record] = []
    for offset in range(frames):
        now_ms += dice.choice(_PAUSES_MS)
        behind_ms = dice.choice((0, 0, 0, 10_000, MINUTE_MS, 10 * MINUTE_MS))
        of_day = now_ms // (20 * HOUR_MS) % 5
        bundles = sorted({f"v{of_day + dice.randint(0, 2)}" for _ in range(dice.randint(1, 3))})
        start_ms = (now_ms - behind_ms) // 10_000 * 10_000
        log.append(frame(offset, start_ms, bundles, dice.randint(1, 9), now_ms + 10_500))
    return log


@dataclass
class Heard:
    """What shards and the late table would hold: the newest version of every cell, whoever told it."""

    totals: dict[Cell, tuple[int, int]] = field(default_factory=dict)
    late: dict[tuple[int, str, int], int] = field(default_factory=dict)

    def partial(self, partial: Partial) -> None:
        for row in partial.rows.to_pylist():
            cell = (row["slice"], row["bucket_start_ms"])
            self.totals[cell] = max(self.totals.get(cell, (0, 0)), (partial.version, row["turns"]))

    def late_rows(self, rows: pa.Table) -> None:
        for row in rows.to_pylist():
            dimensions = [row[name] for name in ("region", "bundle") if row.get(name)]
            key = (row["origin_offset"], f"{row['cut']}:{dimensions}", int(row["bucket_start"].timestamp() * 1_000))
            self.late[key] = row["turns"]

    def turns(self) -> dict[Cell, int]:
        return {cell: turns for cell, (_, turns) in self.totals.items()}


@dataclass
class Plant:
    """Intake with a small cap and its changelog; survives crashes as a worker does, between each pair of effects."""

    slices_max: int
    survive: Callable[[], None] = lambda: None
    changelog: Changelog = field(default_factory=Changelog)
    heard: Heard = field(default_factory=Heard)
    committed: int = -1

    def run(self, log: Sequence[Record], batches: Sequence[int]) -> None:
        while self.committed < len(log) - 1:
            try:
                self._run_once(log, batches)
            except Crash:
                continue

    def _run_once(self, log: Sequence[Record], batches: Sequence[int]) -> None:
        intake = Intake.restored(TURNS, 0, 1, self.changelog.stored, self.slices_max)
        self._tell(intake)
        place = self.committed + 1
        turn = 0
        while place < len(log):
            size = batches[turn % len(batches)]
            intake.apply(log[place : place + size])
            self.survive()
            self._save(intake)
            self._tell(intake)
            place, turn = place + size, turn + 1
            self.committed = min(place, len(log)) - 1

    def _save(self, intake: Intake) -> None:
        for _, rows in intake.unsent_late():
            self.heard.late_rows(rows)
            self.survive()
        for block in (*intake.unsaved_blocks(), *intake.marker()):
            self.changelog.write(block)
            self.survive()

    def _tell(self, intake: Intake) -> None:
        for _, partial in intake.unsent_partials():
            self.heard.partial(partial)
            self.survive()
