"""What drift remembers: within its formula however long it runs, the newest of what was told, and slices that are gone leave."""

from __future__ import annotations

import polars as pl

from schemas.families import OUTCOMES
from stream_jobs.operators.drift.buckets import DriftBuckets
from stream_jobs.operators.drift.slices import DriftSlices
from stream_jobs.operators.drift.watch import _OF_MINUTES
from tests.operators.drift_worlds import HOUR_MS, START_MS

HOURS_KEPT = 173


def told(hour: int, *slices: str, bad: int = 1, minute: int = 0) -> pl.DataFrame:
    start_ms = START_MS + hour * HOUR_MS + minute * 60_000
    rows = [{"bucket_start_ms": start_ms, "slice": text, "bad": bad, "version": bad} for text in slices]
    return pl.DataFrame(rows)


def test_after_weeks_there_are_as_many_hours_as_the_formula_has_in_memory_and_in_kafka() -> None:
    slices, stored = DriftSlices(OUTCOMES, 10), set[bytes]()
    buckets = DriftBuckets("quality|drift|outcomes", ("bad",), _OF_MINUTES, slices)
    for hour in range(240):
        buckets.tell(told(hour, "pool=realtime", *(["pool=batch"] if hour < 20 else [])))
        buckets.forget_old()
        stored |= {block.key for block in buckets.unsaved_blocks(1, 0)}
        stored -= {block.key for block in buckets.forgotten_blocks()}
    assert len(buckets.hours()) <= HOURS_KEPT and len(stored) <= HOURS_KEPT
    assert [text for text in slices.texts if text] == ["pool=realtime"]
    buckets.tell(told(240, "pool=realtime", "pool=new"))
    assert slices.texts == ["pool=realtime", "pool=new"] or slices.texts == ["pool=new", "pool=realtime"]
    assert buckets.hour(START_MS + 10 * HOUR_MS) is None, "older than anybody asks for"


def test_a_bucket_replaces_what_was_told_of_it_and_an_hour_is_the_sum_of_its_buckets() -> None:
    buckets = DriftBuckets("quality|drift|outcomes", ("bad",), _OF_MINUTES, DriftSlices(OUTCOMES, 10))
    for bad, minute in ((3, 0), (5, 1), (4, 0), (4, 0)):
        buckets.tell(told(0, "pool=realtime", bad=bad, minute=minute))
    sums = buckets.hour(START_MS)
    assert sums is not None and sums.tolist() == [[9.0, 9.0]]
    assert buckets.changed == {START_MS: {0}}
    buckets.tell(told(3, "pool=realtime", bad=1))
    assert buckets.is_final(START_MS)
    buckets.tell(told(0, "pool=realtime", bad=7))
    assert (sums := buckets.hour(START_MS)) is not None and sums.tolist() == [[9.0, 9.0]], (
        "nothing comes for it any more"
    )
