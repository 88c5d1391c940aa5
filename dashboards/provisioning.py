"""Brings folder, ClickHouse data source and boards into a Grafana, and leaves alone what is already as it should be.

A second run changes nothing and says so. What is ours has a uid that begins with `turnwatch-`; nothing else is touched,
and what a file on Grafana's own disk provisions is refused with a sentence.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from grafana_client.client import GrafanaClientError

from dashboards.data_source import ClickHouseSource
from dashboards.grafana import Grafana, GrafanaAddress, ProvisioningRefused
from dashboards.render import FOLDER_TITLE, FOLDER_UID

Action = Literal["created", "updated", "unchanged"]
Board = Mapping[str, object]

OWN_PREFIX = "turnwatch-"


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one object; `note` is a sentence where there is more to say."""

    kind: Literal["folder", "data source", "dashboard"]
    name: str
    action: Action
    note: str = ""


def provision(
    address: GrafanaAddress,
    source: ClickHouseSource,
    boards: Mapping[str, Board],
    *,
    is_dry_run: bool = False,
    pause: Callable[[float], None] = time.sleep,
) -> list[Change]:
    """Folder, data source and every board by uid; what was done to each, in that order.

    A dry run says what would be done and does none of it.
    """
    assert all(uid.startswith(OWN_PREFIX) for uid in boards), "only what is ours by its uid is ever written"
    grafana = Grafana(address, pause)
    grafana.check()
    changes = [_folder(grafana, is_dry_run), _data_source(grafana, source, is_dry_run)]
    return changes + [_dashboard(grafana, uid, board, is_dry_run) for uid, board in boards.items()]


def _folder(grafana: Grafana, is_dry_run: bool) -> Change:
    found = grafana.find("read folders", lambda api: api.folder.get_folder(FOLDER_UID))
    if found is not None and found["title"] == FOLDER_TITLE:
        return Change("folder", FOLDER_TITLE, "unchanged")
    action: Action = "created" if found is None else "updated"
    if is_dry_run:
        return Change("folder", FOLDER_TITLE, action)
    if found is None:
        grafana.write(
            f"create the folder '{FOLDER_TITLE}'", lambda api: api.folder.create_folder(FOLDER_TITLE, FOLDER_UID)
        )
    else:
        grafana.write(
            f"rename the folder to '{FOLDER_TITLE}'",
            lambda api: api.folder.update_folder(FOLDER_UID, title=FOLDER_TITLE, version=found["version"]),
        )
    return Change("folder", FOLDER_TITLE, action)


def _data_source(grafana: Grafana, source: ClickHouseSource, is_dry_run: bool) -> Change:
    wanted = source.definition()
    uid, name = str(wanted["uid"]), str(wanted["name"])
    found = grafana.find("read data sources", lambda api: api.datasource.get_datasource_by_uid(uid))
    is_same = found is not None and _same_source(found, wanted, source.secrets())
    if is_same and not _is_locked_out(grafana, uid):
        return Change("data source", name, "unchanged", _unreachable(grafana, uid, source))
    if found is not None and found.get("readOnly"):
        raise ProvisioningRefused(_from_file("data source", name))
    action: Action = "created" if found is None else "updated"
    if is_dry_run:
        return Change("data source", name, action)
    # Grafana keeps a secret that it is not told about; an empty one clears it.
    cleared = dict.fromkeys(_kept_secrets(found or {}), "")
    body = {**wanted, "secureJsonData": {**cleared, **source.secrets()}}
    if found is None:
        grafana.write(f"create the data source '{name}'", lambda api: api.datasource.create_datasource(body))
    else:
        grafana.write(
            f"change the data source '{name}'", lambda api: api.client.PUT(f"/datasources/uid/{uid}", json=body)
        )
    return Change("data source", name, action, _unreachable(grafana, uid, source))


def _same_source(found: Mapping[str, Any], wanted: Mapping[str, object], secrets: Mapping[str, str]) -> bool:
    """Whether everything that Grafana shows is as wanted; of secrets it shows only which there are."""
    shown = all(found.get(key) == value for key, value in wanted.items())
    return shown and _kept_secrets(found) == set(secrets)


def _kept_secrets(found: Mapping[str, Any]) -> set[str]:
    return {name for name, is_set in found.get("secureJsonFields", {}).items() if is_set}


def _health(grafana: Grafana, uid: str) -> tuple[bool, str]:
    try:
        answer = grafana.ask("try the data source", lambda api: api.client.GET(f"/datasources/uid/{uid}/health"))
        return answer.get("status") == "OK", str(answer.get("message", ""))
    except GrafanaClientError as error:
        return False, str(error.response.get("message", "")) if isinstance(error.response, dict) else ""
    except ProvisioningRefused as refusal:
        return False, str(refusal)


def _is_locked_out(grafana: Grafana, uid: str) -> bool:
    """Whether ClickHouse refuses the password that Grafana keeps: then it was changed, and ours is sent again."""
    is_healthy, message = _health(grafana, uid)
    return not is_healthy and any(sign in message for sign in ("Authentication failed", "code: 516", "Code: 516"))


def _unreachable(grafana: Grafana, uid: str, source: ClickHouseSource) -> str:
    is_healthy, message = _health(grafana, uid)
    if is_healthy:
        return ""
    return f"Grafana can't read ClickHouse at {source.endpoint} yet: {message.rstrip('.') or 'it gives no reason'}."


def _dashboard(grafana: Grafana, uid: str, board: Board, is_dry_run: bool) -> Change:
    title = str(board["title"])
    found = grafana.find("read dashboards", lambda api: api.dashboard.get_dashboard(uid))
    if found is not None and _same_board(found, board):
        return Change("dashboard", title, "unchanged")
    if found is not None and found["meta"].get("provisioned"):
        raise ProvisioningRefused(_from_file("dashboard", title))
    action: Action = "created" if found is None else "updated"
    if is_dry_run:
        return Change("dashboard", title, action)
    body = {
        "dashboard": dict(board),
        "folderUid": FOLDER_UID,
        "message": "turnwatch provision",
        "overwrite": found is not None,
    }
    grafana.write(f"write the dashboard '{title}'", lambda api: api.client.POST("/dashboards/db", json=body))
    return Change("dashboard", title, action)


def _same_board(found: Mapping[str, Any], board: Board) -> bool:
    """Grafana adds an id and a version of its own; everything else comes back as it was sent."""
    kept = {key: value for key, value in found["dashboard"].items() if key not in ("id", "version")}
    return kept == dict(board) and found["meta"].get("folderUid") == FOLDER_UID


def _from_file(kind: str, name: str) -> str:
    return (
        f"The {kind} '{name}' is provisioned from a file on Grafana's own disk and can't be changed from outside: "
        f"change the file, or remove it there and run this again."
    )
