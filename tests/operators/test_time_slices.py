"""Time slices: a minute is good or bad by its turns, exactly; late turns tell it anew, and the budget is of minutes."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from schemas.burns import DECISION_FORMAT, Burn, decode, encode
from schemas.families import AUDIENCE, TURNS
from schemas.partials import Partial
from schemas.slos import LowTraffic, PolicyRow, Slo, WatchedSlo
from stream_jobs.operators.burn_rate.burn_rate import BurnRate
from stream_jobs.operators.burn_rate.evidence import share_at_least
from stream_jobs.operators.burn_rate.time_slices import (
    bad_by_chance,
    column_of,
    minutes_are_evident,
    slice_counts,
)
from tests.operators.burn_worlds import FLEET, OUTAGE, PAGE, SLO, START_MS, partial, told
from tests.operators.evidence_twin import bad_share_at_least

MINUTES_SLO = replace(SLO, name="minutes", budgeting="time_slices", time_slice_target=Decimal("0.95"))
AUDIENCE_SLICE = "pool=realtime,language=de"
NO_RULE = LowTraffic.none()


def operator(
    *rows: PolicyRow, rule: LowTraffic = NO_RULE, slo: Slo = MINUTES_SLO, others: Sequence[WatchedSlo] = ()
) -> BurnRate:
    return BurnRate(0, 1, [WatchedSlo(slo, rows, rule), *others])


def window(burn_rate: BurnRate, end_ms: int, length_s: int = 3_600, text: str = FLEET) -> tuple[int, int]:
    """Bad minutes and minutes of a slice."""
    (watch,) = [each for each in burn_rate._watching() if each.watched.slo.budgeting == "time_slices"]
    (number,) = burn_rate._slices.of([text])
    bad, total = burn_rate._windows(end_ms).of(length_s)[number, watch.indicator]
    return int(bad), int(total)


# -- a minute ------------------------------------------------------------------------------------------------------------


@given(
    turns=st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 2**40)), min_size=1, max_size=8),
    target=st.decimals("0.0001", "1", places=4),
)
def test_a_minute_is_told_as_its_scalar_twin_tells_it(turns: list[tuple[int, int]], target: Decimal) -> None:
    counts = [(bad, bad + good) for bad, good in turns]
    twin = [[int(total > 0 and Fraction(bad, total) > 1 - Fraction(target)), int(total > 0)] for bad, total in counts]
    assert slice_counts(np.array(counts, dtype=np.int64), target).tolist() == twin


def test_exactly_at_its_target_a_minute_is_good() -> None:
    counts = np.array([[50, 1_000], [51, 1_000], [5 * 10**15, 10**17], [5 * 10**15 + 1, 10**17]])
    assert slice_counts(counts, Decimal("0.95"))[:, 0].tolist() == [0, 1, 0, 1]


def test_objectives_of_one_indicator_and_target_share_a_column_and_others_do_not() -> None:
    assert column_of(replace(MINUTES_SLO, time_slice_target=Decimal("0.950"))) == column_of(MINUTES_SLO)
    assert column_of(replace(MINUTES_SLO, time_slice_target=Decimal("0.9"))) != column_of(MINUTES_SLO)
    assert column_of(SLO) == SLO.indicator.name


# -- windows -------------------------------------------------------------------------------------------------------------


def test_windows_count_whole_minutes_however_long_they_are() -> None:
    """Twelve minutes: every third is bad by one turn of its sixty, and the thirteenth has only begun."""
    burn_rate = operator(PAGE)
    told(burn_rate, [(4 if place % 18 == 0 else 0, 10) for place in range(72)] + [(10, 10)] * 3)
    end_ms = START_MS + 750_000
    assert [window(burn_rate, end_ms, length_s) for length_s in (60, 120, 600, 630, 3_600, 86_400, 30 * 86_400)] == [
        (0, 1), (0, 2), (3, 10), (3, 11), (4, 12), (4, 12), (4, 12),
    ]  # fmt: skip


def test_a_minute_without_turns_counts_nothing() -> None:
    burn_rate = operator(PAGE)
    told(burn_rate, [(1, 1)] * 6)
    told(burn_rate, [(1, 1)] * 6, start_ms=START_MS + 300_000, first_version=7)
    assert window(burn_rate, START_MS + 360_000) == (2, 2)


@settings(max_examples=12, deadline=None)
@given(
    buckets=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), min_size=60, max_size=100),
    late=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 9), st.integers(0, 9)), max_size=6),
    crash=st.booleans(),
)
def test_late_turns_tell_their_minute_anew_through_a_restart(
    buckets: list[tuple[int, int]], late: list[tuple[int, int, int]], crash: bool
) -> None:
    """Bad becomes good and good bad, in every window and at every resolution, as if it had been known at once.

    Turns come up to two minutes late, which is how long they are taken in.
    """
    known = [(bad, bad + good) for bad, good in buckets]
    burn_rate = operator(PAGE)
    for version, counts in enumerate(known, start=1):
        burn_rate.apply(partial(START_MS + (version - 1) * 10_000, *counts, version))
    list(burn_rate.rollups())
    if crash:
        blocks = [*burn_rate.unsaved_blocks(0), *burn_rate.marker(0)]
        burn_rate = operator(PAGE)
        burn_rate.restore({block.key: block.value for block in blocks if block.value is not None})
    reach_ms = START_MS + len(known) * 10_000
    for version, (back, bad, good) in enumerate(late, start=len(known) + 1):
        place = len(known) - back
        known[place] = (bad, bad + good)
        burn_rate.apply(partial(START_MS + place * 10_000, *known[place], version, reach_ms=reach_ms))
    list(burn_rate.rollups())
    sums = [(sum(bad for bad, _ in minute), sum(total for _, total in minute)) for minute in minutes_of(known)]
    recount = (sum(20 * bad > total for bad, total in sums), sum(total > 0 for _, total in sums))
    for length_s in (3_600, 86_400, 30 * 86_400):
        assert window(burn_rate, reach_ms, length_s) == recount


def minutes_of(buckets: Sequence[tuple[int, int]]) -> list[Sequence[tuple[int, int]]]:
    """The whole ones."""
    return [buckets[first : first + 6] for first in range(0, len(buckets) // 6 * 6, 6)]


def test_slices_of_wide_buckets_have_minutes_too() -> None:
    burn_rate = operator(PAGE, slo=replace(MINUTES_SLO, cuts=("pool", "pool,language")))
    told(burn_rate, [(0, 1)] * 18)
    for place, bad in enumerate((0, 3, 4)):
        start_ms = START_MS + place * 60_000
        rows = partial(start_ms, bad, 60, 19 + place, AUDIENCE_SLICE, start_ms + 60_000)
        burn_rate.apply(Partial(TURNS, AUDIENCE, 0, 19 + place, rows.reach, rows.rows))
    list(burn_rate.rollups())
    assert [window(burn_rate, START_MS + 180_000, length_s, AUDIENCE_SLICE) for length_s in (60, 120, 600)] == [
        (1, 1),
        (1, 2),
        (1, 3),
    ]


# -- decisions -----------------------------------------------------------------------------------------------------------


def test_an_objective_burns_in_minutes_where_its_turns_would_not() -> None:
    """One minute in five is bad, with a tenth of its turns: 2 % of all turns, and 20 % of all minutes."""
    both = WatchedSlo(SLO, (PAGE,), NO_RULE)
    decided = told(operator(PAGE, others=[both]), [(10 if place % 30 < 6 else 0, 100) for place in range(360)])
    (burn,) = decided[-1].decision.burns
    assert (burn.slo, burn.unit, burn.long_bad, burn.long_total) == ("minutes", "minutes", 12, 60)
    assert burn.long_burn == pytest.approx(20.0)


def test_rows_with_a_short_window_below_a_minute_pass_minutes_over() -> None:
    row = replace(OUTAGE, name="page_5m_30s", long_s=300, short_s=30)
    assert not told(operator(row), [(10, 10)] * 60)[-1].decision.burns
    assert told(operator(OUTAGE), [(10, 10)] * 60)[-1].decision.burns


def test_minutes_that_were_bad_and_are_silent_are_quiet() -> None:
    decided = told(operator(PAGE), [(10, 10)] * 60 + [(0, 0)] * 36)
    assert not decided[-1].decision.burns and [each.slo for each in decided[-1].decision.quiet] == ["minutes"]


def test_suspects_are_told_in_turns_so_that_slices_are_parts_of_the_whole() -> None:
    decided = told(operator(OUTAGE), [(50, 100)] * 66)
    (suspect,) = decided[-1].decision.suspects
    assert (suspect.slice, suspect.bad, suspect.total) == (FLEET, 3_000, 6_000)


def test_counters_count_minutes() -> None:
    burn_rate = operator(PAGE)
    counted = []
    for place in range(40):
        told(burn_rate, [(1, 10)], START_MS + place * 10_000, place + 1)
        counted += [(bad, total) for _, _, bad, total in burn_rate.counted()]
    assert counted[0] == (0, 0) and counted[-1] == (6, 6)
    assert np.all(np.diff(np.array(counted), axis=0) >= 0)


def test_an_older_worker_reads_burns_of_turns_and_ends_at_those_of_minutes() -> None:
    told_in = {
        slo.unit: told(operator(PAGE, slo=slo), [(10, 10)] * 66)[-1].decision.model_copy(update={"suspects": ()})
        for slo in (SLO, MINUTES_SLO)
    }
    said = {unit: json.loads(encode(decision)) for unit, decision in told_in.items()}
    assert {unit: each["format"] for unit, each in said.items()} == {"turns": 1, "minutes": DECISION_FORMAT}
    assert "unit" not in said["turns"]["burns"][0] and said["minutes"]["burns"][0]["unit"] == "minutes"
    for unit, decision in told_in.items():
        assert decode(encode(decision)).burns == decision.burns
        assert Burn.model_validate_json(decision.burns[0].model_dump_json()).unit == unit


# -- little traffic ------------------------------------------------------------------------------------------------------

ALLOWED, PAGE_SHARE, SIX_HOURS, MONTH = Decimal("0.05"), Decimal("0.144"), Decimal("0.06"), 432.0


@pytest.mark.parametrize(
    ("turns", "minutes", "budget", "pages"),
    [
        ((3, 3), (3, 3), None, False),  # Three failed calls at night, each in a minute of its own.
        ((9, 9), (9, 9), 1.0, False),  # Fewer than ten turns, however bad.
        ((30, 60), (10, 60), MONTH, True),  # One turn a minute, half of them bad.
        ((30, 60), (10, 60), None, False),  # The month's traffic is not known yet, and thirty are not a hundred.
        ((30, 60), (4, 60), MONTH, False),  # Less than 1 % of the month's minutes.
        ((30, 1_200), (9, 60), MONTH, False),  # 2.5 % of twenty a minute: chance alone makes as many bad.
        ((900, 36_000), (20, 60), MONTH, True),  # 2.5 % of six hundred a minute, all of it in a third of the minutes.
        ((900, 36_000), (9, 60), MONTH, False),  # So few that the row may be exceeded by chance; the turns are within.
    ],
)
def test_evidence_is_of_turns_or_of_more_minutes_than_chance_makes_bad(
    turns: tuple[int, int], minutes: tuple[int, int], budget: float | None, pages: bool
) -> None:
    known = np.array([math.nan if budget is None else budget])
    assert evident([turns], [minutes], known) == [pages]


def evident(turns: list[tuple[int, int]], minutes: list[tuple[int, int]], budget: NDArray[np.float64]) -> list[bool]:
    rule = LowTraffic()
    return list(
        minutes_are_evident(np.array(turns), np.array(minutes), np.array([float(PAGE_SHARE)]), ALLOWED, budget, rule)
    )


@given(st.integers(0, 400), st.integers(0, 400), st.sampled_from([0.0, 0.9, 0.95, 0.999]))
def test_lower_bounds_are_those_of_their_scalar_twin(bad: int, good: int, confidence: float) -> None:
    bound = share_at_least(np.array([[bad, bad + good]]), confidence)[0]
    assert bound == pytest.approx(bad_share_at_least(bad, bad + good, confidence))


@given(mean=st.integers(1, 60), minutes=st.integers(1, 60), share=st.floats(0.001, 0.5), target=st.floats(0.5, 0.99))
def test_chance_is_never_taken_for_less_than_the_binomial_says(
    mean: int, minutes: int, share: float, target: float
) -> None:
    """Bad is a minute with more than it may have; of whole turns the larger side counts."""
    turns = mean * minutes
    bad, allowed = min(turns, max(1, round(share * turns))), Decimal(f"{1 - target:.4f}")
    least = math.floor(mean * allowed) + 1
    chance = sum(
        math.comb(mean, k) * (bad / turns) ** k * (1 - bad / turns) ** (mean - k) for k in range(least, mean + 1)
    )
    found = bad_by_chance(np.array([[bad, turns]]), np.array([[1, minutes]]), allowed)[0]
    assert found >= chance - 1e-9


def test_a_healthy_slice_with_a_few_turns_a_minute_wakes_nobody() -> None:
    """Twenty turns a minute at half of what a minute may have bad: for a month about a tenth of the minutes are bad."""
    of_turns = np.random.default_rng(7).binomial(20, 0.025, 30 * 1_440)
    of_minutes = slice_counts(np.stack([of_turns, np.full(len(of_turns), 20)], axis=1), 1 - ALLOWED)[:, 0]
    turns, minutes = (
        np.stack([np.convolve(bad, np.ones(360, dtype=np.int64), "valid"), np.full(len(bad) - 359, total)], axis=1)
        for bad, total in ((of_turns, 360 * 20), (of_minutes, 360))
    )
    is_above = minutes[:, 0] > float(SIX_HOURS) * 360
    is_evident = minutes_are_evident(
        turns, minutes, np.full(len(turns), float(SIX_HOURS)), ALLOWED, np.full(len(turns), MONTH), LowTraffic()
    )
    assert is_above.mean() > 0.9 and not (is_above & is_evident).any()
