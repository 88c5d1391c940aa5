"""Policies of running canaries: what is wrong in one is a sentence with its line, and ways back have an order."""

from __future__ import annotations

from pathlib import Path

import pytest
from polars.exceptions import PanicException
from typer.testing import CliRunner

from alerts.canary_document import load_canary
from alerts.document_files import WrongFiles
from schemas.canary import CANARY_METRICS, cuts_beside
from schemas.releases import Artifact, Release, WayBack, way_back_of, way_back_text
from schemas.verdicts import RECORD_BYTES_MAX, Judgement, ReleaseVerdict, decode
from stream_jobs.operators.release.ways_back import smallest_step
from turnwatch.cli import app

POLICY = """apiVersion: turnwatch/v1
kind: CanaryPolicy
metadata:
  name: tried
spec:
  protected: ["pool=realtime"]
  metrics:
    - name: errors
      direction: lower_is_better
      allowedDelta: 0.01
"""


def read(tmp_path: Path, was: str = "", becomes: str = "") -> str:
    """The sentences about a policy with something in it written otherwise."""
    assert was in POLICY
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY.replace(was, becomes))
    with pytest.raises(WrongFiles) as refused:
        load_canary(file)
    return str(refused.value)


@pytest.mark.parametrize(
    ("was", "becomes", "sentence"),
    [
        ("name: errors", "name: erors", "did you mean `errors`?"),
        ("lower_is_better", "lower_is_bettr", "has to be lower_is_better or higher_is_better"),
        ("lower_is_better", "higher_is_better", "write `direction: lower_is_better`"),
        ("0.01", ".nan", "decimal"),
        ("0.01", "-0.01", "no allowed difference"),
        ("      allowedDelta: 0.01\n", "", "Write one of `allowedDelta` and `allowedRatio`"),
        ("allowedDelta: 0.01", "allowedDelta: 0.01\n      floor: 1", "write `allowedRatio`, or remove it"),
        ("name: errors\n      direction: lower_is_better\n      allowedDelta: 0.01",
         "name: successes\n      direction: higher_is_better\n      allowedRatio: 1.1", "write `allowedDelta`"),
        ("pool=realtime", "pool=realtime,bundle=v1", "names a bundle"),
        ("pool=realtime", "realtime", "is no slice"),
        ("pool=realtime", "pool=realtime,tenant=t-0123456789abcdef", "No required metric is told of slices such as"),
        ("  protected", '  critical: [{slice: "region=eu-west-1,pool=realtime", weight: 4}]\n  protected',
         "No metric is told of slices such as region=eu-west-1,pool=realtime"),
        ('["pool=realtime"]', "[]", "The list is empty"),
        ("allowedDelta: 0.01", "allowedDelta: 0.01\n      required: false", "No metric is required"),
        ("  protected", "  windowMinutes: 7\n  protected", "This has to be 1, 2, 5, 10, 15, 30 or 60, and 7"),
        ("  protected", "  alpha: 0.9\n  protected", "no error rate"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_a_sentence(tmp_path: Path, was: str, becomes: str, sentence: str) -> None:
    assert sentence in read(tmp_path, was, becomes)


def test_a_policy_that_cannot_be_read_is_bad_input_and_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TURNWATCH_CLICKHOUSE__URL", "http://127.0.0.1:9/turnwatch")
    monkeypatch.setenv("TURNWATCH_KAFKA__BOOTSTRAP", "127.0.0.1:9")
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY.replace("errors", "nothing"))
    ended = CliRunner().invoke(app, ["gate", "--release", "v2", "--policy", str(file)])
    assert isinstance(ended.exception, WrongFiles)
    assert CliRunner().invoke(app, ["gate", "--beside", "v1"]).exit_code == 2


def test_a_panic_below_python_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code of any other crash is 1, which a pipeline reads as `rollback`."""

    def panics(*_: object) -> int:
        raise PanicException("a panic of polars, which is no Exception")

    monkeypatch.setattr("turnwatch.canary.command.run_release_gate", panics)
    ended = CliRunner().invoke(app, ["gate", "--release", "v2"])
    assert ended.exit_code == 4 and "there is no verdict" in ended.stderr


def test_the_version_follows_what_is_judged_and_not_what_is_told_of_it(tmp_path: Path) -> None:
    def version(text: str) -> str:
        file = tmp_path / "policy.yaml"
        file.write_text(text)
        return load_canary(file).version

    first = version(POLICY)
    assert version(POLICY.replace("  protected", "  description: Words.\n  protected")) == first
    assert version(POLICY.replace("0.01", "0.02")) != first


def test_the_shipped_policy_is_read_and_every_metric_has_measures_of_its_family() -> None:
    assert load_canary().protected == ("pool=realtime",)
    for metric in CANARY_METRICS.values():
        assert set(metric.measures) <= set(metric.family.measure_names), metric.name
        assert cuts_beside(metric.family), metric.name


# -- ways back -----------------------------------------------------------------------------------------------------------


def release(bundle: str, versions: dict[str, str], *ways: str) -> Release:
    artifacts = tuple(
        Artifact(kind="llm", name=name, version=version, owner="team", lineage=("commit:1",), evaluation="r", rollback_to="none")
        for name, version in versions.items()
    )  # fmt: skip
    return Release(bundle=bundle, artifacts=artifacts, ways_back=tuple(map(way_back_of, ways)), who="ana", at_ms=1)


ALL = ("restore_bundle v1", "route_to_fallback small", "disable_feature captions", "pin_artifact asr asr-6")
BEFORE = release("v1", {"asr": "asr-6", "llm": "talk-1"}, "restore_bundle v0")


@pytest.mark.parametrize(
    ("versions", "ways", "expected"),
    [
        ({"asr": "asr-7", "llm": "talk-1"}, ALL, "pin_artifact asr asr-6"),
        ({"asr": "asr-7", "llm": "talk-2"}, ALL, "disable_feature captions"),
        ({"asr": "asr-7", "llm": "talk-2"}, ALL[:2], "route_to_fallback small"),
        ({"asr": "asr-7", "llm": "talk-2"}, (ALL[0], ALL[3]), "restore_bundle v1"),
        ({"asr": "asr-6", "llm": "talk-2"}, (ALL[0], ALL[3]), "restore_bundle v1"),
        ({"asr": "asr-7", "llm": "talk-1"}, (ALL[0], "pin_artifact asr asr-5"), "restore_bundle v1"),
    ],
)
def test_the_smallest_step_that_is_known_to_restore_is_named(
    versions: dict[str, str], ways: tuple[str, ...], expected: str
) -> None:
    step = smallest_step(release("v2", versions, *ways), "v1", BEFORE)
    assert step is not None and way_back_text(step.way) == expected


def test_what_restores_another_bundle_is_no_way_back_and_an_undeclared_baseline_is_said() -> None:
    assert smallest_step(release("v2", {"asr": "asr-7"}, "restore_bundle v0"), "v1", BEFORE) is None
    step = smallest_step(release("v2", {"asr": "asr-7"}, *ALL[::3]), "v1", None)
    assert step is not None and step.way == WayBack(kind="restore_bundle", target="v1")
    assert "Nothing is declared of v1" in step.because


# -- records -------------------------------------------------------------------------------------------------------------


def test_a_verdict_that_is_too_long_for_a_record_counts_what_it_leaves_out() -> None:
    judged = Judgement(
        slice="pool=realtime", metric="wer", reason="quality", outcome="inside", is_protected=True, unit="share",
        baseline=0.1, candidate=0.1, baseline_samples=300, candidate_samples=300, windows=3, allowed=0.1, low=None,
        high=None, alpha=0.05, because="x" * 100,
    )  # fmt: skip
    verdict = ReleaseVerdict(
        release="v2", baseline="v1", decision="pause", because="Not yet.", judged=(judged,) * 4_000, policy="tried",
        policy_version="0" * 16, alpha=0.05, from_ms=0, to_ms=1, at_ms=1, who="ci",
    )  # fmt: skip
    payload = verdict.encode()
    told = decode(payload)
    assert len(payload) <= RECORD_BYTES_MAX
    assert told.unlisted and told.unlisted + len(told.judged) == 4_000
    assert decode(verdict.model_copy(update={"judged": (judged,)}).encode()).unlisted == 0
