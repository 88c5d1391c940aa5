"""Frames of a folder: repeats count once, and what is broken is named with its file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from alerts.openslo import load_slos
from schemas.failures import BadInput
from tests.backtest.streaming import SLO, saved, world
from turnwatch.backtest.frames import HEADERS
from turnwatch.backtest.sources import read_files

RECORDED = Path(__file__).parents[1] / "contracts" / "frames" / "v1.0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return saved(world(seed=4, windows=12), tmp_path)


def refused(folder: Path) -> str:
    with pytest.raises(BadInput) as error:
        read_files([folder], SLO)
    return str(error.value).replace(str(folder), "…")


def first(folder: Path) -> Path:
    return min(folder.glob("*.arrow"))


def test_a_repeat_counts_once(folder: Path) -> None:
    (once,) = read_files([folder], SLO).series
    for path in (first(folder), Path(f"{first(folder)}{HEADERS}")):
        shutil.copy(path, folder / f"again-{path.name}")
    (twice,) = read_files([folder], SLO).series
    assert (once.total == twice.total).all() and once.slices == twice.slices


@pytest.mark.parametrize("name", ["turns.arrow", "turns.ndjson"])
def test_recorded_frames_are_read_in_both_encodings(tmp_path: Path, name: str) -> None:
    for suffix in ("", HEADERS):
        shutil.copy(RECORDED / f"{name}{suffix}", tmp_path)
    rows = json.loads((RECORDED / "turns.rows.json").read_text())
    expected = sum(row["turn_error_total"] for row in rows if row["pool"] == "realtime")
    (series,) = read_files([tmp_path], SLO).series
    assert series.total[series.slices.index("pool=realtime")].sum() == expected > 0


def test_a_frame_that_changed_on_its_way_is_named(folder: Path) -> None:
    path = first(folder)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert refused(folder).startswith(f"…/{path.name}: The payload's xxh3 checksum differs")


def test_headers_that_are_none_are_named(folder: Path) -> None:
    beside = Path(f"{first(folder)}{HEADERS}")
    beside.write_text("[]")
    assert refused(folder) == f"…/{beside.name}: these are no headers of a frame: write a JSON object of texts."
    beside.write_text("{}")
    assert refused(folder).startswith(f"…/{beside.name}: The frame has no header tw-schema")


def test_a_frame_that_is_missing_is_named(folder: Path) -> None:
    path = first(folder)
    path.unlink()
    assert refused(folder) == f"…/{path.name}{HEADERS}: the frame of these headers is missing: it would be {path.name}."


def test_a_folder_without_the_family_says_so(tmp_path: Path) -> None:
    for suffix in ("", HEADERS):
        shutil.copy(RECORDED / f"streams.arrow{suffix}", tmp_path)
    assert refused(tmp_path) == "…: there are no frames of family turns, from which this is counted."


@pytest.mark.parametrize("name", ["duplex.arrow", "duplex.ndjson"])
def test_frames_of_another_family_are_read_for_an_objective_of_it(tmp_path: Path, name: str) -> None:
    recorded = RECORDED.with_name("v1.1")
    for suffix in ("", HEADERS):
        shutil.copy(recorded / f"{name}{suffix}", tmp_path)
    (slo,) = (each for each in load_slos() if each.name == "action-safety-realtime")
    expected = sum(row["action_safety_total"] for row in json.loads((recorded / "duplex.rows.json").read_text()))
    (series,) = read_files([tmp_path], slo).series
    assert series.total[series.slices.index("pool=realtime")].sum() == expected > 0
