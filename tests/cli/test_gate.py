"""`turnwatch gate` and `turnwatch rollback` on files: what is printed, and the exit code, which is the verdict."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from schemas.failures import BadInput
from turnwatch.__main__ import main
from turnwatch.answers import gates_of_files
from turnwatch.answers.gates_of_files import COMPARED_MAX, NAMED_MAX
from turnwatch.cli import app

SLICE = {"calls": 500, "wer": 0.1, "p95_ms": 900, "cost_per_min": 0.05}
DELTAS = {"p95_latency_ms_delta": 10, "far_field_wer_relative_delta": 0, "privacy_error_count": 0,
          "overall_wer_relative_delta": -0.05}  # fmt: skip
WHOLE = """\
apiVersion: turnwatch/v1
kind: GatePolicy
metadata: {name: whole}
spec:
  metrics:
    - {name: accuracy, direction: higher_is_better, allowedDelta: 0.01}
"""


def asked(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def document(folder: Path, name: str, value: object) -> str:
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return str(path)


def gated(folder: Path, baseline: object, candidate: object, *more: str) -> Result:
    before, now = document(folder, "before.json", baseline), document(folder, "now.json", candidate)
    return asked("gate", "--baseline", before, "--candidate", now, "--format", "json", *more)


def said(ended: Result) -> Any:
    return json.loads(ended.stdout)


def test_a_release_that_got_no_worse_continues(tmp_path: Path) -> None:
    ended = gated(tmp_path, {"far": SLICE}, {"far": SLICE})
    assert ended.exit_code == 0
    assert said(ended)["decision"] == "continue"


def test_a_release_that_got_worse_somewhere_is_rolled_back(tmp_path: Path) -> None:
    ended = gated(tmp_path, {"far": SLICE, "near": SLICE}, {"far": SLICE | {"wer": 0.2}, "near": SLICE})
    assert ended.exit_code == 1
    verdict = said(ended)
    assert (verdict["decision"], verdict["reasons"]) == ("rollback", ["quality"])
    assert verdict["blockers"] == [{"slice": "far", "reasons": ["quality"]}]


def test_too_little_is_a_pause(tmp_path: Path) -> None:
    ended = gated(tmp_path, {"far": SLICE}, {"far": SLICE | {"calls": 10}})
    assert ended.exit_code == 3
    assert (said(ended)["decision"], said(ended)["insufficient"]) == ("pause", ["far"])
    assert gated(tmp_path, {"far": SLICE}, {"far": SLICE | {"wer": None}}).exit_code == 3, (
        "no words, no word error rate"
    )


def test_metrics_of_the_whole_are_judged_by_a_policy(tmp_path: Path) -> None:
    policy = ("--policy", document(tmp_path, "policy.yaml", WHOLE))
    assert gated(tmp_path, {"accuracy": 0.9}, {"accuracy": 0.89}, *policy).exit_code == 0
    assert gated(tmp_path, {"accuracy": 0.9}, {"accuracy": 0.88}, *policy).exit_code == 1
    assert gated(tmp_path, {"accuracy": 0.9}, {"other": 0.88}, *policy).exit_code == 3
    assert gated(tmp_path, {"other": 0.9}, {"accuracy": 0.88}, *policy).exit_code == 3
    assert gated(tmp_path, {"accuracy": None}, {"accuracy": None}, *policy).exit_code == 3, "known, and not measured"


def test_a_metric_that_neither_side_has_pauses_and_excuses_no_regression(tmp_path: Path) -> None:
    policy = ("--policy", document(tmp_path, "policy.yaml", WHOLE))
    paused = gated(tmp_path, {"accurracy": 0.9}, {"accurracy": 0.9}, *policy)
    assert paused.exit_code == 3
    assert "are they called so?" in paused.output
    both = WHOLE.replace(
        "allowedDelta: 0.01}", "allowedDelta: 0.01}\n    - {name: gain, direction: higher_is_better, allowedDelta: 0}"
    )
    policy = ("--policy", document(tmp_path, "both.yaml", both))
    assert gated(tmp_path, {"accuracy": 0.9}, {"accuracy": 0.8}, *policy).exit_code == 1


@pytest.mark.parametrize("name", ["far_field_wer_relative_delta", "overall_wer_relative_delta"])
def test_no_rate_falls_by_more_than_all_of_it(tmp_path: Path, name: str) -> None:
    """Whoever writes percent means a gain of 1.5 %, which is none."""
    ended = asked("gate", "--deltas", document(tmp_path, "deltas.json", DELTAS | {name: -1.5}))
    assert isinstance(ended.exception, BadInput) and "write a fraction" in str(ended.exception)


@pytest.mark.parametrize(("baseline", "candidate", "file"), [(-10, -30, "before"), (-10, 5, "before"), (5, -10, "now")])
@pytest.mark.parametrize("direction", ["lower_is_better", "higher_is_better"])
def test_of_negative_figures_there_is_no_ratio(
    tmp_path: Path, direction: str, baseline: float, candidate: float, file: str
) -> None:
    judged = f"{{name: loss, direction: {direction}, allowedRatio: 1.1}}"
    text = WHOLE.replace("{name: accuracy, direction: higher_is_better, allowedDelta: 0.01}", judged)
    policy = ("--policy", document(tmp_path, "policy.yaml", text))
    ended = gated(tmp_path, {"loss": baseline}, {"loss": candidate}, *policy)
    assert isinstance(ended.exception, BadInput)
    assert f"{file}.json: loss -" in str(ended.exception) and "judge it by allowedDelta" in str(ended.exception)


def test_differences_of_negative_figures_are_judged(tmp_path: Path) -> None:
    policy = ("--policy", document(tmp_path, "policy.yaml", WHOLE.replace("accuracy", "gain")))
    assert gated(tmp_path, {"gain": -0.5}, {"gain": -0.51}, *policy).exit_code == 0
    assert gated(tmp_path, {"gain": -0.5}, {"gain": -0.52}, *policy).exit_code == 1


def test_a_verdict_says_by_which_figures(tmp_path: Path) -> None:
    """Given figures as they were written, differences exact: 0.13 - 0.115 is what is allowed and no more."""
    small, before = SLICE | {"calls": 150}, {"far": SLICE | {"wer": 0.115}, "near": SLICE, "gone": SLICE}
    verdict = said(gated(tmp_path, before, {"far": SLICE | {"wer": 0.13, "p95_ms": 1300}, "near": small}))
    judged = {(each.pop("slice"), each.pop("metric")): each for each in verdict["judged"]}
    assert judged["far", "wer"] == {
        "reason": "quality", "outcome": "inside", "is_protected": True, "baseline": 0.115, "candidate": 0.13,
        "worse_by": 0.015, "allowed": 0.015, "baseline_samples": 500, "candidate_samples": 500,
    }  # fmt: skip
    assert verdict["judged"][0].items() >= {"outcome": "worse", "worse_by": 400.0, "allowed": 250.0}.items()
    assert (
        judged["near", "cost_per_min"].items()
        >= {"outcome": "insufficient", "allowed": 0.01, "candidate_samples": 150}.items()
    )
    gone = {"outcome": "insufficient", "baseline": 0.1, "candidate": None, "worse_by": None, "candidate_samples": 0}
    assert judged["gone", "wer"].items() >= gone.items()
    assert len(judged) == 9 and verdict["insufficient"] == ["near", "gone"]


def test_metrics_of_the_whole_and_deltas_say_by_which_figures_too(tmp_path: Path) -> None:
    policy = ("--policy", document(tmp_path, "policy.yaml", WHOLE))
    (judged,) = said(gated(tmp_path, {"accuracy": 0.9}, {"accuracy": 0.88}, *policy))["judged"]
    assert (judged["slice"], judged["worse_by"], judged["allowed"], judged["candidate_samples"]) == (
        None,
        0.02,
        0.01,
        None,
    )
    deltas = document(tmp_path, "d.json", DELTAS | {"overall_wer_relative_delta": -0.015})
    verdict = said(asked("gate", "--deltas", deltas, "--format", "json"))
    told = {each["metric"]: (each["outcome"], each["worse_by"], each["allowed"]) for each in verdict["judged"]}
    assert told["overall_wer_relative_delta"] == ("undecided", -0.015, -0.02) and verdict["decision"] == "pause"
    assert told["p95_latency_ms_delta"] == ("inside", 10.0, 100.0)
    assert "overall_wer_relative_delta" in asked("gate", "--deltas", deltas).stdout


@pytest.mark.parametrize(
    ("regressions", "weights", "sentence"),
    [
        ({"v1": {"a": 1}, "v2": {"b": 2, "emergency": None}}, {}, "r.json: version 'v2': slice 'emergency' is null"),
        ({"v1": {"emergency": 1}}, {"emergency": None}, "w.json: slice 'emergency' is null: write its weight"),
        ('{"v1": {"a": NaN}}', {}, "'a' is NaN, which is no number"),
    ],
)
def test_what_nobody_knows_is_no_regression_of_0_and_no_weight_of_1(
    tmp_path: Path, regressions: object, weights: object, sentence: str
) -> None:
    files = document(tmp_path, "r.json", regressions), document(tmp_path, "w.json", weights)
    ended = asked("rollback", "--regressions", files[0], "--weights", files[1])
    assert isinstance(ended.exception, BadInput) and sentence in str(ended.exception)
    assert not ended.stdout


def test_a_rollout_is_judged_by_its_deltas(tmp_path: Path) -> None:
    for changed, code in (({}, 0), ({"privacy_error_count": 1}, 1), ({"overall_wer_relative_delta": 0}, 3)):
        ended = asked("gate", "--deltas", document(tmp_path, "d.json", DELTAS | changed), "--format", "json")
        assert ended.exit_code == code
        assert said(ended)["decision"] == {0: "continue", 1: "rollback", 3: "pause"}[code]


def test_who_is_rolled_back_first(tmp_path: Path) -> None:
    regressions = document(tmp_path, "r.json", {"v1": {"a": 0.5}, "v2": {"emergency": 0.2, "a": -1}})
    weights = document(tmp_path, "w.json", {"emergency": 5})
    ended = asked("rollback", "--regressions", regressions, "--weights", weights, "--format", "json")
    assert said(ended) == {"version": "v2", "scores": {"v1": 0.5, "v2": 1.0}}
    assert said(asked("rollback", "--regressions", regressions, "--format", "json"))["version"] == "v1"


CRITICAL = """
    - {name: wer, direction: lower_is_better, allowedDelta: 0.01}
  protected: [near]
  critical:
    - {slice: emergency, weight: 5}
    - {slice: medical, weight: 3}
