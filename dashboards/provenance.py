"""Who manages an object of Grafana's, which decides whether it may be changed, and what is said of what is left over."""

from __future__ import annotations

from dashboards.changes import Change, Kind
from dashboards.grafana import ProvisioningRefused

_CHANGEABLE = ("", "api")
"""Provenances of what we may change: made by a person, or by Grafana's API."""


def left_over(kind: Kind, name: str) -> Change:
    return Change(kind, name, "left over", "No longer part of turnwatch: --prune deletes it.")


def refuse_foreign(kind: str, name: str, provenance: str | None) -> None:
    """Raises `ProvisioningRefused` for what somebody else than Grafana's API, or a person, manages."""
    if provenance == "file":
        raise ProvisioningRefused(from_file(kind, name))
    if (provenance or "") not in _CHANGEABLE:
        raise ProvisioningRefused(
            f"The {kind} '{name}' is managed by something else ('{provenance}'): remove it there and run this again."
        )


def from_file(kind: str, name: str) -> str:
    return (
        f"The {kind} '{name}' is provisioned from a file on Grafana's own disk and can't be changed from outside: "
        f"change the file, or remove it there and run this again."
    )
