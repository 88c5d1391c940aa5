"""The life of an alert, from what the shards state to what is published.

One alert per (objective, slice, severity). It fires when any policy row of that severity is stated for it, is stated
anew at every decision while that lasts, and resolves when its shard has decided a later instant without it, on nearly
all of the data: a decision that most producers are missing from freezes alerts, because silence is never good news.
Decisions that arrive again, or after a newer one, change nothing.

Everything here is a value: the wall clock arrives as `now_ms`, event time inside the decisions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from alerts.explanations import Paging, event_time, explain, labels_of
from schemas.burns import AlertState, Burn, Decision
from schemas.slices import shard_of

RESOLVE_COMPLETENESS_MIN = 0.95
"""Share of recent volume that a decision has to be made on before it may end an alert."""

RESOLVED_KEPT_MS = 15 * 60_000
"""How long a resolved alert is still told to Alertmanager, so that one that was away hears of it."""


@dataclass(frozen=True, slots=True)
class Shard:
    """What one shard decided last, and its alerts by identity, firing or recently resolved."""

    decided_ms: int = 0
    alerts: Mapping[str, AlertState] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pages:
    """All alerts of the fleet."""

    shards: Mapping[int, Shard] = field(default_factory=dict)

    @property
    def alerts(self) -> tuple[AlertState, ...]:
        return tuple(alert for shard in self.shards.values() for alert in shard.alerts.values())

    @property
    def firing(self) -> tuple[AlertState, ...]:
        return tuple(alert for alert in self.alerts if alert.state == "firing")


@dataclass(frozen=True, slots=True)
class Stepped:
    """The new state; every statement to publish; and those of them that somebody has to hear of at once."""

    pages: Pages
    published: tuple[AlertState, ...] = ()
    news: tuple[AlertState, ...] = ()


def step(pages: Pages, decision: Decision, paging: Paging, now_ms: int) -> Stepped:
    """Takes in one shard's decision."""
    shard = pages.shards.get(decision.shard, Shard())
    if decision.decided_ms < shard.decided_ms:
        return Stepped(pages)
    fired = _fired(shard, decision, paging, now_ms)
    resolved = _resolved(shard, decision, {alert.alert for alert in fired}, now_ms)
    published = (*fired, *resolved)
    alerts = {**_remembered(shard.alerts, now_ms), **{alert.alert: alert for alert in published}}
    news = tuple(alert for alert in published if not _was_firing(shard, alert.alert) or alert.state == "resolved")
    return Stepped(Pages({**pages.shards, decision.shard: Shard(decision.decided_ms, alerts)}), published, news)


def to_send(pages: Pages, now_ms: int) -> tuple[AlertState, ...]:
    """What Alertmanager is told again: all that fires, and what resolved recently."""
    return tuple(alert for alert in pages.alerts if _is_remembered(alert, now_ms))


def restore(published: Iterable[AlertState], shards: int) -> Pages:
    """The state that the newest statement of each alert gives back, after a restart."""
    newest: dict[str, AlertState] = {}
    for alert in published:
        if alert.alert not in newest or newest[alert.alert].version < alert.version:
            newest[alert.alert] = alert
    ordered = sorted(newest.values(), key=lambda alert: _owner(alert, shards))
    return Pages({owner: _shard_of(list(alerts)) for owner, alerts in groupby(ordered, lambda a: _owner(a, shards))})


def alert_id(burn: Burn) -> str:
    """Identity of the alert that a burn belongs to; no part of it can hold a `|`."""
    return f"{burn.slo}|{burn.slice}|{burn.severity}"


def _owner(alert: AlertState, shards: int) -> int:
    return shard_of(alert.burn.slice, shards)


def _shard_of(alerts: list[AlertState]) -> Shard:
    return Shard(max(alert.decided_event_ms for alert in alerts), {alert.alert: alert for alert in alerts})


def _fired(shard: Shard, decision: Decision, paging: Paging, now_ms: int) -> list[AlertState]:
    """One statement per alert that burns; the row with the highest burn gives the numbers."""
    best: dict[str, Burn] = {}
    for burn in sorted(decision.burns, key=lambda burn: (-burn.long_burn, burn.long_s, burn.row)):
        best.setdefault(alert_id(burn), burn)
    return [_firing(shard.alerts.get(name), best[name], decision, paging, now_ms) for name in sorted(best)]


def _firing(previous: AlertState | None, burn: Burn, decision: Decision, paging: Paging, now_ms: int) -> AlertState:
    goes_on = previous is not None and previous.state == "firing"
    return AlertState(
        alert=alert_id(burn),
        state="firing",
        burn=burn,
        starts_event_ms=previous.starts_event_ms if previous and goes_on else decision.decided_ms,
        decided_event_ms=decision.decided_ms,
        starts_ms=previous.starts_ms if previous and goes_on else now_ms,
        ends_ms=None,
        completeness=decision.completeness,
        version=_next_version(previous, now_ms),
        labels=previous.labels if previous and goes_on else labels_of(burn, paging),
        annotations=explain(burn, decision.decided_ms, decision.completeness, paging),
    )


def _resolved(shard: Shard, decision: Decision, stated: set[str], now_ms: int) -> list[AlertState]:
    """Alerts that fired, and that a later instant was decided without."""
    if decision.completeness < RESOLVE_COMPLETENESS_MIN:
        return []
    quiet = {f"{each.slo}|{each.slice}|{each.severity}" for each in decision.quiet}
    over = [
        alert
        for name, alert in sorted(shard.alerts.items())
        if alert.state == "firing" and name not in stated and alert.decided_event_ms < decision.decided_ms
        if name not in quiet
    ]
    return [_ended(alert, decision, now_ms) for alert in over]


def _ended(alert: AlertState, decision: Decision, now_ms: int) -> AlertState:
    resolved_at = {"resolved_event_time": event_time(decision.decided_ms)}
    return alert.model_copy(
        update={
            "state": "resolved",
            "decided_event_ms": decision.decided_ms,
            "ends_ms": now_ms,
            "completeness": decision.completeness,
            "version": _next_version(alert, now_ms),
            "annotations": alert.annotations | resolved_at,
        }
    )


def _next_version(previous: AlertState | None, now_ms: int) -> int:
    """Grows past every earlier statement, also of an alert that was forgotten since: the clock passed those."""
    return max(previous.version + 1, now_ms) if previous else now_ms


def _was_firing(shard: Shard, name: str) -> bool:
    return name in shard.alerts and shard.alerts[name].state == "firing"


def _remembered(alerts: Mapping[str, AlertState], now_ms: int) -> dict[str, AlertState]:
    return {name: alert for name, alert in alerts.items() if _is_remembered(alert, now_ms)}


def _is_remembered(alert: AlertState, now_ms: int) -> bool:
    return alert.ends_ms is None or now_ms - alert.ends_ms < RESOLVED_KEPT_MS
