"""Brings all that is ours into a Grafana, and leaves alone what is already as it should be.

That is the folder, the ClickHouse data source, boards, alert rules, and whom these are told to. A second run changes nothing
and says so. What is ours has a uid or a name that begins with `turnwatch-`; nothing else is touched, but for our own route
in the notification policies, and what a file on Grafana's own disk provisions is refused with a sentence. What is ours and no
longer wanted is named, and deleted only where that is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grafana_client.client import GrafanaClientError

from dashboards.changes import WRITING, Action, Change, How, as_wanted, difference
from dashboards.data_source import ClickHouseSource
from dashboards.grafana import Grafana, GrafanaAddress, ProvisioningRefused
from dashboards.in_grafana import TAG
from dashboards.notifications import NOBODY, Notifications
from dashboards.ownership import FOLDER_TITLE, FOLDER_UID, is_ours
from dashboards.ownership import OWN_PREFIX as OWN_PREFIX
from dashboards.provenance import from_file, left_over
from dashboards.provisioning_notifications import leftover_notifications, provision_notifications
from dashboards.provisioning_rules import leftover_rules, provision_rules

Board = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Wanted:
    """All that a Grafana is to have of ours: boards by uid, rules as its API takes them, and whom it tells."""

    source: ClickHouseSource
    boards: Mapping[str, Board]
    rules: Sequence[Mapping[str, Any]] = ()
    told: Notifications = NOBODY

    def __post_init__(self) -> None:
        uids = (*self.boards, *(str(rule["uid"]) for rule in self.rules))
        assert all(map(is_ours, uids)), "only what is ours by its uid is ever written"


def provision(
    address: GrafanaAddress, wanted: Wanted, how: How = WRITING, pause: Callable[[float], None] = time.sleep
) -> list[Change]:
    """What was done to each object: what others need first, and last what is left over.

    A dry run says what would be done and does none of it. Raises `ProvisioningRefused`; what was changed until then stays
    changed, and another run goes on from there.
    """
    grafana = Grafana(address, pause)
    grafana.check()
    changes = [_folder(grafana, how), _data_source(grafana, wanted.source, how)]
    changes += [_dashboard(grafana, uid, board, how) for uid, board in wanted.boards.items()]
    changes += provision_notifications(grafana, wanted.told, how)
    changes += provision_rules(grafana, wanted.rules, how)
    changes += _leftover_boards(grafana, wanted.boards, how)
    changes += leftover_rules(grafana, wanted.rules, how)
    return changes + leftover_notifications(grafana, wanted.told, how)


def _folder(grafana: Grafana, how: How) -> Change:
    found = grafana.find("read folders", lambda api: api.folder.get_folder(FOLDER_UID))
    if found is not None and found["title"] == FOLDER_TITLE:
        return Change("folder", FOLDER_TITLE, "unchanged")
    action: Action = "created" if found is None else "updated"
    differs = difference({"title": found["title"]}, {"title": FOLDER_TITLE}) if found else ()
    if how.is_dry_run:
        return Change("folder", FOLDER_TITLE, action, difference=differs)
    if found is None:
        grafana.write(
            f"create the folder '{FOLDER_TITLE}'", lambda api: api.folder.create_folder(FOLDER_TITLE, FOLDER_UID)
        )
    else:
        grafana.write(
            f"rename the folder to '{FOLDER_TITLE}'",
            lambda api: api.folder.update_folder(FOLDER_UID, title=FOLDER_TITLE, version=found["version"]),
        )
    return Change("folder", FOLDER_TITLE, action, difference=differs)


def _data_source(grafana: Grafana, source: ClickHouseSource, how: How) -> Change:
    wanted = source.definition()
    uid, name = str(wanted["uid"]), str(wanted["name"])
    found = grafana.find("read data sources", lambda api: api.datasource.get_datasource_by_uid(uid))
    again = ""
    if found is not None and _same_source(found, wanted, source.secrets()):
        reading = _try(grafana, uid)
        is_sent_again = how.resends and bool(source.secrets()) and not found.get("readOnly")
        if not (is_sent_again or reading.is_locked_out):
            return Change(
                "data source", name, "unchanged", reading.note(source, _RESENDING if source.secrets() else "")
            )
        again = "Its secrets are sent again."
    if found is not None and found.get("readOnly"):
        raise ProvisioningRefused(from_file("data source", name))
    action: Action = "created" if found is None else "updated"
    differs = _source_difference(found, wanted, source.secrets()) if found else ()
    if how.is_dry_run:
        return Change("data source", name, action, again, differs)
    # Grafana keeps a secret that it is not told about; an empty one clears it.
    cleared = dict.fromkeys(_kept_secrets(found or {}), "")
    body = {**wanted, "secureJsonData": {**cleared, **source.secrets()}}
    if found is None:
        grafana.write(f"create the data source '{name}'", lambda api: api.datasource.create_datasource(body))
    else:
        grafana.write(
            f"change the data source '{name}'", lambda api: api.client.PUT(f"/datasources/uid/{uid}", json=body)
        )
    return Change("data source", name, action, f"{again} {_try(grafana, uid).note(source)}".strip(), differs)


def _source_difference(
    found: Mapping[str, Any], wanted: Mapping[str, object], secrets: Mapping[str, str]
) -> tuple[str, ...]:
    """Every setting, and which secrets there are; one that ClickHouse refuses is sent again without a difference to show."""
    kept, given = sorted(_kept_secrets(found)), sorted(secrets)
    shown = as_wanted(found, wanted, frozenset({"jsonData"}))
    return difference({**shown, "secrets": kept}, {**wanted, "secrets": given})


def _same_source(found: Mapping[str, Any], wanted: Mapping[str, object], secrets: Mapping[str, str]) -> bool:
    """Whether everything that Grafana shows is as wanted; of secrets it shows only which there are."""
    shown = all(found.get(key) == value for key, value in wanted.items())
    return shown and _kept_secrets(found) == set(secrets)


def _kept_secrets(found: Mapping[str, Any]) -> set[str]:
    return {name for name, is_set in found.get("secureJsonFields", {}).items() if is_set}


_RESENDING = "If its password or CA has changed, --secrets sends them again."


@dataclass(frozen=True, slots=True)
class _Reading:
    """Whether Grafana can read ClickHouse, and what its plugin says where it can't."""

    is_healthy: bool
    message: str

    @property
    def is_locked_out(self) -> bool:
        """Whether ClickHouse is known to refuse the password that Grafana keeps: then it was changed, and ours is sent again.

        Older plugins than 4.18 say the same of every failure, "failed to create ClickHouse client", and so nothing of this.
        """
        signs = ("Authentication failed", "code: 516", "Code: 516")
        return not self.is_healthy and any(sign in self.message for sign in signs)

    def note(self, source: ClickHouseSource, advice: str = "") -> str:
        if self.is_healthy:
            return ""
        why = self.message.rstrip(".") or "it gives no reason"
        return f"Grafana can't read ClickHouse at {source.endpoint} yet: {why}. {advice}".strip()


