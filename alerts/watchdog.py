"""`Watchdog`: the alert that always fires, so that somebody outside notices when it stops.

It says that a worker holds the pages and can tell an Alertmanager of them. A dead man's switch behind Alertmanager hears
it every minute and calls somebody when it has heard nothing for a while: all that is between a worker and that switch is
watched by it. Other alerts outlive the worker that sent them; this one ends when nobody sends it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from alerts.explanations import Links

ALERT_NAME = "Watchdog"
RUNBOOK = "docs/runbooks/watchdog.md"
LASTS_MS = 120_000
"""From the last telling: four re-sends, so that one which is late or lost is no silence."""


@dataclass(frozen=True, slots=True)
class WatchdogAlert:
    """That a worker lives, as Alertmanagers are told of it."""

    state: Literal["watching"]
    starts_ms: int
    ends_ms: int
    labels: dict[str, str]
    annotations: dict[str, str]


def watchdog(since_ms: int, now_ms: int, links: Links) -> WatchdogAlert:
    """The alert of a worker that has held the pages since `since_ms`. Its labels are every worker's: it is one alert."""
    return WatchdogAlert(
        state="watching",
        starts_ms=since_ms,
        ends_ms=now_ms + LASTS_MS,
        labels={"alertname": ALERT_NAME, "severity": "none"},
        annotations={
            "summary": "A worker holds the pages and tells Alertmanager of them: this alert always fires",
            "description": (
                "It belongs at a dead man's switch, which calls somebody when it has not come for five minutes. "
                "Nobody has to do anything about it while it comes."
            ),
            "runbook_url": links.runbook(RUNBOOK),
            "dashboard_url": links.of_pipeline(),
        },
    )
