"""The producer bench: each recorder is told the same, every figure has a line, and a limit that is missed is exit 1."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from turnwatch.bench import producer, recording
from turnwatch.bench.producer import Passed, through_collector
from turnwatch.bench.recording import Cost, Sent, recording_costs
from turnwatch.cli import app

FIGURES = (
    "record_us_mean",
    "record_us_p99",
    "prometheus_client_us_mean",
    "opentelemetry_us_mean",
    "sending_us_per_turn",
    "turns_per_min_per_core",
    "bytes_per_row",
    "bytes_per_observed_turn",
)


def test_every_turn_that_is_recorded_arrives_and_every_figure_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "TURNS_A_ROUND", 20)
    costs, sent = recording_costs(rounds=1)
    assert sent.turns == 2 * 2 * 20, "each round as a whole and one by one, the one to warm up included"
    assert list(costs) == ["recorder", "prometheus_client", "opentelemetry"]
    assert all(cost.mean_us > 0 and len(cost.rounds) == 1 and len(cost.turns) == 20 for cost in costs.values())


def test_a_minute_of_turns_goes_through_the_collector() -> None:
    passed = through_collector(turns=12_000, seed=7)
    assert passed.turns == 12_000
    assert passed.rows > 1_000
    assert passed.turns_per_min > 0
    assert passed.row_bytes > 0


@pytest.mark.parametrize(
    ("mean_us", "p99_us", "cpu_s", "row_bytes", "code"),
    [
        (2.9, 19.0, 50.0, 29.0, 0),
        (3.1, 19.0, 50.0, 29.0, 1),
        (2.9, 21.0, 50.0, 29.0, 1),
        (2.9, 19.0, 70.0, 29.0, 1),
        (2.9, 19.0, 50.0, 31.0, 1),
    ],
)
def test_a_figure_beyond_its_limit_is_exit_1(
    monkeypatch: pytest.MonkeyPatch, mean_us: float, p99_us: float, cpu_s: float, row_bytes: float, code: int
) -> None:
    cost = Cost([mean_us * 1_000], [int(p99_us * 1_000)])
    costs = dict.fromkeys(("recorder", "prometheus_client", "opentelemetry"), cost)
    monkeypatch.setattr(producer, "recording_costs", lambda rounds: (costs, Sent(turns=10)))
    monkeypatch.setattr(
        producer, "through_collector", lambda turns, seed: Passed(1_000_000, cpu_s, 100, row_bytes, 130.0)
    )
    told = CliRunner().invoke(app, ["bench", "producer"])
    assert told.exit_code == code
    assert [name for name in FIGURES if not re.search(rf"^{name}=\d", told.stdout, re.MULTILINE)] == []
