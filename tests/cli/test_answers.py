"""Questions asked of files: what is printed for good input, and which sentence for bad input, with exit code 2."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from schemas import saturation
from schemas.failures import BadInput
from turnwatch.answers import questions_of_files
from turnwatch.cli import app
from turnwatch.sentences import exit_code_for

OLD = {"gpu_dollars": 100, "successful_turns": 1_000, "avg_context_tokens": 500, "retry_rate": 0.01,
       "shadow_traffic_fraction": 0}  # fmt: skip
ROUTE = {"turns": 100, "task_success_rate": 0.9, "total_cost_usd": 10}


def answer(*words: str) -> Any:
    ended = CliRunner().invoke(app, [*words, "--format", "json"])
    assert ended.exit_code == 0, ended.output
    return json.loads(ended.stdout)


def refused(*words: str) -> str:
    ended = CliRunner().invoke(app, [*words])
    assert isinstance(ended.exception, BadInput), ended.output
    assert exit_code_for(ended.exception) == 2
    sentence = str(ended.exception)
    assert sentence.endswith((".", "?"))
    return sentence


def file(folder: Path, text: str, name: str = "given.csv") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def document(folder: Path, value: object, name: str = "given.json") -> str:
    return file(folder, value if isinstance(value, str) else json.dumps(value), name)


def test_burn(tmp_path: Path) -> None:
    points = file(tmp_path, "minute,bad,total\n0,0,100\n1,5,100\n2,0,100\n9,1,100\n\n")
    assert answer("burn", points) == [
        {"ending_minute": 4, "error_rate": 5 / 300, "window_size": 5},
        {"ending_minute": 5, "error_rate": 5 / 200, "window_size": 5},
    ]
    assert answer("burn", points, "--window", "1", "--budget-rate", "0.05") == []
    assert answer("burn", file(tmp_path, "minute,bad,total\n")) == []


def test_peak(tmp_path: Path) -> None:
    assert answer("peak", file(tmp_path, "start_ms,end_ms\n0,10\n10,20\n5,15\n")) == {"peak": 2, "at_ms": 5}
    assert answer("peak", file(tmp_path, "start_ms,end_ms\n")) == {"peak": 0, "at_ms": None}


def test_saturation(tmp_path: Path) -> None:
    minutes = file(tmp_path, "minute,queue_depth,p95_ms\n0,10,1300\n1,40,1200\n4,131,1300.5\n5,132,2000\n")
    action = "shed_batch_or_add_capacity"
    assert answer("saturation", minutes) == [
        {"minute": 1, "queue_growth": 30, "p95_ms": 1200, "interpolated": False, "action": action},
        {"minute": 4, "queue_growth": 91 / 3, "p95_ms": 1300.5, "interpolated": True, "action": action},
    ]
    assert answer("saturation", minutes, "--growth", "31") == []


@pytest.mark.parametrize(("name", "limit"), [("GROWTH_PER_MINUTE", 31), ("P95_MS", 1_301)])
def test_limits_of_saturation_are_the_operators(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, limit: int
) -> None:
    minutes = file(tmp_path, "minute,queue_depth,p95_ms\n0,10,1300\n1,40,1300\n")
    assert len(answer("saturation", minutes)) == 1
    told = f"{getattr(saturation, name)} unless given"
    assert told in " ".join(CliRunner().invoke(app, ["saturation", "--help"]).stdout.split())
    monkeypatch.setattr(questions_of_files, name, Decimal(limit))
    assert answer("saturation", minutes) == []


def test_a_latency_just_below_the_limit_is_below_it_as_written(tmp_path: Path) -> None:
    rows = "minute,queue_depth,p95_ms\n0,0,0\n1,90,1199.99999999999999999\n2,180,1200.0\n"
    assert [each["minute"] for each in answer("saturation", file(tmp_path, rows))] == [2]


def test_cost_of_two_periods(tmp_path: Path) -> None:
    old, new = document(tmp_path, OLD, "old.json"), document(tmp_path, OLD | {"gpu_dollars": 110.0}, "new.json")
    assert answer("cost", "--old", old, "--new", new) == {
        "old_unit_cost": 0.1, "new_unit_cost": 0.11, "relative_delta": 0.1, "regressed": False, "drivers": [],
    }  # fmt: skip
    assert answer("cost", "--old", old, "--new", new, "--tolerance", "0.09")["regressed"] is True


def test_a_period_without_a_success_is_divided_by_one_and_a_note_says_so(tmp_path: Path) -> None:
    old, new = document(tmp_path, OLD, "old.json"), document(tmp_path, OLD | {"successful_turns": 0}, "new.json")
    ended = CliRunner().invoke(app, ["cost", "--old", old, "--new", new, "--format", "json"])
    found = json.loads(ended.stdout)
    assert (found["new_unit_cost"], found["relative_delta"], found["regressed"]) == (100, 999, True)
    (note,) = ended.stderr.splitlines()
    assert note.startswith(f"turnwatch: {new}: no turn succeeded") and note.endswith(
        "÷ 1, which is no cost of a success."
    )


def test_cost_by_route(tmp_path: Path) -> None:
    routes = {"well": ROUTE, "dear": ROUTE | {"total_cost_usd": 20}, "failing": ROUTE | {"task_success_rate": 0}}
    found = answer("cost", "--routes", document(tmp_path, routes))
    assert [(each["route"], each["cost_per_success"], each["infinite"], each["flagged"]) for each in found] == [
        ("failing", None, True, True), ("dear", 20 / 90, False, True), ("well", 10 / 90, False, False),
    ]  # fmt: skip
    assert answer("cost", "--routes", document(tmp_path, {})) == []


def test_capacity_is_exact() -> None:
    asked = ("capacity", "--gpu-seconds-per-audio-second", "0.1", "--streams")
    assert answer(*asked, "7") == {"replicas": 1}
    assert answer(*asked, "8") == {"replicas": 2}
    assert answer(*asked, "0") == {"replicas": 0}
    assert answer(*asked, str(10**9), "--vad-savings", "0.3") == {"replicas": 10**8}


def test_without_a_format_it_is_a_table(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["peak", file(tmp_path, "start_ms,end_ms\n0,10\n")])
    assert ended.stdout.split() == ["peak", "at_ms", "1", "0", "1", "row"]


@pytest.mark.parametrize("name", ["/api/[id]", "[/chat]", "[bold]", "\\[x]", "a:smile:b"])
def test_a_table_shows_names_as_they_are_written(tmp_path: Path, name: str) -> None:
    ended = CliRunner().invoke(app, ["cost", "--routes", document(tmp_path, {name: ROUTE})])
    assert ended.exit_code == 0, ended.output
    assert name in ended.stdout.split()


@pytest.mark.parametrize(
    ("command", "text", "said"),
    [
        ("burn", "", ":1: the file is empty"),
        ("burn", "minute,bad\n0,1\n", ":1: column total is missing"),
        ("burn", "minute,bad,totl\n", ":1: column 'totl' is unknown: did you mean total?"),
        ("burn", "minute,bad,total,total\n0,1,2,2\n", ":1: column 'total_duplicated_0' is unknown"),
        ("burn", "minute,bad,total\n0,1,2\n0,1,2\n", ":3: minute '0' does not come after"),
        ("burn", "minute,bad,total\n5,1,2\n4,1,2\n", ":3: minute '4' does not come after"),
        ("burn", "minute,bad,total\n0,3,2\n", ":2: bad '3' is above total"),
        ("burn", "minute,bad,total\n0,-1,2\n", ":2: bad '-1' is below 0"),
        ("burn", "minute,bad,total\n0,1,2\n\n1,x,2\n", ":4: bad 'x' is no whole number"),
        ("burn", "minute,bad,total\n0,1\n", ":2: total is missing"),
        ("burn", "minute,bad,total\n0,1,2,3\n", ":2: the line has 4 fields, the header 3"),
        ("burn", "minute,bad,total\n0,1.5,2\n", ":2: bad '1.5' is no whole number"),
        ("burn", "minute,bad,total\n0,1,nan\n", ":2: total 'nan' is no whole number"),
        ("burn", "minute,bad,total\n0,1,9999999999999999\n", ":2: total '9999999999999999' is beyond"),
        ("peak", "start_ms,end_ms\n5,4\n", ":2: end_ms '4' is before start_ms"),
        ("saturation", "minute,queue_depth,p95_ms\n0,10,\n", ":2: p95_ms is missing"),
        ("saturation", "minute,queue_depth,p95_ms\n0,10,-3\n", ":2: p95_ms '-3' is negative"),
        ("saturation", "minute,queue_depth,p95_ms\n0,10,inf\n", ":2: p95_ms 'inf' is no decimal number"),
        ("saturation", "minute,queue_depth,p95_ms\n0,-10,3\n", ":2: queue_depth '-10' is below 0"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_refused_with_line_field_and_value(tmp_path: Path, command: str, text: str, said: str) -> None:
    assert said in refused(command, file(tmp_path, text))


@pytest.mark.parametrize("name", OLD)
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("-1", "is negative"), ('"7"', "is no number"), ("true", "is no number"), ("null", "is no number"),
        ("NaN", "is NaN, which is no number"), ("1e999", "1e999 is no figure that anybody measures"), ("[]", "a list is no number"),
    ],
)  # fmt: skip
def test_every_figure_of_a_period_wrong_in_turn_is_refused(tmp_path: Path, name: str, value: str, said: str) -> None:
    fields = ", ".join(f'"{each}": {value if each == name else 0}' for each in OLD)
    right = document(tmp_path, OLD, "right.json")
    sentence = refused("cost", "--old", right, "--new", document(tmp_path, f"{{{fields}}}", "wrong.json"))
    assert said in sentence
    assert "wrong.json" in sentence


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "this is no JSON"),
        ("[]", "this is a list: write an object"),
        ('{"a": 7}', "route 'a': this is 7: write an object"),
        ('{"a": {"turns": 1, "task_success_rate": 1.2, "total_cost_usd": 1}}', "task_success_rate 1.2 is above 1"),
        ('{"a": {"turns": 1.5, "task_success_rate": 1, "total_cost_usd": 1}}', "turns 1.5 is no whole number"),
        ('{"a": {"turns": 1, "task_success_rate": 1}}', "total_cost_usd is missing"),
        ('{"a": {"turns": 1, "turns": 1, "task_success_rate": 1, "total_cost_usd": 1}}', "'turns' is written twice"),
        ('{"a": {"turn": 1, "task_success_rate": 1, "total_cost_usd": 1}}', "did you mean turns?"),
        ('{"a": {"turns": 1e99999999999999999999, "task_success_rate": 1}}', "1e99999999999999999999 is no figure"),
        ('{"a": {"turns": 0e-99999999999999999999, "task_success_rate": 1}}', "0e-99999999999999999999 is no figure"),
        ('{"\\ud800": {"turns": 1, "task_success_rate": 1, "total_cost_usd": 1}}', "'\\ud800' has half of a character"),
        ('{"a": {"\\udfff": 1}}', "'\\udfff' has half of a character"),
    ],
)  # fmt: skip
def test_wrong_routes_are_refused(tmp_path: Path, value: str, said: str) -> None:
    assert said in refused("cost", "--routes", document(tmp_path, value))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--utilization", "0"), "--utilization 0 has to be above 0 and at most 1."),
        (("--utilization", "1.01"), "--utilization 1.01 has to be above 0 and at most 1."),
        (("--utilization", "70"), "--utilization 70 has to be above 0 and at most 1: write 0.7."),
        (("--vad-savings", "1"), "--vad-savings 1 has to be at least 0 and below 1."),
        (("--vad-savings", "30"), "--vad-savings 30 has to be at least 0 and below 1: write 0.3."),
        (("--vad-savings", "x"), "--vad-savings 'x' is no decimal number"),
        (("--vad-savings", ""), "--vad-savings '' is no decimal number"),
        (("--vad-savings", "1e99999999999999999999"), "or has too many digits"),
        (("--vad-savings", f"0.{'1' * 100_000}"), "or has too many digits"),
        (("--gpu-seconds-per-audio-second", "-0.1"), "has to be at least 0"),
    ],
)
def test_a_capacity_that_cannot_be_is_refused(words: tuple[str, str], said: str) -> None:
    asked = ("capacity", "--streams", "5", "--gpu-seconds-per-audio-second", "0.1")
    assert said in refused(*asked, *words)


def test_a_name_of_whole_characters_is_printed(tmp_path: Path) -> None:
    assert answer("cost", "--routes", document(tmp_path, {"a😀": ROUTE}))[0]["route"] == "a😀"


@pytest.mark.parametrize("tolerance", ["abc", "0.10"])
def test_routes_have_no_tolerance(tmp_path: Path, tolerance: str) -> None:
    routes = document(tmp_path, {"well": ROUTE})
    ended = CliRunner().invoke(app, ["cost", "--routes", routes, "--tolerance", tolerance])
    assert ended.exit_code == 2 and "--tolerance is about --old and --new" in ended.output


@pytest.mark.parametrize("words", [("--old", "a"), ("--old", "a", "--routes", "a"), ()])
def test_cost_wants_two_periods_or_routes(tmp_path: Path, words: tuple[str, ...]) -> None:
    given = [document(tmp_path, OLD) if word == "a" else word for word in words]
    assert CliRunner().invoke(app, ["cost", *given]).exit_code == 2


@pytest.mark.parametrize("words", [("burn", "gone.csv"), ("cost", "--routes", "gone.json")])
def test_a_file_that_is_not_there_is_bad_input(words: tuple[str, ...]) -> None:
    ended = CliRunner().invoke(app, list(words))
    assert ended.exit_code == 2
    assert "does not exist" in ended.output
