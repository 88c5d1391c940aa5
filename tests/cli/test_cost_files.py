"""Rows of costs from files: what a query exports is read, and every mistake is told with file and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from schemas.failures import BadInput
from schemas.families import COSTS
from turnwatch.answers.cost_files import FINEST, FINEST_OF_TENANTS, read_cost_files

ROW: dict[str, Any] = {
    "cut": FINEST.name, "bucket_start": "2026-10-01T00:10:00Z", "region": "eu-west-1", "pool": "realtime", "tenant": "",
    "route": "agent", "bundle": "v1", "model_version": "talk-1", "gpu_type": "h100", "purchase": "reserved",
    **dict.fromkeys(COSTS.measure_names, 0), "turns": 10, "successes": 9, "attempts": 12, "attempts_retried": 2,
}  # fmt: skip


def exported(path: Path, *rows: dict[str, Any], without: str | None = None) -> Path:
    pl.DataFrame([{**ROW, **row} for row in rows], infer_schema_length=None).drop(
        [without] if without else []
    ).write_csv(path)
    return path


def refused(*paths: Path) -> str:
    with pytest.raises(BadInput) as raised:
        read_cost_files(paths)
    return str(raised.value).replace(str(paths[-1]), "FILE")


def test_rows_of_the_cut_are_read_and_the_same_in_other_cuts_is_not(tmp_path: Path) -> None:
    of_pool = {"cut": "pool", "route": "", "turns": 99}
    file = exported(tmp_path / "a.csv", {}, of_pool, {"bucket_start": "2026-10-01 00:20:00.000"})
    rows = read_cost_files([file])
    assert rows["turns"].to_list() == [10, 10]
    assert rows["bucket_start_ms"].diff().to_list() == [None, 600_000]
    assert rows.columns == ["bucket_start_ms", *FINEST.dimensions, *COSTS.measure_names]
    assert rows.schema["gpu_used_ms"] == pl.Int64


def test_tenants_have_a_cut_of_their_own(tmp_path: Path) -> None:
    file = exported(tmp_path / "a.csv", {}, {"cut": FINEST_OF_TENANTS.name, "tenant": "t1", "turns": 30})
    rows = read_cost_files([file], FINEST_OF_TENANTS)
    assert rows.select("tenant", "turns").rows() == [("t1", 30)]


def test_what_costs_do_not_depend_on_may_be_left_out(tmp_path: Path) -> None:
    assert read_cost_files([exported(tmp_path / "a.csv", {}, without="chunks_retrieved")])["chunks_retrieved"][0] == 0


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"turns": -1}, "FILE:3: turns '-1' is no count"),
        ({"gpu_used_ms": 1.5}, "FILE:3: gpu_used_ms '1.5' is no count"),
        ({"turns": None}, "FILE:3: turns is missing: write it"),
        ({"successes": 11}, "FILE:3: successes '11' is more than turns, of which it is a part."),
        ({"bucket_start": "2026-10-01T00:15:00Z"}, "FILE:3: bucket_start '2026-10-01T00:15:00Z' is no beginning"),
        ({"bucket_start": "2026-02-30T00:10:00Z"}, "FILE:3: bucket_start '2026-02-30T00:10:00Z' is no day or time"),
        ({}, "FILE:3: these ten minutes of this slice were told before"),
    ],
)
def test_a_wrong_field_is_told_with_its_line(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    text_of = {name: str(value) for name, value in ROW.items()}
    told = {name: None if value is None else str(value) for name, value in row.items()}
    pl.DataFrame([text_of, {**text_of, **told}]).write_csv(tmp_path / "a.csv")
    assert refused(tmp_path / "a.csv").startswith(said)


def test_columns_and_cuts_that_are_not_there_are_told(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    assert refused(exported(file, {}, without="gpu_type")).startswith("FILE:1: column gpu_type is missing: export it")
    pl.DataFrame([ROW]).rename({"turns": "turn"}).write_csv(file)
    assert refused(file) == "FILE:1: column 'turn' is unknown: did you mean turns?"
    assert refused(exported(file, {"cut": "pool"})).startswith("FILE: there is no row of the cut region,pool,route")


def test_a_file_that_is_given_twice_is_told(tmp_path: Path) -> None:
    file = exported(tmp_path / "a.csv", {})
    assert "told before" in refused(file, file)
