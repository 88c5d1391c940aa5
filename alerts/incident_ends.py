"""The page of the whole fleet ends last: while it fires, Alertmanager mutes the same objective's pages of slices in its incident.

A slice whose share falls a little later than the fleet's would be notified as new in that moment. So the end of the fleet's page is told
together with those of the slices that it mutes, or after five minutes, which is the short window of the fastest row: then a
slice that burns on pages for itself. Only what Alertmanager is told waits: topic and table have the end when it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from alerts.stated_alerts import StatedAlert, StillOpen

ENDS_TOGETHER_MS = 5 * 60_000
"""How long, by the clock, the end of a fleet's page is kept back for its slices."""

_Key = tuple[str, ...]


def ends_together(alerts: Sequence[StatedAlert], now_ms: int) -> list[StatedAlert]:
    """What Alertmanager is told, where it is told all that is open: what mutes others first, and its end with theirs."""
    muted = {key for alert in alerts if _is_open_slice(alert) for key in _shared(alert)}
    told = [StillOpen(alert) if _waits(alert, muted, now_ms) else alert for alert in alerts]
    return sorted(told, key=lambda alert: not _mutes(alert))


def _waits(alert: StatedAlert, muted: set[_Key], now_ms: int) -> bool:
    """Whether it ended a moment ago and slices that it mutes are open."""
    is_recent = alert.ends_ms is not None and now_ms - alert.ends_ms < ENDS_TOGETHER_MS
    return is_recent and _mutes(alert) and not muted.isdisjoint(_shared(alert))


def _mutes(alert: StatedAlert) -> bool:
    return _is_page(alert, "fleet")


def _is_open_slice(alert: StatedAlert) -> bool:
    return alert.ends_ms is None and _is_page(alert, "slice")


def _is_page(alert: StatedAlert, scope: str) -> bool:
    return (alert.labels.get("severity"), alert.labels.get("scope")) == ("page", scope)


def _shared(alert: StatedAlert) -> Iterator[_Key]:
    """By what a page mutes or is muted, as `alertmanager.yml` says: its objective and incident, or pool where it has none."""
    labels = alert.labels
    shared = "incident" if labels.get("incident") else "pool"
    if labels.get("slo") and labels.get(shared):
        yield (labels["slo"], shared, labels[shared])
