"""The benchmark of boards measures what it says, and ends with 1 where the overview is late."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from schemas.boards import OVERVIEW_UID
from turnwatch.bench import board_rows, boards
from turnwatch.bench.board_rows import FILLINGS, minutes_of, slices_of
from turnwatch.cli import app


def test_slices_are_as_many_as_asked_for_and_each_is_of_its_cut() -> None:
    rows = slices_of(1_000).to_pylist()
    assert 950 <= len(rows) <= 1_000
    assert len({row["slice"] for row in rows}) == len(rows)
    for row in rows:
        assert row["slice"] == ",".join(f"{name}={row[name]}" for name in row["cut"].split(","))


def test_every_panel_and_table_has_a_line_and_a_limit_that_is_missed_is_exit_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the overview only, and of few rows of 10 s, to be quick."""
    monkeypatch.setattr(boards, "LIMIT_S", 1e-6)
    monkeypatch.setattr(boards, "BOARDS", (OVERVIEW_UID,))
    monkeypatch.setattr(board_rows, "SHORT_S", 600)
    told = CliRunner().invoke(app, ["bench", "boards", "--slices", "60", "--days", "1", "--runs", "1"])
    assert told.exit_code == 1, told.output
    panels = re.findall(r'^board=(\S+) range=(as_opened|1d) panel="[^"]+" p95_s=\d', told.stdout, re.MULTILINE)
    assert {uid for uid, _ in panels} == {OVERVIEW_UID}
    assert len(panels) == 2 * sum(len(boards.panels_of(board)) for board in boards._boards().values())
    assert len(re.findall(r"^overview range=\S+ p95_s=\d", told.stdout, re.MULTILINE)) == 2
    rows = dict(re.findall(r"(\w+_1m|burn_windows)=(\d+)", told.stdout.splitlines()[0]))
    count = len(slices_of(60))
    assert int(rows["traffic_1m"]) == int(rows["burn_rate_1m"]) == count * 1_440
    for table in map(minutes_of, FILLINGS):
        ours, plain = re.findall(
            rf"^table={table} bytes_per_row=(\S+) plain_bytes_per_row=(\S+)", told.stdout, re.MULTILINE
        )[0]
        assert 0 < float(ours) < float(plain)
