"""Contact points, our route in the notification policies, and the mute timing of maintenance.

Grafana has one tree of policies for everybody, and its API replaces it whole. So it is read, our route in it is put in or
replaced where it stands, and all of it is sent back as it was. Its `provenance` stays what it was, too: a tree that people
edit by hand can be edited by hand afterwards, and one that a file provisions is refused, because the API would not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from dashboards.changes import Change, How, as_wanted, difference
from dashboards.grafana import Grafana, ProvisioningRefused
from dashboards.notifications import (
    MAINTENANCE,
    ContactPoint,
    Notifications,
    contact_points,
    is_our_route,
    mute_timing,
    route,
)
from dashboards.ownership import OWN_LABEL, OWN_VALUE, is_ours
from dashboards.provenance import left_over, refuse_foreign

Body = dict[str, Any]

_POLICIES = "/v1/provisioning/policies"
_CONTACT_POINTS = "/v1/provisioning/contact-points"
_MUTE_TIMINGS = "/v1/provisioning/mute-timings"
_REDACTED = "[REDACTED]"
_AS_MADE_BY_HAND = {"X-Disable-Provenance": "true"}
_ROUTE = f"route {OWN_LABEL}={OWN_VALUE}"


def provision_notifications(grafana: Grafana, told: Notifications, how: How) -> list[Change]:
    """What our route needs first, then our route; nothing where nobody is to be told."""
    if not told.receivers:
        return []
    timing = mute_timing(told)
    changes = [_mute_timing(grafana, timing, how)] if timing else []
    found = {each["uid"]: each for each in _read(grafana, "contact points", _CONTACT_POINTS)}
    changes += [_contact_point(grafana, each, found.get(each.name), how) for each in contact_points(told)]
    return [*changes, *_policies(grafana, route(told), how)]


def leftover_notifications(grafana: Grafana, told: Notifications, how: How) -> list[Change]:
    """What is ours and no longer wanted: first the route, which needs the others; deleted where `how` says so."""
    routes = _policies(grafana, None, how) if not told.receivers else []
    used = set(_used_by_others(_tree(grafana)))
    points = (each for each in _read(grafana, "contact points", _CONTACT_POINTS) if is_ours(each["uid"]))
    timings = (each for each in _read(grafana, "mute timings", _MUTE_TIMINGS) if is_ours(each["name"]))
    wanted = {*told.receivers, *([MAINTENANCE] if told.receivers and told.maintenance else [])}
    left = [("contact point", each["uid"], each, f"{_CONTACT_POINTS}/{each['uid']}") for each in points]
    left += [("mute timing", each["name"], each, f"{_MUTE_TIMINGS}/{quote(each['name'])}") for each in timings]
    unwanted = [each for each in left if each[1] not in wanted]
    return [*routes, *(_leftover(grafana, *each, used=used, how=how) for each in unwanted)]


def _read(grafana: Grafana, what: str, path: str) -> list[Body]:
    found: list[Body] | None = grafana.find(f"read {what}", lambda api: api.client.GET(path))
    return found or []


def _mute_timing(grafana: Grafana, wanted: Body, how: How) -> Change:
    name = str(wanted["name"])
    found = next((each for each in _read(grafana, "mute timings", _MUTE_TIMINGS) if each["name"] == name), None)
    if found is None:
        if not how.is_dry_run:
            grafana.write(f"create the mute timing '{name}'", lambda api: api.client.POST(_MUTE_TIMINGS, json=wanted))
        return Change("mute timing", name, "created")
    differs = difference(_in_zones(found), wanted)
    if not differs:
        return Change("mute timing", name, "unchanged")
    refuse_foreign("mute timing", name, found.get("provenance"))
    if not how.is_dry_run:
        path = f"{_MUTE_TIMINGS}/{quote(name)}"
        grafana.write(f"change the mute timing '{name}'", lambda api: api.client.PUT(path, json=wanted))
    return Change("mute timing", name, "updated", difference=differs)


def _in_zones(found: Mapping[str, Any]) -> Body:
    """A mute timing of which every interval says its zone; one that does not is in UTC."""
    intervals = [{"location": "UTC", **_filled(each)} for each in found.get("time_intervals") or []]
    return {"name": found["name"], "time_intervals": intervals}


def _contact_point(grafana: Grafana, wanted: ContactPoint, found: Body | None, how: How) -> Change:
    definition = wanted.definition()
    body = {**definition, "settings": {**wanted.settings, **wanted.secrets}}
    if found is None:
        if not how.is_dry_run:
            what = f"create the contact point '{wanted.name}'"
            with _keeping_secrets(wanted):
                grafana.write(what, lambda api: api.client.POST(_CONTACT_POINTS, json=body))
        return Change("contact point", wanted.name, "created")
    shown = {**as_wanted(found, definition), "settings": _settings(found)}
    fields = _changed_fields(shown, definition)
    is_sent_again = how.resends and bool(wanted.secrets)
    if not fields and not is_sent_again:
        return Change("contact point", wanted.name, "unchanged")
    refuse_foreign("contact point", wanted.name, found.get("provenance"))
    if not how.is_dry_run:
        what, path = f"change the contact point '{wanted.name}'", f"{_CONTACT_POINTS}/{wanted.name}"
        with _keeping_secrets(wanted):
            grafana.write(what, lambda api: api.client.PUT(path, json=body))
    note = "Its secrets are sent again." if is_sent_again else ""
    return Change("contact point", wanted.name, "updated", note, fields)


def _settings(found: Mapping[str, Any]) -> Body:
    """Every setting there is, because Grafana goes on using one that nobody wants any more; of secrets it shows nothing."""
    return {name: value for name, value in _filled(found["settings"]).items() if value != _REDACTED}


@contextmanager
def _keeping_secrets(point: ContactPoint) -> Iterator[None]:
    """Grafana may repeat in a refusal what it was sent; we repeat none of it that could let somebody in."""
    try:
        yield
    except ProvisioningRefused as refusal:
        sentence = str(refusal)
        for secret in (*point.secrets.values(), *([point.settings["url"]] if point.kind == "webhook" else [])):
            sentence = sentence.replace(secret, "…")
        raise ProvisioningRefused(sentence) from None


def _changed_fields(found: Any, wanted: Body) -> tuple[str, ...]:
    """Names of fields that differ, without what is in them: the address of a webhook often is a secret itself."""
    lines = (line.partition(": ")[0] for line in difference(found, wanted))
    return tuple(dict.fromkeys(f"± {line[2:]}" for line in lines))


def _tree(grafana: Grafana) -> Body:
    tree: Body | None = grafana.find("read notification policies", lambda api: api.client.GET(_POLICIES))
    if tree is None:
        raise ProvisioningRefused(
            f"Grafana at {grafana.address.url} has no notification policies: its alerting is off, or still starting."
        )
    return tree


def _policies(grafana: Grafana, wanted: Body | None, how: How) -> list[Change]:
    """Our route, put in first or replaced where it stands; or taken out, where it isn't wanted any more."""
    tree = _tree(grafana)
    routes = list(tree.get("routes") or [])
    found = [_filled(each) for each in routes if is_our_route(each)]
    if found == ([wanted] if wanted else []):
        return [Change("notification policy", _ROUTE, "unchanged")] if wanted else []
    if wanted is None and not how.prunes:
        return [left_over("notification policy", _ROUTE)]
    refuse_foreign("policy tree", "notification policies", tree.get("provenance"))
    if not how.is_dry_run:
        _replace_tree(grafana, tree, _with_ours(routes, wanted))
    if wanted is None:
        return [Change("notification policy", _ROUTE, "deleted")]
    differs = difference(found[0], wanted) if found else ()
    return [Change("notification policy", _ROUTE, "updated" if found else "created", difference=differs)]


