"""The page of a worker that stopped because it had diverted too much.

The worker that says so ends, so the alert outlives it by a day. It is resolved by a worker that has seen the flow go on
past every record that one stopped at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from alerts.board_links import Lasting
from alerts.explanations import Links
from schemas.instants import utc_text
from schemas.rejections import Halt, shown

ALERT_NAME = "TurnwatchDiverting"
RUNBOOK = "docs/runbooks/dead-letters.md"
LASTS_MS = 24 * 3_600_000
"""Whoever fired it has ended: nobody may be there to say again that it lasts."""


@dataclass(frozen=True, slots=True)
class DivertingAlert:
    """One topic that is halted, as Alertmanagers are told of it."""

    alert: str
    state: Literal["firing", "resolved"]
    starts_ms: int
    ends_ms: int
    labels: dict[str, str]
    annotations: dict[str, str]


def firing(standing: Sequence[Halt], links: Links, now_ms: int) -> DivertingAlert:
    """The alert for the halts of one topic that nobody has read past, at least one."""
    first = min(standing, key=lambda halt: (halt.at_ms, halt.position))
    positions = ", ".join(shown(halt.position) for halt in sorted(standing, key=lambda halt: halt.position))
    return DivertingAlert(
        alert=f"{ALERT_NAME}|{first.topic}",
        state="firing",
        starts_ms=first.at_ms,
        ends_ms=now_ms + LASTS_MS,
        labels={"alertname": ALERT_NAME, "severity": "page", "topic": first.topic},
        annotations={
            "summary": f"A worker stopped because too much of {first.topic} is refused ({first.reason})",
            "description": (
                f"{first.why}\nHalted at {positions}, first at {utc_text(first.at_ms)}. What lies behind waits in "
                "Kafka, and nothing is lost as long as Kafka keeps it."
            ),
            "runbook_url": links.runbook(RUNBOOK),
            "dashboard_url": links.of_pipeline(Lasting(first.at_ms, now_ms, now_ms)),
        },
    )


def resolved(alert: DivertingAlert, now_ms: int) -> DivertingAlert:
    return replace(alert, state="resolved", ends_ms=now_ms)
