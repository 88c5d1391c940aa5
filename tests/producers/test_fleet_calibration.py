"""What the fleet is calibrated on: the committed figures are those of the recordings, and the fleet behaves as they say."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import polars as pl
import pytest

from producers.fleet.calibrate import bursts, calibrate, main, word_distance
from producers.fleet.calibration import CALIBRATED, load_calibration
from producers.fleet.demand import burst_factors, day_factor
from producers.fleet.turns import prompt_tokens
from producers.observations import KINDS
from tests.producers.fleets import START_MS
from tests.producers.worlds import DATA

HOUR_MS = 3_600_000


@pytest.mark.recorded
def test_the_committed_figures_are_those_of_the_recordings() -> None:
    assert calibrate(DATA) == load_calibration()


def test_every_figure_names_its_source_and_licence_and_nothing_recorded_is_in_the_file() -> None:
    document = json.loads(CALIBRATED.read_text())
    assert len(CALIBRATED.read_text()) < 10_000
    for group in document.values():
        assert group["source"] and group["licence"] and group["meaning"]


def test_bursts_are_recovered_from_arrivals_that_have_them() -> None:
    """Counts of a Cox process with known moments, back through the estimator."""
    known = load_calibration().bursts
    dice, mean = np.random.default_rng(4), 400.0
    factors = np.array(list(islice(burst_factors(known, 9, 0), 40_000)))
    assert factors.mean() == pytest.approx(1.0, abs=0.03)
    counts = dice.poisson(mean * factors)
    arrived_ms = np.repeat(np.arange(len(counts)) * 10_000.0, counts) + dice.uniform(0, 9_999, counts.sum())
    found = bursts(np.sort(arrived_ms))
    assert found.rate_cv2 == pytest.approx(known.rate_cv2, rel=0.12)
    assert found.correlation_10s == pytest.approx(known.correlation_10s, abs=0.02)


def test_demand_follows_the_recorded_day_and_its_regions_hour() -> None:
    curve = load_calibration().day_curve
    hours = [day_factor(curve, START_MS + hour * HOUR_MS, shift_h=0) for hour in range(24)]
    assert np.mean(hours) == pytest.approx(1.0, abs=0.01)
    assert max(hours) / min(hours) > 2
    later = [day_factor(curve, START_MS + hour * HOUR_MS, shift_h=5) for hour in range(24)]
    assert later[5:] == pytest.approx(hours[:19], abs=1e-9) or np.argmax(later) != np.argmax(hours)
    between = day_factor(curve, START_MS + HOUR_MS // 2, shift_h=0)
    assert between == pytest.approx((hours[0] + hours[1]) / 2)


def test_prompts_have_the_recorded_quantiles() -> None:
    quantiles = load_calibration().prompt_tokens.quantiles
    drawn = prompt_tokens(np.random.default_rng(1).random(40_000))
    for place in (25, 50, 75, 90):
        assert np.quantile(drawn, place / 100) == pytest.approx(quantiles[place], rel=0.05)


def test_word_errors_are_counted_as_fewest_edits() -> None:
    assert word_distance([], []) == 0
    assert word_distance(["a", "b"], []) == word_distance([], ["a", "b"]) == 2
    assert word_distance(["a", "b", "c", "d"], ["a", "x", "c", "d", "e"]) == 2


def test_recordings_that_cannot_be_read_are_told_in_a_sentence(tmp_path: object) -> None:
    said: list[str] = []
    assert main([], said.append) == main([str(tmp_path)], said.append) == 2
    assert "Give one directory" in said[0] and "could not be read" in said[1]


def test_no_kind_of_observation_has_a_column_for_words_or_audio() -> None:
    columns = {name for columns in KINDS.values() for name, dtype in columns.items() if dtype == pl.String()}
    assert not {"text", "transcript", "sentence", "prompt", "prediction"} & columns
