"""A shard that is killed between any two windows, in the midst of a minute too, goes on to find what it would have found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl
import pytest

from schemas.families import QUEUES, RELEASES, SCALE_OF_STAGE, STAGE_LATENCIES, Family
from schemas.findings import Findings, decode
from schemas.frames import FrameHeader, encode
from schemas.rows import arrow_schema
from schemas.topics import FINDINGS
from stream_jobs.operators.saturation.watch import SaturationWatch
from stream_jobs.operators.totals.intake import Intake
from stream_jobs.operators.totals.opening import Record
from stream_jobs.operators.totals.reach import REPLAYED
from stream_jobs.operators.totals.traffic import Traffic
from tests.operators.queue_worlds import LLM, queue
from tests.operators.worlds import START_MS, WINDOW_MS, Changelog

WINDOWS = 33
FAMILIES = (QUEUES, STAGE_LATENCIES, RELEASES)
_PLACE = {"region": "eu-west-1", "pool": "realtime", "route": "support", "bundle": "v1", "artifact": "v1"}
HEARD_FIRST = -36
"""The window in which releases are first heard of, six minutes before the others: what is deployed later is news."""
DEPLOYED = 3
SLOW_INDEX = 339
"""At scale 5: 1.5 s."""


def depth(window: int) -> int:
    """Nobody waits for two minutes, then ten more in each window, until the fifth minute."""
    return 10 * min(max(0, window - 11), 18)


def record(family: Family, window: int) -> Record:
    """One host's frame of a window: ten of the hundred requests are slow once it has queued for a minute."""
    start_ms = START_MS + window * WINDOW_MS
    if family is QUEUES:
        rows = [{"queue": LLM, **queue(depth(window), depth(window - 1), served=100)}]
    elif family is RELEASES:
        is_new, is_served = window == DEPLOYED, window >= DEPLOYED
        rows = [{"artifact_kind": "bundle", "hosts": int(is_served), "deployments": int(is_new), "retirements": 0}]
    else:
        histogram = {"stage": LLM, "scale": SCALE_OF_STAGE[LLM], "latency_ms_sum": 0, "latency_ms_sumsq": 0}
        slow = 10 if window >= 18 else 0
        rows = [{**histogram, "bucket_index": 200, "observations": 90}]
        rows += [{**histogram, "bucket_index": SLOW_INDEX, "observations": slow}] if slow else []
    schema, partition = arrow_schema(family), family.partitions[0]
    placed = [{name: _PLACE[name] for name in partition.dimensions} | row for row in rows]
    table = pl.DataFrame(placed).select(schema.names).to_arrow().cast(schema)
    sequence = window - HEARD_FIRST
    headers, payload = encode(FrameHeader(family, partition, "host", 1, sequence, start_ms), table)
    return Record(sequence, start_ms + WINDOW_MS + 500, dict(headers), payload)


@dataclass
class Shard:
    """Intakes and the shard behind them, on what is saved of them."""

    logs: dict[str, Changelog] = field(
        default_factory=lambda: {name: Changelog() for name in ("", *(family.name for family in FAMILIES))}
    )

    def __post_init__(self) -> None:
        self.intakes = {
            family.name: Intake.restored(family, 0, 1, self.logs[family.name].stored) for family in FAMILIES
        }
        self.traffic = Traffic(1, patience=REPLAYED, watches=(SaturationWatch(0),))
        self.traffic.restore(self.logs[""].stored)

    def hear(self, window: int, families: Sequence[Family] = FAMILIES) -> list[Findings]:
        """What is stated, of the minute before the first one too, once the frames of a window have come and all is saved."""
        for family in families:
            intake = self.intakes[family.name]
            intake.apply([record(family, window)])
            for _, partial in intake.unsent_partials():
                self.traffic.apply(partial)
            for block in (*intake.unsaved_blocks(), *intake.marker()):
                self.logs[family.name].write(block)
        list(self.traffic.rollups())
        said = [decode(each.payload) for each in self.traffic.statements(0) if each.topic == FINDINGS]
        for save in (self.traffic.unsaved_blocks, self.traffic.marker):
            for block in (block for family in FAMILIES for block in save(family, window - HEARD_FIRST)):
                self.logs[""].write(block)
        return said


def said_with(killed_before: frozenset[int]) -> list[Findings]:
    shard, said = Shard(), []
    shard.hear(HEARD_FIRST, [RELEASES])
    for window in range(WINDOWS):
        if window in killed_before:
            shard = Shard(shard.logs)
        said += shard.hear(window)
    return said


@pytest.fixture(scope="module")
def unharmed() -> list[Findings]:
    said = said_with(frozenset())
    found = [{each.slice for each in one.findings} for one in said]
    slices = {"pool=realtime", "pool=realtime,region=eu-west-1", "pool=realtime,bundle=v1"}
    assert found == [set()] * 4 + [slices] * 2
    advised = {each.slice: each.facts["advice"] for one in said for each in one.findings}
    rolled_back = {text for text, advice in advised.items() if advice == "roll_back"}
    assert rolled_back == {"pool=realtime,bundle=v1"}
    return said


@pytest.mark.parametrize(
    "killed_before", [{12, 20}, {21, 24, 26, 30, 31}], ids=lambda each: "-".join(map(str, sorted(each)))
)
def test_a_shard_that_is_killed_finds_the_same(unharmed: list[Findings], killed_before: set[int]) -> None:
    assert said_with(frozenset(killed_before)) == unharmed
