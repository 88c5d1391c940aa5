"""SLO files: the shipped ones say what the product promises, and every field wrong in turn is told with its line."""

from __future__ import annotations

from decimal import Decimal
from itertools import product
from pathlib import Path

import pytest

from alerts.openslo import SHIPPED_SLOS, SloFileError, load_slos, read_slos
from alerts.policies import policy_for
from schemas.dimensions import DIMENSIONS
from schemas.families import ALL_INDICATORS, DUPLEX, DUPLEX_INDICATORS, FAMILIES, INDICATORS, TURNS
from tests.rules.documents import OF_A_THRESHOLD, OF_GOOD_TURNS

PROMISED = {
    "first-partial-500ms": "0.95",
    "first-audio-1800ms": "0.95",
    "turn-4000ms": "0.99",
    "queue-wait-250ms": "0.99",
    "turn-error": "0.999",
    "abandonment": "0.97",
    "retrieval-stale": "0.99",
    "privacy-error": "0.9999",
}

PROMISED_OF_DUPLEX = {
    "interruption-success": "0.95",
    "false-interruption": "0.98",
    "backchannel-timing": "0.90",
    "assistant-stop-300ms": "0.95",
    "overlap-recovery-1500ms": "0.95",
    "barge-in-latency-200ms": "0.95",
    "micro-turn-freshness-400ms": "0.95",
    "action-safety": "0.999",
    "speech-continuity-60ms": "0.99",
}
"""Of the realtime pool alone: nobody speaks with a batch job."""

SOUND = (SHIPPED_SLOS / "turn_4000ms.yaml").read_text().partition("---")[0]


def only_problem(text: str) -> str:
    """The one mistake of a file, as `line field: sentence`."""
    mistakes = [mistake for read in read_slos(text) for mistake in read.mistakes]
    assert len(mistakes) == 1, mistakes
    return f"{mistakes[0].line} {mistakes[0].field}: {mistakes[0].sentence}"


def test_the_shipped_objectives_are_those_promised_for_each_pool() -> None:
    for pool in DIMENSIONS["pool"].vocabulary:
        shipped = {slo.name: slo.objective for slo in load_slos() if slo.pool == pool and slo.family is TURNS}
        assert shipped == {f"{name}-{pool}": Decimal(objective) for name, objective in PROMISED.items()}


def test_the_shipped_objectives_of_full_duplex_are_those_promised() -> None:
    shipped = {slo.name: slo.objective for slo in load_slos() if slo.family is DUPLEX}
    assert shipped == {f"{name}-realtime": Decimal(objective) for name, objective in PROMISED_OF_DUPLEX.items()}


def test_every_indicator_that_producers_count_has_an_objective_in_each_pool() -> None:
    counted = [*product(INDICATORS, DIMENSIONS["pool"].vocabulary), *product(DUPLEX_INDICATORS, ["realtime"])]
    assert sorted((slo.indicator.name, slo.pool) for slo in load_slos()) == sorted(
        (each.name, pool) for each, pool in counted
    )


def test_any_privacy_error_is_a_page_and_no_other_objective_is_watched_like_that() -> None:
    rows = {slo.name: policy_for(slo).rows for slo in load_slos()}
    at_once = {name for name, found in rows.items() if any(row.kind == "any_event" for row in found)}
    assert at_once == {"privacy-error-realtime", "privacy-error-batch"}
    assert {row.severity for name in at_once for row in rows[name]} == {"page"}


def test_shipped_objectives_roll_over_thirty_days_and_stay_decimals() -> None:
    for slo in load_slos():
        assert slo.period_s == 30 * 86_400
        assert isinstance(slo.budget_rate, Decimal)
        assert "pool" in slo.cuts


