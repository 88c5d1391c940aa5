"""Worlds of any family: frames in two source partitions, what each row of a table must be, and a worker that may die.

Nothing is drawn but from the declarations, so a family is tried as soon as it is declared. The truth is counted by loops
over the rows as they were sent, and shares nothing with the operators but the declared cuts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pyarrow as pa

from schemas.families import Family, Key, PrivacyPartition
from schemas.frames import FrameHeader, encode
from schemas.rows import arrow_schema
from schemas.tables import TABLES, late_table, rollups_of
from stream_jobs.operators.totals.intake import Intake
from stream_jobs.operators.totals.opening import Record
from stream_jobs.operators.totals.traffic import Traffic
from stream_jobs.operators.watching import Statement, Watch
from tests.operators.worlds import Changelog, Crash
from turnwatch.bench.fuzz.specimens import dimension_values

START_MS = 1_700_000_000_000 // 3_600_000 * 3_600_000
DAY_MS = 86_400_000
SOURCES = 2

Row = dict[str, Any]
RowKey = tuple[Any, ...]
"""Slice, keys of the family, start of the bucket in ms."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One frame, and its rows as they were counted."""

    record: Record
    partition: PrivacyPartition
    start_ms: int
    rows: tuple[Row, ...]


def world(family: Family, seed: int, windows: Sequence[int], frames: int = 24) -> tuple[list[Sent], ...]:
    """By source partition the frames of its log; each is of one of these windows of its privacy partition, in any order."""
    return tuple(list(_log(family, Random(f"{seed} {source}"), windows, frames)) for source in range(SOURCES))


def _log(family: Family, dice: Random, windows: Sequence[int], frames: int) -> Iterator[Sent]:
    for offset in range(frames):
        yield frame(family, dice.choice(family.partitions), offset, dice.choice(windows), dice)


def frame(family: Family, partition: PrivacyPartition, offset: int, window: int, dice: Random | None = None) -> Sent:
    """A frame of some rows in that window of its partition, counted from `START_MS`."""
    dice = dice or Random(offset)
    start_ms = START_MS + window * partition.k_window_s * 1_000
    rows = tuple(_row(family, partition, dice) for _ in range(dice.randint(1, 4)))
    header = FrameHeader(family, partition, f"host-{offset % 3}", 1, offset, start_ms)
    absent = dict.fromkeys(family.dimensions)
    table = pa.Table.from_pylist([absent | row for row in rows], schema=arrow_schema(family))
    headers, payload = encode(header, table)
    return Sent(Record(offset, start_ms + 4 * DAY_MS, dict(headers), payload), partition, start_ms, rows)


def _row(family: Family, partition: PrivacyPartition, dice: Random) -> Row:
    row: Row = {name: dice.choice(dimension_values(name)[:2]) for name in partition.dimensions}
    row |= {key.name: _key(key, dice) for key in family.keys}
    for measure in family.measures:
        row[measure.name] = dice.randint(0, row[measure.part_of] if measure.part_of else 40)
    return row


def _key(key: Key, dice: Random) -> Any:
    return dice.choice((key.vocabulary[0], key.vocabulary[-1])) if key.vocabulary else dice.randint(0, 1)


# -- truth -------------------------------------------------------------------------------------------------------------


def counted(family: Family, logs: Sequence[Sequence[Sent]]) -> dict[RowKey, Row]:
    """Every measure by slice, keys and bucket, each frame once."""
    found: dict[RowKey, Row] = {}
    for sent in (sent for log in logs for sent in log):
        for cut in (cut for cut in family.cuts if cut.partition == sent.partition.name):
            for row in sent.rows:
                text = ",".join(f"{name}={row[name]}" for name in cut.dimensions) or "all"
                key = (text, *(row[name] for name in family.key_names), sent.start_ms)
                known = found.setdefault(key, dict.fromkeys(family.measure_names, 0))
                for name in family.measure_names:
                    known[name] += row[name]
    return found


