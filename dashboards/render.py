"""Boards and Grafana's provisioning files as text, the same from one run to the next, for the repository to keep.

`turnwatch render` writes them, `turnwatch render --check` and a test compare. Objectives are given, because boards know
what is watched only by what they are told.
"""

from __future__ import annotations

import json

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards import data_source
from dashboards.boards import Board
from dashboards.burn_by_slice import burn_by_slice_board
from dashboards.cost import cost
from dashboards.drift_by_slice import drift_by_slice
from dashboards.duplex_quality import duplex_quality
from dashboards.fleet_overview import fleet_overview
from dashboards.in_grafana import in_grafana
from dashboards.privacy_and_pipeline import privacy_and_pipeline
from dashboards.queries.burn_rate import Watched
from dashboards.queues_and_capacity import queues_and_capacity
from dashboards.release_comparison import release_comparison
from dashboards.slos_and_budgets import slos_and_budgets
from dashboards.stage_waterfall import stage_waterfall_board

FOLDER_UID = "turnwatch-boards"
FOLDER_TITLE = "turnwatch"

COMPOSE_SOURCE = data_source.ClickHouseSource(
    host="clickhouse",
    port=8123,
    database="turnwatch",
    username="turnwatch_reader",
    password="$CLICKHOUSE_READER_PASSWORD",
)
"""The data source of docker-compose; Grafana takes the password from its environment."""

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


def render_all(watched: Watched) -> dict[str, str]:
    """Relative path and text of every rendered file."""
    files = {f"dashboards/rendered/{_file_name(uid)}.json": _json(board) for uid, board in boards(watched).items()}
    files["dashboards/provisioning/datasources/clickhouse.yaml"] = _yaml(_datasources())
    files["dashboards/provisioning/dashboards/boards.yaml"] = _yaml(_providers())
    return files


def _file_name(uid: str) -> str:
    return uid.removeprefix("turnwatch-").replace("-", "_")


def _json(board: dict[str, object]) -> str:
    return json.dumps(board, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _yaml(document: dict[str, object]) -> str:
    return _GENERATED + yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


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