WRONG = [
    ("apiVersion: openslo/v1", "apiVersion: openslo/v2", 1, "apiVersion", "has to be openslo/v1"),
    ("kind: SLO", "kind: SLI", 2, "kind", "has to be SLO"),
    ("name: turn-4000ms-realtime", "name: Turn_4000", 4, "metadata.name", "lower-case letters"),
    ("  displayName: Whole", "  displayname: Whole", 5, "metadata.displayname", "did you mean `displayName`?"),
    ("pool: realtime", "pool: realtim", 7, "metadata.labels.pool", "did you mean `realtime`?"),
    ("pool,bundle ", "pool,bundel ", 9, "metadata.annotations.turnwatch/cuts", "did you mean `pool,bundle`?"),
    ("pool,bundle ", "pool ", 9, "metadata.annotations.turnwatch/cuts", "named 2 times"),
    ("turnwatch/owner: voice-serving", "turnwatch/owner: ''", 10, "metadata.annotations.turnwatch/owner", "empty"),
    ("turnwatch/owner: voice-serving", "turnwatch/owner: 7", 10, "metadata.annotations.turnwatch/owner", "be text"),
    ("service: voice-turns", "service: Voice Turns", 14, "spec.service", "not a name"),
    ("counter: true", "counter: false", 20, "spec.indicator.spec.ratioMetric.counter", "has to be true"),
    ("counter: true", "counter: nope", 20, "spec.indicator.spec.ratioMetric.counter", "has to be true"),
    ("duration: 30d", "duration: 31d", 32, "spec.timeWindow[0].duration", "7d, 28d, 30d or 90d"),
    ("duration: 30d", "duration: month", 32, "spec.timeWindow[0].duration", "not a period"),
    ("isRolling: true", "isRolling: false", 33, "spec.timeWindow[0].isRolling", "has to be true"),
    ("Occurrences", "RatioTimeslices", 34, "spec.budgetingMethod", "write Timeslices"),
    ("target: 0.99", "target: 99", 36, "spec.objectives[0].target", "is a percentage"),
    ("target: 0.99", "target: 1.0", 36, "spec.objectives[0].target", "no error budget"),
    ("target: 0.99", "target: 0.3", 36, "spec.objectives[0].target", "more than half"),
    ("target: 0.99", "target: -0.9", 36, "spec.objectives[0].target", "more than half"),
    ("target: 0.99", "target: high", 36, "spec.objectives[0].target", "has to be a decimal"),
    ("target: 0.99", "target: .nan", 36, "spec.objectives[0].target", "has to be a decimal"),
    ("target: 0.99", "target: true", 36, "spec.objectives[0].target", "has to be a decimal"),
    ("    - target: 0.99", "    - target: 0.99\n    - target: 0.9", 35, "spec.objectives", "only one is supported"),
]


@pytest.mark.parametrize(("sound", "wrong", "line", "field", "says"), WRONG)
def test_a_wrong_field_is_told_with_line_and_sentence(sound: str, wrong: str, line: int, field: str, says: str) -> None:
    assert sound in SOUND
    problem = only_problem(SOUND.replace(sound, wrong, 1))
    assert problem.startswith(f"{line} {field}: ")
    assert says in problem


def test_a_misspelt_measure_is_answered_with_the_nearest() -> None:
    problem = only_problem(SOUND.replace("measure: turn_4000ms_bad", "measure: turn_400ms_bad"))
    assert problem.startswith("25 spec.indicator.spec.ratioMetric.bad.metricSource.spec.measure: ")
    assert problem.endswith("did you mean `turn_4000ms_bad`?")


def test_bad_and_total_have_to_be_one_ratio() -> None:
    problem = only_problem(SOUND.replace("measure: turn_4000ms_total", "measure: turn_error_total"))
    assert "`turn_4000ms_bad` is a part of `turn_4000ms_total`, not of `turn_error_total`" in problem


BOTH_PARTS = """        bad:
          metricSource:
            type: turnwatch
            spec:
              measure: turn_error_bad
"""


