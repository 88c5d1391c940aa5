"""Every field of every shipped document, and of one of each other shape, wrong in turn: one mistake, told at its line.

Documents are changed as text, line by line, so that the line of a wrong value is the one where it stood.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from alerts.located_yaml import Mistake, Place, field_text, read_documents
from tests.rules.documents import OF_A_THRESHOLD, POLICY_DOCUMENTS, SLO_DOCUMENTS, policy_mistakes, slo_mistakes

WRONG = {
    "apiVersion": "openslo/v2",
    "kind": "SLI",
    "name": "Not A Name",
    "displayName": "''",
    "pool": "realtim",
    "turnwatch/cuts": "pool,regoin",
    "turnwatch/owner": "' '",
    "turnwatch/runbook": "''",
    "turnwatch/policy": "Not A Name",
    "description": "''",
    "service": "Voice Turns",
    "counter": "false",
    "type": "prometheus",
    "measure": "turn_4000ms",
    "latency": "turnaround",
    "duration": "31d",
    "isRolling": "false",
    "budgetingMethod": "RatioTimeslices",
    "timeSliceTarget": "95",
    "timeSliceWindow": "5m",
    "op": "gt",
    "value": "1234",
    "target": "99",
    "budgetShare": "2",
    "long": "5 min",
    "short": "7s",
    "factor": "0",
    "severity": "shout",
    "badShareMax": "1",
    "confidence": "1.0",
    "badEventsMin": "-1",
    "budgetShareMin": "1.5",
    "within": "0s",
    "window": "7s",
    "resolveBelow": "0",
    "page": "-1m",
    "ticket": "25h",
}
OPTIONAL = {
    "displayName",
    "turnwatch/policy",
    "confidence",
    "badEventsMin",
    "budgetShareMin",
    "resolveBelow",
    "page",
    "ticket",
}
OPTIONAL_PLACES = {("spec", "indicator", "spec", "description")}

Reader = Callable[[str], list[Mistake]]
READERS: dict[str, tuple[Reader, str]] = {
    **{name: (slo_mistakes, text) for name, text in SLO_DOCUMENTS.items()},
    **{name: (policy_mistakes, text) for name, text in POLICY_DOCUMENTS.items()},
}
each_document = pytest.mark.parametrize("name", READERS)


def leaves(text: str) -> Iterator[tuple[Place, int]]:
    """Place and line of every value that is no section or list."""
    (document,), mistakes = read_documents(text)
    assert not mistakes
    for place, line in document.lines.items():
        below = [each for each in document.lines if each[: len(place)] == place and each != place]
        if place and not below:
            yield place, line


def with_line(text: str, line: int, change: Callable[[str], str]) -> str:
    """The text with one line changed."""
    lines = text.splitlines(keepends=True)
    lines[line - 1] = change(lines[line - 1])
    return "".join(lines)


def with_value(value: str) -> Callable[[str], str]:
    return lambda line: re.sub(r": .*", f": {value}", line)


def beside(line: str) -> str:
    """The line, and a field behind it that nobody knows."""
    indent = re.sub(r"^( *(?:- )?).*", lambda found: " " * len(found[1]), line)
    return f"{line}{indent.rstrip(chr(10))}unheardOf: 1\n"


def without(line: str) -> str:
    """Nothing of the line but the mark of an item."""
    return line[: line.index("- ") + 1] + "\n" if re.match(r" *- ", line) else ""


def only_mistake(read: Reader, text: str, place: Place) -> Mistake:
    mistakes = read(text)
    assert len(mistakes) == 1, (place, mistakes)
    assert mistakes[0].sentence.endswith((".", "?")), mistakes[0]
    assert "\n" not in mistakes[0].sentence
    return mistakes[0]


@each_document
def test_what_is_right_has_no_mistake(name: str) -> None:
    read, text = READERS[name]
    assert read(text) == []


@each_document
def test_a_list_in_place_of_any_value_is_told_at_its_line(name: str) -> None:
    read, text = READERS[name]
    for place, line in leaves(text):
        mistake = only_mistake(read, with_line(text, line, with_value("[[wrong]]")), place)
        assert (mistake.line, mistake.field) == (line, field_text(place))
        assert "a list" in mistake.sentence


@each_document
def test_any_wrong_value_is_told_at_its_line(name: str) -> None:
    read, text = READERS[name]
    for place, line in leaves(text):
        mistake = only_mistake(read, with_line(text, line, with_value(WRONG[str(place[-1])])), place)
        assert (mistake.line, mistake.field) == (line, field_text(place))


@each_document
def test_a_field_that_nobody_knows_is_told_at_its_line_beside_any_value(name: str) -> None:
    read, text = READERS[name]
    for place, line in leaves(text):
        mistake = only_mistake(read, with_line(text, line, beside), place)
        assert (mistake.line, mistake.field) == (line + 1, field_text((*place[:-1], "unheardOf")))
        assert "There is no such field" in mistake.sentence
        assert f"`{place[-1]}`" in mistake.sentence


@each_document
def test_any_missing_value_is_told_at_the_section_that_should_have_it(name: str) -> None:
    read, text = READERS[name]
    for place, line in leaves(text):
        if (
            place[-1] in OPTIONAL
            or place in OPTIONAL_PLACES
            or (read is policy_mistakes and place[-1] == "description")
        ):
            continue
        without_it = with_line(text, line, without)
        mistake = only_mistake(read, without_it, place)
        (document,), _ = read_documents(without_it)
        assert mistake.line == document.line_of(place[:-1])
        assert mistake.field.startswith(field_text(place[:-1]))
        assert (
            f"add `{place[-1]}`" in mistake.sentence
            or "nothing is written" in mistake.sentence
            or (
                read is policy_mistakes and "add `" in mistake.sentence  # A row has to be of one kind or the other.
            )
        )


@pytest.mark.parametrize(
    ("sound", "wrong", "line", "field", "says"),
    [
        ("latency: turn", "latency: first_adio", 22, "latency", "did you mean `first_audio`?"),
        ("latency: turn", "latency: retrieval", 22, "latency", "No latency that is judged is named 'retrieval'; known"),
        ("value: 4000", "value: high", 29, "value", "has to be a decimal"),
        ("value: 4000", "value: 3500", 29, "value", "Nobody counts turns with turn < 3500 ms; counted is turn < 4000"),
        (
            "op: lt",
            "op: lte",
            29,
            "value",
            "Nobody counts turns with turn ≤ 4000 ms; counted is turn < 4000 ms (`op: lt`)",
        ),
        ("Occurrences", "RatioTimeslices", 26, "budgetingMethod", "are not averaged: write Timeslices"),
        ("Occurrences", "Turns", 26, "budgetingMethod", "has to be Occurrences or Timeslices"),
        (
            "      target",
            "      timeSliceTarget: 0.9\n      target",
            30,
            "timeSliceTarget",
            "or write `budgetingMethod: T",
        ),
        (
            "      target",
            "      timeSliceWindow: 1m\n      target",
            30,
            "timeSliceWindow",
            "counted one by one: remove",
        ),
        ("      target", "      timeSliceWindow: 5m\n      target", 30, "timeSliceWindow", "are counted, write 1m"),
        ("      target", "      timeSliceTarget: 0.0\n      target", 30, "timeSliceTarget", "above 0 and up to 1"),
        ("  service", "  alertPolicies: []\n  service", 13, "alertPolicies", "annotation `turnwatch/policy`"),
        ("target: 0.99", "target: 0.99999999999", 30, "target", "has more than 10 decimals"),
    ],
)
def test_what_openslo_has_and_we_have_not_is_told_with_what_to_do(
    sound: str, wrong: str, line: int, field: str, says: str
) -> None:
    assert sound in OF_A_THRESHOLD
    mistake = only_mistake(slo_mistakes, OF_A_THRESHOLD.replace(sound, wrong, 1), (field,))
    assert (mistake.line, mistake.field.rpartition(".")[2]) == (line, field)
    assert says in mistake.sentence


def test_a_mistake_in_a_second_document_is_told_at_its_line_of_the_file() -> None:
    text = OF_A_THRESHOLD + "---\n" + OF_A_THRESHOLD.replace("pool: realtime", "pool: life", 1)
    assert [mistake.line for mistake in slo_mistakes(text)] == [30 + 1 + 6]


def test_a_document_of_any_depth_is_answered() -> None:
    (mistake,) = slo_mistakes(OF_A_THRESHOLD.replace("target: 0.99", f"target: {'[' * 5_000}"))
    assert "nested too deeply" in mistake.sentence


@pytest.mark.parametrize("digits", ["9" * 6_000, "-" + "9" * 6_000, "1.0e+999999"])
def test_a_number_of_any_length_is_answered_on_a_line(digits: str) -> None:
    (mistake,) = slo_mistakes(OF_A_THRESHOLD.replace("target: 0.99", f"target: {digits}"))
    assert len(mistake.sentence) < 300
