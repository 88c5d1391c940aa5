"""A recorded trace, end to end: every request of it is one turn in ClickHouse, by one command and by hand."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.local import addresses
from tests import warm
from tests.integration.commands import begun, processes_in, turnwatch

TRACE = Path("azure_llm_2023") / "AzureLLMInferenceTrace_conv.csv"
BEGINNING = 1_200
"""Requests of about four minutes."""
LANDED_WITHIN_S = 120.0
TURNS = "SELECT sum(turns) AS turns, uniqExact(bundle) AS bundles FROM traffic_1m FINAL WHERE cut = 'pool,bundle'"


@pytest.mark.recorded
def test_one_command_brings_a_trace_to_clickhouse_and_leaves_nothing(tmp_path: Path, recorded_data: Path) -> None:
    trace = beginning_of(recorded_data / TRACE, tmp_path / "trace.csv")
    ended = turnwatch(tmp_path, "replay", str(trace), "--speed", "400")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{BEGINNING:,} turns sent, {BEGINNING:,} turns in ClickHouse: equal." in ended.stdout
    assert ended.stderr == ""
    assert processes_in(tmp_path) == []


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Path]:
    """A folder in which `turnwatch up` was said, until it is said `down` there."""
    up = turnwatch(tmp_path, "up")
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        yield tmp_path
    finally:
        down = turnwatch(tmp_path, "down")
    assert down.returncode == 0 and "Stopped" in down.stdout
    assert processes_in(tmp_path) == []


@pytest.mark.recorded
def test_by_hand_up_worker_replay_query_down(own_stack: Path, recorded_data: Path) -> None:
    """Each in its own process, finding the others through the folder alone."""
    assert addresses(own_stack / ".turnwatch")
    trace = beginning_of(recorded_data / TRACE, own_stack / "trace.csv")
    worker = begun(own_stack, "worker", TURNWATCH_CLOCK="watermark")
    try:
        sent = turnwatch(own_stack, "replay", str(trace), "--speed", "400")
        assert sent.returncode == 0, sent.stdout + sent.stderr
        assert f"Sent {BEGINNING:,} turns" in sent.stdout
        deadline = time.monotonic() + LANDED_WITHIN_S
        while (answer := asked(own_stack)) != [{"turns": BEGINNING, "bundles": 1}]:
            assert worker.poll() is None, (own_stack / "output.txt").read_text()
            assert time.monotonic() < deadline, f"landed so far: {answer}"
    finally:
        worker.terminate()
        worker.wait(60)
    assert worker.returncode == 0
    refused = warm.turnwatch(own_stack, "up")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "already runs" in refused.stderr


def beginning_of(trace: Path, path: Path) -> Path:
    """The first requests of a trace as a file of its own."""
    path.write_text("\n".join(trace.read_text().splitlines()[: BEGINNING + 1]) + "\n")
    return path


def asked(folder: Path) -> list[dict[str, int]]:
    """Until all has landed this is asked again and again, so it is asked warm."""
    ended = warm.turnwatch(folder, "query", TURNS, "--format", "json")
    assert ended.returncode == 0, ended.stderr
    answer: list[dict[str, int]] = json.loads(ended.stdout)
    return answer
