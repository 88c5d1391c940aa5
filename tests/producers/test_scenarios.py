"""Scenarios keep in closed form what they promise, and the simulator shows it."""

from __future__ import annotations

from math import erf, exp, log, sqrt

import numpy as np
import polars as pl
import pytest

from producers.collector import Collector, Frame
from producers.observations import sift_turns
from producers.scenarios import CANARY_BUNDLE, Latency, canary, healthy, quiet, slow_tail
from producers.simulator import Chunk, hosts, simulate
from schemas.families import STAGES, WHOLES
from tests.producers.worlds import START_MS, rows_of


def density_mean_ms(latency: Latency) -> float:
    """The mean by integration of the survival function: an oracle that knows no formula for it."""
    at_ms = np.exp(np.linspace(log(1e-2), log(1e6), 400_001))
    survival = (1 - latency.tail_weight) * _survival(at_ms, latency.body.median_ms, latency.body.spread)
    survival += latency.tail_weight * _survival(at_ms, latency.tail.median_ms, latency.tail.spread)
    return float(np.trapezoid(survival, at_ms) + at_ms[0])


def _survival(at_ms: np.ndarray, median_ms: float, spread: float) -> np.ndarray:
    return np.array([0.5 * (1 - erf(log(value / median_ms) / spread / sqrt(2))) for value in at_ms])


def test_the_canary_changes_its_p99_and_neither_its_mean_nor_its_errors() -> None:
    truth = canary().truth(START_MS)
    assert truth is not None
    assert truth.p99_ms_before == pytest.approx(3_800, rel=1e-9)
    assert truth.p99_ms_after == pytest.approx(8_400, rel=1e-9)
    assert truth.mean_ms_after == pytest.approx(truth.mean_ms_before, rel=1e-9)
    assert truth.bad_share_before < 0.01 < 0.06 < truth.bad_share_after
    assert truth.turns_per_s > 250


def test_means_agree_with_integrating_the_distribution() -> None:
    before = healthy(3_800, 0.3)
    after = slow_tail(before, 8_400, 0.2, 0.25)
    assert density_mean_ms(before) == pytest.approx(before.mean_ms, rel=1e-4)
    assert density_mean_ms(after) == pytest.approx(after.mean_ms, rel=1e-4)
    assert before.body.mean_ms == pytest.approx(before.body.median_ms * exp(0.045), rel=1e-9)


def test_a_tail_that_the_mean_has_no_room_for_is_refused() -> None:
    with pytest.raises(ValueError, match=r"No tail of weight 0\.2 reaches a p99 of 60000 ms"):
        slow_tail(healthy(3_800, 0.3), 60_000, 0.2, 0.25)


def canary_turns(chunks: list[Chunk]) -> pl.DataFrame:
    return pl.concat([turns for chunk in chunks for turns in chunk.turns.values()]).filter(bundle=CANARY_BUNDLE)


def test_simulated_turns_show_the_truth() -> None:
    """Within five standard errors, before and after the incident."""
    shortened = canary(healthy_s=60)
    truth = shortened.truth(START_MS)
    assert truth is not None
    turns = canary_turns(list(simulate(shortened, seed=11, start_ms=START_MS, duration_ms=120_000)))
    for is_after, share, mean_ms in (
        (False, truth.bad_share_before, truth.mean_ms_before),
        (True, truth.bad_share_after, truth.mean_ms_after),
    ):
        part = turns.filter((pl.col("ended_at_ms") >= truth.incident_ms) == is_after)["turn_ms"].to_numpy()
        assert np.mean(part >= 4_000) == pytest.approx(share, abs=5 * sqrt(share * (1 - share) / len(part)))
        assert np.mean(part) == pytest.approx(mean_ms, abs=5 * np.std(part) / sqrt(len(part)))
        assert len(part) / 60 == pytest.approx(truth.turns_per_s, rel=0.05)


def test_errors_do_not_change_with_the_incident() -> None:
    turns = canary_turns(list(simulate(canary(healthy_s=60), seed=2, start_ms=START_MS, duration_ms=120_000)))
    errors = turns.group_by(pl.col("ended_at_ms") >= START_MS + 60_000).agg(pl.col("is_error").mean())["is_error"]
    assert abs(errors[0] - errors[1]) < 5 * sqrt(2 * 0.0004 / (len(turns) / 2))


def test_stages_fit_into_their_whole() -> None:
    turns = canary_turns(list(simulate(canary(healthy_s=10), seed=3, start_ms=START_MS, duration_ms=20_000)))
    parts = pl.sum_horizontal(pl.col(f"{stage}_ms").fill_null(0) for stage in STAGES if stage not in WHOLES)
    checked = turns.select(
        parts_fit=(parts <= pl.col("first_audio_ms")).all(),
        first_fits=(pl.col("first_audio_ms") <= pl.col("turn_ms")).all(),
    )
    assert checked.row(0) == (True, True)
    assert sift_turns(turns).refused == 0


def test_thousands_of_calls_are_on_the_line_in_every_region_and_the_streams_say_so() -> None:
    fleet = quiet()
    collectors = {host.producer: Collector(host.producer, host.region, 1, START_MS) for host in hosts(fleet)}
    out: list[Frame] = []
    live = 0
    for chunk in simulate(fleet, seed=5, start_ms=START_MS, duration_ms=60_000):
        for name, under_test in collectors.items():
            under_test.observe_turns(chunk.turns[name])
            under_test.observe_streams(chunk.streams[name])
            out += under_test.close(chunk.end_ms)
            changes = chunk.streams[name]
            live += len(changes.filter("is_start")) - len(changes.filter(~pl.col("is_start")))
    rows = rows_of(out, "streams")
    by_window = (
        rows.group_by("window_start_ms").agg(pl.col("active_at_start", "starts", "ends").sum()).sort("window_start_ms")
    )
    expected = sum(fleet.calls(workload, START_MS) for workload in fleet.workloads)
    assert by_window["active_at_start"][0] == pytest.approx(expected, rel=0.01)
    last = by_window.row(-1, named=True)
    assert last["active_at_start"] + last["starts"] - last["ends"] == live
    assert rows["region"].n_unique() == 3


def test_demand_follows_the_hour_in_each_region() -> None:
    fleet = quiet()
    region = fleet.regions[0]
    by_hour = [fleet.demand(region, hour * 3_600_000) for hour in range(24)]
    assert int(np.argmax(by_hour)) == int(region.peak_utc_h)
    assert max(by_hour) / min(by_hour) == pytest.approx((1 + fleet.day_amplitude) / (1 - fleet.day_amplitude), rel=1e-6)


def test_a_start_between_minutes_is_refused() -> None:
    with pytest.raises(ValueError, match="whole minute"):
        next(simulate(quiet(), 1, START_MS + 1, 10_000))
