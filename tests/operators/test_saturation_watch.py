"""Saturated queues are found in the minute that shows it, once, until they have recovered; and with what to do."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.families import INDICATORS, QUEUES, RELEASES, STAGE_LATENCIES
from schemas.findings import LISTED_MAX, Finding, Findings
from stream_jobs.operators.queue_episodes import QUIET_MINUTES
from stream_jobs.operators.queue_minutes import KEPT_MINUTES
from stream_jobs.operators.queue_pressure import SaturationRule
from stream_jobs.operators.saturation_watch import SaturationWatch
from stream_jobs.operators.traffic import Traffic
from tests.operators.queue_worlds import (
    LLM,
    MINUTE_MS,
    POOL,
    Knowledge,
    found,
    queue,
    queue_minute,
    release_minute,
    stage_minute,
    stated,
)
from tests.operators.worlds import START_MS, Changelog

FAST, SLOW = [300.0] * 100, [300.0] * 90 + [1_300.0] * 10
CANARY = "pool=realtime,bundle=voice-2.5.0"
SATURATED, BATCH = "Saturated", "BatchOnRealtimePool"


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


# -- what is said ---------------------------------------------------------------------------------------------------------


def test_the_queue_that_grew_first_is_named_and_of_equal_ones_the_earlier_in_the_chain() -> None:
    watch = SaturationWatch(0)
    depths = {"asr_first_partial": [2, 2, 40, 80, 120], LLM: [2, 2, 2, 40, 80], "tts_first_audio": [2, 2, 40, 80, 120]}
    for number in range(5):
        lines = {(POOL, name): queue(each[number], each[max(0, number - 1)]) for name, each in depths.items()}
        watch.tell(QUEUES, queue_minute(number, lines), START_MS)
        watch.tell(STAGE_LATENCIES, stage_minute(number, {(POOL, name): SLOW for name in depths}), START_MS)
        (said,) = stated(watch, number)
    by_queue = {each.labels["queue"]: each for each in said.findings}
    assert {each.facts["first_queue"] for each in by_queue.values()} == {"asr_first_partial"}
    assert "the asr_first_partial queue began to grow 1 min before: look there first" in by_queue[LLM].summary
    assert "look there first" not in by_queue["asr_first_partial"].summary


def saturated_with(**measures: int) -> Findings:
    """Ten usual minutes, and three in which the queue grows by 60 with these measures."""
    watch = SaturationWatch(0)
    for number in range(13):
        depth = 5 + 60 * max(0, number - 9)
        line = queue(depth, 5 + 60 * max(0, number - 10), **(measures if number > 9 else {}))
        watch.tell(QUEUES, queue_minute(number, {(POOL, LLM): line}), START_MS)
        watch.tell(STAGE_LATENCIES, stage_minute(number, {(POOL, LLM): SLOW if number > 9 else FAST}), START_MS)
        if number > 8:
            (said,) = stated(watch, number)
    return said


@pytest.mark.parametrize(
    ("measures", "words"),
    [
        ({"served": 1_140, "busy_ms": 228_000}, "1,200 requests came in the last minute, 600 a minute before"),
        ({"busy_ms": 240_000}, "each takes 400 ms of a replica, 200 ms before"),
        ({"servers": 2, "busy_ms": 120_000, "available_ms": 120_000}, "2 replicas serve, 4 before"),
        ({"kv_blocks": 1_000, "kv_blocks_used": 940}, "the KV cache is 94 % full"),
        ({"preemptions": 7}, "7 requests a minute are put back for want of cache"),
        ({"batch_slots": 1_000, "batch_slots_filled": 990}, "batches are 99 % full"),
        ({"batch_arrivals": 165}, "25 % of what came in the last minute is batch work"),
    ],
)
def test_what_is_different_is_told(measures: dict[str, int], words: str) -> None:
    (said,) = (each for each in saturated_with(**measures).findings if each.alert == SATURATED)
    assert words in said.summary
    others = saturated_with().findings[0].summary
    assert words not in others


def test_it_says_how_many_replicas_are_missing_with_and_without_batch_work() -> None:
    """1,200 come a minute and take 200 ms each: 4 replicas' work, 5.71 at 70 %; without the 300 of batch work 4.29."""
    said = {each.alert: each for each in saturated_with(served=1_140, busy_ms=228_000, batch_arrivals=300).findings}
    found = said[SATURATED]
    assert (found.facts["replicas_missing"], found.facts["replicas_missing_without_batch"]) == (2, 1)
    assert found.action == (
        "Shed the batch work, 25 % of what came in the last minute. For what came then at least 1 replica is missing "
        "without it, and at least 2 replicas are missing with it."
    )
    plain = saturated_with(served=1_140, busy_ms=228_000).findings[0]
    assert plain.action.startswith(
        "Shed batch work where there is any, or add capacity: for what came in the last minute at least 2 replicas are"
    )
    assert plain.facts["advice"] == "shed_batch_or_add_capacity"