def widened(family: Family, rows: Mapping[RowKey, Row], width_s: int) -> dict[RowKey, Row]:
    """The same in buckets of `width_s`, counters summed and gauges as the last bucket has them."""
    gauges = {measure.name for measure in family.measures if measure.merge == "gauge"}
    found: dict[RowKey, Row] = {}
    for (*key, start_ms), row in sorted(rows.items(), key=lambda each: each[0][-1]):
        known = found.setdefault((*key, start_ms // (width_s * 1_000) * width_s * 1_000), {})
        for name, value in row.items():
            known[name] = value if name in gauges else known.get(name, 0) + value
    return found


# -- a worker ----------------------------------------------------------------------------------------------------------


@dataclass
class Worker:
    """Intakes of two sources and one shard that hears them, with what Kafka keeps of both; survives as a worker does."""

    family: Family
    survive: Callable[[], None] = lambda: None
    intake_log: Changelog = field(default_factory=Changelog)
    traffic_log: Changelog = field(default_factory=Changelog)
    partials: list[Any] = field(default_factory=list)
    """The topic between them."""
    heard: int = 0
    read: list[int] = field(default_factory=lambda: [0] * SOURCES)
    landed: dict[str, dict[RowKey, tuple[int, Row]]] = field(default_factory=lambda: defaultdict(dict))
    watching: Callable[[], Sequence[Watch]] = tuple
    said: list[Statement] = field(default_factory=list)
    now_ms: int = START_MS + 4 * DAY_MS
    """The clock, which goes on by some seconds at each telling."""

    def run(self, logs: Sequence[Sequence[Sent]], batch: int) -> None:
        while True:
            try:
                return self._run_once(logs, batch)
            except Crash:
                continue

    def _run_once(self, logs: Sequence[Sequence[Sent]], batch: int) -> None:
        stored = self.intake_log.stored
        intakes = [Intake.restored(self.family, source, 1, stored_of(stored, source)) for source in range(SOURCES)]
        traffic = Traffic(SOURCES, watches=self.watching())
        traffic.restore(self.traffic_log.stored)
        for intake in intakes:
            self._send(intake)
        while self.heard < len(self.partials) or any(at < len(log) for at, log in zip(self.read, logs, strict=True)):
            for source, intake in enumerate(intakes):
                self._take_in(intake, logs[source], source, batch)
            self._tell(traffic)

    def _take_in(self, intake: Intake, log: Sequence[Sent], source: int, batch: int) -> None:
        records = [sent.record for sent in log[self.read[source] : self.read[source] + batch]]
        if not log:
            intake.rest()  # Nobody waits for it.
        assert not intake.apply(records).refusals
        self.survive()
        for name, rows in intake.unsent_late():
            self._land(name, rows)
        for block in (*intake.unsaved_blocks(), *intake.marker()):
            self.intake_log.write(of_source(block, source))
            self.survive()
        self._send(intake)
        self.read[source] += len(records)

    def _send(self, intake: Intake) -> None:
        for _, partial in intake.unsent_partials():
            self.partials.append(partial)
            self.survive()

    def _tell(self, traffic: Traffic) -> None:
        end = len(self.partials)
        for partial in self.partials[self.heard :]:
            traffic.apply(partial)
        for name, rows in traffic.rollups():
            self._land(name, rows)
            self.survive()
        self.now_ms += 7_000
        for statement in traffic.statements(self.now_ms):
            self.said.append(statement)
            self.survive()
        for block in (*traffic.unsaved_blocks(self.family, end), *traffic.marker(self.family, end)):
            self.traffic_log.write(block)
            self.survive()
        self.heard = end

    def _land(self, name: str, rows: pa.Table) -> None:
        table = TABLES[name]
        for row in rows.to_pylist():
            key = tuple(row[column] for column in table.order_by)
            if row["version"] >= self.landed[name].get(key, (0, {}))[0]:
                self.landed[name][key] = (row["version"], row)

    def rows_of(self, name: str) -> dict[RowKey, Row]:
        """What a table shows, late rows added up."""
        found: dict[RowKey, Row] = {}
        measures = [column for column in TABLES[name].column_names if column in self.family.measure_names]
        for _, row in self.landed[name].values():
            start_ms = round(row["bucket_start"].timestamp() * 1_000)
            key = (row["slice"], *(row[key] for key in self.family.key_names), start_ms)
            known = found.setdefault(key, dict.fromkeys(measures, 0))
            for measure in measures:
                known[measure] += row[measure]
        return found

    def with_late(self) -> dict[RowKey, Row]:
        """What the widest table and the late one say together."""
        rollup = rollups_of(self.family)[-1]
        found = self.rows_of(rollup.table)
        late = widened(self.family, self.rows_of(late_table(self.family)), rollup.width_s)
        for key, row in late.items():
            known = found.setdefault(key, dict.fromkeys(rollup.measures, 0))
            for measure in rollup.measures:
                known[measure] += row[measure]
        return found


def stored_of(stored: Mapping[bytes, bytes], source: int) -> dict[bytes, bytes]:
    prefix = f"{source}/".encode()
    return {key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)}


def of_source(block: Any, source: int) -> Any:
    return type(block)(f"{source}/".encode() + block.key, block.value)


def lateness_windows(family: Family) -> int:
    """How many of its widest windows a frame may be late, and some more."""
    return family.lateness_s // max(partition.k_window_s for partition in family.partitions) + 4
