"""What is said of a saturated queue: why, since when, what is missing and what to do; and of batch work that has no place there."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from schemas.families import QUEUES, RELEASES, STAGE_LATENCIES
from schemas.findings import Finding, Findings
from stream_jobs.operators.saturation.watch import SaturationWatch
from tests.operators.queue_worlds import (
    BATCH,
    CANARY,
    FAST,
    LLM,
    POOL,
    SATURATED,
    SLOW,
    found,
    queue,
    queue_minute,
    release_minute,
    stage_minute,
    stated,
)
from tests.operators.worlds import START_MS


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
