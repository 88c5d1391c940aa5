"""Every family lands: each count once, at every width, whatever dies meanwhile, and gauges as the last bucket has them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from random import Random

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from schemas.families import FAMILIES, QUALITY, STREAMS, Family
from schemas.frames import FrameHeader, encode
from schemas.rows import arrow_schema
from schemas.slices import cut_of
from schemas.tables import Rollup, late_table, rollups_of
from stream_jobs.operators.totals.blocks import BLOCK_BYTES_MAX
from stream_jobs.operators.totals.intake import Intake
from stream_jobs.operators.totals.ledger import Ledger
from stream_jobs.operators.totals.open_totals import Totals, packed
from stream_jobs.operators.totals.opening import Record
from stream_jobs.operators.totals.slice_register import chunk_slices
from stream_jobs.operators.totals.traffic import keep_ms
from tests.operators.family_worlds import (
    START_MS,
    Row,
    RowKey,
    Worker,
    counted,
    frame,
    lateness_windows,
    widened,
    world,
)
from tests.operators.worlds import Crash
from turnwatch.bench.fuzz.specimens import dimension_values

COUNTED = [family for family in FAMILIES.values() if family is not STREAMS]
"""Concurrency is no sum: `test_traffic.py` and the worlds have it."""
NEWER = [family for family in COUNTED if family.since_minor > 1]
"""Others die in `tests/worlds`."""


@pytest.mark.parametrize("family", COUNTED, ids=lambda family: family.name)
def test_every_width_says_what_was_sent_gauges_as_of_the_last_bucket(family: Family) -> None:
    logs = world(family, 1, range(3))
    worker = Worker(family)
    worker.run(logs, batch=5)
    truth = counted(family, logs)
    for rollup in rollups_of(family):
        fine = [each.name for each in family.partitions if each.k_window_s <= rollup.width_s]
        cuts = {cut.name for cut in family.cuts if cut.partition in fine}
        wide = widened(family, {key: row for key, row in truth.items() if cut_of(key[0]) in cuts}, rollup.width_s)
        assert worker.rows_of(rollup.table) == told(rollup, wide)


@pytest.mark.parametrize("family", NEWER, ids=lambda family: family.name)
@pytest.mark.parametrize("seed", range(2))
def test_a_crash_between_any_two_effects_loses_and_doubles_nothing_however_late(family: Family, seed: int) -> None:
    """Windows jump to and fro by more than the lateness, so that some rows land as late; the sum with them is exact."""
    dice = Random(seed)
    logs = world(family, seed, [dice.randrange(lateness_windows(family)) for _ in range(6)])
    lives = [4]

    def survive() -> None:
        if lives[0] and dice.random() < 0.05:
            lives[0] -= 1
            raise Crash

    worker = Worker(family, survive)
    worker.run(logs, batch=dice.randint(1, 6))
    rollup = rollups_of(family)[-1]
    wanted = widened(family, counted(family, logs), rollup.width_s)
    assert sums(family, worker.with_late()) == sums(family, wanted)


def told(rollup: Rollup, rows: Mapping[RowKey, Row]) -> dict[RowKey, Row]:
    return {key: {name: row[name] for name in rollup.measures} for key, row in rows.items()}


def sums(family: Family, rows: Mapping[RowKey, Row]) -> dict[RowKey, Row]:
    """Counters only: which bucket is the last one depends on what came late."""
    counters = [each.name for each in family.measures if each.merge == "counter"]
    return {key: {name: row[name] for name in counters} for key, row in rows.items()}


@pytest.mark.parametrize("family", NEWER, ids=lambda family: family.name)
def test_what_comes_just_in_time_is_in_the_table_and_what_comes_later_is_late(family: Family) -> None:
    """The bucket is kept for as long as intake takes something in for it, whatever its width."""
    for partition in family.partitions:
        width_s = partition.k_window_s
        brink = 1 + family.lateness_s // width_s
        for newest, is_late in ((brink - 1, False), (brink, True)):
            first, far, again = (frame(family, partition, place, at) for place, at in enumerate((0, newest, 0)))
            worker = Worker(family)
            worker.run(([first, far, again], []), batch=1)
            assert bool(worker.landed[late_table(family)]) is is_late
            whole = counted(family, [[first, far, *([] if is_late else [again])]])
            rollup = rollups_of(family)[-1]
            assert worker.rows_of(rollup.table) == told(rollup, widened(family, whole, rollup.width_s))


@pytest.mark.parametrize("family", NEWER, ids=lambda family: family.name)
def test_a_full_chunk_of_slices_fits_into_a_block(family: Family) -> None:
    """Each has a row for every value of its keys, but for the first by which chunks are split, and incompressible counts."""
    dice = np.random.default_rng(1)
    texts = [f"pool=realtime,region=eu-west-{place}" for place in range(chunk_slices(family))]
    keys = list(product(texts, *(key.vocabulary for key in family.keys[1:])))
    names = ["slice", *family.key_names[1:]]
    rows = pl.DataFrame(keys, schema=names, orient="row").with_columns(
        *(pl.lit(key.vocabulary[0]).alias(key.name) for key in family.keys[:1]),
        *(pl.Series(each.name, dice.integers(0, each.largest, len(keys))) for each in family.measures),
    )
    block = packed(family, ("operational", 0, 0, 1, 0), Totals(rows, 0))
    assert block is not None and len(block) < BLOCK_BYTES_MAX


def test_an_hourly_bucket_is_whole_and_decided_only_when_those_that_report_hourly_have() -> None:
    family, partition = QUALITY, QUALITY.partitions[0]
    hour_ms, volumes = partition.k_window_s * 1_000, {"calls": 10}
    ledger, intake = Ledger(family, keep_ms(family), sources=1), Intake(family, 0, 1)

    def hear(producer: str, hour: int, sequence: int) -> None:
        rows = [dict.fromkeys(family.measure_names, 0) | volumes | dict.fromkeys(family.dimensions)]
        rows[0] |= {name: dimension_values(name)[0] for name in partition.dimensions}
        header = FrameHeader(family, partition, producer, 1, sequence, START_MS + (hour - 1) * hour_ms)
        headers, payload = encode(header, pa.Table.from_pylist(rows, schema=arrow_schema(family)))
        intake.apply([Record(intake.marked + 1, START_MS + hour * hour_ms, dict(headers), payload)])
        for _, partial in intake.unsent_partials():
            ledger.apply(partial)

    for producer in ("a", "b"):
        hear(producer, 1, 0)
    assert ledger.decidable_until_ms(partition, 0) == START_MS + hour_ms
    hear("a", 2, 1)
    assert ledger.completeness(partition.name, START_MS + 2 * hour_ms) == 0.5
    assert ledger.decidable_until_ms(partition, 0) == START_MS + hour_ms
    hear("a", 3, 2)
    assert ledger.completeness(partition.name, START_MS + 2 * hour_ms) == 0.5
    hear("b", 3, 1)
    assert ledger.decidable_until_ms(partition, 0) == START_MS + 3 * hour_ms
