"""What an alert of a finding says: labels that tell it apart, and annotations with what to do and the figures behind it.

As with every alert the labels hold what cannot change while it fires, and the annotations all that moves.
"""

from __future__ import annotations

from collections.abc import Mapping

from alerts.board_links import Lasting
from alerts.explanations import FROZEN, Links
from alerts.incident_scope import scope_of
from alerts.wording import percent
from schemas.findings import Figure, Finding, Findings
from schemas.instants import utc_text
from schemas.slices import slice_dimensions
from schemas.slos import Slo

STAGE_OF = {"saturation": "queue_wait"}
"""By question the stage whose objectives it is about; another question is about all objectives."""

SAID_LATER = (FROZEN, "resolved_because", "resolved_event_time")
"""Annotations that an alert has besides when it is frozen, or over."""


def labels_of_finding(question: str, finding: Finding, slos: Mapping[str, Slo]) -> dict[str, str]:
    """The alert's identity: the finding's own labels, its slice, and who answers for it, where that is one owner.

    A finding that labels itself with an `owner` knows better.
    """
    dimensions = slice_dimensions(finding.slice)
    owner = _owner_of(question, dimensions.get("pool"), slos)
    return {
        **({"owner": owner} if owner else {}),
        **finding.labels,
        **dimensions,
        "alertname": finding.alert,
        "question": question,
        "severity": finding.severity,
        "slice": finding.slice,
        "scope": scope_of(finding.slice),
    }


def explain_finding(finding: Finding, said: Findings, links: Links, now_ms: int) -> dict[str, str]:
    """Annotations: one line for the phone, what to do, links, and each figure on its own, under its name.

    A figure with a name that is taken has `found_` before it.
    """
    lasting = Lasting(finding.since_ms, said.decided_ms, now_ms)
    annotations = {
        "summary": finding.summary,
        "description": _description(finding, said),
        "action": finding.action,
        "runbook_url": links.runbook(finding.runbook),
        "dashboard_url": links.of_finding(said.question, finding, lasting),
        "event_time": utc_text(said.decided_ms),
        "since": utc_text(finding.since_ms),
    }
    taken = {*annotations, *SAID_LATER}
    figures = {f"found_{name}" if name in taken else name: figure(value) for name, value in finding.facts.items()}
    return figures | annotations


def figure(value: Figure) -> str:
    """A figure for readers: whole from a thousand on, with four significant places below.

    >>> figure(0.82145), figure(294.0), figure(1_234_567.8), figure("llm")
    ('0.8214', '294', '1,234,568', 'llm')
    """
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def _description(finding: Finding, said: Findings) -> str:
    return "\n".join(
        [
            finding.action,
            *(f"{name}: {figure(value)}" for name, value in finding.facts.items()),
            f"It holds since {utc_text(finding.since_ms)}. Decided at {utc_text(said.decided_ms)} (event time) on "
            f"{percent(said.completeness)} of recent volume.",
        ]
    )


def _owner_of(question: str, pool: str | None, slos: Mapping[str, Slo]) -> str:
    """Who owns the objectives that a question is about, in its pool or in all; nobody where those are several."""
    about = [slo for slo in slos.values() if pool in (None, slo.pool)]
    if question in STAGE_OF:
        about = [slo for slo in about if slo.indicator.stage == STAGE_OF[question]]
    owners = {slo.owner for slo in about}
    return owners.pop() if len(owners) == 1 else ""
