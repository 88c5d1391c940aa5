"""The numbers of the multi-window policy, and that no row fires while under budget or is silently useless."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.policies import policy_for, policy_rows, unreachable_rows
from schemas.slos import Life, LowTraffic, PolicyRow, Severity, Slo
from stream_jobs.operators.burn_rate.arithmetic import exceeds
from tests.operators.evidence_twin import evidence_is_enough
from tests.rules.burning import DAY_S, TURN_SLO

HOUR_S = 3_600


def slo_of(objective: str, period_d: int = 30) -> Slo:
    return replace(TURN_SLO, objective=Decimal(objective), period_s=period_d * DAY_S)


def windows(row: PolicyRow) -> tuple[str, int, int, Decimal]:
    return row.severity, row.long_s, row.short_s, row.factor


def test_thirty_days_have_the_rows_of_the_workbook() -> None:
    _, *rows = policy_for(slo_of("0.999")).rows
    assert [windows(row) for row in rows] == [
        ("page", 1 * HOUR_S, 5 * 60, Decimal("14.4")),
        ("page", 6 * HOUR_S, 30 * 60, Decimal(6)),
        ("ticket", 1 * DAY_S, 2 * HOUR_S, Decimal(3)),
        ("ticket", 3 * DAY_S, 6 * HOUR_S, Decimal(1)),
    ]


@pytest.mark.parametrize(
    ("objective", "bad_share"), [("0.999", "0.0864"), ("0.9999", "0.00864"), ("0.99", "0.5"), ("0.95", "0.5")]
)
def test_an_outage_is_two_percent_of_the_budget_in_ten_minutes_or_half_of_all_turns(
    objective: str, bad_share: str
) -> None:
    outage = policy_for(slo_of(objective)).rows[0]
    assert (outage.severity, outage.long_s, outage.short_s) == ("page", 600, 60)
    assert outage.threshold == Decimal(bad_share)


@pytest.mark.parametrize(("objective", "minutes"), [("0.99", "8.64"), ("0.95", "43.2")])
def test_without_the_outage_row_a_total_outage_would_page_only_after(objective: str, minutes: str) -> None:
    hour = next(row for row in policy_for(slo_of(objective)).rows if row.long_s == HOUR_S)
    assert hour.threshold * hour.long_s / 60 == Decimal(minutes)


def test_thresholds_are_the_decimals_written() -> None:
    """0.006 in binary is not six times 0.001; exactly on the threshold must not count as above it."""
    row = next(row for row in policy_for(slo_of("0.999")).rows if row.long_s == 6 * HOUR_S)
    assert row.threshold == Decimal("0.006")
    assert 6 * (1 - 0.999) != 0.006


def test_seven_days_recompute_shorten_and_merge() -> None:
    """Both tickets would fire while under budget (0.7 and 0.233): they become one of burn 1 over 0.7 days."""
    _, *rows = policy_for(slo_of("0.999", period_d=7)).rows
    assert [windows(row) for row in rows] == [
        ("page", 1 * HOUR_S, 5 * 60, Decimal("3.36")),
        ("page", 6 * HOUR_S, 30 * 60, Decimal("1.4")),
        ("ticket", 60_480, 5_040, Decimal(1)),
    ]


def test_ninety_days_recompute() -> None:
    _, *rows = policy_for(slo_of("0.999", period_d=90)).rows
    assert [row.factor for row in rows] == [Decimal("43.2"), Decimal(18), Decimal(9), Decimal(3)]


def test_a_row_that_can_never_fire_is_named_with_the_largest_burn_and_what_covers_for_it() -> None:
    (left_out,) = unreachable_rows(slo_of("0.9"))
    assert left_out.row.name == "page_1h_5m"
    assert left_out.burn_max == 10
    assert left_out.covered_by.name == "outage_10m_1m"
    assert left_out.sentence == (
        "row page_1h_5m (burn 14.4) can never fire: the largest possible burn is 10; "
        "row outage_10m_1m covers for it (bad share above 0.5)"
    )
    assert left_out.row not in policy_for(slo_of("0.9")).rows


def test_a_threshold_of_exactly_all_turns_can_never_fire() -> None:
    """Strictly above 100 % is impossible: burn 20 at a budget of 5 %."""
    slo = replace(slo_of("0.95"), period_s=20 * HOUR_S * 50)  # 0.02 x 1,000 h / 1 h = 20
    assert [unreachable.row.factor for unreachable in unreachable_rows(slo)] == [Decimal(20)]


objectives = st.integers(min_value=5_000, max_value=99_999).map(lambda part: Decimal(part).scaleb(-5))
objectives = objectives.filter(lambda objective: Decimal("0.5") <= objective < 1)
periods = st.sampled_from([7, 28, 30, 90])


@given(objective=objectives, period_d=periods)
def test_every_row_can_fire_and_none_fires_while_under_budget(objective: Decimal, period_d: int) -> None:
    slo = slo_of(str(objective), period_d)
    for row in policy_for(slo).rows:
        assert slo.budget_rate <= row.threshold < 1
        assert row.short_s < row.long_s <= slo.period_s


@given(total=st.integers(1, 10**12), bad=st.integers(0, 10**12), threshold=st.decimals("0", "0.9999", places=4))
def test_the_rule_that_holds_nothing_is_met_by_whatever_exceeds_a_row(total: int, bad: int, threshold: Decimal) -> None:
    bad = min(bad, total)
    if exceeds(np.array([[bad, total]]), threshold)[0]:
        assert evidence_is_enough(bad, total, threshold, None, LowTraffic.none())


def test_an_alert_keeps_firing_by_severity_and_an_objective_can_be_a_key() -> None:
    life = policy_for(TURN_SLO).life
    assert life == Life() and 0 < life.resolve_below < 1
    assert set(life.keep_firing_s) == set(life.pending_s) == set(get_args(Severity))
    assert len({policy_for(TURN_SLO), policy_for(TURN_SLO)}) == 1


@given(objective=objectives, period_d=periods)
def test_no_row_is_lost_between_the_policy_and_what_it_left_out(objective: Decimal, period_d: int) -> None:
    slo = slo_of(str(objective), period_d)
    left_out = [unreachable.row for unreachable in unreachable_rows(slo)]
    assert sorted(map(str, [*policy_for(slo).rows, *left_out])) == sorted(map(str, policy_rows(slo)))
    assert len({row.name for row in policy_rows(slo)}) == len(policy_rows(slo))
