"""Alertmanager's configuration made fit for a test: the same routes, groups and inhibitions, in a shorter time.

Every receiver becomes one webhook, so nothing that is tested can reach anybody, and no credentials are written anywhere.
Times are divided by a speed. What goes by the time of day cannot be played at any other time, and is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import yaml

from alerts.durations import duration_ms
from schemas.failures import BadInput

GROUP_WAIT_MS_MIN = 40
"""A shorter wait, if there is any, would be over before Alertmanager knows all alerts that it is to group or mute."""

TIMES_DEFAULT = {"group_wait": "30s", "group_interval": "5m", "repeat_interval": "4h"}
"""What Alertmanager takes where its first route does not say."""
RESOLVE_TIMEOUT_DEFAULT = "5m"

_BY_THE_CLOCK = ("mute_time_intervals", "active_time_intervals")
_TELL_NO_END = {"email_configs", "slack_configs", "wechat_configs"}
"""Integrations that tell of an end only where they are asked to."""

Section = dict[str, Any]


class ConfigurationError(BadInput):
    """The configuration cannot be tested."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """An Alertmanager's configuration as it is written, with its sections where they have to be."""

    path: Path
    data: Section

    @property
    def receivers(self) -> list[str]:
        return [str(receiver.get("name")) for receiver in self.data["receivers"]]

    def hastened(self, webhook_url: str, speed: float) -> Section:
        """The same, `speed` times as fast, with every receiver at `webhook_url`."""
        timeout = (self.data.get("global") or {}).get("resolve_timeout", RESOLVE_TIMEOUT_DEFAULT)
        return {
            "global": {"resolve_timeout": self._divided(timeout, "global.resolve_timeout", speed)},
            "route": self._hastened(TIMES_DEFAULT | self.data["route"], "route", speed),
            "inhibit_rules": self.data.get("inhibit_rules") or [],
            "receivers": [_rewired(receiver, webhook_url) for receiver in self.data["receivers"]],
        }

    def _hastened(self, route: Section, place: str, speed: float) -> Section:
        for name in _BY_THE_CLOCK:
            if route.get(name):
                raise _wrong(self.path, f"{place}.{name}", "What goes by the time of day cannot be played at another.")
        times = {name: self._divided(route[name], f"{place}.{name}", speed) for name in TIMES_DEFAULT if name in route}
        children = route.get("routes") or []
        below = [self._hastened(child, f"{place}.routes[{number}]", speed) for number, child in enumerate(children)]
        return route | times | {"routes": below}

    def _divided(self, written: object, place: str, speed: float) -> str:
        span_ms = duration_ms(written) if isinstance(written, str) else None
        if span_ms is None:
            raise _wrong(self.path, place, f"This has to be a duration such as 30s, and {written!r} is written.")
        if place.endswith("group_wait") and 0 < span_ms / speed < GROUP_WAIT_MS_MIN:
            most = max(1, span_ms // GROUP_WAIT_MS_MIN)
            why = f"{written} would be over before Alertmanager knows what it is to group"
            raise _wrong(self.path, place, f"At {speed:g} times the speed {why}: use a speed of at most {most}.")
        return f"{ceil(span_ms / speed)}ms"


def read_configuration(path: Path) -> Configuration:
    """Reads a configuration as far as a test has to understand it; Alertmanager itself judges the rest."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: The configuration cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: The configuration is not UTF-8 text.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it is no YAML"
        raise ConfigurationError(f"{path}{line}: This YAML cannot be read: {problem}.") from error
    _require_section(path, "", data)
    _require_route(path, "route", data.get("route"))
    receivers = data.get("receivers")
    if not isinstance(receivers, list):
        raise _wrong(path, "receivers", "This has to be a list of receivers.")
    for number, receiver in enumerate(receivers):
        _require_section(path, f"receivers[{number}]", receiver)
    if data.get("global") is not None:
        _require_section(path, "global", data["global"])
    return Configuration(path, data)


def _require_route(path: Path, place: str, route: object) -> None:
    section = _require_section(path, place, route)
    children = section.get("routes") or []
    if not isinstance(children, list):
        raise _wrong(path, f"{place}.routes", "This has to be a list of routes.")
    for number, child in enumerate(children):
        _require_route(path, f"{place}.routes[{number}]", child)


def _require_section(path: Path, place: str, written: object) -> Section:
    if not isinstance(written, dict):
        raise _wrong(path, place, "This has to be a section with fields.")
    return written


def _wrong(path: Path, place: str, sentence: str) -> ConfigurationError:
    return ConfigurationError(f"{path}: {place}{': ' if place else ''}{sentence}")


def _rewired(receiver: Section, webhook_url: str) -> Section:
    """A receiver that tells one webhook what it would tell its integrations; one without any tells nobody."""
    name = {"name": receiver.get("name")}
    kinds = {kind: receiver[kind] for kind in receiver if kind.endswith("_configs") and receiver[kind]}
    if not kinds:
        return name
    tells_end = any(
        isinstance(each, dict) and each.get("send_resolved", kind not in _TELL_NO_END)
        for kind, integrations in kinds.items()
        for each in integrations
    )
    return name | {"webhook_configs": [{"url": webhook_url, "send_resolved": tells_end}]}
