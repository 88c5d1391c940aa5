"""Whom Grafana tells of the second line: contact points, our route in the notification policies, and when it keeps quiet.

Our Alertmanager is told what Grafana knows every minute, as by Prometheus: it takes an alert as over that nobody has sent
for five minutes, and who is notified how often is its business. A webhook is told when something changes, and every four
hours. Where there are both, our route has a part for each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import available_timezones

from dashboards.ownership import OWN_LABEL, OWN_PREFIX, OWN_VALUE
from schemas.failures import BadInput

ALERTMANAGER, WEBHOOK, MAINTENANCE = (f"{OWN_PREFIX}{name}" for name in ("alertmanager", "webhook", "maintenance"))

_PACE = {
    ALERTMANAGER: {"group_wait": "5s", "group_interval": "1m", "repeat_interval": "1m"},
    WEBHOOK: {"group_wait": "30s", "group_interval": "5m", "repeat_interval": "4h"},
}
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WINDOW = re.compile(
    r"(?:(?P<first>[a-z]+)(?::(?P<last>[a-z]+))? +)?(?P<begin>\d\d:\d\d)-(?P<end>\d\d:\d\d)(?: +(?P<zone>\S+))?",
    re.ASCII | re.IGNORECASE,
)

Body = dict[str, Any]


class MaintenanceError(BadInput):
    """A maintenance window that can't be meant; the sentence says which, and how one is written."""


@dataclass(frozen=True, slots=True)
class MaintenanceWindow:
    """From `begin` to `end` (`HH:MM`) on some days of the week, or on every day, in a zone of the IANA database."""

    begin: str
    end: str
    weekdays: tuple[str, ...] = ()
    zone: str = "UTC"

    def definition(self) -> Body:
        days = {"weekdays": list(self.weekdays)} if self.weekdays else {}
        return {"times": [{"start_time": self.begin, "end_time": self.end}], **days, "location": self.zone}


@dataclass(frozen=True, slots=True)
class Notifications:
    """What of it is configured; addresses are as Grafana reaches them. Without any, Grafana's own policies decide."""

    alertmanager_url: str = ""
    alertmanager_username: str = ""
    alertmanager_password: str = field(default="", repr=False)
    webhook_url: str = field(default="", repr=False)
    webhook_token: str = field(default="", repr=False)
    maintenance: tuple[MaintenanceWindow, ...] = ()

    @property
    def receivers(self) -> tuple[str, ...]:
        """Names of our contact points."""
        known = ((ALERTMANAGER, self.alertmanager_url), (WEBHOOK, self.webhook_url))
        return tuple(name for name, url in known if url)


NOBODY = Notifications()


@dataclass(frozen=True, slots=True)
class ContactPoint:
    """One contact point with one receiver, both of the same name. Grafana never gives `secrets` back."""

    name: str
    kind: str
    settings: Mapping[str, str] = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)

    def definition(self) -> Body:
        """As the API takes it, without secrets. Grafana's schema library does not know the kind of an Alertmanager."""
        settings = dict(self.settings)
        return {
            "uid": self.name,
            "name": self.name,
            "type": self.kind,
            "settings": settings,
            "disableResolveMessage": False,
        }


def contact_points(told: Notifications) -> tuple[ContactPoint, ...]:
    alertmanager = ContactPoint(
        ALERTMANAGER,
        "prometheus-alertmanager",
        _given(url=told.alertmanager_url, basicAuthUser=told.alertmanager_username),
        _given(basicAuthPassword=told.alertmanager_password),
    )
    token = {"authorization_scheme": "Bearer"} if told.webhook_token else {}
    webhook = ContactPoint(
        WEBHOOK,
        "webhook",
        {**_given(url=told.webhook_url), "httpMethod": "POST", **token},
        _given(authorization_credentials=told.webhook_token),
    )
    return tuple(each for each in (alertmanager, webhook) if each.name in told.receivers)


def mute_timing(told: Notifications) -> Body | None:
    """When nobody is notified, though rules are judged all the same; None where there is no maintenance."""
    if not told.maintenance:
        return None
    return {"name": MAINTENANCE, "time_intervals": [window.definition() for window in told.maintenance]}


