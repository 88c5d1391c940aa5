"""Findings about money: what got dearer is named with its cause, and neither the day nor the week is taken for a change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from random import Random

import polars as pl
import pytest

from schemas.findings import Finding, Findings
from schemas.instants import DAY_MS, HOUR_MS, WEEK_MS
from schemas.spend import BUCKET_MS, CELL, Spend
from schemas.spend_policies import Budget, SpendPolicy
from stream_jobs.operators.cost.judging import judged
from stream_jobs.operators.cost.pricing import NANO
from stream_jobs.operators.cost.regressions import reference_before_ms
from stream_jobs.operators.cost.spend_hours import OPEN_MS
from stream_jobs.operators.totals.blocks import key_kind
from tests.operators.spend_worlds import (
    GPU_NUSD,
    GPUS,
    MONDAY_MS,
    POLICY,
    Change,
    Ledger,
    Row,
    cell,
    hour_of,
    hours,
    spend,
    turns_at,
)
from tests.operators.worlds import Changelog

QUIET_H = 7 * 24 + 12
CHANGED_MS = MONDAY_MS + QUIET_H * HOUR_MS
POOL = "pool=realtime"


@pytest.fixture(scope="module")
def quiet() -> Ledger:
    """Seven days and a half in which nothing changes but the hour and the day of the week."""
    known = Ledger()
    known.hear(*hours(MONDAY_MS, QUIET_H), saves=False, asks_every=4)
    known.save()
    return known


def scaled(route: str, **factors: float) -> Change:
    """Multiplies measures of one route; what is paid for costs as much as before a millisecond."""

    def change(row: Row) -> Row:
        if row["route"] != route:
            return row
        told = row | {name: round(row[name] * factor) for name, factor in factors.items()}
        money = {"used_nusd": told["gpu_used_ms"] * GPU_NUSD, "reserved_nusd": told["gpu_reserved_ms"] * GPU_NUSD}
        return told | money

    return change


def after(known: Ledger, change: Change, count: int = 3, policy: SpendPolicy = POLICY) -> dict[str, Finding]:
    """What is found `count` hours after a change, by slice."""
    line = known.restarted(policy).hear(*hours(CHANGED_MS, count, change))
    return {found.slice: found for found in line.stated[-1].findings}


def test_neither_nights_nor_weekends_are_a_regression(quiet: Ledger) -> None:
    """Cost per success is three times as high at midnight as at noon, and twice as high on weekends."""
    assert quiet.named == set()
    assert len(quiet.stated) == QUIET_H // 4


def test_what_regressed_is_told_with_what_it_costs_and_what_it_cost_before(quiet: Ledger) -> None:
    found = after(quiet, scaled("shared", gpu_reserved_ms=1.5))[POOL]
    successes = sum(2 * (turns_at(CHANGED_MS + hour * HOUR_MS) * 93 // 100) for hour in range(3))
    before = 3 * GPUS * HOUR_MS * GPU_NUSD / NANO / successes
    assert found.alert == "CostRegressed" and found.severity == "ticket"
    assert found.facts["usd_per_1000_successes_before"] == pytest.approx(1_000 * before)
    assert found.facts["usd_per_1000_successes"] == pytest.approx(1_500 * before)
    assert found.facts["added_usd"] == pytest.approx(0.5 * before * successes)
    assert found.facts["driver_1"] == "utilisation" and "Take replicas away" in found.action
    assert "50% more" in found.summary and "a week before, while the success rate is flat" in found.summary


def test_the_driver_is_named_first_with_the_route_it_is_in(quiet: Ledger) -> None:
    """Support carries five times the context over, so its GPU time doubles, and so do replicas for it."""
    support = scaled("support", tokens_carried=4.0, gpu_used_ms=2.0)
    more = scaled("shared", gpu_reserved_ms=1.5)
    found = after(quiet, lambda row: more(support(row)))[POOL]
    assert (found.facts["driver_1"], found.facts["driver_1_route"]) == ("tokens_carried", "support")
    assert (
        "context carried over from turn to turn added $0." in found.summary and "most in route support" in found.summary
    )
    assert found.action.startswith("Carry less context over")


@pytest.mark.parametrize(("factor", "is_found"), [(1.1, False), (1.1001, True)])
def test_exactly_on_the_tolerance_is_no_regression(quiet: Ledger, factor: float, is_found: bool) -> None:
    assert bool(after(quiet, scaled("shared", gpu_reserved_ms=factor))) == is_found


def test_a_route_that_got_dearer_than_its_pool_is_named_besides_and_one_that_is_as_dear_is_not(quiet: Ledger) -> None:
    """Support uses three times the GPU time; sales pays less of the replicas then."""
    more = scaled("shared", gpu_reserved_ms=1.3)
    dear = scaled("support", gpu_used_ms=3.0)
    assert set(after(quiet, lambda row: more(dear(row)))) == {POOL, f"{POOL},route=support"}


def test_a_route_is_named_although_its_pool_is_as_it_was(quiet: Ledger) -> None:
    found = after(quiet, scaled("support", gpu_used_ms=3.0))
    assert set(found) == {f"{POOL},route=support"}
    assert found[f"{POOL},route=support"].facts["relative_change"] == pytest.approx(0.5)


def successes(share: float) -> Change:
    """The success rate of both routes, and half as many replicas again."""
    more = scaled("shared", gpu_reserved_ms=1.5)
    return lambda row: more(row | {"successes": round(row["turns"] * share)})


def test_more_success_for_more_money_is_no_regression_and_less_success_is_one(quiet: Ledger) -> None:
    assert after(quiet, successes(0.99)) == {}
    found = after(quiet, successes(0.70))[POOL]
    assert "while the success rate fell (93.0% to 70.0%)" in found.summary


def fewer(row: Row) -> Row:
    """Half of the turns, with all that they use."""
    told = {name: row[name] // 2 for name in ("turns", "successes", "attempts", "gpu_used_ms", "used_nusd")}
    return row | told


def test_half_of_the_turns_on_the_same_replicas_are_no_regression_and_on_more_they_are(quiet: Ledger) -> None:
    """A success costs twice as much in both, and in one of them because of the replicas."""
    assert after(quiet, fewer) == {}
    more = scaled("shared", gpu_reserved_ms=1.2)
    assert after(quiet, lambda row: more(fewer(row)))[POOL].facts["relative_change"] == pytest.approx(1.4, rel=1e-3)


def test_a_route_is_not_dearer_because_another_one_lost_its_turns(quiet: Ledger) -> None:
    """Replicas are shared, so support is charged nearly all of them once sales has hardly any turns."""
    lost = scaled("sales", turns=0.1, successes=0.1, attempts=0.1, gpu_used_ms=0.1)
    assert after(quiet, lost) == {}
    dear = scaled("support", gpu_used_ms=2.0)
    more = scaled("shared", gpu_reserved_ms=1.5)
    assert set(after(quiet, lambda row: more(dear(lost(row))))) == {POOL}


def test_what_regressed_yesterday_is_no_reference_for_today(quiet: Ledger) -> None:
    """As long as it is dearer than a week before it holds, the day after included, and since when stays."""
    line = quiet.restarted()
    line.hear(*hours(CHANGED_MS, 36, scaled("shared", gpu_reserved_ms=1.3)), saves=False, asks_every=12)
    assert [bool(said.findings) for said in line.stated] == [True] * 3
    assert {found.since_ms for said in line.stated for found in said.findings} == {CHANGED_MS + 12 * HOUR_MS}


def test_what_regressed_ends_once_it_is_well_below_the_tolerance(quiet: Ledger) -> None:
    line = quiet.restarted()
    for place, factor in enumerate((1.15, 1.15, 1.15, 1.09, 1.09, 1.09, 1.07, 1.07, 1.07)):
        line.hear(*hours(CHANGED_MS + place * HOUR_MS, 1, scaled("shared", gpu_reserved_ms=factor)))
    held = [bool(said.findings) for said in line.stated]
    assert held[2:] == [True] * 5 + [False] * 2, "at 9 % it holds, at 7 % it does not"
    fresh = quiet.restarted().hear(*hours(CHANGED_MS, 6, scaled("shared", gpu_reserved_ms=1.09)))
    assert fresh.named == set(), "what was never above the tolerance does not begin at 9 %"


def test_few_successes_are_not_judged(quiet: Ledger) -> None:
    policy = replace(POLICY, successes_min=1_000_000)
    assert after(quiet, scaled("shared", gpu_reserved_ms=3.0), policy=policy) == {}


# -- what it is compared with --------------------------------------------------------------------------------------------


def known_hours(days: float) -> set[int]:
    return set(range(MONDAY_MS, MONDAY_MS + round(days * DAY_MS), HOUR_MS))


@pytest.mark.parametrize(
    ("days", "before_ms"),
    [
        (1.0, None),
        (1.5, DAY_MS),  # Tuesday with Monday.
        (4.5, DAY_MS),
        (5.5, None),  # Saturday is not like Friday.
        (6.5, DAY_MS),
        (7.0, DAY_MS),
        (7.5, WEEK_MS),  # Monday with Monday, as a week is known.
        (12.5, WEEK_MS),
    ],
)
def test_hours_are_compared_with_those_of_the_week_before_or_of_a_day_like_theirs(
    days: float, before_ms: int | None
) -> None:
    end_ms = MONDAY_MS + round(days * DAY_MS)
    assert reference_before_ms(end_ms, 3, known_hours(days), MONDAY_MS) == before_ms


def test_a_reference_with_a_gap_is_none() -> None:
    end_ms = MONDAY_MS + DAY_MS + DAY_MS // 2
    assert reference_before_ms(end_ms, 3, known_hours(1.5) - {end_ms - DAY_MS - HOUR_MS}, MONDAY_MS) is None


def test_once_a_week_is_known_a_day_is_no_reference_for_what_lacks_an_hour_of_the_week_before() -> None:
    end_ms = MONDAY_MS + 8 * DAY_MS + DAY_MS // 2
    known = known_hours(8.5) - {end_ms - WEEK_MS - HOUR_MS}
    assert reference_before_ms(end_ms, 3, known, MONDAY_MS) is None
    of_a_day = {hour_ms for hour_ms in known if hour_ms > end_ms - 2 * DAY_MS}
    assert reference_before_ms(end_ms, 3, of_a_day, MONDAY_MS) is None, "cells are forgotten sooner than that they were"
    assert reference_before_ms(end_ms, 3, of_a_day, min(of_a_day)) == DAY_MS


def test_what_regressed_goes_on_while_nothing_is_known_whole_that_it_could_be_compared_with(quiet: Ledger) -> None:
    """An hour of the week before is unknown: what held is named on, and ends only once it is judged to be over."""
    stored = dict(quiet.changelog.stored)
    del stored[f"cost|hour|{CHANGED_MS + HOUR_MS - WEEK_MS}|0".encode()]
    line = Ledger(changelog=Changelog(dict(stored)), offset=quiet.offset)
    line.hear(*hours(CHANGED_MS, 1, scaled("shared", gpu_reserved_ms=1.5)))
    assert line.named == {("CostRegressed", POOL)}
    line = line.restarted().hear(*hours(CHANGED_MS + HOUR_MS, 4))
    assert [[found.slice for found in said.findings] for said in line.stated] == [[POOL]] * 3 + [[]]
    found = line.stated[1].findings[0]
    assert found.since_ms == CHANGED_MS + HOUR_MS
    assert "cannot be judged now" in found.summary and found.facts["reference"] == "none"
    fresh = Ledger(changelog=Changelog(dict(stored)), offset=quiet.offset)
    fresh.hear(*hours(CHANGED_MS + HOUR_MS, 2, scaled("shared", gpu_reserved_ms=1.5)))
    assert fresh.named == set(), "what did not hold does not begin"


# -- cost and no success -------------------------------------------------------------------------------------------------


def failing(row: Row) -> Row:
    return row | {"successes": 0} if row["route"] == "sales" else row


def test_a_route_with_cost_and_no_success_is_named_once_it_lasts() -> None:
    line = Ledger().hear(*hours(MONDAY_MS, 4, failing))
    assert [len(said.findings) for said in line.stated] == [0, 0, 1, 1]
    (found,) = line.stated[-1].findings
    assert (found.alert, found.slice) == ("CostWithoutSuccess", f"{POOL},route=sales")
    share = 3 * GPUS * HOUR_MS * GPU_NUSD / NANO / 2
    assert found.facts["usd"] == pytest.approx(share), "half of the replicas served it"
    assert found.facts["turns"] == sum(turns_at(MONDAY_MS + hour * HOUR_MS) for hour in (1, 2, 3))
    line.hear(*hours(MONDAY_MS + 4 * HOUR_MS, 1))
    assert line.stated[-1].findings == ()


@pytest.mark.parametrize("policy", [replace(POLICY, turns_min=10**6), replace(POLICY, usd_min=Decimal(10**6))])
def test_few_turns_or_little_money_without_success_are_not_named(policy: SpendPolicy) -> None:
    assert Ledger(policy).hear(*hours(MONDAY_MS, 4, failing)).named == set()


def test_replicas_that_no_turn_came_to_have_no_success_to_have() -> None:
    idle = [cell(route="shared", gpu_reserved_ms=GPUS * HOUR_MS), cell(route="sales", gpu_used_ms=HOUR_MS)]
    line = Ledger().hear(*(spend(MONDAY_MS + hour * HOUR_MS, idle) for hour in range(1, 5)))
    assert line.named == set()


# -- budgets -------------------------------------------------------------------------------------------------------------


def budgets(*told: Budget) -> SpendPolicy:
    return replace(POLICY, budgets=told)


def test_a_month_that_will_pass_its_budget_is_told_with_the_day(quiet: Ledger) -> None:
    """Replicas cost $7.20 an hour: $4,838.40 in the 672 hours of a February that is known from the 2nd on: $4,665.60."""
    usd_h = GPUS * HOUR_MS * GPU_NUSD / NANO
    policy = budgets(Budget(Decimal(4_000)), Budget(Decimal(5_000)), Budget(Decimal(1_000), "realtime", "support"))
    found = after(quiet, lambda row: row, count=1, policy=policy)
    assert set(found) == {"all", f"{POOL},route=support"}
    fleet = found["all"]
    assert (fleet.alert, fleet.labels["month"]) == ("SpendAboveBudget", "2026-02")
    assert fleet.facts["spent_usd"] == pytest.approx(usd_h * (QUIET_H + 1))
    assert fleet.facts["total_usd"] == pytest.approx(usd_h * 27 * 24)
    assert fleet.facts["forecast_rule"] == "recent_days"
    assert "will cost $4,666 in 2026-02, 17% above its budget of $4,000" in fleet.summary
    assert "The budget will be passed on 2026-02-25." in fleet.summary
    assert found[f"{POOL},route=support"].facts["total_usd"] == pytest.approx(usd_h * 27 * 24 / 2)


def test_a_month_above_its_budget_gives_the_next_one_no_slack(quiet: Ledger) -> None:
    """The month is at 96 % of its budget: that goes on where it was above it, and does not begin because another one was."""
    hours_known, end_ms = quiet.spending._hours, MONDAY_MS + QUIET_H * HOUR_MS
    (above,) = judged(hours_known, budgets(Budget(Decimal(4_000))), {}, end_ms)
    policy = budgets(Budget(Decimal(round(float(above.facts["total_usd"]) / 0.96))))
    assert [each.name for each in judged(hours_known, policy, {above.name: 0}, end_ms)] == [above.name]
    assert judged(hours_known, policy, {above.name.replace("2026-02", "2026-01"): 0}, end_ms) == []


# -- exactness -----------------------------------------------------------------------------------------------------------

FAILED = scaled("shared", gpu_reserved_ms=1.4)
BOUGHT = budgets(Budget(Decimal(2_000)), Budget(Decimal(1_000), "realtime", "support"))


HOURS = 27


def told(from_ms: int = MONDAY_MS, count: int = HOURS) -> Iterator[Spend]:
    """Two shards, a bucket that is corrected hours later, and a route that gets dear on the second day."""
    for begins_ms in range(from_ms, from_ms + count * HOUR_MS, HOUR_MS):
        *served, shared = hour_of(begins_ms, FAILED if begins_ms >= MONDAY_MS + DAY_MS else lambda row: row)
        end_ms = begins_ms + HOUR_MS
        yield spend(end_ms, served)
        yield spend(end_ms, [shared], shard=1)
        if begins_ms >= MONDAY_MS + 4 * HOUR_MS:
            late = scaled("sales", gpu_used_ms=1.1)(hour_of(begins_ms - 3 * HOUR_MS)[1]) | {"version": 2}
            yield spend(end_ms - 3 * HOUR_MS, [late], decidable_until_ms=end_ms)


@pytest.fixture(scope="module")
def whole() -> Ledger:
    """One that nothing happened to."""
    known = Ledger(BOUGHT, shards=2).hear(*told(), saves=False)
    known.save()
    return known


def test_killed_again_and_again_it_goes_on_as_if_nothing_had_happened(whole: Ledger) -> None:
    killed = Ledger(BOUGHT, shards=2)
    for place, each in enumerate(told()):
        killed.hear(each, saves=place % 9 == 8)
        if place % 9 == 8:
            stated = killed.stated
            killed = killed.restarted()
            killed.stated = stated
    assert killed.stated == whole.stated
    assert any(said.findings for said in whole.stated)


def next_hour(line: Ledger) -> Findings:
    """What is stated once another hour is over: all that was told before is in it."""
    return line.hear(*list(told(MONDAY_MS + HOURS * HOUR_MS, 1))).stated[-1]


def routes(line: Ledger) -> pl.DataFrame:
    return line.spending._hours.route_hours(0)


@pytest.fixture(scope="module")
def before() -> Ledger:
    """One whose last save was six statements ago."""
    known = Ledger(BOUGHT, shards=2).hear(*list(told())[:-6], saves=False)
    known.save()
    return known


@pytest.mark.parametrize("landed_share", [0.0, 0.5, 0.9])
def test_a_crash_anywhere_in_a_save_loses_and_doubles_nothing(
    landed_share: float, before: Ledger, whole: Ledger
) -> None:
    """What is not confirmed is heard again; of a save any beginning may have landed."""
    statements = list(told())
    dying = before.restarted().hear(*statements[-6:], saves=False)
    blocks = [*dying.spending.unsaved_blocks(dying.offset), *dying.spending.marker(dying.offset)]
    assert any(block.value is None for block in blocks), "hours are folded, and their buckets let go of"
    crashed = before.restarted()
    for block in blocks[: round(landed_share * len(blocks))]:
        crashed.changelog.write(block)
    again = crashed.restarted().hear(*statements[-6:])
    assert routes(again).equals(routes(whole))
    assert next_hour(again) == next_hour(whole.restarted())


@pytest.mark.parametrize("seed", range(2))
def test_of_several_hours_that_one_save_folds_any_may_have_landed(seed: int, whole: Ledger) -> None:
    """Blocks of one phase are sent together; what was confirmed before a crash is in no order."""
    statements = list(told())
    before = Ledger(BOUGHT, shards=2).hear(*statements[:-30], saves=False, asks_every=9)
    before.save()
    dying = before.restarted().hear(*statements[-30:], saves=False, asks_every=9)
    blocks = list(dying.spending.unsaved_blocks(dying.offset))
    assert sum(key_kind(block.key) == "hour" for block in blocks) > 3
    crashed = before.restarted()
    for block in Random(seed).sample(blocks, len(blocks) // 2):
        crashed.changelog.write(block)
    assert routes(crashed.restarted()).select("hour_ms", "pool", "route").is_unique().all()
    again = crashed.restarted().hear(*statements[-30:], asks_every=9)
    assert routes(again).equals(routes(whole))
    cells = (line.spending._hours.between(0, 2**60).sort("hour_ms", *CELL) for line in (again, whole))
    assert next(cells).equals(next(cells))


def test_any_order_of_what_is_told_within_an_hour_and_repeats_change_nothing(whole: Ledger) -> None:
    statements = list(told())
    disturbed = Ledger(BOUGHT, shards=2)
    for first in range(0, len(statements), 3):
        disturbed.hear(
            *reversed(statements[first : first + 3]), *statements[first : first + 2], saves=False, asks_every=5
        )
    assert routes(disturbed).equals(routes(whole))
    assert next_hour(disturbed) == next_hour(whole.restarted())


def test_an_older_version_of_a_cell_does_not_replace_a_newer_one() -> None:
    newer = spend(MONDAY_MS + HOUR_MS, [cell(gpu_reserved_ms=HOUR_MS, version=9)])
    older = spend(MONDAY_MS + HOUR_MS, [cell(gpu_reserved_ms=7 * HOUR_MS, version=8), cell(route="b", turns=1)])
    known = Ledger().hear(newer, older).spending._hours.between(MONDAY_MS, MONDAY_MS + HOUR_MS)
    assert dict(zip(known["route"], known["gpu_reserved_ms"], strict=True)) == {"support": HOUR_MS, "b": 0}


# -- who is waited for ---------------------------------------------------------------------------------------------------


def test_a_bucket_is_decided_once_every_shard_is_past_it_and_one_far_behind_is_not_waited_for() -> None:
    line = Ledger(shards=2)
    line.hear(spend(MONDAY_MS + BUCKET_MS, [], shard=0), spend(MONDAY_MS + BUCKET_MS, [], shard=1))
    assert [(said.decided_ms, said.completeness) for said in line.stated] == [
        (MONDAY_MS + BUCKET_MS, 0.0),  # Nobody knows yet of the other shard.
    ]
    line.hear(spend(MONDAY_MS + HOUR_MS, []))
    assert line.spending.decided_ms == MONDAY_MS + BUCKET_MS
    line.hear(spend(MONDAY_MS + 3 * HOUR_MS, []))
    assert (line.stated[-1].decided_ms, line.stated[-1].completeness) == (MONDAY_MS + 3 * HOUR_MS, 0.0)
    line.hear(spend(MONDAY_MS + 3 * HOUR_MS, [], shard=1, completeness=0.97), spend(MONDAY_MS + 4 * HOUR_MS, []))
    line.hear(spend(MONDAY_MS + 4 * HOUR_MS, [], shard=1, completeness=0.99))
    assert (line.stated[-1].decided_ms, line.stated[-1].completeness) == (MONDAY_MS + 4 * HOUR_MS, 0.99)


def test_a_bucket_is_not_decided_by_what_is_open_nor_before_its_last_part() -> None:
    line = Ledger().hear(spend(MONDAY_MS + BUCKET_MS, [], decidable_until_ms=MONDAY_MS + BUCKET_MS - 1))
    assert line.stated == []
    line.hear(replace(spend(MONDAY_MS + BUCKET_MS, []), parts=2))
    assert line.stated == []
    line.hear(replace(spend(MONDAY_MS + BUCKET_MS, []), part=1, parts=2))
    assert len(line.stated) == 1


def test_what_comes_after_its_hour_was_folded_is_left_out_and_counted() -> None:
    line = Ledger().hear(*hours(MONDAY_MS, OPEN_MS // HOUR_MS + 2))
    before = line.spending._hours.route_hours(0)
    late = [row | {"version": 9, "reserved_nusd": 10**15} for row in hour_of(MONDAY_MS)]
    line.hear(spend(MONDAY_MS + HOUR_MS, late))
    assert line.too_late == len(late)
    assert line.spending._hours.route_hours(0).equals(before)


def test_memory_is_bounded_by_hours_of_cells_and_weeks_of_routes(quiet: Ledger) -> None:
    kept = {block.split(b"|")[1] for block in quiet.changelog.stored}
    assert kept == {b"bucket", b"hour", b"day", b"judged"}
    count = {kind: sum(key.split(b"|")[1] == kind for key in quiet.changelog.stored) for kind in kept}
    assert count[b"bucket"] == OPEN_MS // HOUR_MS
    assert count[b"hour"] == QUIET_H - OPEN_MS // HOUR_MS
    assert count[b"day"] == 8