WORLD = {"served": 1_140, "busy_ms": 228_000}


def lasting(minutes: Sequence[dict[str, int]], share: float = 1.0, text: str = POOL) -> list[Finding]:
    """Ten usual minutes, then one for each of these measures, by which the queue grows by 60 unless they say its depth."""
    watch, depth, said = SaturationWatch(0), 5, []
    for number in range(10 + len(minutes)):
        measures = dict(minutes[number - 10]) if number > 9 else {}
        before, depth = depth, measures.pop("depth", depth + 60 * (number > 9))
        watch.tell(QUEUES, queue_minute(number, {(text, LLM): queue(depth, before, **measures)}), START_MS)
        watch.tell(STAGE_LATENCIES, stage_minute(number, {(text, LLM): SLOW if number > 9 else FAST}), START_MS)
        if number > 8:
            (statement,) = stated(watch, number, share if number > 9 else 1.0)
            said.append(next((each for each in statement.findings if each.alert == SATURATED), None))
    return said[1:]  # type: ignore[return-value]


def test_of_a_queue_that_shrinks_it_is_said_that_it_does_and_when_it_is_gone() -> None:
    depths = [{**WORLD, "depth": depth} for depth in (2_380, 4_259, 2_380, 254, 254, 244)]
    _, grows, halves, nearly, stands, slowly = lasting(depths)
    assert "shrank by 1,879 requests a minute to 2,380, and is gone in 76 s at that pace" in halves.summary
    assert "shrank by 2,126 requests a minute to 254, and is gone within a minute at that pace" in nearly.summary
    assert nearly.action == "Watch it shrink: what waits is gone within a minute at the pace of the last minute."
    assert (nearly.severity, nearly.facts["advice"]) == ("page", "watch")
    assert halves.facts["gone_in_s"] == pytest.approx(2_380 / 1_879 * 60)
    assert "has 254 requests waiting and does not recover" in stands.summary
    assert "is gone in 24 min at that pace" in slowly.summary and slowly.action.startswith("Shed batch work where")
    assert {each.facts["advice"] for each in (grows, stands, slowly)} == {"shed_batch_or_add_capacity"}
    assert not any("gone" in each.summary or "gone_in_s" in each.facts for each in (grows, stands))


def test_a_queue_that_shrinks_passes_no_objective_that_still_holds() -> None:
    """Of 36,000 a minute 150 may wait: it grew to 140, and shrinks since."""
    said = lasting([{"depth": depth, "served": 36_000} for depth in (80, 140, 130)])[-1]
    assert "waits pass" not in said.summary
    assert not {"breaks_in_s", "soonest_s", "latest_s"} & said.facts.keys()


def test_what_comes_is_that_of_the_last_minute_and_work_that_has_ended_is_not_to_be_shed() -> None:
    with_batch = {**WORLD, "arrivals": 2_400, "batch_arrivals": 1_200}
    *_, during, after = lasting([with_batch, with_batch, {**WORLD, "arrivals": 1_200}])
    assert "2,400 requests came in the last minute, 600 a minute before" in during.summary
    assert during.action.startswith("Shed the batch work, 50 % of what came in the last minute. ")
    assert "1,200 requests came in the last minute" in after.summary and "batch work" not in after.summary
    assert after.action.startswith(
        "Add capacity, as batch work comes no more: for what came in the last minute at least 2 "
    )
    assert (after.facts["arrivals_min"], after.facts["batch_share"], after.facts["replicas_missing"]) == (1_200, 0, 2)


US, EU = f"{POOL},region=us-east-1", f"{POOL},region=eu-west-1"
POOL_IN_REGIONS = {US: {**WORLD, "batch_arrivals": 300}, EU: {"served": 600, "busy_ms": 12_000}}