def route(told: Notifications) -> Body | None:
    """Our branch of the policy tree, found by its matcher; None where nobody of ours is to be told."""
    parts = [_part(name, told) for name in told.receivers]
    if not parts:
        return None
    ours = {**parts[0], "object_matchers": [[OWN_LABEL, "=", OWN_VALUE]], "group_by": ["alertname"]}
    if len(parts) == 1:
        return ours
    going_on = [{**part, "continue": True} for part in parts[:-1]]
    return {**ours, "routes": [*going_on, parts[-1]]}


def is_our_route(found: Mapping[str, Any]) -> bool:
    return list(found.get("object_matchers") or []) == [[OWN_LABEL, "=", OWN_VALUE]]


def in_files(told: Notifications) -> Body:
    """The same as a file of Grafana's provisioning, which owns the whole tree: whatever nobody else routes comes here, too.

    It has no secrets: who needs one writes a file of their own.
    """
    assert not any(point.secrets for point in contact_points(told)), "a file that is rendered holds no secret"
    points = [{"orgId": 1, "name": each.name, "receivers": [_receiver(each)]} for each in contact_points(told)]
    timing, ours = mute_timing(told), route(told)
    document: Body = {"apiVersion": 1, "contactPoints": points}
    if ours:
        root = {name: ours[name] for name in ("receiver", "group_by", *_PACE[ALERTMANAGER])}
        document["policies"] = [{"orgId": 1, **root, "routes": [ours]}]
    return document | ({"muteTimes": [{"orgId": 1, **timing}]} if timing else {})


def _receiver(point: ContactPoint) -> Body:
    return {key: value for key, value in point.definition().items() if key != "name"}


def _part(receiver: str, told: Notifications) -> Body:
    muted = {"mute_time_intervals": [MAINTENANCE]} if told.maintenance else {}
    return {"receiver": receiver, **_PACE[receiver], **muted}


def _given(**settings: str) -> dict[str, str]:
    return {name: value for name, value in settings.items() if value}


def maintenance_windows(written: str) -> tuple[MaintenanceWindow, ...]:
    """The windows of a text, with semicolons between them; raises `MaintenanceError`.

    >>> weekend, noon = maintenance_windows("saturday:sunday 01:00-03:00 Europe/Berlin; 12:00-12:30")
    >>> weekend
    MaintenanceWindow(begin='01:00', end='03:00', weekdays=('saturday', 'sunday'), zone='Europe/Berlin')
    >>> noon.weekdays, noon.zone
    ((), 'UTC')
    """
    return tuple(_window(part.strip()) for part in written.split(";") if part.strip())


def _window(written: str) -> MaintenanceWindow:
    match = _WINDOW.fullmatch(written)
    if match is None:
        raise MaintenanceError(
            f"'{written}' is no maintenance window: write it as `sunday 01:00-03:00 Europe/Berlin`, "
            "`monday:friday 12:00-12:30`, or `01:00-02:00` for every day in UTC."
        )
    days = [day.lower() for day in (match["first"], match["last"]) if day]
    unknown = [day for day in days if day not in _WEEKDAYS]
    if unknown:
        raise MaintenanceError(f"'{written}' names {unknown[0]}, which is no day of the week.")
    zone = _zone(match["zone"] or "UTC", written)
    begin, end = match["begin"], match["end"]
    if not (_is_time(begin) and (_is_time(end) or end == "24:00") and begin < end):
        raise MaintenanceError(
            f"'{written}' does not end after it begins, within one day: write two windows for one over midnight."
        )
    return MaintenanceWindow(begin, end, _from_to(days), zone)


def _from_to(days: list[str]) -> tuple[str, ...]:
    """Every day from the first to the last. A range is not sent as one: to Grafana the week begins on Sunday."""
    if len(days) < 2:
        return tuple(days)
    first, last = map(_WEEKDAYS.index, days)
    return tuple(_WEEKDAYS[(first + place) % 7] for place in range((last - first) % 7 + 1))


def _is_time(written: str) -> bool:
    hours, minutes = written.split(":")
    return int(hours) < 24 and int(minutes) < 60


def _zone(name: str, written: str) -> str:
    known = {zone.lower(): zone for zone in (*available_timezones(), "UTC")}
    if name.lower() not in known:
        raise MaintenanceError(f"'{written}' names {name}, which is no zone of the IANA database.")
    return known[name.lower()]
