"""A script of routes is read as it is written, and every mistake in one is named by file, line and field."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts.durations import duration_ms, duration_written
from alerts.located_yaml import Place, field_text
from alerts.routes_script import ScriptError, load_scripts, require_receivers
from turnwatch.routes import shipped_scripts

GOOD = """\
about: While a slice pages, its ticket is kept back.
speed: 50
until: 5m
alerts:
  page:
    alertname: SloBurnRateHigh
    severity: page
  ticket:
    alertname: SloBurnRateHigh
    severity: ticket
steps:
  - at: 0s
    fire: [page, ticket]
  - at: 1m
    every: 30s
    until: 3m
    fire: [page]
    lasts: 1m30s
  - at: 4m
    resolve: [ticket]
expect:
  - receiver: on-call
    firing: [page]
    between: [5s, 1m]
  - receiver: tickets
    resolved: [ticket]
    between: [4m, 5m]
    times: [0, 2]
"""


def problems(text: str, folder: Path) -> list[str]:
    """What is said about a script, without the file's name."""
    file = folder / "script.yaml"
    file.write_text(text)
    try:
        load_scripts([file])
    except ScriptError as error:
        return [problem.removeprefix(f"{file}:") for problem in error.problems]
    return []


def with_line(number: int, line: str) -> str:
    lines = GOOD.splitlines()
    lines[number - 1] = line
    return "\n".join(lines)


def test_a_script_says_what_happens_when_and_what_follows(tmp_path: Path) -> None:
    (tmp_path / "script.yaml").write_text(GOOD)
    (file,) = load_scripts([tmp_path / "script.yaml"])
    first, again, last = file.script.steps
    assert (float(file.script.speed), file.script.until_ms) == (50.0, 300_000)
    assert list(first.times_ms) == [0]
    assert list(again.times_ms) == [60_000, 90_000, 120_000, 150_000, 180_000]
    assert (again.lasts_ms, last.resolve) == (90_000, ["ticket"])
    on_call, tickets = file.script.expect
    assert (on_call.from_ms, on_call.by_ms, on_call.times) == (5_000, 60_000, [1, 1])
    assert (tickets.resolved, tickets.times) == (["ticket"], [0, 2])
    assert file.script.named({"alertname": "SloBurnRateHigh", "severity": "ticket"}) == "ticket"
    assert file.script.named({"alertname": "Other", "a": "b"}) == "a=b, alertname=Other"


def test_every_shipped_script_can_be_read() -> None:
    assert len(load_scripts(shipped_scripts())) == len(shipped_scripts()) > 0


@pytest.mark.parametrize(
    ("number", "line", "problem"),
    [
        (1, "about: ''", "1: about: This is empty: write it, or remove the field if it is optional."),
        (2, "speed: 0", "2: speed: 0 is no speed: write 1 to 10000."),
        (2, "sped: 50", "2: sped: There is no such field; did you mean `speed`?"),
        (3, "until: 300", "3: until: This has to be a duration such as 30s or 1h30m, and 300 is written."),
        (3, "until: 3m5", "3: until: This has to be a duration such as 30s or 1h30m, and 3m5 is written."),
        (3, "until: 9w", "3: until: 9w is longer than the 4w2d a script may take."),
        (15, "    every: 1ms", "15: steps[1].every: The step is repeated 120001 times: at most 10000 are played."),
        (7, "    severity: 1", "7: alerts.page.severity: This has to be text, and 1 is written: put it in quotes."),
        (
            7,
            "    severity: ''",
            "7: alerts.page.severity: A label without a value is no label to Alertmanager: write one, or remove it.",
        ),
        (
            7,
            "    sever-ity: page",
            "7: alerts.page.sever-ity: 'sever-ity' is no label's name: use letters, digits and underscores.",
        ),
        (
            10,
            "    severity: page",
            "8: alerts.ticket: The alert 'page' has the same labels, so Alertmanager takes both for one.",
        ),
        (
            13,
            "    fire: [page, tiket]",
            "13: steps[0].fire[1]: No alert of this script is named 'tiket'; did you mean `ticket`?",
        ),
        (13, "    fire: [page, page, ticket]", "13: steps[0].fire[1]: 'page' is named twice here: keep one."),
        (
            13,
            "    fire: page",
            '13: steps[0].fire: This has to be a list, and "page" is written: begin its items with `-`.',
        ),
        (13, "    fire: [page]", "8: alerts.ticket: No step fires this alert: fire it, or remove it."),
        (14, "  - at: 6m", "14: steps[1].at: The script ends at 5m: raise its `until`."),
        (
            15,
            "    every: 0s",
            "15: steps[1].every: A step cannot be repeated every 0s.",
        ),
        (
            16,
            "    until: 30s",
            "16: steps[1].until: The step's repeats end before they begin: write a later `until`.",
        ),
        (
            16,
            "    # until: 3m",
            "14: steps[1]: `every` and `until` go together: a step that is repeated says how often, and up to when.",
        ),
        (18, "    lasts: 0s", "18: steps[1].lasts: An alert that lasts 0s has ended already: use `resolve`."),
        (
            20,
            "    resolve: []",
            "19: steps[2]: The step does nothing: add `fire` or `resolve`, with names of alerts.",
        ),
        (19, "  - at: 0s", "20: steps[2].resolve[0]: 'ticket' does not fire yet at 0s."),
        (20, "    lasts: 1m", "19: steps[2]: The step does nothing: add `fire` or `resolve`, with names of alerts."),
        (
            23,
            "    firing: []",
            "22: expect[0]: Nothing is named: add `firing` or `resolved`, with names of alerts.",
        ),
        (24, "    between: [1m, 5s]", "24: expect[0].between: The second time has to be the later one."),
        (24, "    between: [1m, 9m]", "24: expect[0].between: The script ends at 5m: raise its `until`."),
        (
            24,
            "    between: [1m]",
            "24: expect[0].between: This has to be two values, such as [5s, 1m] or [1, 1], and 1 are written.",
        ),
        (
            28,
            "    times: [2, 1]",
            "28: expect[1].times: This has to be the fewest and the most that may come, such as [1, 1].",
        ),
        (28, "    times: [1, 1", "28: This YAML cannot be read: expected ',' or ']', but got '<stream end>'."),
    ],
)
def test_a_mistake_is_named_by_its_line_and_field(number: int, line: str, problem: str, tmp_path: Path) -> None:
    assert problem in problems(with_line(number, line), tmp_path)


