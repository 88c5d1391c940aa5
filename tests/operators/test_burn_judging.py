"""Judging: every kind of row is exceeded one turn above its threshold and not at it; what waits for evidence is held, and
what is near a threshold keeps an alert without beginning one."""

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
from alerts.policies import policy_for
from schemas.slos import Life, LowTraffic, PolicyRow, WatchedSlo
from stream_jobs.operators.burn_rate import pending
from stream_jobs.operators.burn_rate.burn_rate import BurnRate
from stream_jobs.operators.burn_rate.exhaustion import exhausts
from tests.operators.burn_worlds import FLEET, OUTAGE, PAGE, SLO, operator, told
from tests.operators.judging import Alert, Said, Turns, judged, twin

TICKET = PolicyRow("ticket_3d_6h", 259_200, 21_600, Decimal("0.01"), Decimal(1), "ticket")
EXHAUSTS = PolicyRow(
    "page_exhausts_2h_1h_5m", 3_600, 300, Decimal("0.01"), Decimal(1), "page", "exhausts", within_s=7_200
)
ANY_EVENT = PolicyRow("page_any_event_10m", 600, 600, Decimal(0), Decimal(0), "page", "any_event")
GERMAN = f"{FLEET},language=de"
FLEET_SLO = replace(SLO, cuts=("pool", "pool,bundle", "pool,language"))
PAGED: Alert = (FLEET, "page")


def watching(*rows: PolicyRow, low_traffic: LowTraffic | None = None, life: Life | None = None) -> WatchedSlo:
    return WatchedSlo(FLEET_SLO, rows, low_traffic or LowTraffic.none(), life or Life())


def of_shares(long: Turns, short: Turns, period: Turns | None = None, watched: WatchedSlo | None = None) -> Said:
    """One slice judged on these counts of the hour's row: of its two windows, and of the whole period."""
    before = (long[0] - short[0], long[1] - short[1])
    earlier = (period[0] - long[0], period[1] - long[1]) if period else (0, 0)
    return judged(watched or watching(PAGE), {FLEET: {60: short, 3_000: before, 20 * 86_400: earlier}})


# -- at a threshold, and beyond ------------------------------------------------------------------------------------------


def test_a_row_is_exceeded_by_one_turn_more_than_its_threshold_in_both_windows() -> None:
    assert of_shares((145, 1_000), (145, 1_000)).burns.keys() == {PAGED}
    assert of_shares((144, 1_000), (100, 500)).burns == {}
    assert of_shares((145, 1_000), (14, 100)).burns == {}


def test_at_its_threshold_a_row_keeps_an_alert_and_at_the_lowered_one_no_more() -> None:
    """A lowered threshold of 12.96 %."""
    assert of_shares((144, 1_000), (144, 1_000)).holding == {PAGED}
    assert of_shares((1_297, 10_000), (1_297, 10_000)).holding == {PAGED}
    assert of_shares((2_592, 20_000), (1_297, 10_000)).holding == set()
    assert of_shares((1_297, 10_000), (1_296, 10_000)).holding == set()
    assert of_shares((145, 1_000), (145, 1_000)).holding == set(), "it burns"


def test_nothing_is_holding_where_alerts_end_at_the_threshold_itself() -> None:
    at_itself = watching(PAGE, life=Life(resolve_below=Decimal(1)))
    assert of_shares((144, 1_000), (144, 1_000), watched=at_itself).holding == set()


def test_a_slice_that_was_near_a_row_and_fell_silent_is_quiet() -> None:
    assert of_shares((1_297, 10_000), (0, 0)).quiet == {PAGED}
    assert of_shares((1_296, 10_000), (0, 0)).quiet == set()


def test_one_bad_turn_of_any_number_is_an_event_and_needs_no_evidence() -> None:
    privacy = watching(ANY_EVENT, low_traffic=LowTraffic())
    assert judged(privacy, {FLEET: {600: (1, 1_000_000)}}).burns.keys() == {PAGED}
    assert judged(privacy, {FLEET: {600: (1, 1)}}).burns.keys() == {PAGED}
    assert judged(privacy, {FLEET: {600: (0, 1_000_000)}}).rows == ({}, {}, set(), set())
    assert judged(privacy, {FLEET: {610: (1, 1), 10: (0, 1)}}).rows == ({}, {}, set(), set())


def test_what_exhausts_the_budget_in_time_follows_from_what_is_left_of_it() -> None:
    """Half of the budget left: 0.5 × 30 d ÷ 2 h is a burn of 180, more than there can be at 99 %; a quarter makes it 90."""
    row = watching(EXHAUSTS)
    assert of_shares((100, 100), (100, 100), (50_000, 10_000_000), row).burns == {}
    assert of_shares((90, 100), (90, 100), (75_000, 10_000_000), row).burns == {}
    burn = of_shares((91, 100), (91, 100), (75_000, 10_000_000), row).burns[PAGED]
    assert [burn.factor, burn.threshold] == pytest.approx([90, 0.9])
    assert burn.within_s == 7_200
    assert burn.exhausted_in_s is not None and burn.exhausted_in_s < 7_200
    assert of_shares((90, 100), (90, 100), (75_000, 10_000_000), row).holding == {PAGED}


