"""Saturated queues are found in the minute that shows it, once, until they have recovered."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.families import INDICATORS, QUEUES, STAGE_LATENCIES
from schemas.findings import LISTED_MAX, Findings
from stream_jobs.operators.saturation.queue_episodes import QUIET_MINUTES
from stream_jobs.operators.saturation.queue_pressure import SaturationRule
from stream_jobs.operators.saturation.watch import SaturationWatch
from stream_jobs.operators.totals.traffic import Traffic
from tests.operators.queue_worlds import (
    FAST,
    LLM,
    MINUTE_MS,
    POOL,
    SATURATED,
    SLOW,
    Knowledge,
    found,
    queue,
    queue_minute,
    stage_minute,
    stated,
)
from tests.operators.worlds import START_MS


def tell(watch: SaturationWatch, number: int, depths: Sequence[int], latencies: list[float], text: str = POOL) -> None:
    """Minute `number` of a queue that has these depths minute by minute."""
    before = depths[number - 1] if number else None
    watch.tell(QUEUES, queue_minute(number, {(text, LLM): queue(depths[number], before)}), START_MS)
    watch.tell(STAGE_LATENCIES, stage_minute(number, {(text, LLM): latencies}), START_MS)


def minutes_found(depths: Sequence[int], slow: set[int], text: str = POOL) -> list[int]:
    """In which minutes the queue is stated as saturated, where latencies are slow in these."""
    watch, said = SaturationWatch(0), []
    for number in range(len(depths)):
        tell(watch, number, depths, SLOW if number in slow else FAST, text)
        if (SATURATED, text) in found(watch, number):
            said.append(number)
    return said


ALL = set(range(100))


@pytest.mark.parametrize(
    ("depths", "slow", "first"),
    [
        ([10, 10, 10], ALL, None),
        ([10, 90, 190], set(), None),
        ([10, 34, 58], ALL, None),
        ([500, 500], ALL, None),
        ([500], ALL, None),
        ([10, 35], ALL, 1),
        ([10, 35, 60], {2}, 2),
    ],
    ids=["flat", "rising and fast", "slow and nearly steady", "deep", "first minute", "both", "slow later"],
)
def test_growth_and_latency_have_to_come_together(depths: list[int], slow: set[int], first: int | None) -> None:
    assert minutes_found(depths, slow)[:1] == ([] if first is None else [first])


@pytest.mark.parametrize(("depth", "is_found"), [(134, False), (135, True)])
def test_after_missing_minutes_growth_is_per_minute_and_never_a_jump(depth: int, is_found: bool) -> None:
    watch = SaturationWatch(0)
    tell(watch, 0, [10], FAST)
    assert not found(watch, 0)
    watch.tell(QUEUES, queue_minute(5, {(POOL, LLM): queue(depth, depth)}), START_MS)
    watch.tell(STAGE_LATENCIES, stage_minute(5, {(POOL, LLM): SLOW}), START_MS)
    assert [bool(said.findings) for said in stated(watch, 5)] == [False] * 4 + [is_found]


def test_an_engine_that_comes_with_a_queue_is_no_growth_of_it() -> None:
    watch = SaturationWatch(0)
    for number, depth in enumerate([10, 210]):
        watch.tell(QUEUES, queue_minute(number, {(POOL, LLM): queue(depth, depth_from=10, depth_to=10)}), START_MS)
        watch.tell(STAGE_LATENCIES, stage_minute(number, {(POOL, LLM): SLOW}), START_MS)
        assert not found(watch, number)


def test_it_lasts_without_flapping_until_five_quiet_minutes() -> None:
    """Waves of growth with pauses of four minutes: one finding, with one beginning."""
    depths = [5, 5, 40, 80, 80, 70, 5, 5, 5, 45, 90, 5, 5, 5, 5, 5, 5, 5]
    slow = {2, 3, 4, 5, 9, 10}
    assert minutes_found(depths, slow) == list(range(2, 10 + QUIET_MINUTES))
    watch, since = SaturationWatch(0), set()
    for number in range(15):
        tell(watch, number, depths, SLOW if number in slow else FAST)
        since |= {each.since_ms for each in found(watch, number).values()}
    assert since == {START_MS + 2 * MINUTE_MS}


def test_a_queue_that_stopped_growing_at_its_worst_has_not_recovered() -> None:
    depths = [5, 5, 60, 120, *[120] * 10]
    assert minutes_found(depths, ALL) == list(range(2, len(depths)))


def test_minutes_that_are_not_complete_end_nothing_and_may_begin_one() -> None:
    watch, depths = SaturationWatch(0), [5, 5, 60, *[5] * 14]
    for number in range(10):
        tell(watch, number, depths, SLOW if number == 2 else FAST)
        assert bool(found(watch, number, share=0.94)) == (number >= 2)
    ended = []
    for number in range(10, 16):
        tell(watch, number, depths, FAST)
        ended.append(not found(watch, number, share=0.95))
    assert ended == [False] * 4 + [True] * 2


def test_a_pool_that_vanishes_while_others_report_ends_after_five_minutes() -> None:
    watch, depths = SaturationWatch(0), [5, 60]
    for number in range(2):
        tell(watch, number, depths, SLOW)
        found(watch, number)
    assert [bool(found(watch, number)) for number in range(2, 8)] == [True] * 4 + [False] * 2


def test_a_realtime_pool_that_breaks_its_objective_pages_and_stays_a_page() -> None:
    watch, depths = SaturationWatch(0), [0, 30, 30, 31, 26]
    said = []
    for number in range(5):
        pairs = [(text, LLM) for text in (POOL, "pool=batch")]
        line = queue(depths[number], depths[number - 1] if number else None)
        watch.tell(QUEUES, queue_minute(number, dict.fromkeys(pairs, line)), START_MS)
        watch.tell(STAGE_LATENCIES, stage_minute(number, dict.fromkeys(pairs, SLOW)), START_MS)
        both = found(watch, number)
        said.append({text: each.severity for (_, text), each in both.items()})
    assert said == [{}, *[{POOL: "page", "pool=batch": "ticket"}] * 4]


def test_waits_that_break_later_are_told_with_an_interval_and_page_only_when_that_is_soon() -> None:
    """36,000 a minute are served: 150 may wait for 250 ms, and 10 do as it begins to grow by 30 a minute."""

    def severity(growth: int, served: int) -> tuple[str, int]:
        watch, depth = SaturationWatch(0), 0
        for number in range(5):
            before, depth = depth, depth + (growth if number else 10)
            line = queue(depth, before if number else None, served=served)
            watch.tell(QUEUES, queue_minute(number, {(POOL, LLM): line}), START_MS)
            watch.tell(STAGE_LATENCIES, stage_minute(number, {(POOL, LLM): SLOW}), START_MS)
            last = found(watch, number)
        said = last[SATURATED, POOL]
        assert said.facts["soonest_s"] == said.facts["breaks_in_s"] == said.facts["latest_s"], "it grows evenly"
        return said.severity, round(float(said.facts["breaks_in_s"]))

    assert severity(growth=30, served=36_000) == ("page", (150 - 130) / 30 * 60)
    assert severity(growth=30, served=360_000) == ("ticket", (1_500 - 130) / 30 * 60)


Minutes = list[tuple[int | None, bool, bool]]
"""Depth, or nothing heard; whether the stage was slow, and whether the minute was complete."""


def twin(world: Minutes) -> list[bool]:
    """The rule as a loop: in which minutes the queue is stated as saturated."""
    said, heard, is_open, quiet, base = [], dict[int, int](), False, 0, 0
    for number, (depth, is_slow, is_complete) in enumerate(world):
        shown = False
        if depth is not None:
            last = max(heard, default=None)
            grows = last is not None and depth - heard[last] >= 25 * (number - last)
            shown = (grows and is_slow) or (is_open and (grows or (is_slow and depth >= base + 25)))
            heard[number] = depth
        if shown and not is_open:
            base = min(heard.values())
        quiet = 0 if shown else quiet + is_complete
        is_open = shown or (is_open and quiet < QUIET_MINUTES)
        said.append(is_open)
    return said


DEPTH = st.sampled_from([0, 5, 20, 24, 25, 30, 50, 55, 90, 200]) | st.none()


@settings(max_examples=15)
@given(st.lists(st.tuples(DEPTH, st.booleans(), st.booleans()), min_size=6, max_size=16))
def test_it_is_what_the_rule_says_minute_by_minute(world: Minutes) -> None:
    watch, before, said = SaturationWatch(0), None, []
    stated(watch, -1)
    for number, (depth, is_slow, is_complete) in enumerate(world):
        if depth is not None:
            watch.tell(QUEUES, queue_minute(number, {(POOL, LLM): queue(depth, before)}), START_MS)
            watch.tell(STAGE_LATENCIES, stage_minute(number, {(POOL, LLM): SLOW if is_slow else FAST}), START_MS)
            before = depth
        said.append(bool(found(watch, number, share=1.0 if is_complete else 0.9)))
    assert said == twin(world)


# -- what they are found by, and how many are told -----------------------------------------------------------------------


def test_where_nobody_times_stages_waits_speak() -> None:
    watch = SaturationWatch(0)
    for number in range(3):
        depth = 5 + 60 * number
        line = queue(depth, depth - 60 if number else None, waited_ms_sum=600 * (1_200 if number == 2 else 1_199))
        watch.tell(QUEUES, queue_minute(number, {(POOL, LLM): line}), START_MS)
        said = found(watch, number)
        assert bool(said) == (number == 2)
    assert "waits of 1.2 s" in said[SATURATED, POOL].summary
    assert said[SATURATED, POOL].facts["latency_from"] == "waits"


@pytest.mark.parametrize(
    ("measures", "is_found"),
    [
        ({"served": 0, "arrivals": 60}, True),
        ({"served": 0, "arrivals": 61, "waited_ms_sum": 100}, False),
        ({"served": 1, "arrivals": 60}, False),
        ({"served": 0, "arrivals": 0}, False),
    ],
    ids=["stuck", "one begun", "one served", "nobody counts"],
)
def test_a_queue_that_nothing_is_taken_from_is_slow_though_nothing_is_timed(
    measures: dict[str, int], is_found: bool
) -> None:
    watch = SaturationWatch(0)
    watch.tell(QUEUES, queue_minute(0, {(POOL, LLM): queue(5)}), START_MS)
    stated(watch, 0)
    watch.tell(QUEUES, queue_minute(1, {(POOL, LLM): queue(65, 5, busy_ms=0, **measures)}), START_MS)
    said = found(watch, 1)
    assert bool(said) == is_found
    if is_found:
        assert said[SATURATED, POOL].summary.endswith("waits are beyond the 250 ms that are allowed")
        assert "waits of 60 s" in said[SATURATED, POOL].summary
        assert "nobody knows how many replicas are missing" in said[SATURATED, POOL].action
        assert said[SATURATED, POOL].severity == "page"


def test_the_wait_counts_where_hosts_tell_it_apart_from_the_stage() -> None:
    watch = SaturationWatch(0)
    for number in range(2):
        depth = 5 + 60 * number
        watch.tell(QUEUES, queue_minute(number, {(POOL, LLM): queue(depth, depth - 60)}), START_MS)
        watch.tell(STAGE_LATENCIES, stage_minute(number, {(POOL, LLM): FAST, (POOL, "queue_wait"): SLOW}), START_MS)
    assert found(watch, 1)


def test_a_minute_waits_for_stages_and_not_for_more_than_two_minutes() -> None:
    watch = SaturationWatch(0)
    tell(watch, 0, [5], FAST)

    def decided(stages_behind_ms: int) -> list[int]:
        known = Knowledge(START_MS + 10 * MINUTE_MS, behind_ms={"stages": stages_behind_ms})
        return [Findings.model_validate_json(each.payload).decided_ms for each in watch.statements(known)]

    assert decided(10**9) == [START_MS + 8 * MINUTE_MS]
    assert decided(60_000) == [START_MS + 9 * MINUTE_MS]
    assert decided(0) == [START_MS + 10 * MINUTE_MS]
    assert decided(0) == []


def test_more_than_can_be_listed_are_counted_pages_first() -> None:
    watch = SaturationWatch(0)
    texts = [f"pool=batch,bundle=v{number}" for number in range(LISTED_MAX)] + [f"{POOL},bundle=v{n}" for n in range(9)]
    for number in range(2):
        depth = 5 + 60 * number
        watch.tell(QUEUES, queue_minute(number, {(text, LLM): queue(depth, depth - 60) for text in texts}), START_MS)
        watch.tell(STAGE_LATENCIES, stage_minute(number, {(text, LLM): SLOW for text in texts}), START_MS)
        (said,) = stated(watch, number)
    assert (len(said.findings), said.unlisted) == (LISTED_MAX, 9)
    assert [each.severity for each in said.findings[:10]] == ["page"] * 9 + ["ticket"]
    assert len(said.model_dump_json()) < 2_000 * LISTED_MAX


def test_slices_beyond_the_bound_are_counted_and_those_with_most_arrivals_are_watched() -> None:
    watch = SaturationWatch(0, slices_max=3)
    lines = {(f"{POOL},bundle=v{number}", LLM): queue(5, 5, arrivals=number) for number in range(5)}
    watch.tell(QUEUES, queue_minute(0, lines), START_MS)
    traffic = Traffic(1, watches=(watch,))
    assert watch.left_out == traffic.left_out(QUEUES) == 2
    assert traffic.left_out(STAGE_LATENCIES) == 0, "they are counted apart"
    assert set(watch._minutes.at(START_MS)["slice"]) == {f"{POOL},bundle=v{number}" for number in (2, 3, 4)}


def test_the_wait_that_is_allowed_is_that_of_the_objective_of_waits() -> None:
    (allowed,) = (each.threshold_ms for each in INDICATORS if each.stage == "queue_wait")
    assert SaturationRule().wait_s * 1_000 == allowed
