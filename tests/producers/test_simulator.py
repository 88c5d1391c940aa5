"""The simulated fleet: deterministic, as large as it says, and with exactly the incident that its truth tells."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from producers.prediction import predict_page
from producers.scenarios import canary, quiet, scenario
from producers.simulator import simulate
from schemas.failures import BadInput
from schemas.slos import PolicyRow

START_MS = 1_700_000_040_000 // 60_000 * 60_000
_CHOSEN = canary(healthy_s=60)


@pytest.fixture(scope="module")
def turns() -> pl.DataFrame:
    """Two minutes of the canary scenario; its incident is at the first."""
    chunks = simulate(_CHOSEN, 7, START_MS, 120_000)
    return pl.concat([frame for chunk in chunks for frame in chunk.turns.values()])


def _canary(turns: pl.DataFrame, broken: bool) -> pl.DataFrame:
    truth = _CHOSEN.truth(START_MS)
    assert truth is not None and _CHOSEN.incident is not None
    of_canary = turns.filter(pl.col("bundle") == _CHOSEN.incident.bundle)
    when = pl.col("ended_at_ms") >= truth.incident_ms
    return of_canary.filter(when if broken else ~when)


def test_the_same_seed_gives_the_same_turns_and_another_does_not() -> None:
    def first(seed: int) -> pl.DataFrame:
        return pl.concat(next(iter(simulate(_CHOSEN, seed, START_MS, 60_000))).turns.values())

    assert first(7).equals(first(7))
    assert not first(7).equals(first(8))


def test_a_quarter_of_realtime_turns_is_the_canarys(turns: pl.DataFrame) -> None:
    realtime = turns.filter(pl.col("pool") == "realtime")
    assert _CHOSEN.incident is not None
    share = (realtime["bundle"] == _CHOSEN.incident.bundle).mean()
    assert share == pytest.approx(0.25, abs=0.01)


def test_the_tail_goes_from_3_8_to_8_4_seconds_while_mean_and_errors_stay(turns: pl.DataFrame) -> None:
    truth = _CHOSEN.truth(START_MS)
    assert truth is not None
    before, after = _canary(turns, broken=False), _canary(turns, broken=True)
    assert before["turn_ms"].quantile(0.99) == pytest.approx(3_800, rel=0.05)
    assert after["turn_ms"].quantile(0.99) == pytest.approx(8_400, rel=0.05)
    assert after["turn_ms"].mean() == pytest.approx(truth.mean_ms_before, rel=0.03)
    assert truth.mean_ms_after == pytest.approx(truth.mean_ms_before, rel=1e-9)
    assert after["is_error"].mean() == pytest.approx(truth.error_share, abs=0.001)
    assert (after["turn_ms"] >= 4_000).mean() == pytest.approx(truth.bad_share_after, abs=0.01)


def test_the_parts_of_a_turn_never_exceed_the_whole(turns: pl.DataFrame) -> None:
    parts = ["queue_wait_ms", "asr_first_partial_ms", "retrieval_ms", "llm_first_token_ms", "tts_first_audio_ms"]
    whole = turns.select(pl.sum_horizontal(parts) - pl.col("turn_ms")).to_series()
    assert whole.max() <= 1e-6  # type: ignore[operator]  # polars types max() for every dtype


def test_thousands_of_calls_run_at_once() -> None:
    assert sum(quiet().calls(workload, START_MS) for workload in quiet().workloads) > 8_000


def test_an_unknown_scenario_is_named_with_those_that_are_known() -> None:
    with pytest.raises(BadInput, match="canary, quiet"):
        scenario("meteor")


def test_the_predicted_page_is_where_the_expected_share_crosses_the_threshold() -> None:
    truth = canary(healthy_s=300).truth(START_MS)
    assert truth is not None
    row = PolicyRow("page", 21_600, 1_800, Decimal("0.06"), Decimal(6), "page")
    predicted = predict_page(truth, [row], START_MS + 3_600_000)
    assert predicted is not None
    slow_s = (predicted.page_ms - truth.incident_ms) / 1_000

    def share(slow: float) -> float:
        return (300 * truth.bad_share_before + slow * truth.bad_share_after) / (300 + slow)

    assert share(slow_s) > 0.06 > share(slow_s - 20)
    assert (predicted.page_ms - START_MS) % 10_000 == 0


def test_nothing_is_predicted_where_no_row_can_be_reached() -> None:
    truth = canary(healthy_s=300).truth(START_MS)
    assert truth is not None
    row = PolicyRow("page", 600, 60, Decimal("0.5"), Decimal(50), "page")
    assert predict_page(truth, [row], START_MS + 3_600_000) is None
    assert np.isfinite(truth.p99_ms_after)