def _with_ours(routes: list[Body], wanted: Body | None) -> list[Body]:
    """The routes with ours in place of the first that is ours; before all others where there was none."""
    place = next((number for number, each in enumerate(routes) if is_our_route(each)), 0)
    others = [each for each in routes if not is_our_route(each)]
    before = sum(not is_our_route(each) for each in routes[:place])
    return [*others[:before], *([wanted] if wanted else []), *others[before:]]


def _replace_tree(grafana: Grafana, tree: Body, routes: list[Body]) -> None:
    kept = {key: value for key, value in tree.items() if key not in ("provenance", "routes")}
    headers = {} if tree.get("provenance") == "api" else _AS_MADE_BY_HAND
    body = {**kept, "routes": routes}
    what = "change the notification policies"
    grafana.write(what, lambda api: api.client.PUT(_POLICIES, json=body, headers=headers))


def _filled(value: Any) -> Any:
    """Without what says nothing: Grafana may write an empty list, or `false`, where nothing was."""
    if isinstance(value, Mapping):
        filled = {key: _filled(each) for key, each in value.items() if key != "provenance"}
        return {key: each for key, each in filled.items() if each not in (None, "", False, [], {})}
    return [_filled(each) for each in value] if isinstance(value, list) else value


def _used_by_others(branch: Mapping[str, Any]) -> Iterator[str]:
    """Names of contact points and mute timings that a branch of the tree uses, our route left out."""
    if is_our_route(branch):
        return
    yield str(branch.get("receiver", ""))
    for used in ("mute_time_intervals", "active_time_intervals"):
        yield from branch.get(used) or []
    for each in branch.get("routes") or []:
        yield from _used_by_others(each)


def _leftover(grafana: Grafana, kind: Any, name: str, found: Body, path: str, *, used: set[str], how: How) -> Change:
    if not how.prunes:
        return left_over(kind, name)
    if found["name"] in used:
        return Change(kind, name, "left over", "A notification policy that is not ours still uses it.")
    refuse_foreign(kind, name, found.get("provenance"))
    if not how.is_dry_run:
        grafana.write(f"delete the {kind} '{name}'", lambda api: api.client.DELETE(path))
    return Change(kind, name, "deleted")
