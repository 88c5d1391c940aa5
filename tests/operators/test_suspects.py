"""Shards state what may explain a burn while something burns, the worst slices only, and since when they are seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alerts.explanations import Paging
from alerts.pages import Pages, step
from schemas.burns import Decision, Suspect
from schemas.families import TURNS
from schemas.partials import Partial
from schemas.slos import WatchedSlo
from stream_jobs.operators.burn_rate.burn_rate import BurnRate
from stream_jobs.operators.burn_rate.suspects import SUSPECTS_MAX
from tests.operators.burn_worlds import FLEET, OUTAGE, SLO, START_MS, partial

WATCHED = WatchedSlo(replace(SLO, cuts=("pool", "pool,bundle")), (OUTAGE,))
BAD, GOOD = f"{FLEET},bundle=v3", f"{FLEET},bundle=v2"


def bucket(place: int, counts: dict[str, tuple[int, int]]) -> Partial:
    """One bucket of several slices, (bad, total) each."""
    start_ms = START_MS + place * 10_000
    rows = []
    for text, (bad, total) in counts.items():
        measures = {name: (bad if name.endswith("_bad") else total) for name in TURNS.measure_names}
        rows.append({"slice": text, "bucket_start_ms": start_ms, **measures})
    one = partial(start_ms, 0, 1, place + 1)
    return replace(one, rows=one.rows.from_pylist(rows, schema=one.rows.schema))


def told(shard: BurnRate, buckets: list[dict[str, tuple[int, int]]], first: int = 0) -> list[Decision]:
    decisions = []
    for place, counts in enumerate(buckets, start=first):
        shard.apply(bucket(place, counts))
        list(shard.rollups())
        decisions += [each.decision for each in shard.decide(now_ms=0)]
    return decisions


def stated(decision: Decision) -> list[tuple[str, int, int]]:
    return [(each.slice, each.bad, each.total) for each in decision.suspects]


def test_nothing_is_suspected_while_nothing_burns_however_bad_single_buckets_are() -> None:
    decisions = told(BurnRate(0, 1, [WATCHED]), [{FLEET: (20, 500), BAD: (20, 100), GOOD: (0, 400)}] * 20)
    assert decisions
    assert not any(decision.suspects for decision in decisions)


def test_what_has_more_bad_turns_than_allowed_is_stated_in_the_window_that_burns_the_worst_first() -> None:
    slices = {f"{FLEET},bundle=v{number}": (number, 500) for number in (3, 7, 9, 400)}
    last = told(BurnRate(0, 1, [WATCHED]), [slices] * 12)[-1]
    assert [burn.slice for burn in last.burns] == [f"{FLEET},bundle=v400"]
    assert stated(last) == [(f"{FLEET},bundle=v{number}", 12 * number, 6_000) for number in (400, 9, 7)]
    assert {each.long_s for each in last.suspects} == {OUTAGE.long_s}


def test_of_each_cut_no_more_than_the_bound_is_stated() -> None:
    slices = {f"{FLEET},bundle=v{number:02}": (200 + number, 300) for number in range(SUSPECTS_MAX + 10)}
    last = told(BurnRate(0, 1, [WATCHED]), [{FLEET: (400, 500), **slices}] * 6)[-1]
    names = [each.slice for each in last.suspects]
    assert names == [FLEET, *(f"{FLEET},bundle=v{number:02}" for number in range(SUSPECTS_MAX + 9, 9, -1))]


@pytest.mark.parametrize(("buckets_before", "is_news"), [(359, False), (360, True)])
def test_a_first_turn_is_news_after_an_hour_of_history(buckets_before: int, is_news: bool) -> None:
    shard = BurnRate(0, 1, [WATCHED])
    shard.apply(bucket(0, {GOOD: (0, 500)}))
    list(shard.rollups())
    last = told(shard, [{GOOD: (0, 500), BAD: (500, 500)}] * 6, first=buckets_before)[-1]
    (suspect,) = last.suspects
    first_ms = START_MS + buckets_before * 10_000 // 60_000 * 60_000
    assert suspect == Suspect(
        slo=SLO.name, slice=BAD, long_s=600, bad=3_000, total=3_000, first_seen_ms=first_ms if is_news else None
    )


def test_the_pages_of_several_shards_name_the_slice_that_lives_in_another_one() -> None:
    paging, pages = Paging(slos={WATCHED.slo.name: WATCHED.slo}), Pages()
    ours = told(BurnRate(0, 1, [WATCHED]), [{FLEET: (400, 700)}] * 12)
    theirs = told(BurnRate(1, 1, [WATCHED]), [{BAD: (400, 400), GOOD: (0, 300)}] * 12)
    for decision in sorted([*ours, *theirs], key=lambda each: (each.decided_ms, -each.shard)):
        pages = step(pages, decision, paging, decision.decided_ms).pages
    fleet = next(alert for alert in pages.firing if alert.burn.slice == FLEET)
    assert fleet.annotations["explained_by"] == BAD
    assert "all of the excess is in bundle=v3, which has 57.1 % of the traffic" in fleet.annotations["summary"]


def test_a_shard_that_comes_up_without_the_objective_ends_its_pages() -> None:
    first = BurnRate(0, 1, [WATCHED])
    pages, known = Pages(), Paging(slos={WATCHED.slo.name: WATCHED.slo})
    for decision in told(first, [{BAD: (400, 500)}] * 12):
        pages = step(pages, decision, known, decision.decided_ms).pages
    assert [alert.state for alert in pages.alerts] == ["firing"]
    second = BurnRate(0, 1, [])
    second.restore({each.key: each.value for each in first.unsaved_blocks(12) if each.value is not None})
    for decision in told(second, [{BAD: (400, 500)}], first=12):
        pages = step(pages, decision, Paging(), decision.decided_ms).pages
    (alert,) = pages.alerts
    assert (alert.state, alert.annotations["resolved_because"]) == (
        "resolved", "the objective turns was removed while this fired",
    )  # fmt: skip
