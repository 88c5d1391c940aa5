"""What a rule of the second line owes its reader, and that API and files define the same rules."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts.definitions import watched_slos
from dashboards import render
from dashboards.alert_rules import GROUP, INTERVAL_S, AlertRule, second_line_rules
from dashboards.alert_rules_in_grafana import RUNBOOK, Links
from dashboards.notifications import contact_points, route
from dashboards.ownership import FILES_RULES_FOLDER, FOLDER_UID, is_ours

ROOT = Path(__file__).parents[2]
WATCHED = watched_slos()
RULES = second_line_rules(WATCHED)
IN_GRAFANA: dict[str, Any] = {rule["title"]: rule for rule in render.alert_rules(WATCHED, Links("https://git/main"))}
IN_FILES: dict[str, Any] = {
    path.rpartition("/")[2]: yaml.safe_load(text)
    for path, text in render.render_all(WATCHED).items()
    if "/alerting/" in path
}

each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)


def test_rules_are_told_apart_and_are_ours() -> None:
    uids = [rule.uid for rule in RULES]
    assert len(set(uids)) == len(uids) == len(IN_GRAFANA)
    assert all(is_ours(uid) and re.fullmatch("[a-zA-Z0-9-_]{1,40}", uid) for uid in uids)


@each_rule
def test_a_rule_says_what_it_means_what_to_do_and_where_to_look(rule: AlertRule) -> None:
    told = IN_GRAFANA[rule.name]
    assert told["labels"] == {"severity": rule.severity, "provisioned_by": "turnwatch"}
    said = told["annotations"]
    assert len(said["description"]) > 60 and said["runbook_url"] == f"https://git/main/{RUNBOOK}#{rule.name.lower()}"
    board = render.boards(WATCHED)[said["__dashboardUid__"]]
    panels: Any = board["panels"]
    (panel,) = [panel for panel in panels if str(panel["id"]) == said["__panelId__"]]
    assert panel["title"] == rule.panel.title and panel["type"] != "row"


@each_rule
def test_the_runbook_tells_of_a_rule_what_it_is(rule: AlertRule) -> None:
    page = (ROOT / RUNBOOK).read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| {rule.name} \| (\w+) \|.*\| (\d+) min \|$", page, re.MULTILINE)
    assert row == (rule.severity, str(rule.for_s // 60)) and f"\n### {rule.name}\n" in page


@each_rule
def test_states_without_an_answer_are_chosen_and_the_choice_is_told(rule: AlertRule) -> None:
    told = IN_GRAFANA[rule.name]
    assert told["execErrState"] == "Alerting", "what cannot look must not look fine"
    assert told["noDataState"] == ("Alerting" if rule.name == "PipelineSilent" else "OK")
    assert rule.because in told["annotations"]["no_data_and_errors"]
    assert "can't be judged: its query of ClickHouse fails{{ end }}" in rule.summary


@each_rule
def test_nothing_but_the_statement_has_a_dollar_that_grafanas_files_would_expand(rule: AlertRule) -> None:
    told = json.loads(json.dumps(IN_GRAFANA[rule.name]))
    assert "$__toTime" in told["data"][0]["model"].pop("rawSql")
    assert "$" not in json.dumps(told) and "$" not in json.dumps(IN_FILES["notifications.yaml"])


@each_rule
def test_a_row_beyond_the_limit_fires(rule: AlertRule) -> None:
    asked, compared = IN_GRAFANA[rule.name]["data"]
    assert IN_GRAFANA[rule.name]["condition"] == compared["refId"] and compared["model"]["expression"] == asked["refId"]
    (condition,) = compared["model"]["conditions"]
    assert condition["evaluator"] == {"type": rule.comparison, "params": [rule.limit]}
    assert asked["relativeTimeRange"] == {"from": rule.lookback_s, "to": 0}


@pytest.mark.needs("prometheus")
def test_summaries_are_templates_that_parse(tmp_path: Path) -> None:
    """Grafana expands them with Prometheus' library, whose own tool reads them here."""
    rules = [{"alert": rule.name, "expr": "vector(1)", "annotations": {"summary": rule.summary}} for rule in RULES]
    written = tmp_path / "rules.yaml"
    written.write_text(yaml.safe_dump({"groups": [{"name": "templates", "rules": rules}]}))
    checked = subprocess.run(["promtool", "check", "rules", str(written)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    written.write_text(written.read_text().replace("humanizeDuration", "humaniseDuration"))
    assert subprocess.run(["promtool", "check", "rules", str(written)], capture_output=True).returncode != 0


def test_files_and_api_define_the_same_rules() -> None:
    (group,) = IN_FILES["rules.yaml"]["groups"]
    assert (group["name"], group["folder"], group["interval"]) == (GROUP, FILES_RULES_FOLDER, f"{INTERVAL_S // 60}m")
    placed = {"orgID": group["orgId"], "folderUID": FOLDER_UID, "ruleGroup": group["name"]}
    from_files = []
    for rule in group["rules"]:
        linked = (rule.pop("dashboardUid"), str(rule.pop("panelId")))
        assert linked == (rule["annotations"]["__dashboardUid__"], rule["annotations"]["__panelId__"])
        from_files.append({**rule, **placed})
    assert from_files == render.alert_rules(WATCHED)


def test_rules_of_files_do_not_take_the_title_of_the_boards_folder() -> None:
    """Grafana makes a rule's folder by its title, before it makes the boards' folder with the uid that the provider says."""
    (provider,) = yaml.safe_load(render.render_all(WATCHED)["dashboards/provisioning/dashboards/boards.yaml"])[
        "providers"
    ]
    (group,) = IN_FILES["rules.yaml"]["groups"]
    assert provider["folderUid"] == FOLDER_UID and provider["folder"] != group["folder"]


def test_files_and_api_tell_the_same_people() -> None:
    written, told = IN_FILES["notifications.yaml"], render.COMPOSE_TOLD
    points = [{**receiver, "name": each["name"]} for each in written["contactPoints"] for receiver in each["receivers"]]
    assert points == [point.definition() for point in contact_points(told)]
    (root,) = written["policies"]
    assert root["routes"] == [route(told)] and root["receiver"] == points[0]["name"]
    assert not any(point.secrets for point in contact_points(told))