def in_regions(texts: Sequence[str], **measures: int) -> dict[str, Finding]:
    """What is found of a pool, a bundle of it and these regions: one grows by 60, the other has nearly nothing to do."""
    watch = SaturationWatch(0)
    whole = {"served": 1_740, "busy_ms": 240_000, "servers": 8, "available_ms": 480_000, "batch_arrivals": 300}
    for number in range(3):
        depths = [5 + 60 * each for each in (number, max(0, number - 1))]
        grows = {text: queue(*depths, **(POOL_IN_REGIONS.get(text, whole) | measures)) for text in (POOL, CANARY, US)}
        idle = queue(0, 0, **POOL_IN_REGIONS[EU])
        lines = {(text, LLM): idle if text == EU else grows[text] for text in (POOL, CANARY, *texts)}
        watch.tell(QUEUES, queue_minute(number, lines), START_MS)
        watch.tell(STAGE_LATENCIES, stage_minute(number, dict.fromkeys(lines, SLOW)), START_MS)
        said = found(watch, number)
    return {text: said[SATURATED, text] for text in (POOL, CANARY, US) if (SATURATED, text) in said}


def test_a_pool_misses_what_its_regions_miss_however_idle_the_others_are() -> None:
    said = in_regions((US, EU))
    assert said[US].facts["replicas_missing"] == said[POOL].facts["replicas_missing"] == 2
    assert "2 replicas are missing with it" in said[US].action
    assert said[POOL].action.endswith("and at least 2 replicas are missing in us-east-1 with it.")
    assert "2 replicas are missing in its pool's us-east-1 with it" in said[CANARY].action


@pytest.mark.parametrize("measures", [{}, {"batch_arrivals": 0}])
def test_a_queue_that_breaks_is_never_told_that_nothing_is_missing(measures: dict[str, int]) -> None:
    """The regions are another shard's: nobody knows here how many are missing, but that something is."""
    for each in in_regions((), **measures).values():
        assert "no replica" not in each.action and "the finding of that region says how many" in each.action
    limited = in_regions((US,), busy_ms=24_000, **measures)[US]
    assert (
        "no replica" not in limited.action
        and "a limit of each such as its batch or cache, holds it back" in limited.action
    )


def test_fewer_replicas_are_said_once_all_have_told_of_them() -> None:
    fewer = {"servers": 4, "busy_ms": 120_000, "available_ms": 120_000}
    six, four = {**fewer, "servers": 6}, fewer
    told = [{**six, "depth": 5}] * 10
    assert "replicas serve" not in lasting([*told, six, four], share=0.96)[-1].summary, (
        "of a minute before there were six"
    )
    assert (
        "4 replicas serve of those that have reported, 6 before" in lasting([*told, four, four], share=0.96)[-1].summary
    )
    assert "4 replicas serve, 6 before" in lasting([*told, six, four])[-1].summary


def test_batch_work_on_a_realtime_pool_is_a_ticket_of_its_own_and_none_on_a_batch_pool() -> None:
    watch = SaturationWatch(0)
    for number, batch in enumerate([0, 9, 30, 30, 0, 0, 0, 0, 0]):
        lines = {(text, LLM): queue(5, 5, batch_arrivals=batch) for text in (POOL, "pool=batch")}
        watch.tell(QUEUES, queue_minute(number, lines), START_MS)
        said = found(watch, number)
        assert said.keys() == ({(BATCH, POOL)} if 2 <= number < 8 else set())
        if batch == 30:
            assert "30 of the requests" in said[BATCH, POOL].summary and "5 %" in said[BATCH, POOL].summary
            assert said[BATCH, POOL].severity == "ticket"


# -- releases ------------------------------------------------------------------------------------------------------------


def advised(deployed: dict[int, tuple[int, int]], grows_at: int = 20) -> str:
    """The action for the canary, whose hosts and deployments are these from some minutes on."""
    watch, hosts = SaturationWatch(0), (0, 0)
    for number in range(grows_at + 2):
        hosts = deployed.get(number, (hosts[0], 0))
        watch.tell(RELEASES, release_minute(number, {CANARY: hosts, POOL: (9, 0)}), START_MS)
        depth, before = (5 + 60 * max(0, each - grows_at + 1) for each in (number, number - 1))
        watch.tell(QUEUES, queue_minute(number, {(CANARY, LLM): queue(depth, before)}), START_MS)
        watch.tell(STAGE_LATENCIES, stage_minute(number, {(CANARY, LLM): SLOW}), START_MS)
    stated(watch, grows_at - 1)
    stated(watch, grows_at)
    said = found(watch, grows_at + 1)
    return said[SATURATED, CANARY].action


def test_what_began_to_grow_after_a_release_is_rolled_back() -> None:
    assert advised({8: (4, 4)}).startswith("Roll back voice-2.5.0: it was deployed here 12 min before")
    assert advised({8: (2, 2), 12: (4, 2)}).startswith("Roll back voice-2.5.0: it was deployed here 12 min before")


