"""Aggregates that are drawn directly have the distribution of those that are counted turn by turn: tests that can fail.

Windows of runs with seeds of their own are independent, so the usual two-sample tests hold: Kolmogorov and Smirnov's on
what a window counts, chi-square on what all windows counted together. That they have power is a test, too.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl
import pytest
from scipy.stats import chi2_contingency, ks_2samp

from producers.aggregate import stage_rows, turn_rows
from producers.fleet.aggregate_classes import Classes
from producers.fleet.aggregate_frames import AggregateSender
from producers.fleet.aggregates import draw_windows
from producers.fleet.engine import fleet_hosts, simulate_fleet
from producers.fleet.outlook import Outlook
from producers.fleet.scenario_file import ScenarioFile, load_scenario
from schemas.failures import BadInput
from schemas.families import INDICATORS, OPERATIONAL, SCALE_OF_STAGE, TURNS
from schemas.frame_rows import decode_rows
from schemas.frames import decode_header
from schemas.rejections import Rejected
from tests.producers.fleets import START_MS, at_once, rows_of_kind, small, total

RUNS = 26
STEP_MS = 10_000
LEAST_LIKELY = 1e-4
"""No comparison of equals may be less likely; seeds are fixed, so it is or it is not."""


def realtime_only(scenario: ScenarioFile) -> ScenarioFile:
    pools = {"realtime": scenario.fleet.pools["realtime"]}
    return at_once(scenario.model_copy(update={"fleet": scenario.fleet.model_copy(update={"pools": pools})}))


SCENARIO = realtime_only(
    small("regional_regression", calls=600, regions=("ap-south-1",), error_share=0.02, stale_share=0.05)
)
"""An event that reaches every turn: turns of a window are alike but for their waits, so chi-square may add windows up."""
OF_SOME_CALLERS = realtime_only(small("slow_first_partial_mobile", calls=400))
"""One that reaches some calls, whose turns are slow together: a window's count varies more than a binomial one."""

Rows = tuple[pl.DataFrame, pl.DataFrame]


def counted_in(scenario: ScenarioFile) -> Rows:
    """Rows of `turns` and `stages` by run, counted from turns: of the second window, for turns of the first began before events."""
    turns, stages = [], []
    for seed in range(RUNS):
        _, chunk = simulate_fleet(scenario, seed, START_MS, 2 * STEP_MS)
        observed = rows_of_kind([chunk], "turns")
        turns.append(turn_rows(observed, OPERATIONAL).with_columns(run=pl.lit(seed)))
        stages.append(stage_rows(observed).with_columns(run=pl.lit(seed)))
    return pl.concat(turns), pl.concat(stages)


@cache
def counted() -> Rows:
    return counted_in(SCENARIO)


def drawn(scenario: ScenarioFile, runs: int = RUNS) -> Rows:
    """The same, drawn directly, with other seeds."""
    tables, turns, stages = Classes(Outlook.of(scenario, START_MS)), [], []
    for seed in range(runs):
        _, window = draw_windows(scenario, 1_000 + seed, START_MS, 2 * STEP_MS, tables)
        turns.append(window.rows["turns"].with_columns(run=pl.lit(seed)))
        stages.append(window.rows["stages"].with_columns(run=pl.lit(seed)))
    return pl.concat(turns), pl.concat(stages)


@pytest.fixture(scope="module")
def directly() -> Rows:
    return drawn(SCENARIO)


def by_run(rows: Rows, measure: str) -> np.ndarray:
    return rows[0].filter(pool="realtime").group_by("run").agg(pl.col(measure).sum()).sort("run")[measure].to_numpy()


def mean_waits_by_run(rows: Rows) -> np.ndarray:
    waits = (
        rows[1]
        .filter(stage="queue_wait")
        .group_by("run")
        .agg(pl.col("latency_ms_sum", "observations").sum())
        .sort("run")
    )
    means: np.ndarray = (waits["latency_ms_sum"] / waits["observations"]).to_numpy()
    return means


def means_by_run(rows: Rows, measure: str) -> np.ndarray:
    means: np.ndarray = by_run(rows, measure) / by_run(rows, "turns")
    return means


@pytest.mark.parametrize(
    "measure",
    [
        "turns",
        "first_audio_1800ms_bad",
        "turn_4000ms_bad",
        "queue_wait_250ms_bad",
        "retrieval_stale_total",
        "retrieval_stale_bad",
        "turn_error_bad",
        "abandonment_bad",
    ],
)
def test_what_a_window_counts_is_distributed_alike(directly: Rows, measure: str) -> None:
    assert ks_2samp(by_run(counted(), measure), by_run(directly, measure)).pvalue > LEAST_LIKELY


@pytest.mark.parametrize(
    "measure",
    ["turn_latency_ms_sum", "turn_latency_ms_sumsq", "tokens_in", "tokens_out", "audio_in_ms", "audio_out_ms"],
)
def test_the_mean_of_a_windows_turns_is_distributed_alike(directly: Rows, measure: str) -> None:
    assert ks_2samp(means_by_run(counted(), measure), means_by_run(directly, measure)).pvalue > LEAST_LIKELY


def bad_share_pvalue(one: Rows, other: Rows, indicator: str) -> float:
    """Chi-square of bad against good turns of all windows together; 1 where hardly any is bad on either side."""
    bad, total = (
        [int(by_run(rows, f"{indicator}_{part}").sum()) for rows in (one, other)] for part in ("bad", "total")
    )
    if max(bad) < 10:
        return 1.0
    return float(chi2_contingency([bad, np.subtract(total, bad)]).pvalue)


