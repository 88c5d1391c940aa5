"""What comes later than its family allows lands apart, once, and is never lost; nothing that was told is told twice."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from schemas.families import OPERATIONAL, TURNS
from schemas.frames import FrameHeader, encode
from schemas.rows import arrow_schema
from stream_jobs.operators.totals.intake import Intake
from stream_jobs.operators.totals.ledger import LAG_MAX_MS, Ledger
from stream_jobs.operators.totals.opening import Record
from stream_jobs.operators.totals.traffic import keep_ms
from tests.operators.worlds import START_MS, WINDOW_MS, Changelog, oracle, renumbered, world

HOUR_MS = 3_600_000
MEASURES = list(TURNS.measure_names)
Totals = dict[tuple[str, int], tuple[int, ...]]


def totals(rows: pl.DataFrame) -> Totals:
    """(slice, bucket) to the sums of all rows."""
    summed = rows.group_by("slice", "bucket_start_ms").agg(pl.col(MEASURES).sum())
    return {
        (row["slice"], row["bucket_start_ms"]): tuple(row[name] for name in MEASURES)
        for row in summed.iter_rows(named=True)
    }


def told_late(intake: Intake) -> pl.DataFrame:
    """What lands in the late table: its newest row of each key."""
    tables = [pl.DataFrame(pl.from_arrow(rows)) for _, rows in intake.unsent_late()]
    return (
        pl.concat(tables).with_columns(bucket_start_ms=pl.col("bucket_start").dt.epoch("ms"))
        if tables
        else pl.DataFrame()
    )


def an_hour_ahead(offset: int, producer: str = "host-9", append_ms: int = START_MS + HOUR_MS + 20_000) -> Record:
    """A frame that makes everything of the world late."""
    start_ms = START_MS + HOUR_MS
    table = encode(FrameHeader(TURNS, OPERATIONAL, producer, 1, 0, start_ms), _one_row())
    return Record(offset, append_ms, dict(table[0]), table[1])


def _one_row() -> pa.Table:
    columns: dict[str, Any] = {name: [None] for name in TURNS.dimensions} | {name: [1] for name in MEASURES}
    columns |= {"region": ["eu-west-1"], "pool": ["realtime"], "route": ["support"], "bundle": ["v1"]}
    return pa.table(columns, schema=arrow_schema(TURNS))


@pytest.mark.parametrize("seed", range(5))
def test_late_frames_land_whole_whatever_the_batches(seed: int) -> None:
    made, dice = world(seed), random.Random(seed)
    log = renumbered([an_hour_ahead(0), *made.records])
    intake, told, place = Intake(TURNS, 0, 1), [], 0
    while place < len(log):
        size = dice.randint(1, 6)
        intake.apply(log[place : place + size])
        told.append(told_late(intake))
        place += size
    late = pl.concat([rows for rows in told if len(rows)])
    assert totals(late) == oracle(made.rows)
    assert set(late["producer"]) == {"host-0", "host-1", "host-2"}


def test_a_late_frame_that_comes_twice_is_told_once() -> None:
    made = world(seed=1)
    log = renumbered([an_hour_ahead(0), *made.records, *made.records])
    intake = Intake(TURNS, 0, 1)
    outcome = intake.apply(log)
    assert (outcome.frames_late, outcome.frames_repeated) == (len(made.records), len(made.records))
    assert totals(told_late(intake)) == oracle(made.rows)


def test_a_crash_before_the_marker_tells_late_rows_again_under_the_same_keys() -> None:
    log = renumbered([an_hour_ahead(0), *world(seed=2).records])
    intake, changelog = Intake(TURNS, 0, 1), Changelog()
    intake.apply(log)
    before = told_late(intake)
    for block in intake.unsaved_blocks():
        changelog.write(block)
    again = Intake.restored(TURNS, 0, 1, changelog.stored)  # Died here: its blocks are saved, its marker is not.
    again.apply(log)
    after = told_late(again)
    keys = ["slice", "bucket_start", "origin_topic", "origin_partition", "origin_offset"]
    assert after.sort(keys).equals(before.sort(keys))


def telling(ledger: Ledger, intake: Intake, log: Sequence[Record]) -> list[pl.DataFrame]:
    """What the ledger says comes too late for its totals, while intake works the log off frame by frame."""
    late = []
    for record in log:
        intake.apply([record])
        late += [ledger.apply(partial) for _, partial in intake.unsent_partials()]
        ledger.changed()
        ledger.forget_old()
    return [rows for rows in late if len(rows)]


def test_a_source_that_lags_too_far_is_told_late_beyond_what_was_counted_of_it() -> None:
    """Half of its first bucket was in the totals when that was folded; the rest must neither be lost nor counted twice."""
    made = world(seed=3)
    log = renumbered(made.records)
    ledger = Ledger(TURNS, keep_ms(TURNS), sources=2)
    lagging, ahead = Intake(TURNS, 0, 1), Intake(TURNS, 1, 1)
    lagging.apply(log[:1])
    for _, partial in lagging.unsent_partials():
        assert ledger.apply(partial).is_empty()
    counted = totals(ledger.totals(ledger.kept()))
    ledger.changed()
    far = START_MS + LAG_MAX_MS + 2 * HOUR_MS
    header = FrameHeader(TURNS, OPERATIONAL, "host-9", 1, 0, far)
    headers, payload = encode(header, _one_row())
    telling(ledger, ahead, [Record(0, far + WINDOW_MS, dict(headers), payload)])
    assert ledger.kept() == [(OPERATIONAL.name, far)]

    late = pl.concat(telling(ledger, lagging, log[1:]))
    newest = late.sort("version").unique(["slice", "bucket_start_ms"], keep="last")
    found = totals(newest)
    wanted = oracle(made.rows)
    assert {
        key: tuple(
            a + b
            for a, b in zip(found.get(key, (0,) * len(MEASURES)), counted.get(key, (0,) * len(MEASURES)), strict=True)
        )
        for key in wanted
    } == wanted


def test_what_a_restarted_intake_sends_again_is_not_told_late() -> None:
    """After a restart intake tells every open bucket anew; those that were folded meanwhile are counted already."""
    log = renumbered([*world(seed=4).records, an_hour_ahead(0)])
    intake, changelog = Intake(TURNS, 0, 1), Changelog()
    ledger = Ledger(TURNS, keep_ms(TURNS), sources=1)
    intake.apply(log)
    for block in (*intake.unsaved_blocks(), *intake.marker()):
        changelog.write(block)
    assert all(ledger.apply(partial).is_empty() for _, partial in intake.unsent_partials())
    ledger.changed()
    ledger.forget_old()
    again = Intake.restored(TURNS, 0, 1, changelog.stored)
    repeated = [partial for _, partial in again.unsent_partials()]
    assert sum(partial.rows.num_rows for partial in repeated) > 0
    assert all(ledger.apply(partial).is_empty() for partial in repeated)


def test_an_idle_partition_holds_no_bucket_open_and_what_it_sends_after_all_lands() -> None:
    made = world(seed=5)
    ledger = Ledger(TURNS, keep_ms(TURNS), sources=2)
    busy, empty = Intake(TURNS, 0, 1), Intake(TURNS, 1, 1)
    far = START_MS + HOUR_MS // 2
    headers, payload = encode(FrameHeader(TURNS, OPERATIONAL, "host-9", 1, 0, far), _one_row())
    log = renumbered([*made.records, Record(0, far + WINDOW_MS, dict(headers), payload)])
    telling(ledger, busy, log)
    assert len(ledger.kept()) == 6
    empty.rest()
    for _, partial in empty.unsent_partials():
        assert partial.is_idle and ledger.apply(partial).is_empty()
    ledger.forget_old()
    assert ledger.kept() == [(OPERATIONAL.name, far)]
    assert empty.unsent_partials() == []
    late = pl.concat(telling(ledger, empty, renumbered(made.records)))
    assert totals(late.sort("version").unique(["slice", "bucket_start_ms"], keep="last")) == oracle(made.rows)


def test_what_was_folded_stays_folded_after_a_restart() -> None:
    """Its source speaks up again, older than what was folded while it was idle: that is late, now as before."""
    made = world(seed=6)
    ledger = Ledger(TURNS, keep_ms(TURNS), sources=2)
    busy, quiet = Intake(TURNS, 0, 1), Intake(TURNS, 1, 1)
    far = START_MS + HOUR_MS // 2
    headers, payload = encode(FrameHeader(TURNS, OPERATIONAL, "host-9", 1, 0, far), _one_row())
    telling(ledger, busy, renumbered([*made.records, Record(0, far + WINDOW_MS, dict(headers), payload)]))
    quiet.rest()
    for _, partial in quiet.unsent_partials():
        ledger.apply(partial)
    ledger.forget_old()
    changelog = Changelog()
    for block in (*ledger.unsaved_blocks(0), *ledger.marker(0)):
        changelog.write(block)
    again = Ledger(TURNS, keep_ms(TURNS), sources=2)
    again.restore(changelog.stored)
    again.changed()
    late = pl.concat(telling(again, quiet, renumbered(made.records)))
    assert totals(late.sort("version").unique(["slice", "bucket_start_ms"], keep="last")) == oracle(made.rows)


def _lagging_and_folded(log: Sequence[Record]) -> tuple[Ledger, Intake]:
    """A lagging source tells its first frame, and another one, far ahead, folds its bucket before anything is saved."""
    ledger = Ledger(TURNS, keep_ms(TURNS), sources=2)
    lagging, ahead = Intake(TURNS, 0, 1), Intake(TURNS, 1, 1)
    far = START_MS + LAG_MAX_MS + 2 * HOUR_MS
    headers, payload = encode(FrameHeader(TURNS, OPERATIONAL, "host-9", 1, 0, far), _one_row())
    assert telling(ledger, lagging, log[:1]) == []
    assert telling(ledger, ahead, [Record(0, far + WINDOW_MS, dict(headers), payload)]) == []
    return ledger, lagging


def test_what_is_folded_before_it_was_saved_is_counted_once_after_a_restart() -> None:
    log = renumbered(world(seed=7).records)
    ledger, lagging = _lagging_and_folded(log)
    changelog = Changelog()
    for block in (*ledger.unsaved_blocks(0), *ledger.marker(0)):
        changelog.write(block)
    again = Ledger(TURNS, keep_ms(TURNS), sources=2)
    again.restore(changelog.stored)
    late = [pl.concat(telling(each, intake, log[1:])) for each, intake in ((ledger, lagging), (again, _heard(log[:1])))]
    assert totals(late[1]) == totals(late[0])


def _heard(log: Sequence[Record]) -> Intake:
    intake = Intake(TURNS, 0, 1)
    intake.apply(log)
    intake.unsent_partials()
    return intake


def test_what_is_sent_again_before_its_bucket_was_folded_is_not_told_late() -> None:
    """The floor has passed it, and nothing has been let go of yet."""
    log = renumbered(world(seed=8).records)
    ledger = Ledger(TURNS, keep_ms(TURNS), sources=2)
    busy, quiet = Intake(TURNS, 0, 1), Intake(TURNS, 1, 1)
    far = START_MS + HOUR_MS // 2
    headers, payload = encode(FrameHeader(TURNS, OPERATIONAL, "host-9", 1, 0, far), _one_row())
    busy.apply([Record(0, far + WINDOW_MS, dict(headers), payload)])
    quiet.apply(log)
    told = [partial for _, partial in quiet.unsent_partials()]
    for partial in told:
        assert ledger.apply(partial).is_empty()
    quiet.rest()
    for _, partial in (*busy.unsent_partials(), *quiet.unsent_partials()):
        assert ledger.apply(partial).is_empty()
    assert all(ledger.apply(partial).is_empty() for partial in told)
