"""What is known of findings, shard by shard of each question, and how a restart has it back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from alerts.paging_state import RESOLVED_KEPT_MS
from schemas.burns import EndedBefore
from schemas.findings import FindingAlert, Findings

OPEN_MAX = 1_000
"""Alerts of one shard of a question that may be open: five statements' worth, should each name others. More do not begin."""
ENDED_MAX = 1_000
"""Those that are kept after their end, the newest: an Alertmanager that was away hears of them for a day."""

Owner = tuple[str, int]
"""A question, and a shard of it."""
HOLDS_UNSTATED_S = 600
"""How long alerts hold of which a restart knows no statement: until it is read again."""


@dataclass(frozen=True, slots=True)
class Stated:
    """One shard of a question: its newest statement, when that was heard by the clock, and its alerts by identity.

    `said` is without its findings, which the alerts have; `unlisted` there counts all that is no alert.
    """

    said: Findings
    heard_ms: int
    alerts: Mapping[str, FindingAlert] = field(default_factory=dict)
    """Open, or just resolved."""

    @property
    def instant(self) -> tuple[int, float]:
        return self.said.decided_ms, self.said.completeness


@dataclass(frozen=True, slots=True)
class Found:
    """All that questions found."""

    owners: Mapping[Owner, Stated] = field(default_factory=dict)

    @property
    def alerts(self) -> tuple[FindingAlert, ...]:
        return tuple(known(self))

    @property
    def open(self) -> tuple[FindingAlert, ...]:
        """What fires, or is frozen."""
        return tuple(alert for alert in known(self) if is_open(alert))


def known(found: Found) -> Iterator[FindingAlert]:
    """Every alert, one by one."""
    return (alert for stated in found.owners.values() for alert in stated.alerts.values())


def to_send(found: Found, now_ms: int) -> tuple[FindingAlert | EndedBefore, ...]:
    """What Alertmanagers have to know: all that fires, and what has resolved within a day, earlier firings included."""
    return tuple(told for alert in known(found) for told in _told(alert, now_ms))


def restore(said: Iterable[Findings], alerts: Iterable[FindingAlert], shards: int, now_ms: int) -> Found:
    """The state that the newest statements and alerts give back, after a restart at `now_ms`.

    Shards that are none of the `shards` there are any more are left out: nobody would ever end what they found.
    """
    owners = {each.owner: Stated(each, now_ms) for each in said if each.shard < shards}
    of_owner: dict[Owner, dict[str, FindingAlert]] = {}
    for alert in alerts:
        if alert.shard < shards:
            of_owner.setdefault((alert.question, alert.shard), {})[alert.alert] = alert
    for owner, found in of_owner.items():
        owners[owner] = replace(owners.get(owner) or unstated(owner, now_ms), alerts=found)
    return Found(owners)


def unstated(owner: Owner, now_ms: int) -> Stated:
    """A shard of which no statement is known: any is newer."""
    question, shard = owner
    nothing = Findings(question=question, shard=shard, decided_ms=0, completeness=0.0, holds_s=HOLDS_UNSTATED_S)
    return Stated(nothing, now_ms)


def kept(alerts: Mapping[str, FindingAlert], now_ms: int) -> dict[str, FindingAlert]:
    """What is open, and of what ended within a day the newest."""
    ended = [alert for alert in alerts.values() if not is_open(alert) and _is_recent(alert.ends_ms, now_ms)]
    ended.sort(key=lambda alert: (-(alert.ends_ms or 0), alert.alert))
    newest = {alert.alert for alert in ended[:ENDED_MAX]}
    return {name: alert for name, alert in alerts.items() if is_open(alert) or name in newest}


def _told(alert: FindingAlert, now_ms: int) -> Iterator[FindingAlert | EndedBefore]:
    for each in alert.former:
        if _is_recent(each.ends_ms, now_ms) and each.labels != alert.labels:
            yield each
    if _is_recent(alert.ends_ms, now_ms):
        yield alert


def is_open(alert: FindingAlert) -> bool:
    return alert.state in ("firing", "frozen")


def _is_recent(ends_ms: int | None, now_ms: int) -> bool:
    return ends_ms is None or now_ms - ends_ms < RESOLVED_KEPT_MS
