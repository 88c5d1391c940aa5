"""Alert rules, one by one, into their group in our folder; the group's other rules, and everybody's folders, stay as they are.

Grafana marks what its API provisions (`provenance`), and does not let anybody edit it by hand: ours are to be like that.
What a file on Grafana's own disk provisions is refused with a sentence, unless it is as it should be. Its folder is Grafana's choice:
a file can't say the folder's uid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboards.alert_rules import GROUP, INTERVAL_S
from dashboards.changes import Change, How, as_wanted, difference
from dashboards.grafana import Grafana
from dashboards.ownership import FOLDER_UID, is_ours
from dashboards.provenance import left_over, refuse_foreign

Rule = Mapping[str, Any]

_SAID_EXACTLY = frozenset({"labels", "annotations"})
_NOT_COMPARED = {"orgID"}
"""Grafana writes the organisation of whoever asks into a rule."""


def provision_rules(grafana: Grafana, rules: Sequence[Rule], how: How) -> list[Change]:
    """Every rule by its uid, and how often their group is evaluated."""
    changes = [_rule(grafana, rule, _found(grafana, str(rule["uid"])), how) for rule in rules]
    return [*changes, *_group(grafana, how)] if rules else changes


def leftover_rules(grafana: Grafana, rules: Sequence[Rule], how: How) -> list[Change]:
    """Rules of ours, in our folder, that are no longer wanted; deleted where `how` says so."""
    wanted = {rule["uid"] for rule in rules}
    left = (rule for rule in _all_rules(grafana) if is_ours(rule["uid"]) and rule["folderUID"] == FOLDER_UID)
    return [_leftover(grafana, rule, how) for rule in left if rule["uid"] not in wanted]


def _found(grafana: Grafana, uid: str) -> Rule | None:
    """A rule as it is. Asked alone: a list of all of them need not say who provisioned each (Grafana 10.1 does not)."""
    path = f"/v1/provisioning/alert-rules/{uid}"
    found: Rule | None = grafana.find("read alert rules", lambda api: api.client.GET(path))
    return found


def _all_rules(grafana: Grafana) -> list[Rule]:
    found: list[Rule] | None = grafana.find(
        "read alert rules", lambda api: api.client.GET("/v1/provisioning/alert-rules")
    )
    return found or []


def _rule(grafana: Grafana, wanted: Rule, found: Rule | None, how: How) -> Change:
    name = str(wanted["title"])
    if found is None:
        if not how.is_dry_run:
            what = f"create the alert rule '{name}'"
            grafana.write(what, lambda api: api.client.POST("/v1/provisioning/alert-rules", json=dict(wanted)))
        return Change("alert rule", name, "created")
    placed = {"folderUID"} if found.get("provenance") == "file" else set()
    compared = {key: value for key, value in wanted.items() if key not in _NOT_COMPARED | placed}
    differs = difference(as_wanted(found, compared, _SAID_EXACTLY), compared)
    if not differs:
        return Change("alert rule", name, "unchanged")
    refuse_foreign("alert rule", name, found.get("provenance"))
    if not how.is_dry_run:
        path = f"/v1/provisioning/alert-rules/{wanted['uid']}"
        grafana.write(f"change the alert rule '{name}'", lambda api: api.client.PUT(path, json=dict(wanted)))
    return Change("alert rule", name, "updated", difference=differs)


def _group(grafana: Grafana, how: How) -> list[Change]:
    """How often the group is evaluated; a group that isn't there yet comes with its first rule, at Grafana's default."""
    path = f"/v1/provisioning/folder/{FOLDER_UID}/rule-groups/{GROUP}"
    found = grafana.find("read rule groups", lambda api: api.client.GET(path))
    if found is None or found["interval"] == INTERVAL_S:
        return []
    if not how.is_dry_run:
        # Without rules in it the request changes nothing but the interval, of whoever's rules there are.
        body = {"title": GROUP, "folderUid": FOLDER_UID, "interval": INTERVAL_S}
        grafana.write(f"change the rule group '{GROUP}'", lambda api: api.client.PUT(path, json=body))
    differs = difference({"interval": found["interval"]}, {"interval": INTERVAL_S})
    return [Change("rule group", GROUP, "updated", difference=differs)]


def _leftover(grafana: Grafana, rule: Rule, how: How) -> Change:
    name = str(rule["title"])
    if not how.prunes:
        return left_over("alert rule", name)
    refuse_foreign("alert rule", name, (_found(grafana, rule["uid"]) or rule).get("provenance"))
    if not how.is_dry_run:
        path = f"/v1/provisioning/alert-rules/{rule['uid']}"
        grafana.write(f"delete the alert rule '{name}'", lambda api: api.client.DELETE(path))
    return Change("alert rule", name, "deleted")