def places(value: Any, place: Place = ()) -> list[Place]:
    """Every place of a document, the sections and lists included."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(each for key, below in inner for each in places(below, (*place, key)))]


def changed(place: Place, value: Any) -> str:
    document = deepcopy(yaml.safe_load(GOOD))
    around = document
    for part in place[:-1]:
        around = around[part]
    if value is None:
        del around[place[-1]]
    else:
        around[place[-1]] = value
    return yaml.safe_dump(document, sort_keys=False)


EVERY_PLACE = [place for place in places(yaml.safe_load(GOOD)) if place]


@pytest.mark.parametrize("wrong", [17, True, [{"a": "b"}], {"a": ["b"]}, "\u2603 !"], ids=repr)
def test_any_wrong_value_at_any_place_is_told_in_sentences(wrong: object, tmp_path: Path) -> None:
    """Or it is right there: `about` may be any text, a label's value too."""
    told = [problem for place in EVERY_PLACE for problem in problems(changed(place, wrong), tmp_path)]
    assert len(told) > len(EVERY_PLACE) / 2
    for problem in told:
        line, _, said = problem.partition(": ")
        assert line.isdigit()
        assert said.endswith((".", "?"))
        assert "input" not in said.lower(), "pydantic's own words"


@pytest.mark.parametrize("place", [("about",), ("until",), ("alerts",), ("steps",), ("expect",), ("steps", 0, "at")])
def test_what_is_missing_is_asked_for(place: Place, tmp_path: Path) -> None:
    (first, *_) = problems(changed(place, None), tmp_path)
    assert f"{field_text(place)}: The field is missing: add `{place[-1]}` to" in first


def test_a_file_that_is_no_script_is_told(tmp_path: Path) -> None:
    assert problems("", tmp_path) == ["1: A file has to hold one script, and this one holds 0."]
    assert problems(f"{GOOD}---\n{GOOD}", tmp_path) == ["1: A file has to hold one script, and this one holds 2."]
    assert problems("- 1", tmp_path) == ["1: document: This has to be a section with fields, and a list is written."]
    (tmp_path / "latin.yaml").write_bytes(b"about: caf\xe9")
    for name, said in (("latin.yaml", "is not UTF-8 text"), ("none.yaml", "No such file")):
        with pytest.raises(ScriptError, match=said):
            load_scripts([tmp_path / name])


def test_all_mistakes_of_all_scripts_are_told_at_once(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(with_line(2, "speed: fast").replace("until: 5m", "until: soon"))
    with pytest.raises(ScriptError) as refused:
        load_scripts([tmp_path / "a.yaml", tmp_path / "b.yaml"])
    assert len(refused.value.problems) == 4


def test_a_receiver_that_the_configuration_does_not_have_is_told_where_it_is_expected(tmp_path: Path) -> None:
    (tmp_path / "script.yaml").write_text(GOOD)
    files = load_scripts([tmp_path / "script.yaml"])
    require_receivers(files, ["on-call", "tickets"])
    with pytest.raises(ScriptError) as refused:
        require_receivers(files, ["on-call", "ticket-queue"])
    (problem,) = refused.value.problems
    assert problem.endswith(
        "script.yaml:25: expect[1].receiver: No receiver is named 'tickets'; did you mean `ticket-queue`?"
    )


@pytest.mark.parametrize("written", ["1w2d", "3h4m", "59s", "250ms", "0s"])
def test_durations_read_as_they_are_written(written: str) -> None:
    span_ms = duration_ms(written)
    assert span_ms is not None
    assert duration_written(span_ms) == written


@pytest.mark.parametrize("written", ["", "5", "5 s", "-5s", "5s1m", "1.5h", "1m1m", "٣s"])
def test_what_is_no_duration_is_none(written: str) -> None:
    assert duration_ms(written) is None
