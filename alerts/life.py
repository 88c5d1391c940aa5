"""The life of one shard's alerts: what a decision makes of each of them.

It fires when any policy row of its severity is stated for it, is stated anew at every decision while that lasts, and
resolves when its shard has decided without it: a later instant, or the same one on more of the volume, and in any case on
nearly all of it, because silence is never good news. What nothing has confirmed or ended for a minute is frozen, and what
too few producers have reported makes no new alert either.
"""

from __future__ import annotations

from dataclasses import replace

from alerts.causes import Causes, Suspicions
from alerts.explanations import FROZEN, Paging, explain, frozen_since, labels_of, objective_was_removed
from alerts.paging_state import Shard, firing_in, is_open, next_version
from alerts.wording import event_time, percent
from schemas.burns import AlertState, Burn, Decision, StageGrowth

RESOLVE_COMPLETENESS_MIN = 0.95
"""Share of recent volume that a decision has to be made on before it may end an alert."""

FIRE_COMPLETENESS_MIN = 0.5
"""Share of recent volume below which a decision says nothing, neither of what burns nor of what does not."""

FROZEN_AFTER_MS = 60_000
"""How long an alert stays as it is without being confirmed or ended: event time, and by the clock where that counts."""

_SLICE_IS_QUIET = "its slice has no traffic in the short window"


def fired(shard: Shard, decision: Decision, suspicions: Suspicions, paging: Paging, now_ms: int) -> list[AlertState]:
    """One statement per alert that burns; the row with the highest burn gives the numbers."""
    if decision.completeness < FIRE_COMPLETENESS_MIN:
        return []
    best: dict[str, Burn] = {}
    for burn in sorted(decision.burns, key=lambda burn: (-burn.long_burn, burn.long_s, burn.row)):
        best.setdefault(alert_id(burn), burn)
    return [_firing(shard.alerts.get(name), best[name], decision, suspicions, paging, now_ms) for name in sorted(best)]


def resolved(shard: Shard, decision: Decision, stated: set[str], paging: Paging, now_ms: int) -> list[AlertState]:
    """Alerts that were open, and that a later instant was decided without, or the same one on more of the volume.

    What no shard watches any more, because its objective was removed, is stated by none and ends the same way.
    """
    if decision.completeness < RESOLVE_COMPLETENESS_MIN:
        return []
    kept = stated | _quiet(decision)
    over = [
        alert
        for name, alert in sorted(shard.alerts.items())
        if is_open(alert) and name not in kept and _confirmed(alert) < (decision.decided_ms, decision.completeness)
    ]
    return [_ended(alert, decision, paging, now_ms) for alert in over]


def unconfirmed(shard: Shard, decision: Decision, settled: set[str], now_ms: int) -> list[AlertState]:
    """Firing alerts that no decision has been able to confirm or end for too long, this one included."""
    quiet, oldest_ms = _quiet(decision), decision.decided_ms - FROZEN_AFTER_MS
    share = f"only {percent(decision.completeness)} of recent volume has reported"
    return [
        frozen(alert, alert.decided_event_ms, _SLICE_IS_QUIET if alert.alert in quiet else share, now_ms)
        for alert in firing_in(shard)
        if alert.alert not in settled and alert.decided_event_ms <= oldest_ms
    ]


def frozen(alert: AlertState, since_ms: int, why: str, now_ms: int) -> AlertState:
    return alert.model_copy(
        update={
            "state": "frozen",
            "version": next_version(alert, now_ms),
            "annotations": alert.annotations | frozen_since(since_ms, why),
        }
    )


def alert_id(burn: Burn) -> str:
    """Identity of the alert that a burn belongs to; no part of it can hold a `|`."""
    return f"{burn.slo}|{burn.slice}|{burn.severity}"


def causes_of(
    burn: Burn, starts_event_ms: int, suspicions: Suspicions, paging: Paging, known: StageGrowth | None = None
) -> Causes:
    slo = paging.slos.get(burn.slo)
    causes = suspicions.causes(burn, starts_event_ms, slo.budget_rate if slo else None)
    return replace(causes, growth=paging.grown.named(burn, causes.explanation, starts_event_ms) or known)


def _firing(
    previous: AlertState | None, burn: Burn, decision: Decision, suspicions: Suspicions, paging: Paging, now_ms: int
) -> AlertState:
    goes_on = previous is not None and is_open(previous)
    starts_event_ms = previous.starts_event_ms if previous and goes_on else decision.decided_ms
    known = previous.growth if previous and goes_on else None
    causes = causes_of(burn, starts_event_ms, suspicions, paging, known)
    return AlertState(
        alert=alert_id(burn),
        state="firing",
        burn=burn,
        starts_event_ms=starts_event_ms,
        decided_event_ms=decision.decided_ms,
        starts_ms=previous.starts_ms if previous and goes_on else now_ms,
        ends_ms=None,
        completeness=decision.completeness,
        version=next_version(previous, now_ms),
        labels=previous.labels if previous and goes_on else labels_of(burn, paging),
        family=decision.family,
        annotations=explain(burn, decision.decided_ms, decision.completeness, paging, causes),
        growth=causes.growth,
    )


def _ended(alert: AlertState, decision: Decision, paging: Paging, now_ms: int) -> AlertState:
    said = {name: text for name, text in alert.annotations.items() if name != FROZEN}
    return alert.model_copy(
        update={
            "state": "resolved",
            "decided_event_ms": decision.decided_ms,
            "ends_ms": now_ms,
            "completeness": decision.completeness,
            "version": next_version(alert, now_ms),
            "annotations": said
            | {"resolved_event_time": event_time(decision.decided_ms)}
            | objective_was_removed(alert, paging),
        }
    )


def _quiet(decision: Decision) -> set[str]:
    return {f"{each.slo}|{each.slice}|{each.severity}" for each in decision.quiet}


def _confirmed(alert: AlertState) -> tuple[int, float]:
    return alert.decided_event_ms, alert.completeness