"""


def test_a_policy_weighs_critical_slices_and_what_weighs_most_comes_first(tmp_path: Path) -> None:
    policy = document(tmp_path, "policy.yaml", WHOLE.rpartition("    - ")[0] + CRITICAL.lstrip("\n"))
    worse = SLICE | {"wer": 0.2}
    names = ("near", "medical", "emergency")
    ended = gated(tmp_path, dict.fromkeys(names, SLICE), dict.fromkeys(names, worse), "--policy", policy)
    assert ended.exit_code == 1, "no weight makes a slice pass, and none is needed to block"
    assert [each["slice"] for each in said(ended)["blockers"]] == ["emergency", "medical", "near"]
    assert [each["slice"] for each in said(ended)["judged"]] == ["emergency", "medical", "near"]
    only = gated(tmp_path, {"near": SLICE}, {"near": SLICE}, "--policy", policy)
    assert (only.exit_code, said(only)["insufficient"]) == (0, ["emergency", "medical"]), "named, though not protected"
    regressions = document(tmp_path, "r.json", {"v1": {"near": 0.5}, "v2": {"emergency": 0.2}})
    first = asked("rollback", "--regressions", regressions, "--policy", policy, "--format", "json")
    assert said(first) == {"version": "v2", "scores": {"v1": 0.5, "v2": 1.0}}
    assert "has the slice 'medical', so its weight counts for nothing" in first.stderr
    whole = document(tmp_path, "whole.yaml", WHOLE)
    unweighed = asked("rollback", "--regressions", regressions, "--policy", whole, "--format", "json")
    assert said(unweighed)["scores"] == {"v1": 0.5, "v2": 0.2}
    assert unweighed.stderr == f"turnwatch: {whole}: the policy has no `critical` slices, so every slice weighs 1.\n"
    both = asked("rollback", "--regressions", regressions, "--policy", policy, "--weights", regressions)
    assert both.exit_code == 2 and "give --weights or --policy" in both.stderr


def test_two_empty_files_are_a_pause_that_says_what_is_missing(tmp_path: Path) -> None:
    critical = document(tmp_path, "policy.yaml", WHOLE.rpartition("    - ")[0] + CRITICAL.lstrip("\n"))
    whole = document(tmp_path, "whole.yaml", WHOLE)
    for more, missing in (
        ((), ["wer", "p95_ms", "cost_per_min"]),
        (("--policy", whole), ["accuracy"]),
        (("--policy", critical), ["emergency", "medical", "near"]),
    ):
        ended = gated(tmp_path, {}, {}, *more)
        assert (ended.exit_code, said(ended)["insufficient"]) == (3, missing)
        assert said(ended)["because"].startswith("Both files are empty, so nothing could be compared")
        assert {each["outcome"] for each in said(ended)["judged"]} == {"insufficient"}


def test_a_weight_that_counts_for_nothing_is_told(tmp_path: Path) -> None:
    regressions = document(tmp_path, "r.json", {"v1": {"emergency": 0.5}})
    weights = document(tmp_path, "w.json", {"emergency": 5, "emergancy": 9, "payment": 2})
    ended = asked("rollback", "--regressions", regressions, "--weights", weights, "--format", "json")
    assert (ended.exit_code, said(ended)["scores"]) == (0, {"v1": 2.5})
    first, second = ended.stderr.splitlines()
    assert "no version has the slice 'emergancy'" in first and first.endswith("did you mean 'emergency'?")
    assert "no version has the slice 'payment'" in second and second.endswith("counts for nothing.")


def test_of_many_weights_that_count_for_nothing_some_are_named(tmp_path: Path) -> None:
    """To look for what each of thousands may have meant would take minutes."""
    slices = [f"pool=realtime,client={number}" for number in range(COMPARED_MAX + 1)]
    regressions = document(tmp_path, "r.json", {"v1": dict.fromkeys(slices, 0.5)})
    weights = document(tmp_path, "w.json", {f"{text}0x": 2 for text in slices})
    notes = asked("rollback", "--regressions", regressions, "--weights", weights).stderr.splitlines()
    assert len(notes) == NAMED_MAX + 1 and not any("did you mean" in note for note in notes)
    assert notes[-1].endswith(f"no version has the slices of {len(slices) - NAMED_MAX} more weights.")


def test_a_defect_is_never_a_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(gates_of_files, "slice_gate", defect)
    ended = gated(tmp_path, {"far": SLICE}, {"far": SLICE})
    assert ended.exit_code == 4
    assert "there is no verdict" in ended.stderr
    assert not ended.stdout


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ("turnwatch.answers.gates_of_files", "there is no verdict"),
        ("schemas.failures", "there is no verdict"),
        ("turnwatch.sentences", "there is no verdict"),
        ("turnwatch.commands.costs", "it cannot be run"),
        ("typer", "it cannot be run"),
    ],
)
def test_a_module_that_cannot_be_imported_is_never_a_verdict(tmp_path: Path, broken: str, sentence: str) -> None:
    deltas = document(tmp_path, "d.json", DELTAS)
    program = f"import sys; sys.modules[{broken!r}] = None; from turnwatch.__main__ import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", program, "gate", "--deltas", deltas], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (4, "")
    assert sentence in ended.stderr


def test_the_script_is_what_is_tried_here() -> None:
    script = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["scripts"]
    assert script == {"turnwatch": f"{main.__module__}:{main.__name__}"}


def test_a_defect_does_not_read_as_a_rollback_of_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(gates_of_files, "roll_back_first", defect)
    ended = asked("rollback", "--regressions", document(tmp_path, "r.json", {"v1": {"a": 0.5}}))
    assert (ended.exit_code, ended.stdout) == (4, "")


@pytest.mark.parametrize(
    ("baseline", "candidate", "sentence"),
    [
        ({"far": SLICE}, {"far": SLICE | {"wer": "0.1"}}, 'wer "0.1" is no number'),
        ({"far": SLICE}, {"far": SLICE | {"wer": -0.1}}, "wer -0.1 is negative"),
        (
            {"far": SLICE},
            '{"far": {"calls": 5, "wer": NaN, "p95_ms": 1, "cost_per_min": 1}}',
            "'wer' is NaN, which is no number: write the one that was measured, or null.",
        ),
        ({"far": SLICE}, {"far": {"calls": 300, "wer": 0.1, "cost_per_min": 1}}, "no slice has the metric p95_ms"),
        ({"far": SLICE}, {"far": {key: value for key, value in SLICE.items() if key != "calls"}}, "calls is missing"),
        ({"far": SLICE}, {"far": SLICE | {"calls": 10.5}}, "calls is missing or no whole number"),
        ({"far": SLICE}, {"accuracy": 0.9}, "one has slices and the other metrics"),
        ({"accuracy": 0.9}, {"accuracy": 0.9}, "give --policy"),
        ({"far": SLICE}, {"far": SLICE, "accuracy": 1}, "some entries are slices and others metrics"),
        ({"far": SLICE}, [], "this is a list: write an object"),
    ],
)
def test_bad_figures_are_a_sentence_and_no_verdict(
    tmp_path: Path, baseline: object, candidate: object, sentence: str
) -> None:
    ended = gated(tmp_path, baseline, candidate)
    assert isinstance(ended.exception, BadInput), ended.output
    assert sentence in str(ended.exception)
    assert not ended.stdout


def test_a_release_is_not_its_own_baseline(tmp_path: Path) -> None:
    same = document(tmp_path, "same.json", {"far": SLICE})
    ended = asked("gate", "--baseline", same, "--candidate", same)
    assert "compared with another one" in str(ended.exception)


def test_a_running_canary_beside_a_file_is_told_how_its_baseline_is_named(tmp_path: Path) -> None:
    ended = asked("gate", "--release", "v42", "--baseline", document(tmp_path, "b.json", {"far": SLICE}))
    assert ended.exit_code == 2
    assert "its baseline is named by --beside; leave out --baseline" in " ".join(ended.stderr.split())
    assert "--beside and --since go with --release" in asked("gate", "--beside", "v41").stderr


@pytest.mark.parametrize("words", [(), ("--baseline", "x.json"), ("--deltas", "x.json", "--candidate", "x.json")])
def test_the_gate_wants_two_releases_or_deltas(tmp_path: Path, words: tuple[str, ...]) -> None:
    given = [document(tmp_path, word, DELTAS) if word.endswith(".json") else word for word in words]
    assert asked("gate", *given).exit_code == 2