@pytest.mark.parametrize(
    "deployed",
    [
        {0: (4, 4)},
        {4: (4, 4)},
        {0: (9, 9), 12: (10, 1)},
        {21: (4, 4)},
        {0: (9, 9)} | dict.fromkeys(range(6, 20), (9, 1)),
        {0: (4, 4), 12: (8, 4)},
        {0: (4, 4), 8: (0, 0), 12: (4, 4)},
    ],
    ids=[
        "told at the start",
        "told in the first minutes",
        "one host more",
        "after it grew",
        "one host that crashes and comes again",
        "twice the hosts",
        "back after four minutes",
    ],
)
def test_what_has_long_been_served_is_not_blamed(deployed: dict[int, tuple[int, int]]) -> None:
    assert advised(deployed).startswith("Shed batch work")


def test_a_release_of_more_than_an_hour_ago_is_not_blamed() -> None:
    assert advised({8: (4, 4)}, grows_at=68).startswith("Roll back")
    assert advised({7: (4, 4)}, grows_at=68).startswith("Shed batch work")


# -- how it is told ------------------------------------------------------------------------------------------------------


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


# -- state ---------------------------------------------------------------------------------------------------------------

DEPTHS = [5, 5, 40, 80, 140, 200, 180, 5, 5, 40, 5, 5, 5, 5, 5, 5, 5]


def minute_of(number: int) -> list[tuple[object, object]]:
    before = DEPTHS[number - 1] if number else None
    lines = {(text, LLM): queue(DEPTHS[number], before, batch_arrivals=20 * (number > 6)) for text in (POOL, CANARY)}
    slow = SLOW if DEPTHS[number] > 30 else FAST
    return [
        (QUEUES, queue_minute(number, lines)),
        (STAGE_LATENCIES, stage_minute(number, dict.fromkeys(lines, slow))),
        (RELEASES, release_minute(number, {CANARY: (4, 4 * (number == 6))})),
    ]


def told_in(order: Sequence[int], restart_at: int | None = None, repeats: int = 1) -> list[Findings]:
    """All that is stated of the world, families told in this order, with a restart from what was saved after a minute."""
    watch, changelog, said = SaturationWatch(0), Changelog(), []
    for number in range(len(DEPTHS)):
        minute = minute_of(number)
        for family, totals in [minute[place] for place in order] * repeats:
            watch.tell(family, totals, START_MS)  # type: ignore[arg-type]
        said += stated(watch, number)
        for block in (*watch.unsaved_blocks(number), *watch.forgotten_blocks()):
            changelog.write(block)
        if number == restart_at:
            watch = SaturationWatch(0)
            watch.restore(changelog.stored)
    return said


@pytest.fixture(scope="module")
def uninterrupted() -> list[Findings]:
    said = told_in((0, 1, 2))
    assert {finding.alert for each in said for finding in each.findings} == {SATURATED, BATCH}
    return said


@pytest.mark.parametrize("restart_at", [3, 8])
def test_after_a_restart_the_same_is_stated_as_without_one(uninterrupted: list[Findings], restart_at: int) -> None:
    assert told_in((0, 1, 2), restart_at) == uninterrupted


def test_order_and_repeats_of_what_is_told_change_nothing(uninterrupted: list[Findings]) -> None:
    assert told_in((2, 1, 0), repeats=2) == uninterrupted


def test_late_data_replaces_what_was_told_of_its_minute() -> None:
    on_time, late = SaturationWatch(0), SaturationWatch(0)
    for number in range(4):
        for family, totals in minute_of(number):
            on_time.tell(family, totals, START_MS)  # type: ignore[arg-type]
            late.tell(family, totals, START_MS)  # type: ignore[arg-type]
        if number == 1:
            late.tell(QUEUES, queue_minute(0, {(POOL, LLM): queue(900)}), START_MS)
            late.tell(QUEUES, minute_of(0)[0][1], START_MS)  # type: ignore[arg-type]
        assert stated(late, number) == stated(on_time, number)


def test_state_does_not_grow_once_an_hour_is_kept() -> None:
    watch, changelog = SaturationWatch(0), Changelog()
    for number in range(72):
        watch.tell(QUEUES, queue_minute(number, {(POOL, LLM): queue(5, 5)}), START_MS)
        if number % 5 == 0:
            stated(watch, number)
        for block in (*watch.unsaved_blocks(number), *watch.forgotten_blocks()):
            changelog.write(block)
    assert len(changelog.stored) <= KEPT_MINUTES + 6 + 2, (
        "minutes, those that wait for a decision, episodes' and the decided one"
    )
