"""What is said of one alert: pending, firing, going on, frozen, resolved. Which of them is due is `life.py`'s question."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from alerts.board_links import Lasting
from alerts.causes import Causes, Suspicions
from alerts.explanations import FROZEN, Paging, explain, frozen_since, labels_of, objective_was_removed
from alerts.incident_scope import INCIDENT, OpenIncidents
from alerts.paging_state import is_open, next_version
from schemas.burns import FORMER_MAX, AlertState, Burn, Decision, EndedBefore, StageGrowth
from schemas.instants import utc_text


@dataclass(frozen=True, slots=True)
class Heard:
    """A decision, and what it is heard with."""

    decision: Decision
    suspicions: Suspicions
    paging: Paging
    now_ms: int
    incidents: OpenIncidents

    def since(self, began_ms: int) -> Lasting:
        """How long something lasts that began at `began_ms` of event time and goes on."""
        return Lasting(began_ms, self.decision.decided_ms, self.now_ms)


def pending(name: str, before: AlertState | None, burn: Burn, heard: Heard) -> AlertState:
    """Nobody is told of it: it has no causes, and as its beginning the instant at which it was stated first."""
    decision = heard.decision
    goes_on = before is not None and before.state == "pending"
    starts_event_ms = before.starts_event_ms if before and goes_on else decision.decided_ms
    return AlertState(
        alert=name,
        state="pending",
        burn=burn,
        starts_event_ms=starts_event_ms,
        decided_event_ms=decision.decided_ms,
        starts_ms=before.starts_ms if before and goes_on else heard.now_ms,
        ends_ms=None,
        completeness=decision.completeness,
        version=next_version(before, heard.now_ms),
        labels=labels_of(burn, heard.paging),
        family=decision.family,
        annotations=explain(burn, heard.since(starts_event_ms), decision.completeness, heard.paging),
        has_fired=False,
        former=_former(before),
    )


def firing(name: str, before: AlertState | None, burn: Burn, heard: Heard) -> AlertState:
    """It begins at this instant, pending or not before; or it goes on, with the labels that it began with."""
    decision = heard.decision
    goes_on = before is not None and is_open(before)
    starts_event_ms = before.starts_event_ms if before and goes_on else decision.decided_ms
    known = before.growth if before and goes_on else None
    causes = causes_of(burn, starts_event_ms, heard.suspicions, heard.paging, known)
    return AlertState(
        alert=name,
        state="firing",
        burn=burn,
        starts_event_ms=starts_event_ms,
        decided_event_ms=decision.decided_ms,
        starts_ms=before.starts_ms if before and goes_on else heard.now_ms,
        ends_ms=None,
        completeness=decision.completeness,
        version=next_version(before, heard.now_ms),
        labels=before.labels if before and goes_on else _labels(burn, causes, heard),
        family=decision.family,
        annotations=explain(burn, heard.since(starts_event_ms), decision.completeness, heard.paging, causes),
        stated_event_ms=decision.decided_ms,
        growth=causes.growth,
        former=_former(before),
    )


def _former(before: AlertState | None) -> tuple[EndedBefore, ...]:
    """What has fired and ended before: its labels are its own, so nothing that begins now ends it in an Alertmanager."""
    if before is None:
        return ()
    if before.ends_ms is None or not before.has_fired:
        return before.former
    return (*before.former, EndedBefore.of(before, before.ends_ms))[-FORMER_MAX:]


def _labels(burn: Burn, causes: Causes, heard: Heard) -> dict[str, str]:
    """Of an alert that begins: with the incident that it belongs to from now on."""
    explaining = causes.explanation.slices if causes.explanation else (burn.slice,)
    incident = heard.incidents.incident_of(burn, explaining, heard.decision.decided_ms)
    return labels_of(burn, heard.paging) | {INCIDENT: incident}


def going_on(alert: AlertState, decision: Decision, now_ms: int, is_stated: bool = False) -> AlertState:
    """It fires on with the figures it had: near a threshold (`is_stated`), or waiting for its end."""
    knows_when = is_stated or alert.stated_event_ms is None
    return alert.model_copy(
        update={
            "state": "firing",
            "decided_event_ms": decision.decided_ms,
            "completeness": decision.completeness,
            "version": next_version(alert, now_ms),
            "annotations": _thawed(alert),
            "stated_event_ms": decision.decided_ms if knows_when else alert.stated_event_ms,
        }
    )


def frozen(alert: AlertState, since_ms: int, why: str, now_ms: int) -> AlertState:
    """It is told as firing, and says that nothing confirms or ends it."""
    return alert.model_copy(
        update={
            "state": "frozen",
            "version": next_version(alert, now_ms),
            "annotations": alert.annotations | frozen_since(since_ms, why),
        }
    )


def ended(alert: AlertState, decision: Decision, paging: Paging, now_ms: int) -> AlertState:
    """It ends with this decision, and says so if its objective was removed. Its board ends where it did."""
    lasting = Lasting(alert.starts_event_ms, decision.decided_ms, now_ms, is_over=True)
    return alert.model_copy(
        update={
            "state": "resolved",
            "decided_event_ms": decision.decided_ms,
            "ends_ms": now_ms,
            "completeness": decision.completeness,
            "version": next_version(alert, now_ms),
            "annotations": _thawed(alert)
            | {"resolved_event_time": utc_text(decision.decided_ms)}
            | {"dashboard_url": paging.links.of_burn(alert.burn, lasting)}
            | objective_was_removed(alert, paging),
        }
    )


def causes_of(
    burn: Burn, starts_event_ms: int, suspicions: Suspicions, paging: Paging, known: StageGrowth | None = None
) -> Causes:
    """Why it may burn; which slices explain it only where the objective is known here. Where any bad turn is too many none is allowed.

    `known` is the stage that it was said to have grown as it began.
    """
    slo = paging.slos.get(burn.slo)
    allowed = Decimal(0) if burn.factor == 0 else slo.turns_allowed if slo else None
    causes = suspicions.causes(burn, starts_event_ms, allowed)
    return replace(causes, growth=paging.grown.named(burn, causes.explanation, starts_event_ms) or known)


def _thawed(alert: AlertState) -> dict[str, str]:
    return {name: text for name, text in alert.annotations.items() if name != FROZEN}
