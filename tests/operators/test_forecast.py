"""The forecast: better than last week again, on weeks that it had not seen; and as sure as it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from schemas.arrays import Floats
from stream_jobs.operators.capacity.forecast import HOURS, ORIGINS_MIN, WEEKS_MIN, next_peak, next_week


def wave(weeks: int, noise: float = 0.0, seed: int = 1) -> Floats:
    hour = np.arange(weeks * HOURS)
    healthy = 100 + 60 * np.sin(hour / 24 * 2 * np.pi) + 20 * (hour // 24 % 7 < 5)
    return np.asarray(healthy * np.random.default_rng(seed).lognormal(0, noise, len(hour)), dtype=np.float64)


def test_what_repeats_exactly_is_forecast_exactly() -> None:
    forecast = next_week(wave(8))
    np.testing.assert_allclose(forecast.expected, wave(1), rtol=1e-12)
    np.testing.assert_allclose(forecast.high, forecast.low, rtol=1e-6)


def test_a_level_that_doubled_is_followed_and_the_profile_kept() -> None:
    series = wave(8)
    series[-2 * HOURS :] *= 2
    forecast = next_week(series)
    assert forecast.expected.sum() == pytest.approx(1.75 * wave(1).sum(), rel=0.01)
    np.testing.assert_allclose(forecast.expected / forecast.expected.sum(), wave(1) / wave(1).sum(), rtol=1e-9)


def test_weeks_begin_at_the_end_and_what_is_before_is_left_out() -> None:
    whole = wave(6, noise=0.1)
    early = np.concatenate([np.full(HOURS - 1, 9_999.0), whole])
    assert (next_week(early).expected == next_week(whole).expected).all()


def test_without_enough_weeks_there_is_no_interval_and_then_no_forecast() -> None:
    few = next_week(wave(WEEKS_MIN + ORIGINS_MIN - 1))
    assert np.isnan(few.low).all() and np.isfinite(few.expected).all()
    assert np.isfinite(next_week(wave(WEEKS_MIN + ORIGINS_MIN)).low).all()
    with pytest.raises(ValueError, match="has 1 whole week of 168 hours"):
        next_week(wave(2)[1:])


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_what_is_no_amount_is_refused(value: float) -> None:
    series = wave(4)
    series[9] = value
    with pytest.raises(ValueError, match="negative, or no number"):
        next_week(series)


def test_a_series_of_nothing_is_forecast_as_nothing() -> None:
    forecast = next_week(np.zeros(8 * HOURS))
    assert forecast.expected.sum() == forecast.low.sum() == 0
    assert forecast.high.max() < 1e-9


def test_the_peak_that_was_exceeded_by_a_tenth_in_one_week_of_four_is_prepared_for() -> None:
    series = wave(WEEKS_MIN + 4)
    calm = next_peak(series)
    assert (calm.expected, calm.high) == pytest.approx((180, 180)) and calm.coverage == 0.8
    series[3 * HOURS + 30] = 198
    assert next_peak(series).high == pytest.approx(1.1 * next_peak(series).expected, rel=1e-6)


def test_of_ten_weeks_nine_in_ten_is_said_and_of_two_nothing() -> None:
    assert next_peak(wave(20)).coverage == pytest.approx(10 / 11)
    assert next_peak(wave(20), coverage=0.5).coverage == pytest.approx(6 / 11)
    few = next_peak(wave(WEEKS_MIN + ORIGINS_MIN - 1))
    assert np.isnan(few.high) and np.isnan(few.coverage) and few.expected == pytest.approx(180)
    assert np.isnan(next_peak(np.zeros(9 * HOURS)).high)


@pytest.mark.recorded
def test_on_recorded_weeks_peaks_stay_below_what_was_said_about_as_often_as_was_said(recorded_data: Path) -> None:
    file = recorded_data / "cloud_monitoring" / "ecommerce-api-incoming-rps" / "api-01.csv"
    weeks = _weeks_of(file)
    found = [
        (next_peak(weeks[:week].ravel()), weeks[week].max()) for week in range(WEEKS_MIN + ORIGINS_MIN, len(weeks))
    ]
    held = np.mean([ahead.high >= came for ahead, came in found])
    assert abs(held - np.mean([ahead.coverage for ahead, _ in found])) < 0.05
    assert 0.85 <= held <= 0.95


def _weeks_of(file: Path) -> Floats:
    series = pl.read_csv(file)["Value"].cast(pl.Float64).to_numpy()
    return np.asarray(series[len(series) % HOURS :].reshape(-1, HOURS), dtype=np.float64)


@pytest.mark.recorded
def test_on_recorded_weeks_it_errs_less_than_last_week_again_and_its_interval_holds_nine_of_ten(
    recorded_data: Path,
) -> None:
    """Requests per second of a real shop's API, 36 weeks hour by hour; each week is forecast from those before it."""
    file = recorded_data / "cloud_monitoring" / "ecommerce-api-incoming-rps" / "api-01.csv"
    weeks = _weeks_of(file)
    ours, again, inside = [], [], []
    for week in range(WEEKS_MIN + ORIGINS_MIN, len(weeks)):
        forecast = next_week(weeks[:week].ravel())
        ours.append(np.abs(forecast.expected - weeks[week]).mean())
        again.append(np.abs(weeks[week - 1] - weeks[week]).mean())
        inside.append(((forecast.low <= weeks[week]) & (weeks[week] <= forecast.high)).mean())
    assert np.mean(ours) < 0.9 * np.mean(again)
    assert 0.85 <= np.mean(inside) <= 0.95
