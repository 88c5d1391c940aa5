"""What is known of alerts, shard by shard, and how a restart has it back.

The newest statement of each alert is the whole state: what its shard had decided last follows from those.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby

from schemas.burns import AlertState, EndedBefore, Suspect
from schemas.findings import FindingAlert
from schemas.slices import shard_of

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
        return tuple(known(self))

    @property
    def firing(self) -> tuple[AlertState, ...]:
        return tuple(alert for alert in self.alerts if alert.state == "firing")


def known(pages: Pages) -> Iterator[AlertState]:
    """Every alert, one by one."""
    return (alert for shard in pages.shards.values() for alert in shard.alerts.values())


def to_send(pages: Pages, now_ms: int) -> tuple[AlertState | EndedBefore, ...]:
    """What Alertmanagers have to know: all that fires, and what has resolved within a day; nothing that is only pending."""
    return tuple(told for alert in known(pages) for told in _told(alert, now_ms))


def _told(alert: AlertState, now_ms: int) -> Iterator[AlertState | EndedBefore]:
    """The alert itself, if anybody has heard of it; and of its earlier firings those that are others to an Alertmanager."""
    for each in alert.former:
        if _is_recent(each.ends_ms, now_ms) and each.labels != alert.labels:
            yield each
    if alert.has_fired and _is_recent(alert.ends_ms, now_ms):
        yield alert


def restore(published: Iterable[AlertState], shards: int, now_ms: int = 0) -> Pages:
    """The state that the newest statement of each alert gives back, after a restart at `now_ms`.

    Silence is not published anew while it lasts, so of a frozen alert it is not known until when something spoke for it.
    """
    newest: dict[str, AlertState] = {}
    for alert in published:
        if alert.alert not in newest or newest[alert.alert].version < alert.version:
            newest[alert.alert] = alert
    ordered = sorted(newest.values(), key=lambda alert: _owner(alert, shards))
    by_owner = groupby(ordered, lambda alert: _owner(alert, shards))
    return Pages({owner: _shard_of(list(alerts), now_ms) for owner, alerts in by_owner})


def restated(shards: Mapping[Owner, Shard], alerts: Iterable[AlertState]) -> dict[Owner, Shard]:
    """The shards with these alerts in place of what they said before."""
    by_name = {alert.alert: alert for alert in alerts}
    return {
        number: replace(shard, alerts={name: by_name.get(name, alert) for name, alert in shard.alerts.items()})
        if by_name.keys() & shard.alerts.keys()
        else shard
        for number, shard in shards.items()
    }


def remembered(alerts: Mapping[str, AlertState], now_ms: int) -> dict[str, AlertState]:
    return {name: alert for name, alert in alerts.items() if _is_remembered(alert, now_ms)}


def next_version(previous: AlertState | FindingAlert | None, now_ms: int) -> int:
    """Grows past every earlier statement, also of an alert that was forgotten since: the clock passed those."""
    return max(previous.version + 1, now_ms) if previous else now_ms


def is_open(alert: AlertState) -> bool:
    """Whether somebody has been told that it fires, and not yet of its end."""
    return alert.state in ("firing", "frozen")


def firing_in(shard: Shard) -> list[AlertState]:
    return [alert for _, alert in sorted(shard.alerts.items()) if alert.state == "firing"]


def _owner(alert: AlertState, shards: int) -> Owner:
    return alert.family, shard_of(alert.burn.slice, shards)


def _shard_of(alerts: list[AlertState], now_ms: int) -> Shard:
    decided_ms, completeness = max((alert.decided_event_ms, alert.completeness) for alert in alerts)
    return Shard(decided_ms, completeness, now_ms, {alert.alert: _restored(alert) for alert in alerts})


def _restored(alert: AlertState) -> AlertState:
    return alert.model_copy(update={"stated_event_ms": None}) if alert.state == "frozen" else alert


def _is_remembered(alert: AlertState, now_ms: int) -> bool:
    """Whether it is open, or somebody may still have to hear of its end, or of an earlier one."""
    if alert.has_fired or alert.ends_ms is None:
        return _is_recent(alert.ends_ms, now_ms)
    return any(_is_recent(each.ends_ms, now_ms) for each in alert.former)


def _is_recent(ends_ms: int | None, now_ms: int) -> bool:
    return ends_ms is None or now_ms - ends_ms < RESOLVED_KEPT_MS
