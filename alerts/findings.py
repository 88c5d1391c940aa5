"""The life of what questions found: from their statements to what Alertmanagers are told.

One alert per finding: its alert, slice, further labels and severity. It fires from the first statement that names it, and
ends with the first later one that does not, if that was decided on nearly all of the volume: silence is never good news.
What nothing confirms or ends is *frozen*: its question has stated nothing newer for as long as its last statement holds,
most producers are missing, or there is more in its shard than a statement names. It is told as firing, and says since when
and why it is frozen; the next statement that names it thaws it. On less than half of the volume nothing begins either.

A page belongs to an incident, that of the burn that it explains if there is one (`incident_scope.py`). A ticket does not:
nobody is woken for it, and it keeps its labels however often it comes again.

Everything here is a value, and every statement is absolute: reading one again, or an older one, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from alerts.board_links import Lasting
from alerts.explanations import FROZEN, Paging, frozen_since
from alerts.finding_wording import explain_finding, labels_of_finding
from alerts.findings_state import OPEN_MAX, Found, Stated, is_open, kept, restore, to_send, unstated
from alerts.incident_scope import INCIDENT, OpenIncidents
from alerts.paging_state import next_version
from alerts.wording import percent
from schemas.burns import FIRE_COMPLETENESS_MIN, FORMER_MAX, RESOLVE_COMPLETENESS_MIN, EndedBefore
from schemas.findings import Finding, FindingAlert, Findings
from schemas.instants import utc_text

__all__ = ["Found", "Stepped", "freeze", "restore", "step", "to_send"]


@dataclass(frozen=True, slots=True)
class Stepped:
    """The new state; every alert that changed; and those of them that somebody has to hear of at once."""

    found: Found
    published: tuple[FindingAlert, ...] = ()
    news: tuple[FindingAlert, ...] = ()


@dataclass(frozen=True, slots=True)
class Heard:
    """A statement, and what it is heard with. One that says nothing newer confirms nothing, and ends nothing."""

    said: Findings
    paging: Paging
    incidents: OpenIncidents
    now_ms: int
    is_newer: bool


def step(found: Found, said: Findings, paging: Paging, incidents: OpenIncidents, now_ms: int) -> Stepped:
    """Takes in all that a question states of one shard. `incidents` are those that are open now."""
    stated = found.owners.get(said.owner) or unstated(said.owner, now_ms)
    instant = said.decided_ms, said.completeness
    if instant < stated.instant:
        return Stepped(found)
    heard = Heard(said, paging, incidents, now_ms, is_newer=instant > stated.instant)
    named, left_out = _named(stated, heard)
    published = _changed(stated, (*named, *_unnamed(stated, heard)), now_ms)
    alerts = kept({**stated.alerts, **{alert.alert: alert for alert in published}}, now_ms)
    heard_ms = now_ms if said.decided_ms > stated.said.decided_ms else stated.heard_ms
    after = Stated(_without_findings(said, left_out), heard_ms, alerts)
    news = tuple(alert for alert in published if _state_of(stated, alert) != alert.state)
    return Stepped(Found({**found.owners, said.owner: after}), published, news)


def freeze(found: Found, now_ms: int) -> Stepped:
    """Freezes what fires where nothing newer has been stated for longer than the last statement holds, by the clock.

    Only where event time follows the clock: a replay that has ended is no silence.
    """
    owners, published = dict(found.owners), list[FindingAlert]()
    for owner, stated in found.owners.items():
        if now_ms - stated.heard_ms < 1_000 * stated.said.holds_s:
            continue
        stopped = [_frozen(alert, "nothing newer has been stated since") for alert in stated.alerts.values()]
        changed = _changed(stated, stopped, now_ms)
        owners[owner] = replace(stated, alerts={**stated.alerts, **{alert.alert: alert for alert in changed}})
        published += changed
    return Stepped(Found(owners), tuple(published), tuple(published)) if published else Stepped(found)


def _without_findings(said: Findings, left_out: int) -> Findings:
    return said.model_copy(update={"findings": (), "unlisted": said.unlisted + left_out})


def _named(stated: Stated, heard: Heard) -> tuple[list[FindingAlert], int]:
    """The alerts of what a statement names, and of how much there is none."""
    says_enough = heard.said.completeness >= FIRE_COMPLETENESS_MIN
    room = OPEN_MAX - sum(map(is_open, stated.alerts.values()))
    named, left_out = [], 0
    for finding in heard.said.findings:
        before = stated.alerts.get(finding.name)
        if before is not None and is_open(before):
            named.append(_going_on(before, finding, heard) if says_enough else _frozen_by_volume(before, heard))
        elif says_enough and room > 0:
            room -= 1
            named.append(_beginning(before, finding, heard))
        else:
            left_out += 1
    return named, left_out


def _beginning(before: FindingAlert | None, finding: Finding, heard: Heard) -> FindingAlert:
    said = heard.said
    labels = labels_of_finding(said.question, finding, heard.paging.slos)
    if finding.severity == "page":
        labels[INCIDENT] = heard.incidents.incident_of_finding(finding, said.decided_ms)
    return FindingAlert(
        alert=finding.name,
        question=said.question,
        shard=said.shard,
        state="firing",
        finding=finding,
        starts_event_ms=said.decided_ms,
        decided_event_ms=said.decided_ms,
        starts_ms=heard.now_ms,
        ends_ms=None,
        completeness=said.completeness,
        version=before.version if before else 0,
        labels=labels,
        annotations=explain_finding(finding, said, heard.paging.links, heard.now_ms),
        former=_former(before),
    )


def _going_on(before: FindingAlert, finding: Finding, heard: Heard) -> FindingAlert:
    """It fires on, with the labels that it began with; what is frozen is thawed by something newer only."""
    if before.state == "frozen" and not heard.is_newer:
        return before
    return before.model_copy(
        update={
            "state": "firing",
            "finding": finding,
            "decided_event_ms": heard.said.decided_ms,
            "completeness": heard.said.completeness,
            "annotations": explain_finding(finding, heard.said, heard.paging.links, heard.now_ms),
        }
    )


def _unnamed(stated: Stated, heard: Heard) -> list[FindingAlert]:
    """Open alerts that a newer statement does not name: they end, unless it cannot know."""
    if not heard.is_newer:
        return []
    said = heard.said
    names = {finding.name for finding in said.findings}
    over = [alert for name, alert in sorted(stated.alerts.items()) if name not in names and is_open(alert)]
    if said.completeness < RESOLVE_COMPLETENESS_MIN:
        return [_frozen_by_volume(alert, heard) for alert in over]
    if said.unlisted:
        why = f"it may be among {said.unlisted:,} findings that its statement has no room for"
        return [_frozen(alert, why) for alert in over]
    return [_ended(alert, heard) for alert in over]


def _frozen_by_volume(alert: FindingAlert, heard: Heard) -> FindingAlert:
    why = f"only {percent(heard.said.completeness)} of recent volume has reported"
    return _frozen(alert, why)


def _frozen(alert: FindingAlert, why: str) -> FindingAlert:
    """It is told as firing, and says that nothing confirms or ends it. What does not fire stays as it is."""
    if alert.state != "firing":
        return alert
    said = alert.annotations | frozen_since(alert.decided_event_ms, why)
    return alert.model_copy(update={"state": "frozen", "annotations": said})


def _ended(alert: FindingAlert, heard: Heard) -> FindingAlert:
    said, links = heard.said, heard.paging.links
    lasting = Lasting(alert.finding.since_ms, said.decided_ms, heard.now_ms, is_over=True)
    thawed = {name: text for name, text in alert.annotations.items() if name != FROZEN}
    update: dict[str, Any] = {
        "state": "resolved",
        "decided_event_ms": said.decided_ms,
        "completeness": said.completeness,
        "ends_ms": heard.now_ms,
        "annotations": {
            **thawed,
            "dashboard_url": links.of_finding(said.question, alert.finding, lasting),
            "resolved_event_time": utc_text(said.decided_ms),
            **_why_over(alert, said),
        },
    }
    return alert.model_copy(update=update)


def _why_over(alert: FindingAlert, said: Findings) -> dict[str, str]:
    """What an end says besides, where the same goes on with another severity."""
    others = [each.severity for each in said.findings if each.subject == alert.finding.subject]
    return {"resolved_because": f"It goes on as a {others[0]}."} if others else {}


def _changed(stated: Stated, alerts: Iterable[FindingAlert], now_ms: int) -> tuple[FindingAlert, ...]:
    """Those that say anything else than before, with the next version."""
    return tuple(
        alert.model_copy(update={"version": next_version(stated.alerts.get(alert.alert), now_ms)})
        for alert in alerts
        if stated.alerts.get(alert.alert) != alert
    )


def _former(before: FindingAlert | None) -> tuple[EndedBefore, ...]:
    """What has fired and ended before: another one to an Alertmanager, where it was of another incident."""
    if before is None or before.ends_ms is None:
        return ()
    return (*before.former, EndedBefore.of(before, before.ends_ms))[-FORMER_MAX:]


def _state_of(stated: Stated, alert: FindingAlert) -> str | None:
    return stated.alerts[alert.alert].state if alert.alert in stated.alerts else None
