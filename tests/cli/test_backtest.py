"""`turnwatch backtest` answers, and says in one sentence what it cannot read: exit 2."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.warm import turnwatch

NAME = "turn-4000ms-realtime"


def backtest(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return turnwatch(folder, "backtest", *words)


@pytest.fixture
def month(tmp_path: Path) -> Path:
    """Minutes of 100 turns, of which half an hour was mostly bad."""
    lines = [f"{minute},{40 if 700 <= minute < 730 else 100},100" for minute in range(1_440)]
    (tmp_path / "day.csv").write_text("\n".join(["minute,good,total", *lines]))
    (tmp_path / "known.csv").write_text("from,to\n1970-01-01T11:40Z,1970-01-01T12:10Z\n")
    return tmp_path


def test_it_prints_pages_delays_and_budget_and_draws_them(month: Path) -> None:
    ended = backtest(
        month, "--slo", NAME, "--data", "day.csv", "--incidents", "known.csv", "--format", "json", "--out", "day.svg"
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    (verdict,) = json.loads(ended.stdout)["verdicts"]
    assert verdict["pages"] == 1 and verdict["false_pages"] == 0
    assert 0 < verdict["incidents"][0]["delay_s"] < 900
    assert (month / "day.svg").read_text().startswith("<svg ")


POLICY = """apiVersion: turnwatch/v1
kind: BurnPolicy
metadata: {name: eager}
spec:
  rows:
    - {long: 10m, short: 1m, factor: 2, severity: ticket}
"""


def test_a_policy_of_a_file_replaces_the_shipped_one(month: Path) -> None:
    (month / "eager.yaml").write_text(POLICY)
    ended = backtest(month, "--slo", NAME, "--policy", "eager.yaml", "--data", "day.csv", "--format", "json")
    assert (ended.returncode, ended.stderr) == (0, "")
    (verdict,) = json.loads(ended.stdout)["verdicts"]
    assert (verdict["pages"], verdict["tickets"]) == (0, 1)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--slo", NAME, "--data", "none.csv"), "none.csv: there is no such file."),
        (("--slo", NAME, "--data", "last month"), "There is no file 'last month', and it is no range of time: "),
        (("--slo", "turn", "--data", "day.csv"), "There is no SLO 'turn' in slos: known are "),
        (("--slo", NAME, "--policy", "day.csv", "--data", "day.csv"), "day.csv:1: "),
        (("--slo", NAME, "--data", "30d"), "No ClickHouse is known: set TURNWATCH_CLICKHOUSE__URL"),
        (("--slo", NAME, "--data", "day.csv", "--incidents", "day.csv"), "day.csv:1: there is no column 'minute'"),
        (("--slo", NAME, "--data", "day.csv", "--threshold-ms", "3500"), "day.csv: its turns were counted at 4000 ms"),
    ],
)
def test_what_cannot_be_read_is_one_sentence_and_exit_2(month: Path, words: tuple[str, ...], sentence: str) -> None:
    ended = backtest(month, *words)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"turnwatch: {sentence}")
    assert ended.stderr.count("\n") == 1


def test_the_budget_is_shown_without_what_was_excluded(month: Path) -> None:
    """Nothing but the bad half hour spent anything; it pages all the same."""
    (month / "drills.csv").write_text("from,to,slice\n1970-01-01T11:40Z,1970-01-01T12:10Z,pool=realtime\n")
    words = ("--slo", NAME, "--data", "day.csv", "--exclusions", "drills.csv")
    ended = backtest(month, *words, "--format", "json", "--out", "day.svg")
    assert (ended.returncode, ended.stderr) == (0, "")
    (verdict,) = json.loads(ended.stdout)["verdicts"]
    assert verdict["pages"] == 1
    assert verdict["budget"]["left"][-1] < verdict["budget"]["corrected"][-1] == 1
    assert "without what was excluded" in (month / "day.svg").read_text()


def test_the_budget_told_is_that_of_the_slice_that_was_asked_for(month: Path) -> None:
    rows = [
        f"{minute},{good},{100},{text}"
        for minute in range(1_440)
        for text, good in (("pool=realtime", 99), ('"pool=realtime,region=eu-west-1"', 90))
    ]
    (month / "two.csv").write_text("\n".join(["minute,good,total,slice", *rows]))
    told = {}
    for text in ("pool=realtime", "pool=realtime,region=eu-west-1"):
        ended = backtest(month, "--slo", NAME, "--data", "two.csv", "--slice", text, "--format", "json")
        assert (ended.returncode, ended.stderr) == (0, "")
        (verdict,) = json.loads(ended.stdout)["verdicts"]
        told[text] = verdict["budget"]
    assert told["pool=realtime"] != told["pool=realtime,region=eu-west-1"]
    wrong = backtest(month, "--slo", NAME, "--data", "two.csv", "--slice", "pool=realtime,region=eu-west-2")
    assert wrong.returncode == 2
    assert "did you mean pool=realtime,region=eu-west-1?" in wrong.stderr
