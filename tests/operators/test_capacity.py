"""Capacity as measured: what a stream took, exactly, and next week from weeks of which some hours are unknown."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_jobs.operators.capacity.forecast import HOURS, WEEKS_MIN, next_peak, next_week
from stream_jobs.operators.capacity.measured import Hours, Served, measured, week_ahead
from stream_jobs.operators.totals.traffic import Capacity, replicas_needed

TARGET = Decimal("0.7")
_MS = st.integers(1, 10**15)


def test_half_of_the_time_silent_halves_what_a_stream_takes() -> None:
    found = measured(Served(gpu_used_ms=5_000, audio_ms=50_000, stream_ms=100_000), TARGET)
    assert found == Capacity(Decimal("0.1"), TARGET, Decimal("0.5"))
    assert replicas_needed(14, found) == 1 and replicas_needed(15, found) == 2


def test_more_audio_than_time_saves_nothing_and_is_told_by_time() -> None:
    found = measured(Served(gpu_used_ms=5_000, audio_ms=200_000, stream_ms=100_000), TARGET)
    assert found == Capacity(Decimal("0.05"), TARGET, Decimal(0))


@given(_MS, _MS, _MS)
def test_a_stream_takes_gpu_time_over_stream_time_whatever_the_audio_was(gpu: int, audio: int, stream: int) -> None:
    found = measured(Served(gpu, audio, stream), TARGET)
    exact = Fraction(gpu, stream) / Fraction(TARGET)
    assert abs(found.replicas_per_stream - exact) <= exact * Fraction(1, 10_000)
    assert 0 <= found.vad_savings < 1


@pytest.mark.parametrize("name", ["gpu_used_ms", "audio_ms", "stream_ms"])
def test_nothing_served_says_nothing(name: str) -> None:
    figures = {"gpu_used_ms": 1, "audio_ms": 1, "stream_ms": 1} | {name: 0}
    with pytest.raises(ValueError, match=f"{name} is 0"):
        measured(Served(**figures), TARGET)


def test_a_target_that_cannot_be_meant_is_refused() -> None:
    with pytest.raises(ValueError, match="target_utilization"):
        measured(Served(1, 1, 1), Decimal("1.01"))


def weeks(count: int, noise: float = 0.05) -> Hours:
    hour = np.arange(count * HOURS)
    healthy = 1_000 + 600 * np.sin(hour / 24 * 2 * np.pi)
    peak = np.rint(healthy * np.random.default_rng(3).lognormal(0, noise, len(hour))).astype(np.int64)
    return Hours(1_700_000_000_000 // 3_600_000 * 3_600_000, peak, np.ones(len(hour), dtype=np.bool_))


def test_next_week_begins_where_the_hours_end_and_is_the_forecast_of_them() -> None:
    hours = weeks(8)
    ahead = week_ahead(hours)
    assert ahead.first_ms == hours.first_ms + 8 * HOURS * 3_600_000 == hours.end_ms
    assert (ahead.forecast.high == next_week(hours.peak.astype(float)).high).all()
    assert ahead.peak == next_peak(hours.peak.astype(float)) and ahead.hours_filled == 0
    assert (ahead.streams_expected, ahead.streams_high) == (np.ceil(ahead.peak.expected), np.ceil(ahead.peak.high))


def test_hours_that_nobody_told_of_change_the_forecast_little_and_are_counted() -> None:
    hours, whole = weeks(8), week_ahead(weeks(8)).forecast.expected
    lost = np.random.default_rng(5).choice(8 * HOURS, 100, replace=False)
    hours.peak[lost], hours.is_reported[lost] = 0, False
    ahead = week_ahead(hours)
    assert ahead.hours_filled == 100
    np.testing.assert_allclose(ahead.forecast.expected, whole, rtol=0.08)
    hours.is_reported[:] = True
    assert np.abs(week_ahead(hours).forecast.expected / whole - 1).max() > 0.2, "taken for hours without a stream"


def test_what_is_before_the_first_report_is_no_gap() -> None:
    hours, later = weeks(8), weeks(8)
    later.is_reported[: 2 * HOURS + 5] = False
    later.peak[: 2 * HOURS + 5] = 0
    ahead = week_ahead(later)
    assert (ahead.hours_filled, ahead.forecast.weeks) == (0, 5)
    assert (ahead.forecast.expected == next_week(hours.peak[3 * HOURS :].astype(float)).expected).all()


def test_too_many_unknown_hours_or_too_few_weeks_are_no_forecast() -> None:
    hours = weeks(4)
    hours.is_reported[10 : 10 + HOURS // 2] = False
    with pytest.raises(ValueError, match="Nobody told of 84 of 672 hours"):
        week_ahead(hours)
    for short in (weeks(WEEKS_MIN - 1), weeks(0)):
        with pytest.raises(ValueError, match="whole week of 168 hours: a forecast needs 2"):
            week_ahead(short)


def test_few_weeks_have_no_interval_and_what_is_expected_counts() -> None:
    ahead = week_ahead(weeks(3))
    assert ahead.is_without_interval and ahead.streams_high is None
    assert ahead.streams_expected == np.ceil(ahead.forecast.expected.max())


def test_an_hour_that_no_week_knows_is_the_mean_of_all() -> None:
    hours = weeks(3, noise=0)
    hours.is_reported[7::HOURS] = False
    assert week_ahead(hours).forecast.expected[7] == pytest.approx(1_000, rel=0.02)
