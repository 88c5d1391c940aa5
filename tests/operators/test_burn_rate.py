"""Burn rates: windows equal a recount of raw minutes, thresholds are strict, and a handful of failures wakes nobody."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.explanations import Paging
from alerts.pages import Pages, step
from schemas.burns import Decision
from schemas.families import AUDIENCE, OPERATIONAL, TURNS
from schemas.partials import Partial
from schemas.slos import LowTraffic, WatchedSlo
from stream_jobs.agents.burn_rate import in_parts
from stream_jobs.operators.burn_rate.arithmetic import budget_left, burn, exceeds, exhausted_in_s
from stream_jobs.operators.burn_rate.burn_rate import BurnRate, Decided
from stream_jobs.operators.burn_rate.history import History
from tests.operators.burn_worlds import FLEET, OUTAGE, PAGE, SLO, START_MS, operator, partial, told
from tests.operators.evidence_twin import evidence_is_enough


def firing(decided: list[Decided]) -> list[int]:
    """Seconds after the start at which something burns."""
    return [(each.decision.decided_ms - START_MS) // 1_000 for each in decided if each.decision.burns]


# -- arithmetic ----------------------------------------------------------------------------------------------------------


def test_exactly_on_the_threshold_is_not_above_it() -> None:
    counts = np.array([[144, 1_000], [145, 1_000], [0, 0], [1, 0]])
    assert exceeds(counts, Decimal("0.144")).tolist() == [False, True, False, False]


def test_a_threshold_of_many_digits_is_compared_where_nothing_or_next_to_nothing_is_counted() -> None:
    third = Decimal("0.3333333333333333333333333333")
    assert exceeds(np.zeros((2, 2), dtype=np.int64), third).tolist() == [False, False]
    assert exceeds(np.array([[0, 1], [1, 3], [1, 4]]), third).tolist() == [False, True, False]


@given(bad=st.integers(0, 10**12), total=st.integers(1, 10**12), threshold=st.decimals("0.0001", "0.9999", places=4))
def test_comparison_is_exact_for_every_size(bad: int, total: int, threshold: Decimal) -> None:
    assert exceeds(np.array([[bad, total]]), threshold)[0] == (Fraction(bad, total) > Fraction(threshold))


def test_no_traffic_burns_nothing_and_spends_nothing() -> None:
    assert burn(0, 0, SLO.objective) == 0
    assert budget_left(0, 0, SLO.objective) == 1
    assert exhausted_in_s(1.0, 0.0, SLO.period_s) is None


def test_a_spent_budget_is_exhausted_now_and_never_counts_from_a_full_one() -> None:
    assert exhausted_in_s(-0.5, 3.0, SLO.period_s) == 0
    assert exhausted_in_s(0.25, 14.4, 30 * 86_400) == pytest.approx(45_000)


@pytest.mark.parametrize(
    ("bad", "total", "expected_budget", "pages"),
    [
        (1, 1, None, False),  # One failed call of one.
        (3, 40, None, False),  # Three at night.
        (9, 9, 1.0, False),  # Fewer than ten, however bad.
        (30, 60, 2_000.0, True),  # Half of them, and more than 1 % of the month's budget.
        (30, 60, 4_000.0, False),
        (30, 60, None, False),  # The month's traffic is not known yet, and thirty are not a hundred.
        (100, 200, None, True),
        (145, 1_000, None, False),  # Above 14.4 %, but not surely so.
        (180, 1_000, None, True),
    ],
)
def test_evidence_rises_with_failures_and_with_what_they_cost(
    bad: int, total: int, expected_budget: float | None, pages: bool
) -> None:
    assert evidence_is_enough(bad, total, PAGE.threshold, expected_budget, LowTraffic()) is pages


# -- windows -------------------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_window_equals_a_recount_of_the_finest_buckets(seed: int) -> None:
    """Starts round outward to the buckets of the resolution, ends are exact."""
    rng = np.random.default_rng(seed)
    history, counts = History(["turns"], 30 * 86_400), {}
    buckets = 6 * 60 * 8
    for place in range(buckets):
        start_ms = START_MS + place * 10_000
        counts[start_ms] = rng.integers(0, 50, 2)
        history.assign(0, start_ms, np.array([0]), counts[start_ms].reshape(1, 1, 2))
        for level in (1, 2, 3) if place % 6 == 5 else ():
            history.retell(level, history.resolutions[level].start(start_ms), 0 if level == 1 else 1, np.array([0]))
        history.forget_old(start_ms)
    end_ms = START_MS + buckets * 10_000 - int(rng.integers(0, 5)) * 60_000
    for length_s, width_s in ((60, 10), (300, 10), (600, 10), (1_800, 60), (3_600, 60), (21_600, 60)):
        first_ms = (end_ms - length_s * 1_000) // (width_s * 1_000) * width_s * 1_000
        expected = sum(value for start_ms, value in counts.items() if first_ms <= start_ms < end_ms)
        assert history.window(length_s * 1_000, end_ms)[0, 0].tolist() == np.asarray(expected).tolist()


def test_counts_beyond_32_bits_are_kept_exactly_through_save_and_restore() -> None:
    history = History(["turns"], 30 * 86_400)
    history.assign(0, START_MS, np.array([0]), np.array([[[7, 2**33 + 1]]]))
    again = History(["turns"], 30 * 86_400)
    for block in history.unsaved_blocks(applied_offset=3):
        assert block.value is not None
        again.restore(block.key, block.value)
    assert again.between(0, START_MS, START_MS + 10_000)[0, 0].tolist() == [7, 2**33 + 1]


# -- decisions -----------------------------------------------------------------------------------------------------------


def test_a_total_outage_pages_when_half_of_the_long_window_is_bad_and_surely_so() -> None:
    """Ten good minutes, then nothing works: above 50 % of 10 min after 5 min 10 s, by the bound a bucket or two later."""
    decided = told(operator(OUTAGE), [(0, 500)] * 60 + [(500, 500)] * 60)
    first = firing(decided)[0]
    assert 910 <= first <= 930


def test_it_stops_burning_when_the_short_window_is_clean() -> None:
    decided = told(operator(OUTAGE), [(0, 500)] * 60 + [(500, 500)] * 40 + [(0, 500)] * 30)
    assert max(firing(decided)) < 1_000 + 60


def test_a_quiet_fleet_and_an_empty_one_page_for_nothing() -> None:
    assert firing(told(operator(PAGE, OUTAGE), [(1, 500)] * 100)) == []
    assert firing(told(operator(PAGE, OUTAGE), [(0, 0)] * 100)) == []


def test_one_failed_call_in_one_wakes_nobody() -> None:
    assert firing(told(operator(PAGE, OUTAGE), [(1, 1)] + [(0, 0)] * 60)) == []


def test_partials_twice_and_out_of_order_leave_the_same_burns() -> None:
    once = told(operator(OUTAGE), [(0, 500)] * 60 + [(500, 500)] * 60)
    twice = operator(OUTAGE)
    decided = told(twice, [(0, 500)] * 60)
    for place in range(60):
        version = 61 + place
        start_ms = START_MS + (60 + place) * 10_000
        for bad, of_version in ((500, version), (100, version - 1), (500, version)):
            twice.apply(partial(start_ms, bad, 500, of_version))
        list(twice.rollups())
        decided += twice.decide(now_ms=0)
    assert firing(decided) == firing(once)


def test_a_restored_shard_decides_as_if_nothing_had_happened() -> None:
    before, after = [(0, 500)] * 60 + [(500, 500)] * 10, [(500, 500)] * 50
    undisturbed = told(operator(OUTAGE), before + after)
    first = operator(OUTAGE)
    decided = told(first, before)
    stored = {block.key: block.value for block in first.unsaved_blocks(applied_offset=70) if block.value is not None}
    second = operator(OUTAGE)
    second.restore(stored)
    decided += told(second, after, START_MS + len(before) * 10_000, first_version=len(before) + 1)
    assert [each.decision for each in decided] == [each.decision for each in undisturbed]


def test_slices_of_wider_buckets_are_judged_on_whole_minutes_and_survive_a_restore() -> None:
    slo = replace(SLO, cuts=("pool", "pool,language"))
    rows = (replace(OUTAGE, short_s=60),)
    german = "pool=realtime,language=de"

    def minute(of: BurnRate, number: int) -> list[str]:
        start_ms = START_MS + number * 60_000
        for place in range(6):
            of.apply(partial(start_ms + place * 10_000, 0, 500, number * 10 + place + 1))
        reach = ((start_ms + 60_000, 100),)
        counts = partial(start_ms, 400, 500, number * 10 + 9, german).rows
        of.apply(Partial(TURNS, AUDIENCE, 0, number * 10 + 9, reach, counts))
        list(of.rollups())
        return [found.slice for each in of.decide(now_ms=0) for found in each.decision.burns]

    first = BurnRate(0, 1, [WatchedSlo(slo, rows)])
    assert minute(first, 0) == [german]
    stored = {block.key: block.value for block in first.unsaved_blocks(applied_offset=1) if block.value is not None}
    second = BurnRate(0, 1, [WatchedSlo(slo, rows)])
    second.restore(stored)
    assert set(minute(second, 1)) == {german}


def test_decisions_wait_for_producers_that_carry_most_of_the_volume() -> None:
    waiting = operator(OUTAGE)
    one = partial(START_MS, 0, 10, 1)
    waiting.apply(Partial(TURNS, OPERATIONAL, 0, 1, ((START_MS, 60), (START_MS + 10_000, 40)), one.rows))
    list(waiting.rollups())
    assert [each.decision.decided_ms for each in waiting.decide(now_ms=START_MS + 10_500)] == [START_MS]
    late = [each.decision for each in waiting.decide(now_ms=START_MS + 12_000)]
    assert [(each.decided_ms, each.completeness) for each in late] == [(START_MS + 10_000, 0.4)]


# -- silence -------------------------------------------------------------------------------------------------------------


def _pages_after(decided: list[Decided]) -> Pages:
    pages = Pages()
    for each in decided:
        pages = step(pages, each.decision, Paging(), each.decision.decided_ms).pages
    return pages


def test_a_page_does_not_resolve_because_its_slice_fell_silent() -> None:
    burning = operator(OUTAGE)
    decided = told(burning, [(0, 500)] * 60 + [(500, 500)] * 40)
    assert [alert.burn.slice for alert in _pages_after(decided).firing] == [FLEET]
    for place in range(100, 130):  # Its host is dead; another one, without failures, goes on.
        start_ms = START_MS + place * 10_000
        burning.apply(partial(start_ms, 0, 500, place + 1, "pool=batch"))
        list(burning.rollups())
        decided += burning.decide(now_ms=0)
    assert [(alert.burn.slice, alert.state) for alert in _pages_after(decided).alerts] == [(FLEET, "frozen")]


def test_a_page_resolves_when_its_slice_is_well_again() -> None:
    decided = told(operator(OUTAGE), [(0, 500)] * 60 + [(500, 500)] * 40 + [(0, 500)] * 12)
    assert {alert.state for alert in _pages_after(decided).alerts} == {"resolved"}


def test_a_decision_in_which_everything_burns_goes_in_parts_below_the_limit() -> None:
    burn_of_one = next(
        each for each in told(operator(OUTAGE), [(500, 500)] * 60) if each.decision.burns
    ).decision.burns[0]
    burns = tuple(
        burn_of_one.model_copy(update={"slice": f"pool=realtime,bundle=v{number}"}) for number in range(3_000)
    )
    whole = Decision(shard=0, decided_ms=START_MS, completeness=1.0, burns=burns)
    parts = in_parts(whole)
    assert all(len(part.model_dump_json()) < 500_000 for part in parts)
    assert tuple(burn for part in parts for burn in part.burns) == burns
