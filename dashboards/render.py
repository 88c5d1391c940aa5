"""Boards and Grafana's provisioning files as text, the same from one run to the next, for the repository to keep.

`turnwatch render` writes them, `turnwatch render --check` and a test compare. Objectives are given, because boards know
what is watched only by what they are told.
"""

from __future__ import annotations

import json
from typing import Any

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards import data_source
from dashboards.alert_rules import second_line_rules
from dashboards.alert_rules_in_grafana import LINKS, Links, rules_in_files, rules_in_grafana
from dashboards.boards import Board
from dashboards.burn_by_slice import burn_by_slice_board
from dashboards.cost import cost
from dashboards.drift_by_slice import drift_by_slice
from dashboards.duplex_quality import duplex_quality
from dashboards.fleet_overview import fleet_overview
from dashboards.in_grafana import in_grafana
from dashboards.notifications import Notifications, in_files
from dashboards.ownership import FOLDER_TITLE as FOLDER_TITLE
from dashboards.ownership import FOLDER_UID as FOLDER_UID
from dashboards.privacy_and_pipeline import privacy_and_pipeline
from dashboards.queries.burn_rate import Watched
from dashboards.queues_and_capacity import queues_and_capacity
from dashboards.release_comparison import release_comparison
from dashboards.slos_and_budgets import slos_and_budgets
from dashboards.stage_waterfall import stage_waterfall_board

COMPOSE_SOURCE = data_source.ClickHouseSource(
    host="clickhouse",
    port=8123,
    database="turnwatch",
    username="turnwatch_reader",
    password="$CLICKHOUSE_READER_PASSWORD",
)
"""The data source of docker-compose; Grafana takes the password from its environment."""

COMPOSE_TOLD = Notifications(alertmanager_url="http://alertmanager:9093")
"""Whom docker-compose's Grafana tells: the Alertmanager that workers tell of pages."""

_GENERATED = "# Rendered by `turnwatch render`: change dashboards/ and render again.\n"


def all_boards(watched: Watched) -> dict[str, Board]:
    """Every board by its uid, those of an incident first, in the order of its questions."""
    every = (
        fleet_overview(watched),
        slos_and_budgets(watched),
        burn_by_slice_board(watched),
        stage_waterfall_board(watched),
        release_comparison(watched),
        queues_and_capacity(),
        duplex_quality(watched),
        drift_by_slice(),
        cost(),
        privacy_and_pipeline(watched),
    )
    return {board.uid: board for board in every}


def boards(watched: Watched) -> dict[str, dict[str, object]]:
    """Every board by its uid, as Grafana's API takes it."""
    return {
        uid: json.loads(json.dumps(in_grafana(board), cls=JSONEncoder)) for uid, board in all_boards(watched).items()
    }


def alert_rules(watched: Watched, links: Links = LINKS) -> list[dict[str, Any]]:
    """Every rule of the second line, as Grafana's API takes it, with its panel on the fleet's board."""
    return rules_in_grafana(second_line_rules(watched), in_grafana(fleet_overview(watched)), links)


def render_all(watched: Watched) -> dict[str, str]:
    """Relative path and text of every rendered file."""
    files = {f"dashboards/rendered/{_file_name(uid)}.json": _json(board) for uid, board in boards(watched).items()}
    files["dashboards/provisioning/datasources/clickhouse.yaml"] = _yaml(_datasources())
    files["dashboards/provisioning/dashboards/boards.yaml"] = _yaml(_providers())
    files["dashboards/provisioning/alerting/rules.yaml"] = _yaml(rules_in_files(alert_rules(watched)))
    files["dashboards/provisioning/alerting/notifications.yaml"] = _yaml(in_files(COMPOSE_TOLD))
    return files


def _file_name(uid: str) -> str:
    return uid.removeprefix("turnwatch-").replace("-", "_")


def _json(board: dict[str, object]) -> str:
    return json.dumps(board, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _yaml(document: dict[str, object]) -> str:
    return _GENERATED + yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Writes statements of several lines as such, and nothing as a reference to what stands elsewhere."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _datasources() -> dict[str, object]:
    definition = {**COMPOSE_SOURCE.definition(), "secureJsonData": COMPOSE_SOURCE.secrets(), "editable": False}
    return {"apiVersion": 1, "datasources": [definition]}


def _providers() -> dict[str, object]:
    provider = {
        "name": "turnwatch",
        "type": "file",
        "folder": FOLDER_TITLE,
        "folderUid": FOLDER_UID,
        "allowUiUpdates": False,
        "disableDeletion": False,
        "options": {"path": "/etc/grafana/boards"},
    }
    return {"apiVersion": 1, "providers": [provider]}
