"""What the worlds watch: two objectives, with rows of windows from one minute to the period."""

from __future__ import annotations

from decimal import Decimal

from schemas.families import INDICATORS
from schemas.slos import LowTraffic, PolicyRow, Severity, Slo, WatchedSlo
from stream_jobs.operators.totals.traffic import Capacity

CAPACITY = Capacity(Decimal("0.35"), Decimal("0.7"), Decimal("0.1"))

EVIDENCE = LowTraffic(confidence=0.6, bad_events_min=0)
"""A bound, but no number of failures: worlds are small. When a slice was first seen plays no part then."""

_INDICATORS = {indicator.name: indicator for indicator in INDICATORS}


def _row(name: str, long_s: int, short_s: int, threshold: str, severity: Severity) -> PolicyRow:
    return PolicyRow(name, long_s, short_s, Decimal(threshold), Decimal(threshold) * 10, severity)


ERRORS = WatchedSlo(
    Slo(
        "errors",
        _INDICATORS["turn_error"],
        "realtime",
        Decimal("0.9"),
        30 * 86_400,
        ("pool", "pool,region", "pool,language"),
        "owner",
        "",
        "",
    ),
    (
        _row("outage", 600, 60, "0.5", "page"),
        _row("hour", 3_600, 300, "0.4", "page"),
        _row("day", 86_400, 7_200, "0.1", "ticket"),
    ),
    EVIDENCE,
)
WAITS = WatchedSlo(
    Slo(
        "waits",
        _INDICATORS["queue_wait_250ms"],
        "batch",
        Decimal("0.95"),
        7 * 86_400,
        ("pool", "pool,route", "pool,region,bundle", "pool,device_class"),
        "owner",
        "",
        "",
    ),
    (_row("six hours", 21_600, 1_800, "0.3", "page"), _row("three days", 259_200, 21_600, "0.05", "ticket")),
    EVIDENCE,
)
WATCHED = (ERRORS, WAITS)
