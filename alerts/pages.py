"""The life of an alert, from what the shards state to what is published.

One alert per (objective, slice, severity); `life.py` says what a decision makes of those of its own shard: pending, firing,
frozen, resolved. Here shards meet: what one suspects explains what burns in another. Decisions that arrive again, or after
a newer one, change nothing.

An alert that nothing has confirmed or ended for a minute is *frozen*: most producers are missing, its slice has no
traffic, or its shard decides nothing any more. It is still told as firing, and says since when it is frozen; the next
decision on enough data thaws it.

Everything here is a value: the wall clock arrives as `now_ms`, event time inside the decisions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from alerts.alert_statements import Heard, causes_of, frozen
from alerts.board_links import Lasting
from alerts.causes import Suspicions
from alerts.explanations import Paging, explain
from alerts.incident_scope import OpenIncidents
from alerts.life import FROZEN_AFTER_MS, lived
from alerts.paging_state import (
    RESOLVED_KEPT_MS,
    Pages,
    Shard,
    firing_in,
    known,
    next_version,
    remembered,
    restated,
    restore,
    to_send,
)
from schemas.burns import AlertState, Decision, Suspect

__all__ = ["FROZEN_AFTER_MS", "RESOLVED_KEPT_MS", "Pages", "Stepped", "freeze", "restore", "step", "to_send"]

SUSPECTED_WITHIN_MS = 60_000
"""How far apart in event time two shards may have decided for the suspects of one to explain burns of the other."""


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
    incidents = OpenIncidents(known(pages), decision.decided_ms, paging.found)
    now = lived(shard, Heard(decision, suspicions, paging, now_ms, incidents))
    published = now.published
    changed = {alert.alert: alert for alert in (*now.remembered, *published)}
    alerts = {**remembered(shard.alerts, now_ms), **changed}
    is_newer = decision.decided_ms > shard.decided_ms
    heard_ms = now_ms if is_newer else shard.heard_ms
    heard = Shard(decision.decided_ms, decision.completeness, heard_ms, alerts, decision.suspects)
    elsewhere = _explained_elsewhere(pages, decision, suspicions, paging, now_ms)
    shards = {**restated(pages.shards, elsewhere), decision.owner: heard}
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
        stopped = [frozen(alert, shard.decided_ms, why, now_ms) for alert in firing_in(shard)]
        published += stopped
        shards[name] = replace(shard, alerts={**shard.alerts, **{alert.alert: alert for alert in stopped}})
    return Stepped(Pages(shards), tuple(published), tuple(published)) if published else Stepped(pages)


def _suspects(pages: Pages, decision: Decision) -> Iterable[Suspect]:
    """Those of this decision, and of what the other shards decided last, where that is of about the same time."""
    yield from decision.suspects
    for number, shard in pages.shards.items():
        if number != decision.owner and abs(decision.decided_ms - shard.decided_ms) <= SUSPECTED_WITHIN_MS:
            yield from shard.suspects


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
        for alert in firing_in(shard)
        if alert.starts_event_ms == decision.decided_ms and "explained_by" not in alert.annotations
    ]
    told = [alert.model_copy(update=_explained(alert, suspicions, paging, now_ms)) for alert in begun]
    return [alert for alert in told if "explained_by" in alert.annotations]


def _explained(alert: AlertState, suspicions: Suspicions, paging: Paging, now_ms: int) -> dict[str, Any]:
    causes = causes_of(alert.burn, alert.starts_event_ms, suspicions, paging, alert.growth)
    lasting = Lasting(alert.starts_event_ms, alert.decided_event_ms, now_ms)
    said = explain(alert.burn, lasting, alert.completeness, paging, causes)
    return {"annotations": said, "growth": causes.growth, "version": next_version(alert, now_ms)}


def _news(before: Shard, published: Iterable[AlertState]) -> tuple[AlertState, ...]:
    """What is in another state than it was, or explained for the first time: a notification may still wait for that.

    What has never fired is nobody's news.
    """
    return tuple(alert for alert in published if _is_news(before.alerts.get(alert.alert), alert))


def _is_news(before: AlertState | None, now: AlertState) -> bool:
    if not now.has_fired:
        return False
    if before is None or before.state != now.state:
        return True
    return any(name in now.annotations and name not in before.annotations for name in ("explained_by", "stage"))
