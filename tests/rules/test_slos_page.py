"""The page on SLOs and policies: its examples are sound, and it leaves nothing out that a document may say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import get_args

from pydantic import BaseModel

from alerts.openslo import read_slos
from alerts.policies import policy_for, policy_problems
from alerts.policy_document import PolicyDocument, load_policy
from alerts.slo_document import PERIODS_D, SloDocument
from schemas.families import DUPLEX_INDICATORS, INDICATORS
from schemas.slos import Slo

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "slos.md").read_text(encoding="utf-8")
SLOS = [
    read for text in re.findall(r"```yaml\n(apiVersion: openslo.*?)```", PAGE, re.DOTALL) for read in read_slos(text)
]
(POLICY,) = re.findall(r"```yaml\n(apiVersion: turnwatch.*?)```", PAGE, re.DOTALL)
(REFUSED,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)


def slos() -> list[Slo]:
    assert [read.mistakes for read in SLOS] == [()] * 3
    return [read.slo for read in SLOS if read.slo is not None]


def fields(model: type[BaseModel]) -> Iterator[str]:
    """Every field that a document of this model may have, at any depth."""
    for name, field in model.model_fields.items():
        yield field.alias or name
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from fields(part)


def test_the_examples_are_sound_and_watched_by_the_policies_they_name(tmp_path: Path) -> None:
    (tmp_path / "strict.yaml").write_text(POLICY, encoding="utf-8")
    strict, (ratio, threshold, minutes) = load_policy(tmp_path / "strict.yaml"), slos()
    assert (ratio.policy, strict.name, threshold.policy) == ("strict", "strict", "standard")
    assert [row.name for row in policy_for(ratio, strict).rows] == [
        "outage_10m_1m",
        "page_1d_2h",
        "page_1h_5m",
        "page_exhausts_2h_1h_5m",
    ]
    assert threshold.indicator.name == "queue_wait_250ms" and policy_for(threshold).rows
    assert (minutes.budgeting, minutes.time_slice_target) == ("time_slices", Decimal("0.95"))
    assert policy_for(minutes).rows and minutes.unit == "minutes"


def test_the_rule_on_evidence_that_is_shown_is_the_one_that_stands_where_none_is_written(tmp_path: Path) -> None:
    (tmp_path / "shown.yaml").write_text(POLICY, encoding="utf-8")
    (tmp_path / "none.yaml").write_text(POLICY.partition("  lowTraffic:")[0], encoding="utf-8")
    assert load_policy(tmp_path / "shown.yaml") == load_policy(tmp_path / "none.yaml")


def test_the_refusal_that_is_shown_is_the_one_that_is_told(tmp_path: Path) -> None:
    file = tmp_path / "alerts" / "burn_policies" / "strict.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(POLICY, encoding="utf-8")
    _, threshold, _ = slos()
    (problem,) = policy_problems(replace(threshold, policy="strict"), load_policy(file))
    assert problem.removeprefix(f"{tmp_path}/") == REFUSED.rstrip("\n")


def test_every_field_that_is_read_stands_on_the_page() -> None:
    named = {*fields(SloDocument), *fields(PolicyDocument)}
    assert [name for name in sorted(named) if not re.search(rf"\b{name}\b", PAGE)] == []


def test_every_indicator_and_period_stands_on_the_page() -> None:
    for indicator in INDICATORS:
        (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{indicator.name}` |")]
        if indicator.threshold_ms is not None:
            sign = "<" if indicator.bad_when == "at_or_above" else "≤"
            assert f"`{indicator.stage}` {sign} {indicator.threshold_ms} ms" in line
    for indicator in DUPLEX_INDICATORS:
        (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{indicator.name}` |")]
        assert f"`{indicator.duplex_event}`" in line
        if indicator.threshold_ms is not None:
            low = indicator.threshold_low_ms
            assert (f"{low} to {indicator.threshold_ms} ms" if low else f"≤ {indicator.threshold_ms} ms") in line
    assert [days for days in PERIODS_D if f"`{days}d`" not in PAGE] == []
