"""The stage that grew is named for the slice it grew in, and nothing is named in a fleet that is well."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np
import polars as pl
import pytest

from producers.anatomy import PARTS
from schemas.burns import StageGrowth
from schemas.families import STAGE_LATENCIES
from schemas.growths import LISTED_MAX, PART_STAGES, STAGE_NUMBER, Growths
from stream_jobs.operators.stages.growth import GrowthWatch
from tests.operators.stage_worlds import MINUTE_MS, Latencies, Line, drawn, minute, minutes, records, small_canary
from tests.operators.worlds import START_MS

CANARY = "pool=realtime,bundle=voice-2.5.0-canary"
STABLE = "pool=realtime,bundle=voice-2.4.0"
SLICE = "pool=realtime"


HEALTHY_S = 660


@pytest.fixture(scope="module")
def healthy() -> Line:
    """A line that has seen the canary in good health for eleven minutes."""
    line = Line()
    line.hear(records(small_canary(None, healthy_s=HEALTHY_S), seconds=HEALTHY_S))
    assert set(line.named()) == set(range(0, HEALTHY_S + 1, 60))
    assert not any(line.named().values())
    return line


def test_numbers_of_stages_stay_what_they_are_in_stored_state() -> None:
    first = ("queue_wait", "asr_first_partial", "retrieval", "llm_first_token", "tts_first_audio", "turn")
    assert tuple(STAGE_NUMBER)[:6] == first
    assert tuple(STAGE_NUMBER)[6:] == tuple(stage for stage in PART_STAGES if stage not in first)


@pytest.mark.parametrize("stage", [part.stage for part in PARTS])
def test_the_planted_stage_of_the_canary_is_named_a_minute_after_it_slowed(healthy: Line, stage: str) -> None:
    """After a restart, too: each of these processes takes up what the healthy line had saved."""
    line = healthy.restarted()
    line.hear(records(small_canary(stage, healthy_s=0), seconds=60, from_s=HEALTHY_S))
    named = line.named()[HEALTHY_S + 60]
    assert named[CANARY] == stage
    assert STABLE not in named
    assert set(named.values()) == {stage}


def test_nothing_is_named_where_the_slow_part_is_none_of_the_stages(healthy: Line) -> None:
    line = healthy.restarted()
    line.hear(records(small_canary(None, healthy_s=0), seconds=60, from_s=HEALTHY_S))
    assert line.named()[HEALTHY_S + 60] == {}


# -- the rule, on minutes as they are told -------------------------------------------------------------------------------


def watched(made: dict[int, dict[str, Latencies]], at: int) -> dict[str, StageGrowth]:
    """What is stated at the end of minute `at`, by slice."""
    watch = GrowthWatch(shard=0)
    for rows in minutes(made).values():
        watch.tell(STAGE_LATENCIES, rows, START_MS)
    (said,) = watch.state(START_MS + at * MINUTE_MS)
    return {each.slice: each for each in said.grown}


def world(
    change: Callable[[Latencies], Latencies],
    changed: int = 1,
    turns: int = 400,
    quiet: int = 10,
    slice_text: str = SLICE,
) -> dict[int, dict[str, Latencies]]:
    """`quiet` minutes and four more, then `changed` ones in which `change` has been made to the same kind of turns."""
    healthy = {number: {slice_text: drawn(number, turns)} for number in range(quiet + 5)}
    for number in range(quiet + 5 - changed, quiet + 5):
        healthy[number] = {slice_text: change(drawn(number, turns))}
    return healthy


def slower(stage: str, share: float, by_ms: float) -> Callable[[Latencies], Latencies]:
    """The first `share` of the turns take so much longer in the stage, and as a whole."""

    def change(latencies: Latencies) -> Latencies:
        hit = np.arange(len(latencies["turn"])) < share * len(latencies["turn"])
        more = np.where(hit, by_ms, 0.0)
        return {**latencies, stage: latencies[stage] + more, "turn": latencies["turn"] + more}

    return change


def test_what_a_stage_added_is_told_per_turn_with_the_shares_that_an_oracle_counts() -> None:
    made = world(slower("llm_first_token", 0.3, 2_000), changed=5)
    found = watched(made, at=15)[SLICE]
    before = np.concatenate([made[number][SLICE]["llm_first_token"] for number in range(10)])
    now = made[14][SLICE]["llm_first_token"]
    assert (found.stage, found.now_s, found.before_s) == ("llm_first_token", 60, 600)
    assert (found.observed_now, found.observed_before) == (len(now), len(before))
    assert found.added_ms == pytest.approx(now.mean() - before.mean(), abs=1.0)
    assert (found.mean_ms_now, found.mean_ms_before) == pytest.approx((now.mean(), before.mean()), abs=1.0)
    assert found.tail_now == pytest.approx((now > found.tail_ms).mean())
    assert found.tail_before == pytest.approx((before > found.tail_ms).mean())
    assert np.quantile(before, 0.95) <= found.tail_ms <= np.quantile(before, 0.95) * 2 ** (1 / 4)


def test_a_stage_that_not_every_turn_has_adds_to_a_turn_what_it_adds_to_all_of_them() -> None:
    made = world(slower("retrieval", 1.0, 1_000), changed=5)
    found = watched(made, at=15)[SLICE]
    assert found.observed_now / 400 == pytest.approx(0.6, abs=0.1), "the simulator looks something up in 60 % of turns"
    assert found.added_ms == pytest.approx((found.mean_ms_now - found.mean_ms_before) * found.observed_now / 400)


@pytest.mark.parametrize(("turns", "span_s"), [(400, 60), (90, 300)])
def test_a_slice_with_little_traffic_is_judged_on_five_minutes(turns: int, span_s: int) -> None:
    made = world(slower("asr_first_partial", 0.4, 900), changed=5, turns=turns)
    assert watched(made, at=15)[SLICE].now_s == span_s


@pytest.mark.parametrize(
    ("turns", "quiet"), [(19, 60), (29, 10), (400, 4)], ids=["too few now", "too few before", "too few minutes"]
)
def test_nothing_is_said_on_too_little(turns: int, quiet: int) -> None:
    made = world(slower("asr_first_partial", 1.0, 900), changed=5, turns=turns, quiet=quiet)
    assert watched(made, at=quiet + 5) == {}


def test_a_growth_that_all_stages_share_names_none_and_of_two_the_larger_one() -> None:
    def slow_host(latencies: Latencies) -> Latencies:
        return {stage: values + 500 for stage, values in latencies.items()}

    assert watched(world(slow_host), at=15) == {}

    def two(latencies: Latencies) -> Latencies:
        return slower("queue_wait", 0.5, 300)(slower("tts_first_audio", 0.5, 700)(latencies))

    found = watched(world(two), at=15)[SLICE]
    assert found.stage == "tts_first_audio"
    assert found.of_added == pytest.approx(0.7, abs=0.05)


def test_a_part_with_too_few_observations_is_not_named_and_counts_among_what_was_added() -> None:
    def rare(latencies: Latencies) -> Latencies:
        slow = slower("queue_wait", 0.5, 300)(slower("retrieval", 1.0, 6_000)(latencies))
        seldom = np.where(np.arange(400) < 90, slow["retrieval"], np.nan)
        return {**slow, "retrieval": seldom}

    assert watched(world(rare), at=15) == {}, "queue_wait added 150 ms a turn, and retrieval more than twice that"


def test_wholes_are_never_named_nor_what_grew_by_nothing_anybody_waits_for() -> None:
    assert watched(world(slower("turn", 1.0, 3_000)), at=15) == {}
    assert watched(world(slower("first_audio", 1.0, 3_000)), at=15) == {}
    assert watched(world(slower("queue_wait", 0.2, 45)), at=15) == {}, "9 ms a turn"


def test_a_few_turns_that_hang_are_no_growth_of_the_tail() -> None:
    assert watched(world(slower("llm_first_token", 0.03, 60_000)), at=15) == {}


def test_turns_that_change_bundles_are_no_growth_within_a_bundle() -> None:
    slow_from_the_start = slower("retrieval", 1.0, 2_000)
    shares = {number: 10 if number < 14 else 360 for number in range(15)}
    made = {}
    for number, share in shares.items():
        stable, canary = drawn(number, 400 - share), slow_from_the_start(drawn(100 + number, share))
        fleet = {stage: np.concatenate([stable[stage], canary[stage]]) for stage in stable}
        made[number] = {STABLE: stable, CANARY: canary, SLICE: fleet}
    assert watched(made, at=15).keys() == {SLICE}


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_named_in_an_hour_of_a_fleet_that_is_well(seed: int) -> None:
    """Slices of very different traffic, a minute at a time: 55 statements of 5 slices with 5 parts each."""
    watch, turns = GrowthWatch(shard=0), (25, 60, 120, 400, 1_500)
    said: list[Growths] = []
    rng = np.random.default_rng(seed)
    made = {
        number: {
            f"pool=realtime,bundle=v{place}": drawn((seed * 65 + number) * 5 + place, int(rng.poisson(mean)))
            for place, mean in enumerate(turns)
        }
        for number in range(65)
    }
    for number, rows in minutes(made).items():
        watch.tell(STAGE_LATENCIES, rows, START_MS)
        said += watch.state(START_MS + (number + 1) * MINUTE_MS)
    assert len(said) == 65
    assert [(each.decided_ms, each.grown) for each in said if each.grown] == []


def test_what_goes_on_is_compared_with_what_was_before_it_for_as_long_as_it_does() -> None:
    """Forty minutes on, the reference of the last hour is slow itself; a burn that pages late has its stage."""
    watch, slow = GrowthWatch(shard=0), slower("llm_first_token", 0.3, 2_000)
    said: dict[int, tuple[StageGrowth, ...]] = {}
    for number in range(75):
        is_slow = 20 <= number < 60 and number not in (35, 36, 37)
        watch.tell(
            STAGE_LATENCIES,
            minute(number, {SLICE: slow(drawn(number, 300)) if is_slow else drawn(number, 300)}),
            START_MS,
        )
        (stated,) = watch.state(START_MS + (number + 1) * MINUTE_MS)
        said[number] = stated.grown
        if number == 40:
            blocks = {block.key: block.value for block in watch.unsaved_blocks(7) if block.value}
            watch = GrowthWatch(shard=0)
            watch.restore(blocks)
    assert not any(said[number] for number in range(20))
    assert {each.since_ms for number in range(20, 60) for each in said[number]} == {START_MS + 21 * MINUTE_MS}
    assert all(said[number] for number in range(20, 60) if number not in (36, 37)), "a pause, and a restart"
    (last,) = said[59]
    assert (last.added_ms, last.tail_now) == pytest.approx((600, 0.33), rel=0.1)
    assert not any(said[number] for number in range(65, 75))


# -- minutes ----------------------------------------------------------------------------------------------------------


def test_late_data_is_in_the_next_statement_and_repeats_change_nothing() -> None:
    made = world(slower("queue_wait", 0.4, 900))
    in_order, late = GrowthWatch(0), GrowthWatch(0)
    for number, slices in made.items():
        in_order.tell(STAGE_LATENCIES, minute(number, slices), START_MS)
        list(in_order.state(START_MS + number * MINUTE_MS))
        half = {text: {stage: values[:150] for stage, values in each.items()} for text, each in slices.items()}
        late.tell(STAGE_LATENCIES, minute(number, half), START_MS)
        list(late.state(START_MS + number * MINUTE_MS))
        for earlier in (number - 2, number - 2):
            if earlier >= 0:
                late.tell(STAGE_LATENCIES, minute(earlier, made[earlier]), START_MS)
    for number in (13, 14):
        late.tell(STAGE_LATENCIES, minute(number, made[number]), START_MS)
    (said,) = late.state(START_MS + 15 * MINUTE_MS)
    assert [said] == list(in_order.state(START_MS + 15 * MINUTE_MS))
    assert said.grown


def test_every_minute_is_stated_once_and_after_a_pause_those_that_somebody_may_ask_for() -> None:
    watch = GrowthWatch(shard=3)

    def stated(until: int) -> list[int]:
        return [
            (each.decided_ms - START_MS) // MINUTE_MS for each in watch.state(START_MS + until * MINUTE_MS + 30_000)
        ]

    assert [stated(10), stated(10), stated(12), stated(9), stated(112)] == [[10], [], [11, 12], [], [*range(98, 113)]]


def test_more_than_can_be_listed_are_counted_and_those_that_added_most_are_listed() -> None:
    slow = slower("llm_first_token", 1.0, 1_000)
    kinds = {False: drawn(1, 100), True: slow(drawn(2, 100))}
    healthy, broken = (minute(0, {"x": kinds[is_slow]}) for is_slow in (False, True))
    many = [f"pool=realtime,bundle=v{number}" for number in range(LISTED_MAX + 20)]
    each = pl.DataFrame({"slice": many})
    watch = GrowthWatch(shard=0)
    for number in range(11):
        rows = (broken if number == 10 else healthy).drop("slice").join(each, how="cross")
        watch.tell(
            STAGE_LATENCIES,
            rows.with_columns(bucket_start_ms=pl.lit(START_MS + number * MINUTE_MS, pl.Int64)),
            START_MS,
        )
    (said,) = watch.state(START_MS + 11 * MINUTE_MS)
    assert (len(said.grown), said.unlisted) == (LISTED_MAX, 20)
    assert len(said.model_dump_json()) < 400 * LISTED_MAX


def test_the_tail_has_to_grow_beyond_what_chance_makes_of_so_many_observations() -> None:
    """The bound is 7.5 % and three standard deviations: a scalar twin of the rule, on both sides of it."""

    def share_named(turns: int, share: float) -> bool:
        before = drawn(0, 1_000)
        top = np.quantile(before["llm_first_token"], 0.999) * 2
        made = {number: {SLICE: drawn(number, 1_000)} for number in range(10)}
        now = drawn(50, turns)
        below = np.minimum(now["llm_first_token"], np.quantile(before["llm_first_token"], 0.9))
        hit = np.arange(turns) < round(share * turns)
        made |= {number: {SLICE: drawn(number, 1)} for number in range(10, 14)}
        made[14] = {SLICE: {**now, "llm_first_token": np.where(hit, top, below)}}
        return SLICE in watched(made, at=15)

    for turns in (200, 2_000):
        needed = (0.075 * turns + 3 * sqrt(0.075 * turns)) / turns
        assert not share_named(turns, needed - 0.011)
        assert share_named(turns, needed + 0.011)