@pytest.mark.parametrize(
    ("document", "sound", "wrong", "told"),
    [
        (
            OF_GOOD_TURNS,
            "        good:\n",
            f"{BOTH_PARTS}        good:\n",
            "22 spec.indicator.spec.ratioMetric: There are",
        ),
        (
            OF_GOOD_TURNS,
            "measure: turn_error_good",
            "measure: abandonment_good",
            "`abandonment_good` is a part of `abandon",
        ),
        (OF_GOOD_TURNS, "measure: turn_error_good", "measure: turn_error_bad", "did you mean `turn_error_good`?"),
        (
            OF_GOOD_TURNS,
            "    - displayName: nearly all\n      target",
            "    - op: lt\n      target",
            "39 spec.objectives[0].op",
        ),
        (
            OF_A_THRESHOLD,
            "      thresholdMetric:\n",
            "      ratioMetric: 7\n      thresholdMetric:\n",
            "18 spec.indicator",
        ),
        (OF_A_THRESHOLD, "      value: 4000\n", "", "28 spec.objectives[0].value: The field is missing: add `value`"),
    ],
)
def test_an_indicator_is_one_ratio_or_one_threshold(document: str, sound: str, wrong: str, told: str) -> None:
    assert sound in document
    assert told in only_problem(document.replace(sound, wrong, 1))


def test_a_ratio_and_a_threshold_at_once_are_refused() -> None:
    start, end = OF_GOOD_TURNS.index("      ratioMetric:"), OF_GOOD_TURNS.index("  timeWindow:")
    ratio = OF_GOOD_TURNS[start:end]
    text = OF_A_THRESHOLD.replace("      thresholdMetric:\n", f"{ratio}      thresholdMetric:\n")
    assert "There are `ratioMetric` and `thresholdMetric`: keep one." in only_problem(text)


def test_every_measure_is_of_one_family() -> None:
    names = [name for family in FAMILIES.values() for name in family.measure_names]
    judged = [name for each in ALL_INDICATORS for name in (each.bad, each.total)]
    assert [name for name in judged if names.count(name) != 1] == []
    assert {slo.family.name for slo in load_slos()} == {"turns", "duplex"}


def test_a_cut_of_another_family_is_refused() -> None:
    text = (SHIPPED_SLOS / "action_safety.yaml").read_text().replace("pool,bundle", "pool,language")
    assert "Family 'duplex' has no cut 'pool,language'" in only_problem(text)


def test_all_mistakes_of_a_document_are_told_at_once() -> None:
    text = SOUND.replace("pool: realtime", "pool: live").replace("target: 0.99", "target: 99").replace("30d", "31d")
    assert len([mistake for read in read_slos(text) for mistake in read.mistakes]) == 3


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "empty"),
        ("kind: [", 1, "cannot be read"),
        ("a: 1\nb: 2\na: 3\n", 3, "given twice, first on line 1"),
        ("a: &x 1\nb: *x\n", 2, "aliases are not allowed"),
        ("a: 1\nb: \x07\n", 2, "control character"),
        ("- a\n- b\n", 1, "a section with fields, and a list is written"),
    ],
)
def test_a_file_that_is_no_slo_at_all_is_told_in_a_sentence(text: str, line: int, says: str) -> None:
    mistakes = [mistake for read in read_slos(text) for mistake in read.mistakes]
    assert any(mistake.line == line and says in mistake.sentence for mistake in mistakes), mistakes


def test_two_slos_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SOUND)
    (tmp_path / "b.yaml").write_text(SOUND)
    with pytest.raises(SloFileError) as refused:
        load_slos(tmp_path)
    (problem,) = refused.value.problems
    assert problem.startswith(f"{tmp_path / 'b.yaml'}:4: metadata.name: ")
    assert "exists already, at a.yaml:4" in problem


def test_problems_of_all_files_are_collected(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SOUND.replace("target: 0.99", "target: 2"))
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "c.yaml").write_text(SOUND)
    with pytest.raises(SloFileError) as refused:
        load_slos(tmp_path)
    assert [problem.removeprefix(str(tmp_path))[:8] for problem in refused.value.problems] == ["/a.yaml:", "/b.yaml:"]


def test_a_directory_without_slo_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SloFileError, match="no SLO files"):
        load_slos(tmp_path)
