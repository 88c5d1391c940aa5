"""What the command prints last and exits with follows from the reckoning, and its run folder goes unless it is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from stack.alertmanager import HOW_TO_GET_IT
from turnwatch.bench.faults import play
from turnwatch.bench.faults.paging import PagesTally
from turnwatch.bench.faults.play import NoAlertmanager, Played, run_faults
from turnwatch.bench.faults.reckoning import Reckoning, RefusalsTally, TableTally
from turnwatch.sentences import BAD_INPUT, exit_code_for

RIGHT = Reckoning(
    faults=100,
    on_processes=24,
    tables=(TableTally("traffic_10s", 40, 40, 0, 0),),
    refusals=RefusalsTally(38, 38, 0, 0),
    pages=PagesTally(16, 16, 0, 0, 0, 0),
    unread={},
)
LOST = replace(RIGHT, tables=(TableTally("traffic_10s", 40, 39, 12, 0),))


def ending_with(monkeypatch: pytest.MonkeyPatch, place: Path, *reckonings: Reckoning) -> list[Path]:
    """Lets a run come to these; the folders that it is given, inside of `place`."""
    folders: list[Path] = []
    monkeypatch.setattr("tempfile.tempdir", str(place))

    async def played(
        console: Console, folder: Path, rounds: int, seed: int, faults: int, on_played: Callable[[Played], None]
    ) -> None:
        folders.append(folder)
        (folder / "kafka").mkdir()
        (folder / "worker-a.log").touch()
        for reckoning in reckonings:
            on_played(Played(reckoning, [], {}))

    monkeypatch.setattr(play, "play", played)
    return folders


def test_all_bad_figures_at_zero_exit_with_0_and_leave_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ending_with(monkeypatch, tmp_path, RIGHT)
    assert run_faults(rounds=1, seed=7, faults=100) == 0
    assert capsys.readouterr().out.splitlines()[-1] == RIGHT.line
    assert RIGHT.line == (
        "faults=100 on_processes=24 rows_expected=40 rows_landed=40 lost=0 double_counted=0 "
        "pages_expected=16 delivered=16 missed=0 repeated=0"
    )
    assert not folders[0].exists()


def test_one_bad_round_of_several_exits_with_1_and_keeps_its_logs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ending_with(monkeypatch, tmp_path, RIGHT, LOST)
    assert run_faults(rounds=2, seed=7, faults=100) == 1
    assert "rows_expected=80 rows_landed=79 lost=12 double_counted=0" in capsys.readouterr().out.splitlines()[-1]
    assert [path.name for path in folders[0].iterdir()] == ["worker-a.log"]


def test_without_alertmanager_it_says_how_to_get_it_and_exits_with_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NoAlertmanager, match="apt-get install") as failed:
        run_faults(rounds=1, seed=7, faults=100)
    assert str(failed.value).startswith(HOW_TO_GET_IT)
    assert exit_code_for(failed.value) == BAD_INPUT
