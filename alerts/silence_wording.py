"""What `TelemetrySilent` says: who has stopped reporting, since when, and how much of the fleet nobody sees therefore.

As with every alert the labels hold what cannot change while it fires, and the annotations all that moves.
"""

from __future__ import annotations

from dataclasses import dataclass

from alerts.board_links import Lasting
from alerts.explanations import Links
from alerts.wording import percent
from schemas.instants import utc_text
from schemas.silences import SilentProducer

ALERT_NAME = "TelemetrySilent"
RUNBOOK = "docs/runbooks/telemetry-silent.md"
LISTED_MAX = 20
"""Producers that one alert names."""


@dataclass(frozen=True, slots=True)
class SilentFamily:
    """The silent producers of one family, largest first, and the volume that is missing with them."""

    name: str
    newest_ms: int
    silent: tuple[SilentProducer, ...]
    unlisted: int
    missing: float
    volume: float

    @property
    def count(self) -> int:
        return len(self.silent) + self.unlisted

    @property
    def share(self) -> float:
        return min(1.0, self.missing / self.volume) if self.volume else 1.0

    @property
    def since_ms(self) -> int:
        """When the first of them fell silent."""
        return min(one.since_ms for one in self.silent)


def labels_of_silence(family: str, producer: str | None, severity: str) -> dict[str, str]:
    labels = {"alertname": ALERT_NAME, "severity": severity, "family": family}
    return labels | ({"producer": producer} if producer else {})


def explain_silence(family: SilentFamily, one: SilentProducer, links: Links, now_ms: int) -> dict[str, str]:
    """Annotations of the alert for one producer."""
    alone = one.volume / family.volume if family.volume else 1.0
    return _annotations(
        family,
        one.since_ms,
        f"{one.producer} has sent no {family.name} since {utc_text(one.since_ms)}: "
        f"{percent(alone)} of recent volume is missing",
        links,
        now_ms,
    )


def explain_producers(family: SilentFamily, links: Links, now_ms: int) -> dict[str, str]:
    """Annotations of the alert for many producers at once."""
    who = "Nobody sends" if family.share == 1 else f"{family.count} producers send no"
    return _annotations(
        family,
        family.since_ms,
        f"{who} {family.name} any more, the first since {utc_text(family.since_ms)}: "
        f"{percent(family.share)} of recent volume is missing",
        links,
        now_ms,
    )


def board_range(family: SilentFamily, since_ms: int, now_ms: int, is_over: bool = False) -> Lasting:
    """How long somebody is silent, up to the newest that anybody has sent of the family."""
    return Lasting(since_ms, max(since_ms, family.newest_ms), now_ms, is_over)


def _annotations(family: SilentFamily, since_ms: int, summary: str, links: Links, now_ms: int) -> dict[str, str]:
    return {
        "summary": summary,
        "description": _description(family),
        "producers": ", ".join(one.producer for one in family.silent[:LISTED_MAX]),
        "silent_since": utc_text(since_ms),
        "missing_share": percent(family.share),
        "runbook_url": links.runbook(RUNBOOK),
        "dashboard_url": links.of_pipeline(board_range(family, since_ms, now_ms)),
    }


def _description(family: SilentFamily) -> str:
    lines = [f"{one.producer}: silent since {utc_text(one.since_ms)}" for one in family.silent[:LISTED_MAX]]
    others = family.count - len(lines)
    return "\n".join(
        [
            f"Silent in {family.name}, with {percent(family.share)} of its recent volume:",
            *lines,
            *([f"and {others} more."] if others else []),
            "What they would have sent counts as missing: below 95 % of recent volume no alert resolves.",
        ]
    )
