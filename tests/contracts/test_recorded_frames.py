"""Frames that were recorded once are read to the same rows for ever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.families import FAMILIES
from schemas.frame_rows import decode_rows
from schemas.frames import SCHEMA_MAJOR, SCHEMA_MINOR, decode_header
from schemas.rejections import Rejected
from stream_jobs.operators.totals.intake import Intake
from stream_jobs.operators.totals.opening import Record

VERSIONS = sorted((Path(__file__).parent / "frames").glob("v*"))


def _read(folder: Path, name: str, suffix: str) -> tuple[dict[str, bytes], bytes]:
    headers = json.loads((folder / f"{name}.{suffix}.headers.json").read_text())
    return {key: value.encode() for key, value in headers.items()}, (folder / f"{name}.{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", ["arrow", "ndjson"])
@pytest.mark.parametrize(
    ("folder", "name"),
    [(folder, path.stem.partition(".")[0]) for folder in VERSIONS for path in folder.glob("*.arrow")],
)
def test_a_recorded_frame_is_read_to_its_rows_and_taken_in(folder: Path, name: str, suffix: str) -> None:
    headers, payload = _read(folder, name, suffix)
    header = decode_header(name, headers)
    assert not isinstance(header, Rejected), header
    read = decode_rows(header, headers, payload)
    assert not isinstance(read, Rejected), read
    wanted = json.loads((folder / f"{name}.rows.json").read_text())
    found = [{key: row[key] for key in wanted[0]} for row in read[0].to_pylist()]
    assert found == wanted
    since = {measure.name for measure in header.family.measures if measure.since_minor > header.minor}
    assert set(read[0].column_names) - set(wanted[0]) == since
    assert not any(row[name] for row in read[0].to_pylist() for name in since), "what was not counted yet is zero"
    record = Record(0, header.window_end_ms + 500, headers, payload)
    outcome = Intake(FAMILIES[name], 0, 1).apply([record])
    assert (outcome.frames_applied, outcome.refusals) == (1, [])


def test_something_was_recorded() -> None:
    assert [folder.name for folder in VERSIONS][:2] == ["v1.0", "v1.1"]
    assert {path.stem for path in VERSIONS[-1].glob("*.arrow")} == set(FAMILIES)
    assert VERSIONS[-1].name == f"v{SCHEMA_MAJOR}.{SCHEMA_MINOR}"
