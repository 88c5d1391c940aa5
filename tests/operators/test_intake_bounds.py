"""Intake over a week and with whole fleets: each frame counts once, what was refused can come, and every block is small."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.families import OPERATIONAL, STAGE_LATENCIES, STAGES, TURNS
from schemas.frames import FrameHeader, encode
from schemas.rejections import PRODUCERS_MAX, Reason
from schemas.rows import arrow_schema
from stream_jobs.operators.totals import open_totals
from stream_jobs.operators.totals.blocks import BLOCK_BYTES_MAX, Block
from stream_jobs.operators.totals.fences import PAGES
from stream_jobs.operators.totals.intake import Intake
from stream_jobs.operators.totals.open_totals import OpenTotals, Whole
from stream_jobs.operators.totals.opening import Record
from tests.operators.worlds import START_MS, Changelog

HOUR_MS = 3_600_000
WHOLE: Whole = ("operational", START_MS, 0)


def frame(sequence: int, hours: float = 0.0, producer: str = "host-1", at_hours: float | None = None) -> Record:
    """One row of a window so many hours on; appended when it ended, or at `at_hours`."""
    columns = dict.fromkeys(TURNS.dimensions)
    columns |= {"region": "eu-west-1", "pool": "realtime", "route": "support", "bundle": "v1"}
    rows = [columns | dict.fromkeys(TURNS.measure_names, 1)]
    start_ms = START_MS + round(hours * HOUR_MS) // 10_000 * 10_000
    header = FrameHeader(TURNS, OPERATIONAL, producer, 1, sequence, start_ms)
    headers, payload = encode(header, pa.Table.from_pylist(rows, schema=arrow_schema(TURNS)))
    append_ms = start_ms + 10_500 if at_hours is None else START_MS + round(at_hours * HOUR_MS)
    return Record(0, append_ms, dict(headers), payload)


class Life:
    """An intake that is saved after each record and begins again from what was saved, as often as can be."""

    def __init__(self) -> None:
        self.changelog, self.offset = Changelog(), 0

    def hear(self, record: Record) -> str:
        intake = Intake.restored(TURNS, 0, 1, self.changelog.stored)
        outcome = intake.apply([replace(record, offset=self.offset)])
        self.offset += 1
        list(intake.unsent_late())
        for block in (*intake.unsaved_blocks(), *intake.marker()):
            self.changelog.write(block)
        fates = {"in time": outcome.frames_applied, "late": outcome.frames_late, "repeated": outcome.frames_repeated}
        fates |= {refusal.rejected.reason.value: 1 for refusal in outcome.refusals}
        return next(fate for fate, count in fates.items() if count)


def test_a_frame_that_was_taken_in_never_counts_again_for_as_long_as_its_window_is_taken_in() -> None:
    life = Life()
    assert life.hear(frame(0)) == "in time"
    for sequence, hours in enumerate((23, 25, 30, 100, 167), start=1):
        assert life.hear(frame(sequence, hours, producer="host-2")) == "in time"
        assert life.hear(frame(0, at_hours=hours)) == "repeated"
    assert life.hear(frame(0, at_hours=7 * 24 + 1)) == "window_too_old"


def test_what_is_over_leaves_the_changelog_although_nothing_comes_after_a_crash() -> None:
    """It is told once more after the crash; then nobody needs it, whether another frame comes or not."""
    life = Life()
    for sequence, hours in enumerate((0, 1)):
        assert life.hear(frame(sequence, hours)) == "in time"
    over = f"turns|totals|operational|{START_MS}|0".encode()
    intake = Intake.restored(TURNS, 0, 1, life.changelog.stored)
    assert over in life.changelog.stored
    assert intake.unsent_partials()
    for block in intake.unsaved_blocks():
        life.changelog.write(block)
    assert over not in life.changelog.stored


def test_a_refused_frame_can_be_put_through_for_a_week_and_counts_once() -> None:
    """Behind it comes as much as `turns` sends in a week, and most of that goes missing, too."""
    life = Life()
    good = frame(3)
    assert life.hear(frame(0)) == "in time"
    assert life.hear(replace(good, payload=good.payload[:-1] + b"\x01")) == "checksum_mismatch"
    for day in range(1, 7):
        assert life.hear(frame(day * 7 * 60 * 24, 24 * day)) == "in time"
    put_through = replace(good, append_ms=START_MS + 167 * HOUR_MS)
    assert [life.hear(put_through) for _ in range(2)] == ["late", "repeated"]


def test_producers_beyond_the_bound_are_refused_with_a_reason_of_their_own() -> None:
    intake = Intake(TURNS, 0, 1, producers_max=PAGES)
    records = [frame(0, producer=f"host-{place}") for place in range(300)]
    outcome = intake.apply([replace(record, offset=offset) for offset, record in enumerate(records)])
    assert {refusal.rejected.reason for refusal in outcome.refusals} == {Reason.TOO_MANY_PRODUCERS}
    assert PAGES <= outcome.frames_applied <= 2 * PAGES
    assert outcome.frames_applied + len(outcome.refusals) == 300


def test_every_block_stays_small_with_as_many_producers_as_there_may_be() -> None:
    """Names of 63 characters, all of them heard in both privacy partitions within a window."""
    intake = Intake(TURNS, 0, 1)
    names = [f"{place:063}" for place in range(PRODUCERS_MAX)]
    for offset, name in enumerate(names):
        intake.admissions.fences.admit(name, 10**17, 2, START_MS, offset)
        for partition in TURNS.partitions:
            intake.reach_of(partition.name).report(name, START_MS, 2**40 - offset, offset)
    blocks = intake.marker()
    assert len(blocks) > PAGES
    assert max(len(block.value or b"") for block in blocks) < BLOCK_BYTES_MAX
    again = Intake.restored(TURNS, 0, 1, {block.key: block.value or b"" for block in blocks})
    assert len(again.reach_of("audience").producers) == len(again.admissions.fences) == PRODUCERS_MAX


# -- totals ------------------------------------------------------------------------------------------------------------


def histogram(
    rng: np.random.Generator, indexes: range, scales: range, offset: int, count_max: int = 2**40
) -> pl.DataFrame:
    """A row for each index and scale of two slices, of one stage."""
    keys = [(text, scale, index) for text in ("pool=batch", "pool=realtime") for scale in scales for index in indexes]
    columns = {
        "slice": [text for text, _, _ in keys],
        "stage": [STAGES[0]] * len(keys),
        "scale": pl.Series([scale for _, scale, _ in keys], dtype=pl.Int32),
        "bucket_index": pl.Series([index for _, _, index in keys], dtype=pl.Int32),
    }
    counts = {name: rng.integers(1, count_max, len(keys)) for name in STAGE_LATENCIES.measure_names}
    return pl.DataFrame(columns | counts).with_columns(offset=pl.lit(offset, pl.Int64))


def summed(blocks: list[pl.DataFrame]) -> list[tuple[object, ...]]:
    keys = ["slice", *STAGE_LATENCIES.key_names]
    rows = pl.concat(blocks).select(*keys, *STAGE_LATENCIES.measure_names)
    return sorted(rows.group_by(keys).agg(pl.all().sum()).rows())


def told(totals: OpenTotals) -> list[tuple[object, ...]]:
    """What would be told; a row that lies in two blocks would be told twice, and is not added up here."""
    return sorted(pl.concat([each.rows for each in totals.blocks.values()]).rows())


def test_totals_of_any_size_are_cut_into_blocks_below_the_limit_and_read_back() -> None:
    rows = histogram(np.random.default_rng(1), range(-2_048, 2_049), range(2, 7), offset=5)
    totals = OpenTotals(STAGE_LATENCIES)
    totals.add(WHOLE, rows, 5)
    blocks = list(totals.unsaved_blocks())
    assert len(blocks) >= 2
    assert sum(len(block.value or b"") for block in blocks) > BLOCK_BYTES_MAX
    again = restored({block.key: block.value for block in blocks if block.value})
    assert told(again) == told(totals) == summed([rows])
    again.add(WHOLE, rows.with_columns(offset=pl.lit(6, pl.Int64)), 6)
    assert told(again) == summed([rows, rows])


def restored(stored: dict[bytes, bytes]) -> OpenTotals:
    totals = OpenTotals(STAGE_LATENCIES)
    totals.restore({key.decode().split("|totals|")[1]: value for key, value in stored.items()})
    return totals


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_crash_between_any_two_pieces_loses_and_doubles_nothing(seed: int) -> None:
    dice, rng = random.Random(seed), np.random.default_rng(seed)
    log = []
    for offset in range(8):
        first = dice.randrange(-20, 20)
        log.append(histogram(rng, range(first, first + dice.randint(1, 9)), range(4, 6), offset, 100))
    changelog, marked = Changelog(), -1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(open_totals, "PIECE_ROWS_MAX", 6)
        patch.setattr(open_totals, "PIECES_MAX", 16)
        totals = restored({})
        while marked < len(log) - 1:
            end = min(len(log), marked + 1 + dice.randint(1, 3))
            totals.add(WHOLE, pl.concat(log[marked + 1 : end]), end - 1)
            survives: list[Block] = list(totals.unsaved_blocks())
            dice.shuffle(survives)  # Those of one phase are confirmed in any order.
            is_whole = dice.random() < 0.6
            for block in survives if is_whole else survives[: dice.randint(0, len(survives))]:
                changelog.write(block)
            if is_whole:
                marked = end - 1
            if not is_whole or dice.random() < 0.3:
                totals = restored(changelog.stored)
        list(totals.unsaved_blocks())
        assert told(totals) == summed(log)
        assert told(restored(changelog.stored)) == summed(log)
        assert max(key.count(b"|") for key in changelog.stored) == 6
