"""A bucket is decided again as the rest of it comes, and a source partition that is gone for good is no longer waited for."""

from __future__ import annotations

from schemas.families import OPERATIONAL, TURNS
from schemas.partials import Partial, Reach
from schemas.silences import LAGGING_MAX_MS
from schemas.slos import WatchedSlo
from stream_jobs.operators.burn_rate.burn_rate import BurnRate, Decided
from stream_jobs.operators.totals.reach import completeness
from tests.operators.burn_worlds import OUTAGE, START_MS, partial, told
from tests.operators.burn_worlds import SLO as OBJECTIVE

MINUTE_MS = 60_000


def two_sources() -> BurnRate:
    return BurnRate(0, 2, [WatchedSlo(OBJECTIVE, (OUTAGE,))])


def heard(operator: BurnRate, source: int, start_ms: int, bad: int, total: int, version: int) -> None:
    rows = partial(start_ms, bad, total, version).rows
    reach: Reach = ((start_ms + 10_000, total),)
    operator.apply(Partial(TURNS, OPERATIONAL, source, version, reach, rows))


def decided(operator: BurnRate, end_ms: int) -> list[Decided]:
    """What it decides once the grace of the bucket that ends then is over."""
    list(operator.rollups())
    return list(operator.decide(end_ms + 2_000))


def begun(buckets: int) -> BurnRate:
    """Two source partitions that have both reported some healthy buckets."""
    operator = two_sources()
    for place in range(buckets):
        for source in (0, 1):
            heard(operator, source, START_MS + place * 10_000, 0, 400, place + 1)
        decided(operator, START_MS + (place + 1) * 10_000)
    return operator


def test_the_newest_bucket_is_decided_again_when_the_rest_of_it_comes_and_only_then() -> None:
    operator = begun(7)
    start_ms = START_MS + 70_000
    heard(operator, 0, start_ms, 0, 400, 8)
    first = decided(operator, start_ms + 10_000)
    assert [(each.decision.decided_ms, each.decision.completeness) for each in first] == [(start_ms + 10_000, 0.5)]
    assert decided(operator, start_ms + 10_000) == []
    heard(operator, 1, start_ms, 0, 400, 8)
    again = decided(operator, start_ms + 10_000)
    assert [(each.decision.decided_ms, each.decision.completeness) for each in again] == [(start_ms + 10_000, 1.0)]
    assert decided(operator, start_ms + 10_000) == []


def test_what_the_rest_of_the_bucket_says_is_stated_without_waiting_for_the_next_one() -> None:
    """One source partition is well, the other, which comes late, is not."""
    operator = begun(60)
    for place in range(60, 120):
        start_ms = START_MS + place * 10_000
        heard(operator, 0, start_ms, 0, 100, place + 1)
        early = decided(operator, start_ms + 10_000)
        heard(operator, 1, start_ms, 700, 700, place + 1)
        late = decided(operator, start_ms + 10_000)
        if late and late[0].decision.burns:
            assert not early[0].decision.burns
            assert late[0].decision.decided_ms == early[0].decision.decided_ms
            return
    raise AssertionError("nothing ever burnt")


def test_windows_of_a_minute_are_told_again_with_a_later_version() -> None:
    operator = begun(5)
    start_ms = START_MS + 50_000
    heard(operator, 0, start_ms, 0, 400, 6)
    (first,) = decided(operator, start_ms + 10_000)
    heard(operator, 1, start_ms, 40, 400, 6)
    (again,) = decided(operator, start_ms + 10_000)
    assert first.windows is not None and again.windows is not None
    before, after = first.windows.to_pylist()[0], again.windows.to_pylist()[0]
    assert (before["decided_at"], before["slice"], before["window"]) == (
        after["decided_at"],
        after["slice"],
        after["window"],
    )
    assert (before["total"], after["total"]) == (2_000 + 2_000 + 400, 2_000 + 2_000 + 800)
    assert before["version"] < after["version"]


def test_windows_of_a_minute_are_told_again_even_when_later_buckets_were_decided_meanwhile() -> None:
    operator = begun(5)
    heard(operator, 0, START_MS + 50_000, 0, 400, 6)
    decided(operator, START_MS + MINUTE_MS)
    heard(operator, 0, START_MS + 60_000, 0, 400, 7)
    (meanwhile,) = decided(operator, START_MS + 70_000)
    assert meanwhile.windows is None
    heard(operator, 1, START_MS + 50_000, 40, 400, 6)
    heard(operator, 1, START_MS + 60_000, 0, 400, 7)
    (again,) = decided(operator, START_MS + 70_000)
    assert again.windows is not None
    rows = again.windows.to_pylist()
    assert {row["decided_at"].timestamp() * 1_000 for row in rows} == {START_MS + MINUTE_MS}
    assert {row["completeness"] for row in rows} == {1.0}


def test_a_shard_that_comes_back_decides_again_only_what_it_decided_on_less() -> None:
    operator = begun(7)
    start_ms = START_MS + 70_000
    heard(operator, 0, start_ms, 0, 400, 8)
    decided(operator, start_ms + 10_000)
    blocks = [*operator.unsaved_blocks(applied_offset=9), *operator.marker(applied_offset=9)]
    again = two_sources()
    again.restore({block.key: block.value for block in blocks if block.value is not None})
    assert decided(again, start_ms + 10_000) == []
    heard(again, 1, start_ms, 0, 400, 8)
    assert [each.decision.completeness for each in decided(again, start_ms + 10_000)] == [1.0]


def test_nothing_is_decided_twice_where_everybody_has_reported() -> None:
    instants = [each.decision.decided_ms for each in told(two_sources(), [(0, 500)] * 30)]
    assert len(instants) == len(set(instants))


def test_a_source_partition_that_is_gone_for_good_is_missing_for_an_hour_and_then_no_longer_expected() -> None:
    gone: Reach = ((START_MS, 300),)
    within: Reach = ((START_MS + LAGGING_MAX_MS, 700),)
    after: Reach = ((START_MS + LAGGING_MAX_MS + 10_000, 700),)
    assert completeness([gone, within], within[0][0]) == 0.7
    assert completeness([gone, after], after[0][0]) == 1.0
