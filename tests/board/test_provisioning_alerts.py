"""Provisioning of alerts against a Grafana that answers as recorded: rules, contact points, our route, mute timings."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from typing import Any

import pytest

from alerts.definitions import watched_slos
from dashboards.alert_rules import GROUP, INTERVAL_S
from dashboards.changes import LINES_MAX, WRITING, Change, How, difference
from dashboards.data_source import NAME, UID, ClickHouseSource
from dashboards.grafana import GrafanaAddress, ProvisioningRefused
from dashboards.notifications import (
    ALERTMANAGER,
    MAINTENANCE,
    NOBODY,
    WEBHOOK,
    MaintenanceError,
    Notifications,
    contact_points,
    maintenance_windows,
    mute_timing,
    route,
)
from dashboards.ownership import FOLDER_UID
from dashboards.provisioning import Wanted, provision
from dashboards.render import alert_rules
from tests.board.recorded_grafana import RecordedGrafana
from turnwatch.places import notifications
from turnwatch.provision import run_provision
from turnwatch.settings import SettingsError, load

SOURCE = ClickHouseSource("clickhouse", 8123, password="first-secret")
RULES = alert_rules(watched_slos())
AWAKE = Notifications(
    "http://alertmanager:9093", "grafana", "second-secret", "https://hooks.example/third-secret", "fourth-secret"
)
TOLD = replace(AWAKE, maintenance=maintenance_windows("sunday 01:00-03:00 Europe/Berlin; 12:00-12:30"))
SECRET = re.compile("first-secret|second-secret|third-secret|fourth-secret")

THEIRS: dict[str, Any] = {
    "receiver": "grafana-default-email",
    "group_by": ["grafana_folder", "alertname"],
    "group_wait": "5s",
    "routes": [
        {"receiver": "grafana-default-email", "object_matchers": [["team", "=", "payments"]], "continue": True},
        {"receiver": "grafana-default-email", "object_matchers": [["severity", "=~", ".*"]]},
    ],
}


def _run(
    grafana: RecordedGrafana,
    told: Notifications = TOLD,
    how: How = WRITING,
    rules: list[dict[str, Any]] = RULES,
) -> list[Change]:
    address = GrafanaAddress(grafana.url, username="admin", password="right")
    return provision(address, Wanted(SOURCE, {}, rules, told), how, pause=lambda _: None)


def _refusal(grafana: RecordedGrafana, told: Notifications = TOLD, how: How = WRITING) -> str:
    with pytest.raises(ProvisioningRefused) as refused:
        _run(grafana, told, how)
    sentence = str(refused.value)
    assert "\n" not in sentence and not SECRET.search(sentence) and not SECRET.search(repr(refused.value.__cause__))
    return sentence


def _paths(grafana: RecordedGrafana) -> list[str]:
    return [f"{method} {path.rpartition('/provisioning/')[2]}" for method, path, _ in grafana.writes]


def _done(changes: list[Change]) -> dict[str, str]:
    return {change.name: change.action for change in changes if change.action != "unchanged"}


@pytest.mark.recorded
def test_what_was_recorded_fits_the_document_as_the_server_mends_it(grafana: RecordedGrafana) -> None:
    held = 0
    for exchange in grafana.exchanges.values():
        asked, status = exchange["request"], exchange["response"]["status"]
        if "/provisioning/" in asked["path"] and asked["body"] and status < 300:
            grafana.hold_to_document(asked["method"], asked["path"], asked["body"])
            held += 1
    assert held > 8


@pytest.mark.recorded
def test_an_empty_grafana_gets_rules_and_somebody_to_tell(grafana: RecordedGrafana) -> None:
    changes = _run(grafana)
    assert {change.action for change in changes} == {"created"}
    assert [rule["title"] for rule in grafana.alerting.rules.values()] == [rule["title"] for rule in RULES]
    assert {rule["provenance"] for rule in grafana.alerting.rules.values()} == {"api"}
    assert set(grafana.alerting.points) == {ALERTMANAGER, WEBHOOK} and set(grafana.alerting.timings) == {MAINTENANCE}
    assert grafana.alerting.secrets[WEBHOOK] == {"authorization_credentials": "fourth-secret"}
    assert grafana.alerting.tree["routes"] == [route(TOLD)]
    assert not SECRET.search(repr(changes))


@pytest.mark.recorded
def test_a_second_run_changes_nothing_and_asks_for_nothing_to_be_changed(grafana: RecordedGrafana) -> None:
    _run(grafana)
    grafana.writes.clear()
    assert {change.action for change in _run(grafana)} == {"unchanged"}
    assert grafana.writes == []


@pytest.mark.recorded
def test_a_dry_run_says_the_same_and_does_nothing(grafana: RecordedGrafana) -> None:
    would_be = _run(grafana, how=How(is_dry_run=True))
    assert grafana.writes == []
    assert [(change.name, change.action) for change in would_be] == [
        (change.name, change.action) for change in _run(grafana)
    ]


@pytest.mark.recorded
def test_without_anybody_to_tell_policies_are_left_alone(grafana: RecordedGrafana) -> None:
    grafana.alerting.tree = copy.deepcopy(THEIRS)
    _run(grafana, NOBODY)
    assert grafana.alerting.tree == THEIRS and len(grafana.alerting.rules) == len(RULES)


@pytest.mark.recorded
@pytest.mark.parametrize("provenance", ["", "api"])
def test_our_route_goes_into_the_tree_of_others_which_stays_what_it_was(
    grafana: RecordedGrafana, provenance: str
) -> None:
    told = {"provenance": provenance} if provenance else {}
    grafana.alerting.tree = copy.deepcopy(THEIRS) | told
    _run(grafana)
    ours, *others = grafana.alerting.tree["routes"]
    assert ours == route(TOLD), "before theirs, of which one takes every severity"
    assert grafana.alerting.tree | {"routes": others} == THEIRS | told


@pytest.mark.recorded
def test_our_route_is_changed_where_it_stands_and_only_it(grafana: RecordedGrafana) -> None:
    _run(grafana, AWAKE)
    first, last = copy.deepcopy(THEIRS["routes"])
    grafana.alerting.tree["routes"] = [first, *grafana.alerting.tree["routes"], last]
    (change,) = [each for each in _run(grafana) if each.kind == "notification policy"]
    assert (change.action, grafana.alerting.tree["routes"]) == ("updated", [first, route(TOLD), last])
    assert any(f'mute_time_intervals: ["{MAINTENANCE}"]' in line for line in change.difference)
    assert _done(_run(grafana)) == {}


@pytest.mark.recorded
def test_a_tree_from_a_file_is_refused_though_grafana_would_take_it(grafana: RecordedGrafana) -> None:
    grafana.alerting.tree = copy.deepcopy(THEIRS) | {"provenance": "file"}
    assert "The policy tree 'notification policies' is provisioned from a file" in _refusal(grafana)
    assert grafana.alerting.tree["routes"] == THEIRS["routes"]


@pytest.mark.recorded
def test_a_rule_that_was_changed_is_put_back_and_the_difference_is_shown(grafana: RecordedGrafana) -> None:
    _run(grafana)
    rule = grafana.alerting.rules["turnwatch-pipeline-silent"]
    rule["for"], rule["isPaused"], rule["annotations"]["hint"] = "1h", True, "look away"
    rule["data"][0]["model"]["rawSql"] = rule["data"][0]["model"]["rawSql"].replace("'pool'", "'region'", 1)
    grafana.writes.clear()
    would_be = _run(grafana, how=How(is_dry_run=True))
    assert grafana.writes == []
    (change,) = [each for each in _run(grafana) if each.action != "unchanged"]
    assert change in would_be and _paths(grafana) == ["PUT alert-rules/turnwatch-pipeline-silent"]
    said = "\n".join(change.difference)
    assert '- for: "1h"\n+ for: "2m"' in said and '- annotations.hint: "look away"' in said
    assert "- isPaused: true" in said and "- data[0].model.rawSql: " in said and said.count("rawSql") == 2
    assert _done(_run(grafana)) == {}


@pytest.mark.recorded
def test_the_pace_of_the_group_is_put_back_without_touching_the_rules_of_others_in_it(grafana: RecordedGrafana) -> None:
    _run(grafana)
    theirs = grafana.alerting.rules["turnwatch-page-stuck"] | {"uid": "theirs", "title": "theirs"}
    grafana.alerting.rules["theirs"] = copy.deepcopy(theirs)
    grafana.alerting.intervals[FOLDER_UID, GROUP] = 300
    grafana.writes.clear()
    (change,) = [each for each in _run(grafana) if each.action != "unchanged"]
    assert (change.kind, change.difference) == ("rule group", ("- interval: 300", f"+ interval: {INTERVAL_S}"))
    assert grafana.alerting.rules["theirs"] == theirs and len(grafana.writes) == 1


@pytest.mark.recorded
def test_what_is_ours_and_no_longer_wanted_is_named_and_deleted_on_request(grafana: RecordedGrafana) -> None:
    _run(grafana)
    first, *others = RULES
    elsewhere = copy.deepcopy(grafana.alerting.rules["turnwatch-page-stuck"])
    grafana.alerting.rules["turnwatch-copy"] = elsewhere | {"uid": "turnwatch-copy", "folderUID": "of-others"}
    grafana.alerting.rules["theirs"] = elsewhere | {"uid": "theirs", "title": "theirs"}
    grafana.alerting.points["theirs"] = grafana.alerting.points[WEBHOOK] | {"uid": "theirs", "name": "theirs"}
    grafana.writes.clear()
    gone = {first["title"], "route provisioned_by=turnwatch", ALERTMANAGER, WEBHOOK, MAINTENANCE}
    left = _run(grafana, NOBODY, rules=others)
    assert _done(left) == dict.fromkeys(gone, "left over") and all("--prune" in c.note for c in left if c.note)
    assert _done(_run(grafana, NOBODY, How(is_dry_run=True, prunes=True), others)) == dict.fromkeys(gone, "deleted")
    assert grafana.writes == []
    assert _done(_run(grafana, NOBODY, How(prunes=True), others)) == dict.fromkeys(gone, "deleted")
    assert grafana.alerting.tree == {"receiver": "grafana-default-email", "routes": []}
    assert set(grafana.alerting.points) == {"theirs"} and grafana.alerting.timings == {}
    assert {"theirs", "turnwatch-copy"} < set(grafana.alerting.rules)
    assert _done(_run(grafana, NOBODY, How(prunes=True), others)) == {}


@pytest.mark.recorded
def test_what_somebody_else_still_uses_is_not_deleted(grafana: RecordedGrafana) -> None:
    _run(grafana)
    grafana.alerting.tree["routes"].append({"receiver": WEBHOOK, "object_matchers": [["team", "=", "payments"]]})
    changes = {change.name: change for change in _run(grafana, NOBODY, How(prunes=True))}
    assert changes[ALERTMANAGER].action == "deleted"
    assert changes[WEBHOOK].action == "left over" and "not ours still uses it" in changes[WEBHOOK].note


@pytest.mark.recorded
def test_a_maintenance_that_is_over_leaves_the_route_and_then_its_timing(grafana: RecordedGrafana) -> None:
    _run(grafana)
    changes = _run(grafana, AWAKE, How(prunes=True))
    assert _done(changes) == {"route provisioned_by=turnwatch": "updated", MAINTENANCE: "deleted"}
    assert grafana.alerting.tree["routes"] == [route(AWAKE)]


@pytest.mark.recorded
def test_a_changed_secret_is_sent_again_on_request(grafana: RecordedGrafana) -> None:
    _run(grafana)
    changed = replace(TOLD, webhook_token="fifth")
    assert _done(_run(grafana, changed)) == {}, "nobody can see it"
    changes = _run(grafana, changed, How(resends=True))
    assert _done(changes) == dict.fromkeys((NAME, ALERTMANAGER, WEBHOOK), "updated")
    assert grafana.alerting.secrets[WEBHOOK] == {"authorization_credentials": "fifth"}


@pytest.mark.recorded
def test_credentials_that_are_no_longer_given_are_taken_back(grafana: RecordedGrafana) -> None:
    """Grafana would go on sending a token that nobody gives any more; what it redacts is no difference."""
    _run(grafana)
    changes = _run(grafana, replace(TOLD, webhook_token="", alertmanager_username="", alertmanager_password=""))
    differs = {change.name: change.difference for change in changes if change.action == "updated"}
    assert differs == {ALERTMANAGER: ("± settings.basicAuthUser",), WEBHOOK: ("± settings.authorization_scheme",)}
    assert grafana.alerting.secrets == {ALERTMANAGER: {}, WEBHOOK: {}}
    assert "authorization_scheme" not in grafana.alerting.points[WEBHOOK]["settings"]


@pytest.mark.recorded
def test_a_changed_address_is_named_and_not_shown(grafana: RecordedGrafana) -> None:
    _run(grafana)
    (change,) = [
        each
        for each in _run(grafana, replace(TOLD, webhook_url="https://hooks.example/new"))
        if each.action == "updated"
    ]
    assert (change.name, change.difference) == (WEBHOOK, ("± settings.url",))


@pytest.mark.recorded
@pytest.mark.parametrize(
    ("kind", "held", "change"),
    [
        ("alert rule 'PipelineSilent'", lambda of: of.rules["turnwatch-pipeline-silent"], {"for": "1h"}),
        (f"contact point '{WEBHOOK}'", lambda of: of.points[WEBHOOK], {"disableResolveMessage": True}),
        (f"mute timing '{MAINTENANCE}'", lambda of: of.timings[MAINTENANCE], {"time_intervals": []}),
    ],
)
def test_what_a_file_provisions_is_refused_only_where_it_differs(
    grafana: RecordedGrafana, kind: str, held: Any, change: dict[str, Any]
) -> None:
    _run(grafana)
    held(grafana.alerting)["provenance"] = "file"
    assert _done(_run(grafana)) == {}
    held(grafana.alerting).update(change)
    grafana.writes.clear()
    assert f"The {kind} is provisioned from a file" in _refusal(grafana)
    held(grafana.alerting)["provenance"] = "converted_prometheus"
    assert f"The {kind} is managed by something else ('converted_prometheus')" in _refusal(grafana)
    assert grafana.writes == []


@pytest.mark.recorded
def test_rules_of_a_file_are_as_they_should_be_in_whatever_folder_grafana_made_for_them(
    grafana: RecordedGrafana,
) -> None:
    _run(grafana)
    for rule in grafana.alerting.rules.values():
        rule |= {"provenance": "file", "folderUID": "chosen-by-grafana"}
    grafana.writes.clear()
    assert _done(_run(grafana, how=How(prunes=True))) == {}
    assert grafana.writes == []


@pytest.mark.recorded
@pytest.mark.parametrize(
    ("told", "repeated"),
    [
        (replace(AWAKE, webhook_url=""), "second-secret"),
        (replace(AWAKE, alertmanager_url=""), "https://hooks.example/third-secret with fourth-secret"),
    ],
)
def test_what_grafana_repeats_of_a_secret_is_not_said(
    grafana: RecordedGrafana, told: Notifications, repeated: str
) -> None:
    grafana.refusing["contact-points"] = (400, {"message": f"invalid: {repeated}"})
    sentence = _refusal(grafana, told)
    assert f"refused to create the contact point '{told.receivers[0]}' (400): invalid: …" in sentence


@pytest.mark.recorded
def test_a_viewer_is_told_what_they_may_not_provision(grafana: RecordedGrafana) -> None:
    grafana.refusing = {"alert-rules": grafana._recorded("viewer may not provision alerts")}
    sentence = _refusal(grafana)
    assert "doesn't let these credentials create the alert rule 'PipelineSilent'" in sentence
    assert "alert.provisioning:write" in sentence


@pytest.mark.recorded
def test_a_namesake_of_a_rule_is_left_alone(grafana: RecordedGrafana) -> None:
    _run(grafana)
    rule = grafana.alerting.rules.pop("turnwatch-page-stuck")
    grafana.alerting.rules["theirs"] = rule | {"uid": "theirs"}
    assert "refused to create the alert rule 'PageStuck' (400): [alerting.alert-rule.conflict]" in _refusal(grafana)
    assert grafana.alerting.rules["theirs"]["uid"] == "theirs"


def test_an_alertmanager_hears_of_an_alert_before_it_takes_it_as_over() -> None:
    """Alertmanager resolves what nobody has sent for `resolve_timeout`, five minutes unless somebody says otherwise."""
    ours = route(TOLD)
    assert ours is not None
    to_alertmanager, to_webhook = ours["routes"]
    assert (to_alertmanager["receiver"], to_alertmanager["repeat_interval"]) == (ALERTMANAGER, "1m")
    assert (to_webhook["receiver"], to_webhook["repeat_interval"]) == (WEBHOOK, "4h")
    assert to_alertmanager["continue"] and "continue" not in to_webhook
    assert all(part["mute_time_intervals"] == [MAINTENANCE] for part in (ours, to_alertmanager, to_webhook))
    assert route(Notifications("http://alertmanager:9093")) == {
        **{key: value for key, value in to_alertmanager.items() if key not in ("continue", "mute_time_intervals")},
        "object_matchers": [["provisioned_by", "=", "turnwatch"]],
        "group_by": ["alertname"],
    }


def test_secrets_are_not_shown() -> None:
    assert not SECRET.search(repr(TOLD) + repr(contact_points(TOLD)))
    assert not SECRET.search(json.dumps([{**each.definition(), "settings": {}} for each in contact_points(TOLD)]))


def test_maintenance_is_when_it_was_written() -> None:
    timing = mute_timing(replace(NOBODY, maintenance=maintenance_windows("saturday:monday 22:00-24:00")))
    assert timing is not None
    (interval,) = timing["time_intervals"]
    assert interval == {
        "times": [{"start_time": "22:00", "end_time": "24:00"}],
        "weekdays": ["saturday", "sunday", "monday"],
        "location": "UTC",
    }
    assert maintenance_windows(" ; ") == () and mute_timing(NOBODY) is None


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("sundays 01:00-02:00", "names sundays, which is no day of the week"),
        ("sunday", "is no maintenance window: write it as `sunday 01:00-03:00 Europe/Berlin`"),
        ("sunday 23:00-01:00", "does not end after it begins, within one day: write two windows"),
        ("sunday 24:00-25:00", "does not end after it begins"),
        ("sunday 01:00-02:00 Europe/Bonn", "names Europe/Bonn, which is no zone of the IANA database"),
    ],
)
def test_a_maintenance_that_cannot_be_meant_is_a_sentence(written: str, said: str) -> None:
    with pytest.raises(MaintenanceError, match=re.escape(said)):
        maintenance_windows(f"12:00-12:30; {written}")


def test_a_long_difference_is_cut_and_counted() -> None:
    lines = difference({}, {str(number): number for number in range(LINES_MAX + 7)})
    assert len(lines) == LINES_MAX + 1 and lines[-1] == "… and 7 more lines"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"GRAFANA__ALERTMANAGER_URL": "alertmanager:9093"}, "TURNWATCH_GRAFANA__ALERTMANAGER_URL: An Alertmanager's"),
        (
            {"GRAFANA__ALERTMANAGER_URL": "http://alertmanager", "ALERTMANAGER__TOKEN": "fourth-secret"},
            "TURNWATCH_ALERTMANAGER__TOKEN: Grafana signs in to an Alertmanager with a user name and a password only.",
        ),
        (
            {"GRAFANA__WEBHOOK_URL": "https://ana:fourth-secret@hooks.example"},
            "TURNWATCH_GRAFANA__WEBHOOK_URL: A webhook's address must not hold credentials",
        ),
        (
            {"GRAFANA__WEBHOOK_TOKEN": "fourth-secret"},
            "TURNWATCH_GRAFANA__WEBHOOK_TOKEN: A token is given, and no webhook.",
        ),
        (
            {"GRAFANA__WEBHOOK_URL": "https://hooks.example", "GRAFANA__MAINTENANCE": "whenever"},
            "TURNWATCH_GRAFANA__MAINTENANCE: 'whenever' is no maintenance window",
        ),
        ({"GRAFANA__MAINTENANCE": "01:00-02:00"}, "TURNWATCH_GRAFANA__MAINTENANCE: It says when nobody is told"),
    ],
)
def test_settings_that_cannot_be_meant_name_their_variable(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], said: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"TURNWATCH_{name}", value)
    with pytest.raises(SettingsError) as refused:
        notifications(load())
    assert str(refused.value).startswith(said) and not SECRET.search(str(refused.value))


def test_settings_say_whom_grafana_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {
        "GRAFANA__ALERTMANAGER_URL": AWAKE.alertmanager_url,
        "ALERTMANAGER__USERNAME": AWAKE.alertmanager_username,
        "ALERTMANAGER__PASSWORD": AWAKE.alertmanager_password,
        "GRAFANA__WEBHOOK_URL": AWAKE.webhook_url,
        "GRAFANA__WEBHOOK_TOKEN": AWAKE.webhook_token,
        "GRAFANA__MAINTENANCE": "sunday 01:00-03:00 Europe/Berlin; 12:00-12:30",
    }
    assert notifications(load()) == NOBODY
    for name, value in settings.items():
        monkeypatch.setenv(f"TURNWATCH_{name}", value)
    assert notifications(load()) == TOLD


@pytest.mark.recorded
def test_the_command_shows_what_it_would_change_and_then_that_nothing_is_left_to_do(
    grafana: RecordedGrafana, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {
        "GRAFANA__URL": grafana.url,
        "GRAFANA__USERNAME": "admin",
        "GRAFANA__PASSWORD": "right",
        "CLICKHOUSE__URL": "http://reader@clickhouse:8123/turnwatch",
        "CLICKHOUSE__PASSWORD": "first-secret",
        "GRAFANA__WEBHOOK_URL": AWAKE.webhook_url,
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"TURNWATCH_{name}", value)
    assert run_provision() == 0
    shown = capsys.readouterr().out
    assert " created." in shown and "has the account 'reader' of" in shown
    assert "TURNWATCH_GRAFANA__CLICKHOUSE_URL" in shown
    grafana.alerting.rules["turnwatch-page-stuck"]["for"] = "1h"
    assert run_provision(is_dry_run=True) == 0
    shown = capsys.readouterr().out
    assert 'alert rule \'PageStuck\'\n  - for: "1h"\n  + for: "5m"\n' in shown
    assert "1 updated. This was a dry run: nothing was changed." in shown
    run_provision()
    capsys.readouterr()
    assert run_provision() == 0
    shown = capsys.readouterr().out
    assert "Nothing was changed: all of it is as it should be." in shown and not SECRET.search(shown)
    assert "has the account" not in shown, "it was told when it was given"
    monkeypatch.setenv("TURNWATCH_GRAFANA__CLICKHOUSE_URL", "http://boards@clickhouse:8123/turnwatch")
    assert run_provision() == 0 and "1 updated." in (shown := capsys.readouterr().out)
    assert "has the account" not in shown
    assert grafana.sources[UID]["jsonData"]["username"] == "boards" and grafana.secrets[UID]["password"] == ""
