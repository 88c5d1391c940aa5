"""Minutes of stage latencies are bounded, exact where they can be, and outlive the process."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from schemas.families import SCALE_OF_STAGE
from schemas.histograms import ZERO_INDEX, bucket_indexes
from stream_jobs.operators.stages.minutes import (
    BUCKETS,
    JOINED_MS,
    KEPT_MS,
    NOW_MS,
    SCALE,
    StageMinutes,
    bucket_upper_ms,
)
from tests.operators.stage_worlds import MINUTE_MS, drawn, minute
from tests.operators.worlds import START_MS, Changelog

SLICE = "pool=realtime"


def rows(stage: str, scale: int, indexes: list[int], slice_text: str = SLICE, number: int = 0) -> pl.DataFrame:
    """One observation of 100 ms in each of these buckets."""
    columns = {"bucket_index": pl.Series(indexes, dtype=pl.Int32), "observations": 1, "latency_ms_sum": 100}
    return pl.select(
        bucket_start_ms=pl.lit(START_MS + number * MINUTE_MS, pl.Int64),
        slice=pl.lit(slice_text),
        stage=pl.lit(stage),
        scale=pl.lit(scale, pl.Int32),
    ).join(pl.DataFrame(columns), how="cross")


def buckets(told: pl.DataFrame) -> list[int]:
    """The buckets that these rows are kept in."""
    minutes = StageMinutes()
    minutes.tell(told, START_MS)
    return sorted(cell % BUCKETS for cell in minutes.between(START_MS, START_MS + MINUTE_MS).cells["cell"])


@pytest.mark.parametrize("scale", [SCALE, 3, SCALE_OF_STAGE["queue_wait"], 6])
def test_finer_histograms_go_into_the_same_buckets_exactly(scale: int) -> None:
    latencies = np.array([5.0, 47.5, 100.0, 128.0, 128.1, 4_000.0, 59_999.0])
    found = buckets(rows("retrieval", scale, bucket_indexes(latencies, scale).tolist()))
    for bucket, latency_ms in zip(found, latencies, strict=True):
        assert bucket_upper_ms(bucket - 1) < latency_ms <= bucket_upper_ms(bucket)


def test_coarser_ones_go_by_their_upper_bound_and_what_is_outside_into_the_first_and_the_last() -> None:
    assert [bucket_upper_ms(bucket) for bucket in buckets(rows("retrieval", 0, [6, 9]))] == [128.0, 1_024.0]
    assert buckets(rows("retrieval", 5, [ZERO_INDEX, -300, 2_000])) == [0, BUCKETS - 1]


def test_of_wholes_only_the_number_of_turns_is_kept() -> None:
    assert buckets(pl.concat([rows("turn", 6, [500, 700]), rows("first_audio", 6, [400])])) == [0]


@pytest.mark.parametrize(("kind", "bytes_max"), [("busy", 35_000), ("every bucket", 225_000)])
def test_an_hour_of_a_slice_takes_no_more_than_is_said(kind: str, bytes_max: int) -> None:
    every = pl.concat([rows(stage, SCALE, [*range(8, 88)]) for stage in SCALE_OF_STAGE])
    minutes = StageMinutes()
    for number in range(80):
        told = minute(number, {SLICE: drawn(number, 2_000)}) if kind == "busy" else every
        again = told.with_columns(bucket_start_ms=pl.lit(START_MS + number * MINUTE_MS, pl.Int64))
        minutes.tell(again, START_MS + (number - 3) * MINUTE_MS)
        minutes.age(START_MS + number * MINUTE_MS)
    taken = sum(piece.cells.estimated_size() for _, piece in minutes._all())
    assert bytes_max * 0.7 < taken <= bytes_max


def test_only_the_slices_with_the_most_observations_are_kept_and_the_others_are_counted() -> None:
    minutes = StageMinutes(slices_max=2)
    sizes = {"pool=a": 3, "pool=b": 9, "pool=c": 5, "pool=d": 1}
    minutes.tell(pl.concat([rows("retrieval", 5, [100] * many, text) for text, many in sizes.items()]), START_MS)
    kept = minutes.named(minutes.between(START_MS, START_MS + MINUTE_MS).cells)
    assert (set(kept["slice"]), minutes.left_out) == ({"pool=b", "pool=c"}, 2)


def test_slices_that_come_and_go_leave_no_names_behind() -> None:
    minutes = StageMinutes(slices_max=5)
    for number in range(200):
        minutes.tell(
            rows("retrieval", 5, [200], f"pool=realtime,bundle=v{number}", number), START_MS + number * MINUTE_MS
        )
        minutes.age(START_MS + (number + 1) * MINUTE_MS)
        assert len(minutes._numbers) <= KEPT_MS // MINUTE_MS + 10


def saved(minutes: StageMinutes, changelog: Changelog) -> StageMinutes:
    for block in (*minutes.unsaved_blocks(7), *minutes.forgotten_blocks()):
        changelog.write(block)
    again = StageMinutes()
    again.restore(changelog.stored)
    return again


def test_what_is_saved_is_what_was_joined_and_what_is_forgotten_leaves_the_changelog() -> None:
    minutes, changelog = StageMinutes(), Changelog()
    for number in range(100):
        minutes.tell(rows("retrieval", 5, [200 + number, 300], number=number), START_MS + (number - 2) * MINUTE_MS)
        minutes.age(START_MS + (number + 1) * MINUTE_MS)
        again = saved(minutes, changelog)
        assert len(changelog.stored) <= KEPT_MS // JOINED_MS + 1
    until_ms = START_MS + 100 * MINUTE_MS - NOW_MS
    joined_ms = until_ms // JOINED_MS * JOINED_MS
    for known in (minutes, again):
        piece = known.between(joined_ms - 40 * MINUTE_MS, joined_ms)
        assert (piece.minutes, piece.cells["observations"].sum()) == (40, 80)
        assert set(known.named(piece.cells)["slice"]) == {SLICE}
    assert again.between(joined_ms, START_MS + 100 * MINUTE_MS).minutes == 0, "what is younger is told again"


def test_a_minute_that_was_saved_and_is_told_again_after_a_crash_counts_once() -> None:
    minutes, changelog = StageMinutes(), Changelog()
    for number in range(12):
        minutes.tell(rows("retrieval", 5, [200], number=number), START_MS + number * MINUTE_MS)
    minutes.age(START_MS + 12 * MINUTE_MS)
    again = saved(minutes, changelog)
    joined = again.between(START_MS, START_MS + 12 * MINUTE_MS).minutes
    again.tell(rows("retrieval", 5, [200], number=0), START_MS)
    assert again.between(START_MS, START_MS + 12 * MINUTE_MS).minutes == joined > 0


def test_minutes_that_may_still_be_told_are_not_joined_however_old_they_are() -> None:
    minutes = StageMinutes()
    for number in range(30):
        minutes.tell(rows("retrieval", 5, [200], number=number), START_MS)
        minutes.age(START_MS + number * MINUTE_MS)
    minutes.tell(rows("retrieval", 5, [200, 201, 202], number=3), START_MS)
    assert minutes.between(START_MS + 3 * MINUTE_MS, START_MS + 4 * MINUTE_MS).cells["observations"].sum() == 3