def test_a_spent_budget_is_exhausted_by_any_burn_above_one_and_never_by_less() -> None:
    row = watching(EXHAUSTS)
    assert of_shares((11, 1_000), (11, 1_000), (200, 10_000), row).burns.keys() == {PAGED}
    assert of_shares((10, 1_000), (10, 1_000), (200, 10_000), row).burns == {}


turns = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda pair: (min(pair), max(pair)))


@given(
    counts=turns, scale=st.integers(1, 10**9), period=turns, within_s=st.sampled_from([3_600, 259_200, 1_296_000]),
    part=st.sampled_from([Fraction(1), Fraction(9, 10)]),
)  # fmt: skip
def test_exhaustion_is_exact_for_every_size(
    counts: Turns, scale: int, period: Turns, within_s: int, part: Fraction
) -> None:
    scaled = (counts[0] * scale, counts[1] * scale)
    rate = Fraction(1, 100)
    left = 1 - (Fraction(*period) if period[1] else Fraction(0)) / rate
    limit = part * rate * max(Fraction(1), left * SLO.period_s / within_s)
    expected = counts[1] > 0 and Fraction(*counts) > limit
    assert exhausts(np.array([scaled]), np.array([period]), SLO, within_s, part)[0] == expected


@pytest.mark.parametrize("scale", [1, 10**3, 10**12])
def test_exactly_what_exhausts_is_not_beyond_it_however_many_turns_there_were(scale: int) -> None:
    """A third of the budget left, within a fifth of the period: a burn of 5 ÷ 3, which no float holds."""
    period = np.array([[2 * scale, 300 * scale]])
    counts = np.array([[5 * scale, 300 * scale]])
    assert not exhausts(counts, period, SLO, SLO.period_s // 5, Fraction(1))[0]
    assert exhausts(counts + np.array([[1, 0]]), period, SLO, SLO.period_s // 5, Fraction(1))[0]


def test_a_slice_of_wider_buckets_is_not_judged_by_a_row_that_is_shorter() -> None:
    row = replace(OUTAGE, short_s=30)
    for bad in (99, 46):  # It would burn, and be near.
        said = judged(watching(row), {FLEET: {60: (bad, 100)}, GERMAN: {60: (bad, 100)}})
        assert GERMAN not in {text for text, _ in (*said.burns, *said.held, *said.holding)}


# -- all of it, slice by slice -------------------------------------------------------------------------------------------

ALL_ROWS = (PAGE, OUTAGE, TICKET, EXHAUSTS, replace(ANY_EVENT, severity="ticket", name="ticket_any_event_10m"))
AGES_S = (10, 60, 300, 600, 3_600, 21_600, 259_200, 20 * 86_400)


def _told(dice: np.random.Generator) -> dict[int, Turns]:
    share = dice.choice([0.0, 0.003, 0.0095, 0.0105, 0.135, 0.15, 0.47, 0.55, 0.95])
    ages_s = dice.choice(AGES_S, dice.integers(2, len(AGES_S)), replace=False)
    total = dice.choice([0, 1, 9, 40, 5_000, 300_000], len(ages_s))
    return {
        int(age_s): (int(dice.binomial(turns, share)), int(turns)) for age_s, turns in zip(ages_s, total, strict=True)
    }


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_columns_of_slices_are_judged_as_each_slice_by_itself(seed: int) -> None:
    dice = np.random.default_rng(seed)
    fleet = {f"{FLEET},bundle=v{number}": _told(dice) for number in range(30)}
    rows = [row for row in ALL_ROWS if dice.random() < 0.7] or [PAGE]
    watched = watching(*rows, low_traffic=LowTraffic())
    found, expected = judged(watched, fleet), twin(watched, fleet)
    assert found.rows == expected


def test_the_fleets_above_have_slices_of_every_answer() -> None:
    """Or equal answers would be worth little."""
    dice = np.random.default_rng(1)
    fleet = {f"{FLEET},bundle=v{number}": _told(dice) for number in range(300)}
    said = judged(watching(*ALL_ROWS, low_traffic=LowTraffic()), fleet)
    assert {burn.row for burn in said.burns.values()} == {row.name for row in ALL_ROWS}
    said = judged(watching(PAGE, OUTAGE, TICKET, low_traffic=LowTraffic()), fleet)
    assert min(len(said.burns), len(said.held), len(said.holding), len(said.quiet)) > 3


# -- held ----------------------------------------------------------------------------------------------------------------


def test_what_exceeds_a_row_on_too_little_evidence_is_held_by_its_strongest_row_unless_it_burns_anyway() -> None:
    """Nine bad turns are fewer than ten, whatever the row; a thousand in the hour are enough for that row alone."""
    few = watching(PAGE, OUTAGE, low_traffic=LowTraffic())
    said = judged(few, {FLEET: {60: (9, 9), 3_000: (0, 30)}})
    assert said.rows == ({}, {PAGED: "outage_10m_1m"}, set(), set())
    said = judged(few, {FLEET: {60: (9, 9), 3_000: (1_000, 1_500)}})
    assert said.rows == ({PAGED: "page_1h_5m"}, {}, set(), set())


def test_of_too_many_that_are_held_those_with_the_most_bad_turns_are_stated_and_the_rest_is_counted() -> None:
    fleet = {f"{FLEET},bundle=v{number}": {60: (3 + number % 7, 9)} for number in range(2 * pending.HELD_MAX)}
    exceeding = sorted(bad for ((bad, _),) in map(dict.values, fleet.values()) if bad > 4)
    said = judged(watching(OUTAGE, low_traffic=LowTraffic()), fleet)
    assert sorted(burn.long_bad for burn in said.held.values()) == exceeding[-pending.HELD_MAX :]
    assert said.left_out == len(exceeding) - pending.HELD_MAX > 0
    assert len(said.holding) == said.left_out and not said.holding & said.held.keys(), "or an alert would end meanwhile"


@pytest.mark.parametrize("cold", [True, False], ids=["from a cold start", "after a healthy hour"])
def test_nine_failures_in_ten_at_half_a_turn_a_second_are_held_and_then_page(cold: bool) -> None:
    healthy = 0 if cold else 360
    failing: list[Turns] = [(5, 5), (4, 5)] * 25
    decisions = [each.decision for each in told(operator(PAGE, OUTAGE), [(0, 5)] * healthy + failing)][healthy:]
    held = [place for place, each in enumerate(decisions) if each.held]
    burning = [place for place, each in enumerate(decisions) if each.burns]
    assert held and burning and min(held) < min(burning)
    assert not set(held) & set(burning)
    assert min(burning) * 10 <= (230 if cold else 380)


def test_three_failures_at_night_are_held_and_never_page() -> None:
    night: list[Turns] = [(0, 1)] * 10 + [(1, 1)] + [(0, 0)] * 30 + [(1, 1)] + [(1, 1)] + [(0, 0)] * 40
    decisions = [each.decision for each in told(operator(PAGE, OUTAGE), night)]
    assert not any(each.burns for each in decisions)
    assert any(each.held for each in decisions)
    assert {burn.long_bad for each in decisions for burn in each.held} <= {1, 2, 3}


# -- holding -------------------------------------------------------------------------------------------------------------


def lives(shares: list[Turns], resolve_below: str) -> int:
    """How often an alert begins over buckets of 10 s: it stays while it burns, is holding or is quiet."""
    row = PolicyRow("page_2m_30s", 120, 30, Decimal("0.5"), Decimal(50), "page")
    watched = watching(row, life=Life(resolve_below=Decimal(resolve_below)))
    begun, is_open = 0, False
    for place in range(len(shares)):
        recent = shares[max(0, place - 11) : place + 1]
        said = judged(watched, {FLEET: {10 * (len(recent) - at): counts for at, counts in enumerate(recent)}})
        burns = PAGED in said.burns
        stays = is_open and (PAGED in said.holding or PAGED in said.quiet)
        begun += burns and not is_open
        is_open = burns or stays
    return begun


def walk(seed: int, steps: int = 60) -> list[Turns]:
    """Bad turns of a hundred that wander about a threshold of a half; now and then there is no traffic."""
    dice = np.random.default_rng(seed)
    bad, found = 50, []
    for _ in range(steps):
        bad = int(np.clip(bad + dice.integers(-8, 9), 30, 70))
        found.append((0, 0) if dice.random() < 0.05 else (bad, 100))
    return found


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_an_alert_never_comes_and_goes_more_often_for_what_is_holding_it(seed: int) -> None:
    shares = walk(seed)
    assert lives(shares, "0.9") <= lives(shares, "1")


def test_at_its_threshold_an_alert_comes_once_where_it_would_come_and_go() -> None:
    shares: list[Turns] = [(60, 100)] * 12 + ([(48, 100)] * 12 + [(52, 100)] * 12) * 3
    assert (lives(shares, "0.9"), lives(shares, "1")) == (1, 4)


# -- to a page -----------------------------------------------------------------------------------------------------------


def test_one_bad_turn_at_night_is_a_page_by_the_shipped_policy_for_what_must_never_happen() -> None:
    """From its bucket's end until no window of ten minutes has it, and a minute more."""
    watched = policy_for(replace(SLO, policy="any-event", objective=Decimal("0.9999")))
    paging = Paging({SLO.name: SLO}, lives={SLO.name: watched.life})
    pages, states = Pages(), []
    for each in told(BurnRate(0, 1, [watched]), [(0, 1)] * 3 + [(1, 1)] + [(0, 1)] * 70):
        pages = step(pages, each.decision, paging, each.decision.decided_ms).pages
        states.append([alert.state for alert in pages.alerts])
    assert states[:4] == [[], [], [], ["firing"]]
    assert states[3:].index(["resolved"]) * 10 == 600 - 10 + watched.life.keep_firing_s["page"]
    (alert,) = pages.alerts
    assert alert.annotations["summary"] == "turns: 1 bad turn in pool=realtime in the last 10m, where any one is a page"
