"""A reference is held while what it shows goes on, and for six hours at most."""

from __future__ import annotations

import numpy as np
import polars as pl

from stream_jobs.operators.stages.held_references import HELD_MS, PAUSE_MS, HeldReferences
from stream_jobs.operators.totals.blocks import BLOCK_BYTES_MAX
from tests.operators.stage_worlds import MINUTE_MS
from tests.operators.worlds import START_MS

SLICE = "pool=realtime"


def reference(end_ms: int, latency_ms: float, slices: tuple[str, ...] = (SLICE,)) -> pl.DataFrame:
    """What `stage_growth.reference` makes of the minutes up to `end_ms`, with this much latency in it."""
    figures = {"stage": 0, "observed_before": 900.0, "tail_bucket": 20, "above_before": 30.0, "before_s": 3_600}
    return pl.DataFrame({"slice": slices}).with_columns(
        **{name: pl.lit(value) for name, value in figures.items()},
        latency_ms_before=latency_ms,
        since_ms=pl.lit(end_ms),
    )


def compared(held: HeldReferences, minute: int, is_named: bool) -> float:
    """The latency of the reference that minute is compared with; that of its own hour is the minute's number."""
    end_ms = START_MS + minute * MINUTE_MS
    before = held.in_place_of(reference(end_ms, float(minute)), end_ms)
    held.hold(before, {SLICE} if is_named else set(), end_ms)
    return float(before["latency_ms_before"].item())


def test_a_reference_is_held_over_pauses_of_five_minutes_and_no_longer() -> None:
    held = HeldReferences()
    pause = PAUSE_MS // MINUTE_MS
    assert compared(held, 1, is_named=True) == 1
    assert compared(held, 2, is_named=True) == 1
    assert [compared(held, minute, is_named=False) for minute in range(3, 3 + pause)] == [1] * pause
    assert compared(held, 3 + pause, is_named=False) == 3 + pause


def test_what_is_slow_for_six_hours_is_how_it_is() -> None:
    held = HeldReferences()
    hours = HELD_MS // MINUTE_MS
    found = [compared(held, minute, is_named=True) for minute in range(hours + 2)]
    assert found == [0.0] * hours + [hours, hours]


def test_many_are_saved_in_blocks_below_the_limit_and_fewer_after_them_leave_nothing_behind() -> None:
    """Names that no compression makes small."""
    rng = np.random.default_rng(1)
    stored: dict[bytes, bytes] = {}
    many = tuple(f"pool=realtime,bundle={rng.bytes(25).hex()}" for _ in range(40_000))
    held = HeldReferences()
    for named in (many, many[:10]):
        end_ms = START_MS + (MINUTE_MS if named is many else MINUTE_MS + 2 * PAUSE_MS)
        held.hold(held.in_place_of(reference(end_ms, 7.0, many), end_ms), set(named), end_ms)
        blocks = list(held.unsaved_blocks(3))
        assert all(len(block.value or b"") < BLOCK_BYTES_MAX for block in blocks)
        assert len(blocks) > 1
        stored |= {block.key: block.value for block in blocks if block.value}
        again = HeldReferences()
        again.restore(stored)
        found = again.in_place_of(reference(end_ms, 8.0, many), end_ms).filter(pl.col("latency_ms_before") == 7.0)
        assert set(found["slice"]) == set(named)
    assert list(held.unsaved_blocks(4)) == [], "once"
