"""The benchmark of boards measures what it says, and ends with 1 where the overview is late."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from alerts.definitions import watched_slos
from dashboards.render import all_boards
from schemas.boards import OVERVIEW_UID
from schemas.failures import BadInput
from schemas.tables import TABLES
from turnwatch.bench import board_families, board_rows, board_world, boards
from turnwatch.bench.board_rows import FILLINGS, minutes_of, slices_of
from turnwatch.cli import app


def test_slices_are_as_many_as_asked_for_and_each_is_of_its_cut() -> None:
    rows = slices_of(1_000).to_pylist()
    assert 950 <= len(rows) <= 1_000
    assert len({row["slice"] for row in rows}) == len(rows)
    for row in rows:
        assert row["slice"] == ",".join(f"{name}={row[name]}" for name in row["cut"].split(","))


def test_every_table_that_a_board_reads_is_filled() -> None:
    """But for what came late, which there is none of, and what budgets are not charged for."""
    filled = {each.table for each in board_families.others()} | {
        "objectives",
        "pages",
        "findings",
        "releases",
        "verdicts",
    }
    filled |= {name for base in FILLINGS for name in (f"{base}_10s", minutes_of(base))}
    sql = "\n".join(panel.query.sql for board in boards._boards().values() for panel in boards.panels_of(board))
    read = {name for name in re.findall(r"\b(?:FROM|JOIN)\s+(\w+)", sql) if name in TABLES}
    assert len(read) > 20 and {name for name in read if not name.endswith("_late")} <= filled | {"exclusions"}


def test_slices_of_other_families_are_of_their_cuts() -> None:
    for each in board_families.others():
        made = board_families.cut_slices(each.cuts, 12).to_pylist()
        assert {row["cut"] for row in made} == {cut.name for cut in each.cuts}
        assert len({row["slice"] for row in made}) == len(made) <= 12 * len(each.cuts)
        for row in made:
            assert row["slice"] == ",".join(f"{name}={row[name]}" for name in row["cut"].split(","))


def test_every_panel_and_table_has_a_line_and_a_limit_that_is_missed_is_exit_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the overview only, and of few rows of 10 s and of other families, to be quick."""
    monkeypatch.setattr(boards, "LIMIT_S", 1e-6)
    overview = all_boards(watched_slos())[OVERVIEW_UID]
    monkeypatch.setattr(boards, "all_boards", lambda watched: {OVERVIEW_UID: overview})
    read = [each for each in board_families.others() if each.table.startswith(("heartbeats", "privacy"))]
    monkeypatch.setattr(board_families, "others", lambda: read)
    monkeypatch.setattr(board_rows, "SHORT_S", 600)
    monkeypatch.setattr(boards, "installed", lambda: None)
    told = CliRunner().invoke(app, ["bench", "boards", "--slices", "60", "--days", "1", "--runs", "1"])
    assert told.exit_code == 1, told.output
    panels = re.findall(r'^board=(\S+) range=(as_opened|1d) panel="[^"]+" p95_s=\d', told.stdout, re.MULTILINE)
    assert {uid for uid, _ in panels} == {OVERVIEW_UID}
    assert len(panels) == 2 * sum(len(boards.panels_of(board)) for board in boards._boards().values())
    assert len(re.findall(r"^overview range=\S+ p95_s=\d", told.stdout, re.MULTILINE)) == 2
    assert "first_paint is not measured: no Chromium is installed here." in told.stdout.splitlines()
    rows = dict(re.findall(r"(\w+_1m|burn_windows)=(\d+)", told.stdout.splitlines()[0]))
    count = len(slices_of(60))
    assert int(rows["traffic_1m"]) == int(rows["burn_rate_1m"]) == count * 1_440
    for table in map(minutes_of, FILLINGS):
        ours, plain = re.findall(
            rf"^table={table} bytes_per_row=(\S+) plain_bytes_per_row=(\S+)", told.stdout, re.MULTILINE
        )[0]
        assert 0 < float(ours) < float(plain)


def test_a_kept_folder_is_asked_again_and_no_other_is_touched(tmp_path: Path) -> None:
    now_s = int(time.time())

    def mark(**told: object) -> None:
        world = {"slices": 60, "days": 1, "end_s": now_s, "made_of": board_world._made_of(), "is_whole": True}
        (tmp_path / "filled.json").write_text(json.dumps(world | told))

    def refused(because: str, slices: int = 60, days: int = 1) -> None:
        with pytest.raises(BadInput, match=because):
            board_world._kept(tmp_path, slices, days)

    assert board_world._kept(tmp_path, 60, 1) is None
    data = tmp_path / "clickhouse"
    data.mkdir()
    refused("files of something else")
    mark()
    known = board_world._kept(tmp_path, 60, 1)
    assert known == board_world.World(60, 1, now_s, board_world._made_of(), is_whole=True)
    refused("ask with --slices 60 --days 1, or name another folder", slices=61)
    refused("ask with --slices 60 --days 1, or name another folder", days=2)
    for end_s in (now_s - 2 * 86_400, now_s + 86_400):
        mark(end_s=end_s)
        refused("not filled within a day")
    mark(made_of="other tables")
    refused("other tables or values than today's")
    mark(is_whole=False)
    refused("a run still fills it, or was cut off")
    for end in ("soon", None):
        mark(end_s=end)
        refused("is not what a run before has written")
    mark()
    data.rmdir()
    refused("not filled to its end")
