"""Drift policies: what they may say, and every field wrong in turn with its line and a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from alerts.document_files import WrongFiles
from alerts.drift_document import STANDARD_DRIFT, load_drift_policy
from schemas.drift_measures import RATIOS
from schemas.drift_policies import STANDARD, WatchedMeasure
from schemas.kafka import KafkaAddress
from schemas.metrics import WorkerMetrics
from schemas.warehouse import ClickHouseAddress
from turnwatch.places import Places
from turnwatch.settings import Settings, SettingsError
from turnwatch.work import worker_settings

NOWHERE = Places(KafkaAddress("127.0.0.1:1"), ClickHouseAddress("http://127.0.0.1:1/turnwatch"), ())
POLICY = """\
apiVersion: turnwatch/v1
kind: DriftPolicy
metadata:
  name: ours
  owner: speech
spec:
  reference: frozen
  frozen:
    from: "2026-09-07T00:00Z"
    to: "2026-09-08T02:00+02:00"
  falseAlarmsPerWeek: 0.5
  measures:
    - name: word_error_rate
      tolerance: 0.1
      toleranceAbsolute: 0.01
      samplesMin: 100
    - name: heard_shape
      tolerance: 0.2
      samplesMin: 1000
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "drift.yaml"
    file.write_text(text)
    return file


def test_a_worker_without_a_setting_judges_by_the_shipped_policy() -> None:
    assert Settings().drift_policy is None
    assert load_drift_policy() == STANDARD


def test_the_shipped_policy_watches_every_figure_there_is() -> None:
    assert {each.name for each in STANDARD.ratios} == set(RATIOS)


def test_the_shipped_example_has_a_frozen_week() -> None:
    example = load_drift_policy(STANDARD_DRIFT.parent / "frozen.yaml")
    assert example.frozen is not None and example.frozen[1] - example.frozen[0] == 7 * 86_400_000


def test_a_policy_is_what_is_written(tmp_path: Path) -> None:
    policy = load_drift_policy(written(tmp_path, POLICY))
    assert (policy.name, policy.owner, policy.reference, policy.false_alarms_per_week) == (
        "ours",
        "speech",
        "frozen",
        0.5,
    )
    assert policy.frozen == (1_788_739_200_000, 1_788_739_200_000 + 86_400_000)
    assert policy.ratios == (WatchedMeasure("word_error_rate", 0.1, 100, 0.01),)
    assert policy.shapes == (WatchedMeasure("heard_shape", 0.2, 1_000),)


@pytest.mark.parametrize(
    ("right", "wrong", "line", "sentence"),
    [
        ("kind: DriftPolicy", "kind: Drift", 2, "DriftPolicy"),
        ("word_error_rate", "word_eror_rate", 13, "did you mean `word_error_rate`"),
        ("heard_shape", "word_error_rate", 6, "watched twice"),
        ("tolerance: 0.1\n", "tolerance: -0.1\n", 14, "is no tolerance: write 0 to 10"),
        ("samplesMin: 100\n", "samplesMin: 0\n", 16, "is no number of samples"),
        ("falseAlarmsPerWeek: 0.5", "falseAlarmsPerWeek: 0", 11, "false alarms a week"),
        ("reference: frozen", "reference: previousBundle", 6, "belong together"),
        ("reference: frozen", "reference: lastBundle", 7, "previousBundle"),
        ("2026-09-07T00:00Z", "2026-09-07T00:30Z", 9, "is no whole hour"),
        ("2026-09-07T00:00Z", "2026-09-07", 9, "is no whole hour"),
        ("2026-09-07T00:00Z", "last week", 9, "is no whole hour"),
        ("2026-09-07T00:00Z", "0001-01-01T00:00+01:00", 9, "is no whole hour"),
        ("2026-09-08T02:00+02:00", "9999-12-31T23:00-05:00", 10, "is no whole hour"),
        ("2026-09-08T02:00+02:00", "2026-09-06T00:00Z", 8, "1 to 168 hours"),
        ("tolerance: 0.2\n", "tolerance: 0.2\n      toleranceAbsolute: 1\n", 17, "remove `toleranceAbsolute`"),
        ("falseAlarmsPerWeek", "falseAlarms", 11, "no such field"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, right: str, wrong: str, line: int, sentence: str) -> None:
    assert right in POLICY
    with pytest.raises(WrongFiles) as told:
        load_drift_policy(written(tmp_path, POLICY.replace(right, wrong, 1)))
    assert sentence in str(told.value)
    assert f"drift.yaml:{line}: " in str(told.value)


def test_a_worker_with_a_wrong_policy_names_the_setting(tmp_path: Path) -> None:
    wrong = Settings(drift_policy=written(tmp_path, POLICY.replace("kind: DriftPolicy", "kind: Drift")))
    with pytest.raises(SettingsError, match=r"TURNWATCH_DRIFT_POLICY: .*drift\.yaml:2: "):
        worker_settings(wrong, NOWHERE, WorkerMetrics(CollectorRegistry()))
