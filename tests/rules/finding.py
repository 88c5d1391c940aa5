"""Findings as questions state them, for the tests of their alerts."""

from __future__ import annotations

from typing import Any

from schemas.findings import Finding, Findings

EVENT_MS = 1_700_000_000_000
POOL = "pool=realtime"


def saturated(slice_text: str = POOL, **others: Any) -> Finding:
    """The queue of a pool that grows faster than it is served."""
    known: dict[str, Any] = {
        "alert": "Saturated",
        "slice": slice_text,
        "severity": "page",
        "since_ms": EVENT_MS - 60_000,
        "summary": f"The queue of llm in {slice_text} grows by 40 a minute and breaks its wait SLO in 6 min",
        "action": "Shed batch work, or add 3 replicas.",
        "runbook": "docs/runbooks/saturation.md",
        "labels": {"queue": "llm"},
        "facts": {"depth": 294.0, "growth_per_min": 40.25, "break_in_s": 1_380.4, "stage_first": "llm"},
    }
    return Finding(**known | others)


def intruding(slice_text: str = POOL, **others: Any) -> Finding:
    return saturated(slice_text, **{"alert": "BatchOnRealtimePool", "severity": "ticket", "labels": {}} | others)


def regressed(slice_text: str = "pool=realtime,route=assistant", **others: Any) -> Finding:
    known: dict[str, Any] = {
        "alert": "CostRegressed",
        "slice": slice_text,
        "severity": "ticket",
        "since_ms": EVENT_MS - 600_000,
        "summary": f"A success costs 45 % more in {slice_text}",
        "action": "See which driver rose, and undo what brought it.",
        "runbook": "docs/runbooks/cost.md",
        "labels": {"owner": "finance"},
    }
    return Finding(**known | others)


def found(at_s: int, *findings: Finding, **others: Any) -> Findings:
    """What one shard of `saturation` states, `at_s` seconds into the tests' event time."""
    known: dict[str, Any] = {
        "question": "saturation",
        "shard": 0,
        "decided_ms": EVENT_MS + at_s * 1_000,
        "completeness": 1.0,
        "holds_s": 180,
        "findings": findings,
    }
    return Findings(**known | others)
