"""The page of a worker that stopped: what it says, how long it lasts, and where it leads."""

from __future__ import annotations

from alerts.alertmanager import postable
from alerts.check import REPOSITORY
from alerts.diverting import ALERT_NAME, LASTS_MS, RUNBOOK, firing, resolved
from alerts.explanations import Links
from schemas.rejections import Halt

LINKS = Links("https://runbooks.example/", "https://boards.example/")
NOW_MS = 1_700_000_000_000


def halt(offset: int, at_ms: int, reason: str = "checksum_mismatch") -> Halt:
    return Halt(
        topic="aggregates.turns", partition=1, offset=offset, reason=reason, why=f"Too much: {reason}.", at_ms=at_ms
    )


def test_one_topic_is_one_alert_that_begins_with_its_first_halt() -> None:
    alert = firing([halt(9, NOW_MS - 5), halt(4, NOW_MS - 1, "empty_frame")], LINKS, NOW_MS)
    assert alert.labels == {"alertname": ALERT_NAME, "severity": "page", "topic": "aggregates.turns"}
    assert alert.starts_ms == NOW_MS - 5
    assert "checksum_mismatch" in alert.annotations["summary"]
    assert "aggregates.turns:1:4, aggregates.turns:1:9" in alert.annotations["description"]
    assert "nothing is lost" in alert.annotations["description"]
    assert alert.labels == firing([halt(77, NOW_MS)], LINKS, NOW_MS).labels, "its identity must not move"


def test_it_outlives_the_worker_that_fired_it_and_ends_when_somebody_says_so() -> None:
    alert = firing([halt(9, NOW_MS)], LINKS, NOW_MS)
    assert (alert.state, alert.ends_ms) == ("firing", NOW_MS + LASTS_MS)
    ended = resolved(alert, NOW_MS + 60_000)
    assert (ended.state, ended.ends_ms, ended.labels) == ("resolved", NOW_MS + 60_000, alert.labels)


def test_it_leads_to_a_runbook_that_is_there_and_explains_it() -> None:
    alert = firing([halt(9, NOW_MS)], LINKS, NOW_MS)
    assert alert.annotations["runbook_url"] == f"https://runbooks.example/{RUNBOOK}"
    runbook = (REPOSITORY / RUNBOOK).read_text(encoding="utf-8")
    assert f"## {ALERT_NAME}: " in runbook
    assert postable(alert, NOW_MS)["generatorURL"].startswith(
        "https://boards.example/d/turnwatch-privacy-and-pipeline?from="
    )
