"""The life of an alert, from what the shards state to what is published.

One alert per (objective, slice, severity). It fires when any policy row of that severity is stated for it, is stated
anew at every decision while that lasts, and resolves when its shard has decided without it: a later instant, or the
same one on more of the volume, and in any case on nearly all of it, because silence is never good news. Decisions that
arrive again, or after a newer one, change nothing.

An alert that nothing has confirmed or ended for a minute is *frozen*: most producers are missing, its slice has no
traffic, or its shard decides nothing any more. It is still told as firing, and says since when it is frozen; the next
decision on enough data thaws it. What too few producers have reported makes no new alert either.

Everything here is a value: the wall clock arrives as `now_ms`, event time inside the decisions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from alerts.causes import Causes, Suspicions
from alerts.explanations import FROZEN, Paging, explain, frozen_since, labels_of, objective_was_removed
from alerts.wording import event_time, percent
from schemas.burns import AlertState, Burn, Decision, Suspect
from schemas.slices import shard_of

RESOLVE_COMPLETENESS_MIN = 0.95
"""Share of recent volume that a decision has to be made on before it may end an alert."""

FIRE_COMPLETENESS_MIN = 0.5
"""Share of recent volume below which a decision says nothing, neither of what burns nor of what does not."""

FROZEN_AFTER_MS = 60_000
"""How long an alert stays as it is without being confirmed or ended: event time, and by the clock where that counts."""

SUSPECTED_WITHIN_MS = 60_000
"""How far apart in event time two shards may have decided for the suspects of one to explain burns of the other."""

RESOLVED_KEPT_MS = 24 * 3_600_000
"""How long a resolved alert is kept, so that an Alertmanager that was away hears of it (`telling.py`)."""


Owner = tuple[str, int]
"""A family, and a shard of it."""


@dataclass(frozen=True, slots=True)
class Shard:
    """What one shard decided last, on what and when by the clock, and its alerts by identity, open or just resolved.

    `suspects` are those of its last decision; a restart forgets them until the shard's next one.
    """

    decided_ms: int = 0
    completeness: float = 0.0
    heard_ms: int = 0
    alerts: Mapping[str, AlertState] = field(default_factory=dict)
    suspects: tuple[Suspect, ...] = ()


@dataclass(frozen=True, slots=True)
class Pages:
    """All alerts of the fleet."""

    shards: Mapping[Owner, Shard] = field(default_factory=dict)
    """By family and shard."""

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
    """Takes in one shard's decision: of its own alerts, and of what it explains of those that another one has just begun."""
    shard = pages.shards.get(decision.owner, Shard())
    if (decision.decided_ms, decision.completeness) < (shard.decided_ms, shard.completeness):
        return Stepped(pages)
    suspicions = Suspicions(_suspects(pages, decision))
    fired = _fired(shard, decision, suspicions, paging, now_ms)
    resolved = _resolved(shard, decision, {alert.alert for alert in fired}, paging, now_ms)
    frozen = _unconfirmed(shard, decision, {alert.alert for alert in (*fired, *resolved)}, now_ms)
    published = (*fired, *resolved, *frozen)
    alerts = {**_remembered(shard.alerts, now_ms), **{alert.alert: alert for alert in published}}
    is_newer = decision.decided_ms > shard.decided_ms
    heard_ms = now_ms if is_newer else shard.heard_ms
    heard = Shard(decision.decided_ms, decision.completeness, heard_ms, alerts, decision.suspects)
    elsewhere = _explained_elsewhere(pages, decision, suspicions, paging, now_ms)
    shards = {**_restated(pages.shards, elsewhere), decision.owner: heard}
    return Stepped(Pages(shards), (*published, *elsewhere), (*_news(shard, published), *elsewhere))


def freeze(pages: Pages, now_ms: int) -> Stepped:
    """Freezes what fires in shards that have decided nothing newer for too long by the clock.

    Only where event time follows the clock: a replay that has ended is no silence.
    """
    shards = dict(pages.shards)
    published: list[AlertState] = []
    for name, shard in pages.shards.items():
        unheard_ms = now_ms - shard.heard_ms
        if unheard_ms < FROZEN_AFTER_MS:
            continue
        why = "nothing newer has been decided since"
        frozen = [_frozen(alert, shard.decided_ms, why, now_ms) for alert in _firing_in(shard)]
        published += frozen
        shards[name] = replace(shard, alerts={**shard.alerts, **{alert.alert: alert for alert in frozen}})
    return Stepped(Pages(shards), tuple(published), tuple(published)) if published else Stepped(pages)