@pytest.mark.parametrize("indicator", [each.name for each in INDICATORS if each.name != "queue_wait_250ms"])
def test_bad_shares_of_all_windows_together_are_alike(directly: Rows, indicator: str) -> None:
    assert bad_share_pvalue(counted(), directly, indicator) > LEAST_LIKELY


def histogram_pvalue(one: Rows, other: Rows, stage: str) -> float:
    """Chi-square over the histogram's buckets; what has too few is pooled with its neighbours."""
    both = [
        rows[1].filter(stage=stage, pool="realtime").group_by("bucket_index").agg(pl.col("observations").sum())
        for rows in (one, other)
    ]
    joined = (
        both[0]
        .join(both[1], on="bucket_index", how="full", coalesce=True, suffix="_other")
        .fill_null(0)
        .sort("bucket_index")
    )
    counts = joined.select("observations", "observations_other").to_numpy()
    summed = counts.sum(axis=1).cumsum()
    pooled = np.unique(np.minimum(summed // 60, summed[-1] // 60 - 1), return_inverse=True)[1]
    table = np.array([np.bincount(pooled, weights=counts[:, column]) for column in (0, 1)])
    return float(chi2_contingency(table[:, table.sum(axis=0) > 0]).pvalue)


def test_waits_of_a_window_belong_together_as_they_do_turn_by_turn(directly: Rows) -> None:
    assert ks_2samp(mean_waits_by_run(counted()), mean_waits_by_run(directly)).pvalue > LEAST_LIKELY


def test_callers_whose_turns_are_slow_together_make_windows_vary_as_they_do_turn_by_turn() -> None:
    one, other = counted_in(OF_SOME_CALLERS), drawn(OF_SOME_CALLERS)
    assert (
        ks_2samp(by_run(one, "first_partial_500ms_bad"), by_run(other, "first_partial_500ms_bad")).pvalue > LEAST_LIKELY
    )


@pytest.mark.parametrize("stage", [stage for stage in SCALE_OF_STAGE if stage != "queue_wait"])
def test_the_histogram_of_every_stage_is_alike(directly: Rows, stage: str) -> None:
    assert histogram_pvalue(counted(), directly, stage) > LEAST_LIKELY


def test_a_fleet_that_is_a_little_different_is_told_apart() -> None:
    """Four per cent more on one stage, some more errors of one kind: the same comparisons see it."""
    fleet = SCENARIO.fleet
    slower = fleet.stages["tts_first_audio"].model_copy(
        update={"median_ms": fleet.stages["tts_first_audio"].median_ms * 1.04}
    )
    changed = fleet.model_copy(update={"stages": {**fleet.stages, "tts_first_audio": slower}, "error_share": 0.045})
    other = drawn(SCENARIO.model_copy(update={"fleet": changed}), runs=20)
    assert histogram_pvalue(counted(), other, "tts_first_audio") < 1e-6
    assert bad_share_pvalue(counted(), other, "turn_error") < LEAST_LIKELY


def test_rows_are_what_the_contract_allows_and_their_parts_agree() -> None:
    scenario = at_once(small("canary_long_tail", calls=400, regions=("us-east-1", "sa-east-1")))
    senders = [AggregateSender(host, 1) for host in fleet_hosts(scenario)]
    windows = list(draw_windows(scenario, 3, START_MS, 30_000))
    live = 0.0
    for number, window in enumerate(windows):
        frames = [frame for sender in senders for frame in sender.frames(window)]
        for frame in frames:
            header = decode_header(frame.header.family.name, frame.headers)
            assert not isinstance(header, Rejected)
            decoded = decode_rows(header, dict(frame.headers), frame.payload)
            assert not isinstance(decoded, Rejected)
            assert decoded[0].num_rows == frame.rows > 0
            assert header.sequence == number
        turns, stages, streams = (window.rows[name] for name in ("turns", "stages", "streams"))
        wholes = stages.filter(pl.col("stage").is_in(["turn", "interrupted"]))["observations"].sum()
        assert wholes == turns["turns"].sum() == stages.filter(stage="queue_wait")["observations"].sum()
        assert set(turns.columns) == {"producer", *OPERATIONAL.dimensions, *TURNS.measure_names}
        assert number == 0 or streams["active_at_start"].sum() == live
        live = total(streams, "active_at_start") + total(streams, "starts") - total(streams, "ends")


@pytest.mark.parametrize("name", ["abuse_burst", "batch_on_realtime"])
def test_what_cannot_be_drawn_directly_is_refused_with_a_sentence(name: str) -> None:
    with pytest.raises(BadInput, match="without --aggregates"):
        list(draw_windows(at_once(small(name, calls=200)), 1, START_MS, STEP_MS))


def test_load_that_grows_from_window_to_window_is_refused() -> None:
    scenario = small("quiet_month", calls=900, servers=load_scenario("quiet_month").fleet.servers)
    crowded = at_once(small("cost_spike_70", calls=900)).events[0]
    twice = crowded.model_copy(update={"does": crowded.does.model_copy(update={"share": 1.0})})
    with pytest.raises(BadInput, match="queues grow from window to window"):
        list(draw_windows(scenario.model_copy(update={"events": (twice,)}), 1, START_MS, 60_000))


def test_a_dead_regions_collectors_send_nothing_not_even_heartbeats() -> None:
    scenario = at_once(small("dead_region", calls=200, regions=("eu-west-1", "us-east-1")))
    (window,) = draw_windows(scenario, 1, START_MS, STEP_MS)
    sent = {
        sender.host.region: len(list(sender.frames(window)))
        for sender in (AggregateSender(host, 1) for host in fleet_hosts(scenario))
    }
    assert sent["eu-west-1"] == 0 < sent["us-east-1"]
