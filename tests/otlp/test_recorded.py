"""Requests as SDKs sent them, recorded: they are read for ever, and mean what they meant."""

from __future__ import annotations

import base64
from pathlib import Path

import polars as pl
import pytest

from producers.otlp.receiver import Receiver, Taken
from producers.otlp.requests import PROTOBUF, decode
from tests.otlp.record_requests import FOLDER

RECORDED = sorted(FOLDER.glob("*.txt"))


def replayed(path: Path, is_known: bool) -> list[Taken]:
    """What each recorded request adds; `is_known`: we listened before its process began."""
    requests = [decode(base64.b64decode(line), PROTOBUF) for line in path.read_text(encoding="ascii").split()]
    points = requests[0].resource_metrics[0].scope_metrics[0].metrics[0].exponential_histogram.data_points
    points = points or requests[0].resource_metrics[0].scope_metrics[0].metrics[0].histogram.data_points
    sent_ms = points[0].time_unix_nano // 1_000_000
    receiver = Receiver("eu-west-1", sent_ms - 60_000 if is_known else sent_ms + 1)
    return [receiver.take(each, sent_ms + 1_000) for each in requests]


def added(taken: Taken, *measures: str) -> list[int]:
    rows = taken.tables.get("rows.turns", pl.DataFrame({name: [0] for name in measures}))
    return [int(rows[name].sum()) for name in measures]


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_sdk_counts_what_it_counted(path: Path) -> None:
    first, second = replayed(path, is_known=True)
    measures = ("turns", "tokens_out", "turn_latency_ms_sum")
    assert added(first, *measures) == [3, 120, 8_700]
    assert added(second, *measures) == [2, 80, 10_000]
    assert [int(each.tables["queues"]["depth"].sum()) for each in (first, second)] == [7, 9]
    assert first.refused == second.refused == {}


@pytest.mark.parametrize("path", [each for each in RECORDED if "cumulative" in each.name], ids=lambda path: path.stem)
def test_cumulative_points_of_a_process_that_was_there_before_are_a_baseline(path: Path) -> None:
    first, second = replayed(path, is_known=False)
    assert (added(first, "turns", "tokens_out"), added(second, "turns", "tokens_out")) == ([0, 0], [2, 80])
    assert first.passed_over == {"baseline": 3}


def test_both_temporalities_are_recorded() -> None:
    assert {path.stem.rpartition("_")[2] for path in RECORDED} == {"delta", "cumulative"}
