"""The alerting part of a Grafana that answers as a real one was recorded to: rules, contact points, policies, mute timings.

What it holds has a provenance, which decides who may change it: recorded is that a change with the other one is refused
with 500. Grafana's policy tree is no exception in this: it takes any, and its provenance is that of the last change
(`UpdatePolicyTree` in its source).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Answer = tuple[int, Any]

DURATION = re.compile(r"(?:\d+(?:ms|[smhdwy]))+")
_SECRET = {"webhook": ("password", "authorization_credentials"), "prometheus-alertmanager": ("basicAuthPassword",)}
_REDACTED = "[REDACTED]"


def mended(definitions: dict[str, Any]) -> dict[str, Any]:
    """The document's definitions, right where the recorded Grafana takes what the document does not.

    A duration is a text there, a range of a query whole seconds; the kinds of contact points have blanks, and one has another name;
    and a mute timing's intervals are described as timings themselves. A test holds every recorded request to this.
    """
    right = dict(definitions)
    rule = copy.deepcopy(definitions["ProvisionedAlertRule"])
    rule["properties"]["for"] = {"type": "string", "pattern": f"^{DURATION.pattern}$"}
    point = copy.deepcopy(definitions["EmbeddedContactPoint"])
    kinds = [kind.strip() for kind in point["properties"]["type"]["enum"]]
    point["properties"]["type"]["enum"] = [*kinds, "prometheus-alertmanager"]
    point["properties"]["settings"] = {"type": "object"}
    timing = copy.deepcopy(definitions["MuteTimeInterval"])
    timing["properties"]["time_intervals"]["items"] = {
        **definitions["TimeIntervalItem"],
        "additionalProperties": False,
    }
    route = copy.deepcopy(definitions["Route"])
    route["additionalProperties"] = False
    matcher = {"type": "array", "items": {"type": "string"}, "minItems": 3, "maxItems": 3}
    return right | {
        "ProvisionedAlertRule": rule,
        "EmbeddedContactPoint": point,
        "MuteTimeInterval": timing,
        "Route": route,
        "ObjectMatcher": matcher,
    }


@dataclass
class Alerting:
    """What it holds; `has_folder` says which folders there are, `recorded` how a case was answered."""

    recorded: Callable[[str], Answer]
    has_folder: Callable[[str], bool]
    rules: dict[str, Any] = field(default_factory=dict)
    intervals: dict[tuple[str, str], int] = field(default_factory=dict)
    points: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    timings: dict[str, Any] = field(default_factory=dict)
    tree: dict[str, Any] = field(default_factory=lambda: {"receiver": "grafana-default-email"})

    def answer(self, method: str, path: str, is_by_hand: bool, body: Any) -> Answer:
        provenance = "" if is_by_hand else "api"
        called = f"{method} {path.removeprefix('/api/v1/provisioning')}"
        for pattern, handler in self._routes(provenance, body).items():
            if match := re.fullmatch(pattern, called):
                answer: Answer = handler(*match.groups())
                return answer
        raise AssertionError(f"nothing was recorded for {called}")

    @staticmethod
    def _listed(rule: dict[str, Any]) -> dict[str, Any]:
        """As a Grafana 10.1 was seen to: a list does not say who provisioned a rule."""
        return {key: value for key, value in copy.deepcopy(rule).items() if key != "provenance"}

    def _read_rule(self, uid: str) -> Answer:
        return (200, copy.deepcopy(self.rules[uid])) if uid in self.rules else (404, {})

    def _routes(self, provenance: str, body: Any) -> dict[str, Any]:
        return {
            r"GET /alert-rules": lambda: (200, [self._listed(rule) for rule in self.rules.values()]),
            r"GET /alert-rules/([^/]+)": self._read_rule,
            r"POST /alert-rules": lambda: self._create_rule(body, provenance),
            r"PUT /alert-rules/([^/]+)": lambda uid: self._update_rule(uid, body, provenance),
            r"DELETE /alert-rules/([^/]+)": lambda uid: self._delete_rule(uid, provenance),
            r"GET /folder/([^/]+)/rule-groups/([^/]+)": self._group,
            r"PUT /folder/([^/]+)/rule-groups/([^/]+)": lambda folder, group: self._pace(folder, group, body),
            r"GET /contact-points": lambda: (200, self._shown_points()),
            r"POST /contact-points": lambda: self._create_point(body, provenance),
            r"PUT /contact-points/([^/]+)": lambda uid: self._update_point(uid, body, provenance),
            r"DELETE /contact-points/([^/]+)": self._delete_point,
            r"GET /policies": lambda: (200, copy.deepcopy(self.tree)),
            r"PUT /policies": lambda: self._replace_tree(body, provenance),
            r"GET /mute-timings": lambda: (200, copy.deepcopy(list(self.timings.values()))),
            r"POST /mute-timings": lambda: self._create_timing(body, provenance),
            r"PUT /mute-timings/([^/]+)": lambda name: self._update_timing(name, body, provenance),
            r"DELETE /mute-timings/([^/]+)": self._delete_timing,
        }

    # -- rules ---------------------------------------------------------------------------------------------------------

    def _create_rule(self, body: Any, provenance: str) -> Answer:
        is_taken = any(
            rule["uid"] == body["uid"] or (rule["title"], rule["folderUID"]) == (body["title"], body["folderUID"])
            for rule in self.rules.values()
        )
        if is_taken:
            return self.recorded("alert rule create again")
        if not self.has_folder(body["folderUID"]):
            return self.recorded("alert rule in missing folder")
        status, _ = self.recorded("alert rule create")
        self.intervals.setdefault((body["folderUID"], body["ruleGroup"]), 60)
        return status, self._store_rule(body, provenance)

    def _update_rule(self, uid: str, body: Any, provenance: str) -> Answer:
        if uid not in self.rules:
            return 404, ""
        if self.rules[uid].get("provenance", "") not in ("", provenance):
            return self.recorded("alert rule change against provenance")
        return self.recorded("alert rule update")[0], self._store_rule(body, provenance)

    def _store_rule(self, body: Any, provenance: str) -> Any:
        """As it is shown from now on: with what Grafana adds to a rule and to each of its queries."""
        _, shown = self.recorded("alert rule create")
        data = []
        for query in body["data"]:
            model = {"intervalMs": 1_000, "maxDataPoints": 43_200} | query["model"]
            data.append({"queryType": "", **query, "model": model})
        told = {"provenance": provenance} if provenance else {}
        self.rules[body["uid"]] = copy.deepcopy({**shown, **body, "data": data, "orgID": 1, **told})
        return self.rules[body["uid"]]

    def _delete_rule(self, uid: str, provenance: str) -> Answer:
        if self.rules.get(uid, {}).get("provenance", "") not in ("", provenance):
            return self.recorded("alert rule change against provenance")
        self.rules.pop(uid, None)
        return self.recorded("alert rule delete")

    def _group(self, folder: str, group: str) -> Answer:
        rules = [rule for rule in self.rules.values() if (rule["folderUID"], rule["ruleGroup"]) == (folder, group)]
        if not rules:
            return 404, ""
        shown = {"title": group, "folderUid": folder, "interval": self.intervals[folder, group], "rules": rules}
        return self.recorded("rule group get")[0], copy.deepcopy(shown)

    def _pace(self, folder: str, group: str, body: Any) -> Answer:
        assert "rules" not in body, "a group that is put with rules loses all others"
        self.intervals[folder, group] = body["interval"]
        return self.recorded("rule group put interval")[0], body

    # -- contact points ------------------------------------------------------------------------------------------------

    def _shown_points(self) -> list[Any]:
        """Every kind of secret is shown as one, whether there is any or not: so it was recorded."""
        shown = copy.deepcopy(sorted(self.points.values(), key=lambda point: str(point["name"])))
        for point in shown:
            point["settings"] |= dict.fromkeys(_SECRET[point["type"]], _REDACTED)
        return shown

    def _create_point(self, body: Any, provenance: str) -> Answer:
        if body["uid"] in self.points:
            return self.recorded("contact point create again")
        if not body["settings"].get("url"):
            return self.recorded("contact point invalid")
        return self.recorded("contact point create")[0], self._store_point(body, provenance)

    def _update_point(self, uid: str, body: Any, provenance: str) -> Answer:
        if self.points[uid].get("provenance", "") not in ("", provenance):
            return 500, {"message": f"cannot changed provenance from 'file' to '{provenance}'"}
        self._store_point(body, provenance)
        return 202, {"message": "contactpoint updated"}

    def _store_point(self, body: Any, provenance: str) -> Any:
        secret = _SECRET[body["type"]]
        self.secrets[body["uid"]] = {key: value for key, value in body["settings"].items() if key in secret}
        shown = {key: value for key, value in body["settings"].items() if key not in secret}
        told = {"provenance": provenance} if provenance else {}
        self.points[body["uid"]] = {**body, "settings": shown, **told}
        return self.points[body["uid"]]

    def _delete_point(self, uid: str) -> Answer:
        if self.points[uid]["name"] in _names(self.tree, "receiver"):
            return self.recorded("contact point delete while in use")
        del self.points[uid]
        return self.recorded("contact point delete")

    # -- policies and mute timings -------------------------------------------------------------------------------------

    def _replace_tree(self, body: Any, provenance: str) -> Answer:
        known = {"grafana-default-email", *(point["name"] for point in self.points.values())}
        if not set(_names(body, "receiver")) <= known:
            return self.recorded("policies put unknown receiver")
        if not set(_names(body, "mute_time_intervals")) <= set(self.timings):
            return 400, {"message": "invalid object specification: mute time interval does not exist"}
        self.tree = {**copy.deepcopy(body), **({"provenance": provenance} if provenance else {})}
        return self.recorded("policies put")

    def _create_timing(self, body: Any, provenance: str) -> Answer:
        if body["name"] in self.timings:
            return self.recorded("mute timing create again")
        return self.recorded("mute timing create")[0], self._store_timing(body, provenance)

    def _update_timing(self, name: str, body: Any, provenance: str) -> Answer:
        assert name in self.timings
        return 202, self._store_timing(body, provenance)

    def _store_timing(self, body: Any, provenance: str) -> Any:
        """Alertmanager's library leaves out the zone where it is UTC."""
        held = copy.deepcopy(body)
        for interval in held["time_intervals"]:
            if interval.get("location") == "UTC":
                del interval["location"]
        self.timings[body["name"]] = held | ({"provenance": provenance} if provenance else {})
        return self.timings[body["name"]]

    def _delete_timing(self, name: str) -> Answer:
        if name in _names(self.tree, "mute_time_intervals"):
            return 409, {"message": "Time interval is used by other resources"}
        del self.timings[name]
        return self.recorded("mute timing delete")


def _names(branch: Any, key: str) -> Iterator[str]:
    """What a branch of the tree uses under a key, in all of its routes."""
    named = branch.get(key) or []
    yield from [named] if isinstance(named, str) else named
    for each in branch.get("routes") or []:
        yield from _names(each, key)