def _try(grafana: Grafana, uid: str) -> _Reading:
    """One attempt: a ClickHouse that is away would take the time of every further one, and is no refusal of ours."""
    path = f"/datasources/uid/{uid}/health"
    try:
        answer = grafana.ask("try the data source", lambda api: api.client.GET(path), attempts=1)
        return _Reading(answer.get("status") == "OK", str(answer.get("message", "")))
    except GrafanaClientError as error:
        return _Reading(False, str(error.response.get("message", "")) if isinstance(error.response, dict) else "")
    except ProvisioningRefused as refusal:
        return _Reading(False, str(refusal))


def _dashboard(grafana: Grafana, uid: str, board: Board, how: How) -> Change:
    title = str(board["title"])
    found = grafana.find("read dashboards", lambda api: api.dashboard.get_dashboard(uid))
    if found is not None and _same_board(found, board):
        return Change("dashboard", title, "unchanged")
    if found is not None and found["meta"].get("provisioned"):
        raise ProvisioningRefused(from_file("dashboard", title))
    action: Action = "created" if found is None else "updated"
    differs = difference(*_compared(found, board)) if found else ()
    if how.is_dry_run:
        return Change("dashboard", title, action, difference=differs)
    body = {
        "dashboard": dict(board),
        "folderUid": FOLDER_UID,
        "message": "turnwatch provision",
        "overwrite": found is not None,
    }
    grafana.write(f"write the dashboard '{title}'", lambda api: api.client.POST("/dashboards/db", json=body))
    return Change("dashboard", title, action, difference=differs)


def _same_board(found: Mapping[str, Any], board: Board) -> bool:
    there, wanted = _compared(found, board)
    return there == wanted


def _compared(found: Mapping[str, Any], board: Board) -> tuple[Board, Board]:
    """Grafana adds an id and a version of its own; everything else comes back as it was sent."""
    kept = {key: value for key, value in found["dashboard"].items() if key not in ("id", "version")}
    return {**kept, "folderUid": found["meta"].get("folderUid")}, {**board, "folderUid": FOLDER_UID}


def _leftover_boards(grafana: Grafana, boards: Mapping[str, Board], how: How) -> list[Change]:
    """Boards with our tag and uid in our folder that are no longer wanted; deleted where `how` says so."""
    found = grafana.find("look for dashboards", lambda api: api.client.GET(f"/search?tag={TAG}&type=dash-db")) or []
    left = [each for each in found if is_ours(each["uid"]) and each.get("folderUid") == FOLDER_UID]
    return [_leftover_board(grafana, each, how) for each in left if each["uid"] not in boards]


def _leftover_board(grafana: Grafana, found: Mapping[str, Any], how: How) -> Change:
    title = str(found["title"])
    if not how.prunes:
        return left_over("dashboard", title)
    path = f"/dashboards/uid/{found['uid']}"
    whole = grafana.find("read dashboards", lambda api: api.client.GET(path))
    if whole is not None and whole["meta"].get("provisioned"):
        raise ProvisioningRefused(from_file("dashboard", title))
    if whole is not None and not how.is_dry_run:
        grafana.write(f"delete the dashboard '{title}'", lambda api: api.client.DELETE(path))
    return Change("dashboard", title, "deleted")
