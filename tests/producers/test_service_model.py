"""The service model: fitted on six load scales, checked on the other six, and the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from producers.service_fit import fit, held_out_errors, median_error, read_runs, report, split
from producers.service_model import load_model


def _arrivals(count: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return np.sort(rng.uniform(0, 60_000, count)), rng.uniform(50, 2_000, count), rng.uniform(10, 400, count)


def test_the_same_seed_gives_the_same_latencies_and_another_does_not() -> None:
    model, (arrived, prompt, answer) = load_model(), _arrivals()
    one, same, other = (model.sample(arrived, prompt, answer, gpus=2, seed=seed) for seed in (7, 7, 8))
    assert np.array_equal(one.total_ms, same.total_ms) and np.array_equal(one.first_token_ms, same.first_token_ms)
    assert not np.array_equal(one.total_ms, other.total_ms)


def test_the_first_token_comes_before_the_last_and_later_under_load() -> None:
    model, (arrived, prompt, answer) = load_model(), _arrivals()
    calm = model.sample(arrived * 20, prompt, answer, gpus=1, seed=7)
    busy = model.sample(arrived / 20, prompt, answer, gpus=1, seed=7)
    assert (calm.first_token_ms <= calm.total_ms).all() and (calm.first_token_ms > 0).all()
    assert np.median(busy.first_token_ms) > 2 * np.median(calm.first_token_ms)


@pytest.mark.recorded
def test_its_error_on_the_scales_it_was_not_fitted_on(recorded_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fitted, held_out = split(read_runs(recorded_data / "vllm_load_test"))
    assert (len(fitted), len(held_out)) == (6, 6)
    errors = held_out_errors(load_model(), fitted, held_out)
    with capsys.disabled():
        print(f"\nservice model, predicted / recorded on held-out load scales:\n{report(errors)}")
    assert median_error(errors, "first_token_ms_p50") < 0.25
    assert median_error(errors, "total_ms_p50") < 0.25


@pytest.mark.recorded
def test_the_committed_coefficients_are_what_the_fit_gives(recorded_data: Path) -> None:
    fitted, _ = split(read_runs(recorded_data / "vllm_load_test"))
    again, committed = fit(fitted), load_model()
    for name in ("prefill_ms_base", "prefill_ms_per_token", "decode_ms_base", "decode_ms_per_running"):
        assert getattr(again, name) == pytest.approx(getattr(committed, name), rel=0.02), name
