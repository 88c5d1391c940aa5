"""Gate policy files: what they may say, and every field wrong in turn with its line and a sentence."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from alerts.document_files import WrongFiles
from alerts.gate_document import STANDARD_GATE, load_gate

OF_TWO = """\
apiVersion: turnwatch/v1
kind: GatePolicy
metadata:
  name: nightly
spec:
  description: What the nightly build may change.
  callsMin: 50
  protected:
    - far_field
  metrics:
    - name: accuracy
      direction: higher_is_better
      allowedDelta: 0.01
    - name: cost
      reason: money
      direction: lower_is_better
      allowedRatio: 1.1
      floor: 0.5
      pooled: false
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "gate.yaml"
    file.write_text(text)
    return file


def problems(folder: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(WrongFiles) as raised:
        load_gate(written(folder, text))
    return raised.value.problems


def test_the_shipped_policy_is_that_of_the_slice_gate() -> None:
    policy = load_gate(STANDARD_GATE)
    judged = [(each.name, each.reason, each.allowed_delta, each.allowed_ratio, each.floor) for each in policy.metrics]
    assert judged == [
        ("wer", "quality", Decimal("0.015"), None, 0),
        ("p95_ms", "latency", Decimal(250), None, 0),
        ("cost_per_min", "cost", None, Decimal("1.2"), Decimal("0.01")),
    ]
    assert policy.calls_min == 200
    assert policy.protects("anything")


def test_critical_slices_are_weighed_once_and_by_something(tmp_path: Path) -> None:
    weighed = OF_TWO.replace("  metrics:", "  critical:\n    - {slice: emergency, weight: 2.5}\n  metrics:")
    policy = load_gate(written(tmp_path, weighed))
    assert dict(policy.weights) == {"emergency": Decimal("2.5")} and policy.weight_of("far_field") == 1
    assert policy.named == ("emergency", "far_field") and not policy.protects("emergency")
    (twice,) = problems(tmp_path, weighed.replace("  metrics:", "    - {slice: emergency, weight: 3}\n  metrics:"))
    assert "Slice emergency is weighed twice" in twice
    (nothing,) = problems(tmp_path, weighed.replace("2.5", "0"))
    assert "weight" in nothing and "0.01" in nothing


def test_a_policy_of_ones_own(tmp_path: Path) -> None:
    policy = load_gate(written(tmp_path, OF_TWO))
    accuracy, cost = policy.metrics
    assert (policy.name, policy.calls_min, policy.protected) == ("nightly", 50, frozenset({"far_field"}))
    assert (accuracy.reason, accuracy.direction, accuracy.is_pooled) == ("accuracy", "higher_is_better", True)
    assert (cost.reason, cost.floor, cost.is_pooled) == ("money", Decimal("0.5"), False)


@pytest.mark.parametrize(
    ("right", "wrong", "line", "said"),
    [
        ("turnwatch/v1", "turnwatch/v2", 1, "turnwatch/v1"),
        ("GatePolicy", "BurnPolicy", 2, "GatePolicy"),
        ("name: nightly", "name: Nightly!", 4, "metadata.name"),
        ("  description", "  descriptio", 6, "did you mean `description`?"),
        ("callsMin: 50", "callsMin: 0", 7, "spec.callsMin"),
        ("callsMin: 50", "callsMin: many", 7, "spec.callsMin"),
        ("    - far_field", "    - 7", 9, "spec.protected[0]"),
        ("name: accuracy", "name: calls", 11, "is no metric"),
        ("name: accuracy", "name: Acc uracy", 11, "spec.metrics[0].name"),
        ("name: accuracy", "name: cost", 5, "Metric cost is judged twice"),
        ("direction: higher_is_better", "direction: higher_is_beter", 12, "higher_is_better"),
        ("allowedDelta: 0.01", "allowedDelta: -0.01", 13, "no allowed difference"),
        ("      allowedDelta: 0.01\n", "", 11, "Write one of `allowedDelta` and `allowedRatio`"),
        ("allowedRatio: 1.1", "allowedRatio: 0.9", 17, "no allowed ratio"),
        ("allowedRatio: 1.1", "allowedDelta: 1.1", 14, "A `floor` is what a ratio is taken of"),
        ("floor: 0.5", "floor: -1", 18, "no floor"),
        ("direction: lower_is_better", "direction: higher_is_better", 14, "where higher is better there is no such"),
        ("pooled: false", "pooled: perhaps", 19, "spec.metrics[1].pooled"),
        ("reason: money", "reason: ''", 15, "spec.metrics[1].reason"),
    ],
)
def test_every_field_wrong_in_turn_is_named_with_its_line(
    tmp_path: Path, right: str, wrong: str, line: int, said: str
) -> None:
    assert right in OF_TWO
    found = problems(tmp_path, OF_TWO.replace(right, wrong, 1))
    assert any(f"gate.yaml:{line}:" in each and said in each for each in found), found
    assert all(each.endswith((".", "?")) for each in found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "The file is empty"),
        ("spec: [", "This YAML cannot be read"),
        (OF_TWO + "---\n" + OF_TWO, "There are 2 policies"),
        (OF_TWO.partition("  metrics:")[0], "`metrics`"),
        (OF_TWO.partition("  metrics:")[0] + "  metrics: []\n", "spec.metrics"),
    ],
)
def test_a_file_that_is_no_policy_is_refused(tmp_path: Path, text: str, said: str) -> None:
    assert any(said in each for each in problems(tmp_path, text))
