"""What `turnwatch check` says about alerts."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerts import check as checking
from alerts.check import check, notes
from alerts.openslo import SHIPPED_SLOS
from schemas import families

SOUND = (SHIPPED_SLOS / "turn_4000ms.yaml").read_text().partition("---")[0]


def test_what_is_shipped_is_in_order() -> None:
    assert check() == []
    (note,) = notes()  # An objective of 90 % cannot burn 14.4 times as fast as allowed.
    assert note.startswith("backchannel-timing-realtime: row page_1h_5m (burn 14.4) can never fire: ")


def test_problems_of_the_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(SOUND.replace("target:", "targt:"))
    assert len(check(tmp_path)) == 2
    assert notes(tmp_path) == []


def test_a_runbook_that_does_not_exist_is_told(tmp_path: Path) -> None:
    (tmp_path / "slo.yaml").write_text(SOUND.replace("slo-burn-rate.md", "slo-burn.md"))
    assert check(tmp_path) == [
        f"{tmp_path / 'slo.yaml'}:11: metadata.annotations.turnwatch/runbook: "
        "The runbook docs/runbooks/slo-burn.md does not exist: write it, or name another."
    ]


def test_a_row_that_can_never_fire_is_a_note_and_no_problem(tmp_path: Path) -> None:
    (tmp_path / "slo.yaml").write_text(SOUND.replace("target: 0.99", "target: 0.9"))
    assert check(tmp_path) == []
    (note,) = notes(tmp_path)
    assert note.startswith("turn-4000ms-realtime: row page_1h_5m (burn 14.4) can never fire: ")


def test_rows_that_are_too_short_for_a_cut_are_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slo.yaml").write_text(SOUND)
    slow = families.PrivacyPartition("audience", families.AUDIENCE.dimensions, k_window_s=300)
    monkeypatch.setattr(
        families.Family, "partition", lambda family, name: slow if name == "audience" else families.OPERATIONAL
    )
    assert checking.check(tmp_path) == []
    assert notes(tmp_path) == [
        f"turn-4000ms-realtime: row outage_10m_1m skips cut {cut}: "
        "its short window of 1m is below the cut's k-window of 5m."
        for cut in ("pool,language", "pool,device_class")
    ]