def to_send(pages: Pages, now_ms: int) -> tuple[AlertState, ...]:
    """What Alertmanagers have to know: all that fires, and what has resolved within a day."""
    return tuple(alert for alert in pages.alerts if _is_remembered(alert, now_ms))


def restore(published: Iterable[AlertState], shards: int, now_ms: int = 0) -> Pages:
    """The state that the newest statement of each alert gives back, after a restart at `now_ms`."""
    newest: dict[str, AlertState] = {}
    for alert in published:
        if alert.alert not in newest or newest[alert.alert].version < alert.version:
            newest[alert.alert] = alert
    ordered = sorted(newest.values(), key=lambda alert: _owner(alert, shards))
    by_owner = groupby(ordered, lambda alert: _owner(alert, shards))
    return Pages({owner: _shard_of(list(alerts), now_ms) for owner, alerts in by_owner})


def alert_id(burn: Burn) -> str:
    """Identity of the alert that a burn belongs to; no part of it can hold a `|`."""
    return f"{burn.slo}|{burn.slice}|{burn.severity}"


def _owner(alert: AlertState, shards: int) -> Owner:
    return alert.family, shard_of(alert.burn.slice, shards)


def _shard_of(alerts: list[AlertState], now_ms: int) -> Shard:
    decided_ms, completeness = max((alert.decided_event_ms, alert.completeness) for alert in alerts)
    return Shard(decided_ms, completeness, now_ms, {alert.alert: alert for alert in alerts})


def _suspects(pages: Pages, decision: Decision) -> Iterable[Suspect]:
    """Those of this decision, and of what the other shards decided last, where that is of about the same time."""
    yield from decision.suspects
    for number, shard in pages.shards.items():
        if number != decision.owner and abs(decision.decided_ms - shard.decided_ms) <= SUSPECTED_WITHIN_MS:
            yield from shard.suspects


def _fired(shard: Shard, decision: Decision, suspicions: Suspicions, paging: Paging, now_ms: int) -> list[AlertState]:
    """One statement per alert that burns; the row with the highest burn gives the numbers."""
    if decision.completeness < FIRE_COMPLETENESS_MIN:
        return []
    best: dict[str, Burn] = {}
    for burn in sorted(decision.burns, key=lambda burn: (-burn.long_burn, burn.long_s, burn.row)):
        best.setdefault(alert_id(burn), burn)
    return [_firing(shard.alerts.get(name), best[name], decision, suspicions, paging, now_ms) for name in sorted(best)]


def _firing(
    previous: AlertState | None, burn: Burn, decision: Decision, suspicions: Suspicions, paging: Paging, now_ms: int
) -> AlertState:
    goes_on = previous is not None and _is_open(previous)
    starts_event_ms = previous.starts_event_ms if previous and goes_on else decision.decided_ms
    causes = _causes(burn, starts_event_ms, suspicions, paging)
    return AlertState(
        alert=alert_id(burn),
        state="firing",
        burn=burn,
        starts_event_ms=starts_event_ms,
        decided_event_ms=decision.decided_ms,
        starts_ms=previous.starts_ms if previous and goes_on else now_ms,
        ends_ms=None,
        completeness=decision.completeness,
        version=_next_version(previous, now_ms),
        labels=previous.labels if previous and goes_on else labels_of(burn, paging),
        family=decision.family,
        annotations=explain(burn, decision.decided_ms, decision.completeness, paging, causes),
    )


def _explained_elsewhere(
    pages: Pages, decision: Decision, suspicions: Suspicions, paging: Paging, now_ms: int
) -> list[AlertState]:
    """Alerts that other shards began at this very instant, and that this decision's suspects explain.

    Shards decide one after the other, and Alertmanager waits only seconds before it notifies.
    """
    begun = [
        alert
        for number, shard in pages.shards.items()
        if number != decision.owner and shard.decided_ms == decision.decided_ms and decision.suspects
        for alert in _firing_in(shard)
        if alert.starts_event_ms == decision.decided_ms and "explained_by" not in alert.annotations
    ]
    told = [alert.model_copy(update=_explained(alert, suspicions, paging, now_ms)) for alert in begun]
    return [alert for alert in told if "explained_by" in alert.annotations]


def _explained(alert: AlertState, suspicions: Suspicions, paging: Paging, now_ms: int) -> dict[str, Any]:
    causes = _causes(alert.burn, alert.starts_event_ms, suspicions, paging)
    said = explain(alert.burn, alert.decided_event_ms, alert.completeness, paging, causes)
    return {"annotations": said, "version": _next_version(alert, now_ms)}


