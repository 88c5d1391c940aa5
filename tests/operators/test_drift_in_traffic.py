"""Drift in a shard of `traffic`: told by its ledgers, saved among its blocks, and taken up again by another life of it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa

from schemas.families import OUTCOMES, QUALITY, Family
from schemas.findings import decode
from schemas.partials import Partial, partial_schema
from schemas.topics import FINDINGS
from stream_jobs.operators.drift.watch import TABLE, DriftWatch
from stream_jobs.operators.totals.blocks import applied_offset, key_kind
from stream_jobs.operators.totals.reach import REPLAYED
from stream_jobs.operators.totals.traffic import Traffic
from tests.operators.drift_worlds import HOUR_MS, POOL, START_MS, calls, turns

MINUTE_MS = 60_000


def partial(family: Family, start_ms: int, measures: dict[str, int]) -> Partial:
    """What one source tells of a bucket of the first privacy partition, and that it has come past it."""
    partition = family.partitions[0]
    row = (
        {"slice": f"{POOL},bundle=v1", "bucket_start_ms": start_ms} | dict.fromkeys(family.measure_names, 0) | measures
    )
    rows = pa.Table.from_pylist([row], schema=partial_schema(family))
    ends_ms = start_ms + partition.k_window_s * 1_000
    return Partial(family, partition, 0, start_ms // 10_000, ((ends_ms, 100),), rows)


def lived(hours: range, traffic: Traffic, stored: dict[bytes, bytes]) -> list[pl.DataFrame]:
    """Two minutes of outcomes, and the labels, of each hour; what is told of drift."""
    dice, told = np.random.default_rng(1), []
    for hour in hours:
        start_ms = START_MS + hour * HOUR_MS
        for minute in (0, 59):
            traffic.apply(partial(OUTCOMES, start_ms + minute * MINUTE_MS, turns(dice, 0.06, 1_000)))
        traffic.apply(partial(QUALITY, start_ms, calls(dice, 0.12)))
        for _ in range(2):
            told += [pl.DataFrame(pl.from_arrow(rows)) for table, rows in traffic.rollups() if table == TABLE]
            said = [each for each in traffic.statements(0) if each.topic == FINDINGS and b'"drift"' in each.payload]
        assert all(not decode(each.payload).findings for each in said)
        blocks = [block for family in (QUALITY, OUTCOMES) for block in traffic.unsaved_blocks(family, hour)]
        blocks += [block for family in (QUALITY, OUTCOMES) for block in traffic.marker(family, hour)]
        for block in blocks:
            assert key_kind(block.key) != "unknown"
            if block.value is None:
                stored.pop(block.key, None)
            else:
                assert applied_offset(block.value) == hour
                stored[block.key] = block.value
    return told


def shard() -> Traffic:
    return Traffic(1, patience=REPLAYED, watches=(DriftWatch(0, 1),))


def test_hours_are_told_as_the_rollups_have_them_and_a_restart_goes_on_with_them() -> None:
    stored: dict[bytes, bytes] = {}
    before = lived(range(5), shard(), stored)
    again = shard()
    again.restore(dict(stored))
    rows = pl.concat([*before, *lived(range(5, 30), again, stored)])
    newest = rows.unique(["measure", "bucket_start"], keep="last", maintain_order=True)
    failures = newest.filter(measure="failure_rate").sort("bucket_start")
    assert failures["samples"].to_list()[:29] == [2_000] * 29
    assert failures["state"].to_list()[:24] == ["no_reference"] * 24
    assert failures["reference_samples"].to_list()[24:29] == [2_000] * 5
    labels = newest.filter(measure="word_error_rate")
    assert len(labels) >= 28 and (labels["samples"] > 2_000).all()


def test_buckets_of_days_that_labels_change_at_once_are_told_some_hours_at_a_time() -> None:
    traffic, dice, hours = shard(), np.random.default_rng(2), range(1, 11)
    for hour in reversed(hours):
        traffic.apply(partial(QUALITY, START_MS + hour * HOUR_MS, calls(dice, 0.12, count=hour)))
    told = [pl.DataFrame(pl.from_arrow(rows)) for table, rows in traffic.rollups() if table == "quality_1h"]
    assert [len(rows) for rows in told] == [3, 4, 3], "to the ends of four hours"
    assert pl.concat(told).sort("bucket_start")["calls"].to_list() == list(hours)
    assert not any(table == "quality_1h" for table, _ in traffic.rollups())
