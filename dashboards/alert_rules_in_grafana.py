"""Alert rules as Grafana takes them: from its API, and from the files that it provisions itself from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import alerting, expr
from grafana_foundation_sdk.cog import builder as cog_builder
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import alerting as models
from grafana_foundation_sdk.models import dashboard

from dashboards import data_source
from dashboards.alert_rules import GROUP, INTERVAL_S, AlertRule
from dashboards.ownership import FILES_RULES_FOLDER, FOLDER_UID, OWN_LABEL, OWN_VALUE
from dashboards.panels import Panel
from dashboards.queries import Query
from dashboards.queries.burn_rate import window_text
from dashboards.variables import OVERVIEW_UID
from schemas.addresses import RUNBOOKS_URL

RUNBOOK = "docs/runbooks/second-line.md"

_EXPRESSION = "__expr__"
"""What Grafana calls the engine of its own expressions where a data source is named."""

_INTERVAL_MS, _POINTS_MAX = 1_000, 43_200
"""What Grafana would write into every query that does not say so; said, a rule comes back as it was sent."""

Rule = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Links:
    """Where an alert's reader finds more: `runbooks` is put before a runbook's path in the repository."""

    runbooks: str = RUNBOOKS_URL
    board: str = f"http://127.0.0.1:3000/d/{OVERVIEW_UID}"


LINKS = Links()
"""Where both are said to be by a worker without settings."""


def rules_in_grafana(rules: Sequence[AlertRule], board: dashboard.Dashboard, links: Links) -> list[Rule]:
    """The rules as the API takes them, each with its panel of `board`."""
    built = [_rule(rule, board, links).build() for rule in rules]
    decoded: list[Rule] = json.loads(json.dumps(built, cls=JSONEncoder))
    return decoded


def rules_in_files(rules: Sequence[Rule]) -> dict[str, Any]:
    """The same rules as a file of provisioning: its keys differ, and folder, group and organisation are said once."""
    group = {"orgId": 1, "name": GROUP, "folder": FILES_RULES_FOLDER, "interval": window_text(INTERVAL_S)}
    return {"apiVersion": 1, "groups": [{**group, "rules": [_in_file(rule) for rule in rules]}]}


def _in_file(rule: Rule) -> Rule:
    kept = {key: value for key, value in rule.items() if key not in ("orgID", "folderUID", "ruleGroup")}
    annotations = rule["annotations"]
    linked = {"dashboardUid": annotations["__dashboardUid__"], "panelId": int(annotations["__panelId__"])}
    return {"uid": kept.pop("uid"), "title": kept.pop("title"), **kept, **linked}


def _rule(rule: AlertRule, board: dashboard.Dashboard, links: Links) -> alerting.Rule:
    return (
        alerting.Rule(rule.name)
        .uid(rule.uid)
        .org_id(1)
        .folder_uid(FOLDER_UID)
        .rule_group(GROUP)
        .with_query(_asked(rule))
        .with_query(_compared(rule))
        .condition("C")
        .for_val(window_text(rule.for_s))
        .no_data_state(rule.unanswered)
        .exec_err_state("Alerting")
        .is_paused(False)
        .labels({"severity": rule.severity, OWN_LABEL: OWN_VALUE})
        .annotations(_annotations(rule, board, links))
    )


def _annotations(rule: AlertRule, board: dashboard.Dashboard, links: Links) -> dict[str, str]:
    return {
        "summary": rule.summary,
        "description": rule.meaning,
        "no_data_and_errors": f"{rule.because} A query that fails for {window_text(rule.for_s)} fires.",
        "runbook_url": f"{links.runbooks.rstrip('/')}/{RUNBOOK}#{rule.name.lower()}",
        "dashboard_url": links.board,
        "__dashboardUid__": str(board.uid),
        "__panelId__": str(_panel_id(rule.panel, board)),
    }


def _panel_id(panel: Panel, board: dashboard.Dashboard) -> int:
    """Its number on the board. A rule links to what is there, so a panel that is not is our mistake."""
    found = [each.id_val for each in board.panels or [] if each.title == panel.title]
    assert len(found) == 1 and found[0] is not None, f"the board has {len(found)} panels called {panel.title}"
    return found[0]


def _asked(rule: AlertRule) -> alerting.Query:
    asked = alerting.Query("A").datasource_uid(data_source.UID).query_type("table")
    return asked.relative_time_range(models.RelativeTimeRange(rule.lookback_s, 0)).model(_Statement(rule.query))


def _compared(rule: AlertRule) -> alerting.Query:
    """A row fires for which the figure is beyond the limit; its texts are the labels of its alert."""
    evaluator = expr.ExprTypeThresholdConditionsEvaluator().type(rule.comparison).params([rule.limit])
    threshold = (
        expr.TypeThreshold()
        .ref_id("C")
        .expression("A")
        .conditions([expr.ExprTypeThresholdConditions().evaluator(evaluator)])
        .interval_ms(_INTERVAL_MS)
        .max_data_points(_POINTS_MAX)
    )
    compared = alerting.Query("C").datasource_uid(_EXPRESSION)
    return compared.relative_time_range(models.RelativeTimeRange(rule.lookback_s, 0)).model(threshold)


@dataclass(frozen=True, slots=True)
class _Statement(cog_builder.Builder[variants.Dataquery]):
    query: Query

    def build(self) -> variants.Dataquery:
        return _ClickHouseStatement(self.query)


@dataclass(frozen=True, slots=True)
class _ClickHouseStatement(variants.Dataquery):
    """A statement as the ClickHouse plugin takes it from a rule: a rule knows no variables, so the source is named."""

    query: Query

    def to_json(self) -> dict[str, object]:
        return {
            "refId": "A",
            "datasource": {"type": data_source.PLUGIN, "uid": data_source.UID},
            "pluginVersion": data_source.PLUGIN_VERSION,
            "editorType": "sql",
            "format": 1,
            "queryType": "table",
            "rawSql": self.query.sql,
            "intervalMs": _INTERVAL_MS,
            "maxDataPoints": _POINTS_MAX,
        }