def _restated(shards: Mapping[Owner, Shard], restated: Iterable[AlertState]) -> dict[Owner, Shard]:
    """The shards with these alerts in place of what they said before."""
    by_name = {alert.alert: alert for alert in restated}
    return {
        number: replace(shard, alerts={name: by_name.get(name, alert) for name, alert in shard.alerts.items()})
        if by_name.keys() & shard.alerts.keys()
        else shard
        for number, shard in shards.items()
    }


def _causes(burn: Burn, starts_event_ms: int, suspicions: Suspicions, paging: Paging) -> Causes:
    slo = paging.slos.get(burn.slo)
    return suspicions.causes(burn, starts_event_ms, slo.budget_rate if slo else None)


def _resolved(shard: Shard, decision: Decision, stated: set[str], paging: Paging, now_ms: int) -> list[AlertState]:
    """Alerts that were open, and that a later instant was decided without, or the same one on more of the volume.

    What no shard watches any more, because its objective was removed, is stated by none and ends the same way.
    """
    if decision.completeness < RESOLVE_COMPLETENESS_MIN:
        return []
    kept = stated | _quiet(decision)
    over = [
        alert
        for name, alert in sorted(shard.alerts.items())
        if _is_open(alert) and name not in kept and _confirmed(alert) < (decision.decided_ms, decision.completeness)
    ]
    return [_ended(alert, decision, paging, now_ms) for alert in over]


def _ended(alert: AlertState, decision: Decision, paging: Paging, now_ms: int) -> AlertState:
    said = {name: text for name, text in alert.annotations.items() if name != FROZEN}
    return alert.model_copy(
        update={
            "state": "resolved",
            "decided_event_ms": decision.decided_ms,
            "ends_ms": now_ms,
            "completeness": decision.completeness,
            "version": _next_version(alert, now_ms),
            "annotations": said
            | {"resolved_event_time": event_time(decision.decided_ms)}
            | objective_was_removed(alert, paging),
        }
    )


def _unconfirmed(shard: Shard, decision: Decision, settled: set[str], now_ms: int) -> list[AlertState]:
    """Firing alerts that no decision has been able to confirm or end for too long, this one included."""
    quiet, oldest_ms = _quiet(decision), decision.decided_ms - FROZEN_AFTER_MS
    share = f"only {percent(decision.completeness)} of recent volume has reported"
    return [
        _frozen(alert, alert.decided_event_ms, _SLICE_IS_QUIET if alert.alert in quiet else share, now_ms)
        for alert in _firing_in(shard)
        if alert.alert not in settled and alert.decided_event_ms <= oldest_ms
    ]


def _frozen(alert: AlertState, since_ms: int, why: str, now_ms: int) -> AlertState:
    return alert.model_copy(
        update={
            "state": "frozen",
            "version": _next_version(alert, now_ms),
            "annotations": alert.annotations | frozen_since(since_ms, why),
        }
    )


_SLICE_IS_QUIET = "its slice has no traffic in the short window"


def _quiet(decision: Decision) -> set[str]:
    return {f"{each.slo}|{each.slice}|{each.severity}" for each in decision.quiet}


def _confirmed(alert: AlertState) -> tuple[int, float]:
    return alert.decided_event_ms, alert.completeness


def _next_version(previous: AlertState | None, now_ms: int) -> int:
    """Grows past every earlier statement, also of an alert that was forgotten since: the clock passed those."""
    return max(previous.version + 1, now_ms) if previous else now_ms


def _is_open(alert: AlertState) -> bool:
    return alert.state in ("firing", "frozen")


def _firing_in(shard: Shard) -> list[AlertState]:
    return [alert for _, alert in sorted(shard.alerts.items()) if alert.state == "firing"]


def _news(before: Shard, published: Iterable[AlertState]) -> tuple[AlertState, ...]:
    """What is in another state than it was, or explained for the first time: a notification may still wait for that."""
    return tuple(alert for alert in published if _is_news(before.alerts.get(alert.alert), alert))


def _is_news(before: AlertState | None, now: AlertState) -> bool:
    if before is None or before.state != now.state:
        return True
    return "explained_by" in now.annotations and "explained_by" not in before.annotations


def _remembered(alerts: Mapping[str, AlertState], now_ms: int) -> dict[str, AlertState]:
    return {name: alert for name, alert in alerts.items() if _is_remembered(alert, now_ms)}


def _is_remembered(alert: AlertState, now_ms: int) -> bool:
    return alert.ends_ms is None or now_ms - alert.ends_ms < RESOLVED_KEPT_MS
