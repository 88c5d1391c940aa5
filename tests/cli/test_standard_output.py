"""An answer that cannot be written is told by a code of its own, and by none that reads as a verdict."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.warm import turnwatch_printing_to
from turnwatch.standard_output import open_standard_output

NO_VERDICT, FAILED, NOBODY_READS = 4, 1, 141
SLICE = {"calls": 500, "wer": 0.1, "p95_ms": 900, "cost_per_min": 0.05}


@pytest.fixture
def nobody_reads() -> Iterator[int]:
    reads, writes = os.pipe()
    os.close(reads)
    yield writes
    os.close(writes)


@pytest.fixture
def full() -> Iterator[int]:
    with Path("/dev/full").open("w") as file:
        yield file.fileno()


@pytest.fixture
def verdict(tmp_path: Path) -> list[str]:
    """The words of a gate that would say `continue`."""
    words = ["gate"]
    for side in ("baseline", "candidate"):
        (tmp_path / f"{side}.json").write_text(json.dumps({"far": SLICE}))
        words += [f"--{side}", f"{side}.json"]
    return words


@pytest.mark.parametrize("output", ["table", "json"])
def test_a_verdict_that_nobody_reads_is_none(
    tmp_path: Path, verdict: list[str], nobody_reads: int, full: int, output: str
) -> None:
    for file, why in ((nobody_reads, "Broken pipe"), (full, "No space left on device")):
        ended = turnwatch_printing_to(file, tmp_path, *verdict, "--format", output)
        assert ended.returncode == NO_VERDICT
        assert ended.stderr == f"turnwatch: standard output cannot be written: {why}.\n"


def test_whom_to_roll_back_first_that_nobody_reads_is_no_answer(tmp_path: Path, nobody_reads: int) -> None:
    (tmp_path / "r.json").write_text('{"v1": {"a": 1}}')
    ended = turnwatch_printing_to(nobody_reads, tmp_path, "rollback", "--regressions", "r.json")
    assert ended.returncode == NO_VERDICT


def test_other_commands_end_in_silence_as_soon_as_nobody_reads(tmp_path: Path, nobody_reads: int) -> None:
    ended = turnwatch_printing_to(nobody_reads, tmp_path, "scenarios")
    assert (ended.returncode, ended.stderr) == (NOBODY_READS, "")


def test_other_commands_say_that_what_they_write_to_is_full(tmp_path: Path, full: int) -> None:
    ended = turnwatch_printing_to(full, tmp_path, "scenarios")
    assert (ended.returncode, ended.stderr.count("\n")) == (FAILED, 1)
    assert "No space left on device" in ended.stderr


def test_a_standard_output_that_was_closed_is_no_verdict(tmp_path: Path, verdict: list[str]) -> None:
    """Cold: the interpreter itself makes something else of it."""
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "turnwatch", *verdict]
    surroundings = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run(command, cwd=tmp_path, env=surroundings, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (NO_VERDICT, "")
    assert ended.stderr == "turnwatch: standard output cannot be written: Bad file descriptor.\n"


def test_what_the_encoding_of_the_output_has_no_sign_for_is_escaped_as_in_json(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A traceback would be no verdict, and of `--help` it would end with 1."""
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "latin-1"))
    open_standard_output()
    text = "é → 日本 \ud800"
    print(json.dumps(text, ensure_ascii=False), flush=True)
    written = capfd.readouterr().out
    assert "\\u2192" in written and json.loads(written.replace("\ufffd", "é")) == text
