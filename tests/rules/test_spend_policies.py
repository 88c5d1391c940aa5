"""Spend policies: what they may say, and every field wrong in turn with its line and a sentence."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from alerts.document_files import WrongFiles
from alerts.spend_document import STANDARD_SPEND, load_spend_policy
from schemas.kafka import KafkaAddress
from schemas.metrics import WorkerMetrics
from schemas.spend_policies import STANDARD, Budget
from schemas.warehouse import ClickHouseAddress
from turnwatch.places import Places
from turnwatch.settings import Settings, SettingsError
from turnwatch.work import worker_settings

NOWHERE = Places(KafkaAddress("127.0.0.1:1"), ClickHouseAddress("http://127.0.0.1:1/turnwatch"), ())
POLICY = """\
apiVersion: turnwatch/v1
kind: SpendPolicy
metadata:
  name: ours
  owner: finance
spec:
  currency: USD
  tolerance: 0.2
  windowHours: 6
  successesMin: 50
  withoutSuccess:
    usdMin: 2.5
    turnsMin: 7
  budgets:
    - usdMonth: 250
    - pool: realtime
      usdMonth: 180
    - pool: realtime
      route: support
      usdMonth: 40.5
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "spend.yaml"
    file.write_text(text)
    return file


def test_a_worker_without_a_setting_judges_by_the_shipped_policy() -> None:
    assert Settings().spend_policy is None
    assert load_spend_policy() == STANDARD
    assert STANDARD.budgets == ()


def test_the_shipped_example_has_a_budget_of_each_kind() -> None:
    example = load_spend_policy(STANDARD_SPEND.parent / "example.yaml")
    assert [budget.slice.count("=") for budget in example.budgets] == [0, 1, 2]


def test_a_policy_is_what_is_written(tmp_path: Path) -> None:
    policy = load_spend_policy(written(tmp_path, POLICY))
    assert (policy.name, policy.owner, policy.tolerance, policy.window_h) == ("ours", "finance", Decimal("0.2"), 6)
    assert (policy.successes_min, policy.usd_min, policy.turns_min) == (50, Decimal("2.5"), 7)
    assert policy.success_gain == STANDARD.success_gain
    assert policy.budgets == (
        Budget(Decimal(250)),
        Budget(Decimal(180), "realtime"),
        Budget(Decimal("40.5"), "realtime", "support"),
    )


@pytest.mark.parametrize(
    ("right", "wrong", "line", "said"),
    [
        ("currency: USD", "currency: EUR", 7, "This has to be USD"),
        ("tolerance: 0.2", "tolerance: -0.1", 8, "is no tolerance"),
        ("tolerance: 0.2", "tolerence: 0.2", 8, "did you mean `tolerance`?"),
        ("windowHours: 6", "windowHours: 30", 9, "30 is no window in whole hours: write 1 to 24."),
        ("successesMin: 50", "successesMin: 0", 10, "0 is no number of turns to ask for"),
        ("usdMin: 2.5", "usdMin: some", 12, "has to be a decimal"),
        ("  owner: finance\n", "", 3, "add `owner`"),
        ("usdMonth: 250\n", "usdMonth: 0\n", 15, "A budget of 0 is always spent"),
        ("usdMonth: 250\n", "usdMonth: -1\n", 15, "is no amount in US dollars"),
        ("    - usdMonth: 250\n", "    - pool: realtime\n", 15, "add `usdMonth`"),
        ("    - pool: realtime\n      usdMonth", "    - pool: realtme\n      usdMonth", 16, "did you mean `realtime`?"),
        ("    - pool: realtime\n      route", "    - route", 18, "name the `pool`"),
        ("      route: support\n", "", 18, "There are two budgets of pool=realtime, here and on line 16: keep"),
    ],
)
def test_every_mistake_has_its_line_and_a_sentence(
    tmp_path: Path, right: str, wrong: str, line: int, said: str
) -> None:
    assert POLICY.count(right) == 1
    with pytest.raises(WrongFiles) as raised:
        load_spend_policy(written(tmp_path, POLICY.replace(right, wrong)))
    (problem,) = raised.value.problems
    assert f"spend.yaml:{line}:" in problem
    assert said in problem


def test_a_worker_with_a_wrong_policy_does_not_start_and_says_which_setting_names_it(tmp_path: Path) -> None:
    wrong = Settings(spend_policy=written(tmp_path, POLICY.replace("currency: USD", "currency: EUR")))
    with pytest.raises(SettingsError, match=r"TURNWATCH_SPEND_POLICY: .*spend\.yaml:7: "):
        worker_settings(wrong, NOWHERE, WorkerMetrics(CollectorRegistry()))
