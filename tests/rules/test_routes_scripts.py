"""`turnwatch routes test` on a real Alertmanager: the shipped scripts hold, and a change of the routes is noticed."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts.diverting import firing as diverting
from alerts.explanations import Links, Paging, labels_of
from alerts.findings import Found
from alerts.findings import step as step_findings
from alerts.incident_scope import OpenIncidents
from alerts.openslo import load_slos
from alerts.pages import Pages, step
from alerts.routes_config import ConfigurationError, read_configuration
from alerts.routes_script import SHIPPED_SCRIPTS, ScriptError, load_scripts
from alerts.silence_wording import labels_of_silence
from alerts.watchdog import watchdog
from dashboards.alert_rules import second_line_rules
from dashboards.ownership import FOLDER_TITLE
from dashboards.render import alert_rules
from schemas.failures import BadInput
from schemas.rejections import Halt
from stack.failures import StackFailure
from tests.rules.burning import burning, decided
from tests.rules.conftest import SHIPPED_CONFIG
from tests.rules.finding import found, intruding, regressed, saturated
from turnwatch.routes import TOGETHER_MAX, run_routes_test, shipped_scripts, try_all
from turnwatch.routes_player import TooSlow, Tried
from turnwatch.sentences import exit_code_for

LATE_S = 2.0
"""For a machine that does much else. What is told too early, or besides, is wrong however slow it is."""

NEEDS_ALERTMANAGER = pytest.mark.needs("prometheus-alertmanager")

TICKETS_WAIT = 'target_matchers: [severity="ticket", scope="slice", slo!="", pool!=""]\n    equal: [slo, pool]\n'

INHIBITED = """\
about: While a slice pages, its ticket is kept back.
speed: 100
until: 2m
alerts:
  page: {alertname: SloBurnRateHigh, slo: s, severity: page, slice: pool=realtime}
  ticket: {alertname: SloBurnRateHigh, slo: s, severity: ticket, slice: pool=realtime}
steps:
  - {at: 0s, fire: [page, ticket]}
expect:
  - {receiver: on-call, firing: [page], between: [5s, 1m]}
"""


@pytest.fixture
def inhibited(tmp_path: Path) -> Path:
    script = tmp_path / "inhibited.yaml"
    script.write_text(INHIBITED)
    return script


def edited(folder: Path, **fields: Any) -> Path:
    """The shipped configuration with other fields."""
    configuration = folder / "edited.yml"
    configuration.write_text(yaml.safe_dump(yaml.safe_load(SHIPPED_CONFIG.read_text()) | fields))
    return configuration


@NEEDS_ALERTMANAGER
def test_the_shipped_routes_do_what_the_shipped_scripts_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_routes_test([], None, None, LATE_S) == 0, capsys.readouterr().out
    assert f"{len(shipped_scripts())} scripts, all as expected." in capsys.readouterr().out


@NEEDS_ALERTMANAGER
def test_a_change_of_the_routes_is_noticed_and_shown(
    inhibited: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_routes_test([inhibited], edited(tmp_path, inhibit_rules=[]), None, LATE_S) == 1
    told = [line for line in capsys.readouterr().out.splitlines() if "WRONG" in line]
    assert len(told) == 1
    assert told[0].split(maxsplit=1)[1] == "tickets  firing ticket: WRONG, nobody expected it"


SPOILT = (
    ("telemetry_silent", '[severity="ticket", slo!=""]', '[severity="ticket"]'),
    ("slices_in_one_notification", "group_by: [incident]\n", "group_by: [incident, slice]\n"),
    ("two_incidents", "group_by: [incident]\n", "group_by: [pool]\n"),
    ("findings", "group_by: [incident]\n", "group_by: [alertname, incident]\n"),
    ("findings", "equal: [alertname, slice]\n", "equal: [alertname]\n"),
    ("every_slice_burns", "equal: [slo, incident]\n", "equal: [incident]\n"),
    ("later_incident", "equal: [slo, incident]\n", "equal: [slo, pool]\n"),
    ("fleet_page_inhibits_tickets", TICKETS_WAIT, TICKETS_WAIT.replace("pool]", "incident]")),
    (
        "pages_of_prometheus",
        'pool!="", incident=""]\n    equal: [slo, pool]',
        'pool!="", incident=""]\n    equal: [pool]',
    ),
    ("pages_of_prometheus", 'incident!=""]\n      group_by', 'slo!=""]\n      group_by'),
    ("watchdog", "send_resolved: false", "send_resolved: true"),
    (
        "second_line",
        '[alertname!="PipelineSilent", provisioned_by="turnwatch"]',
        '[alertname="BudgetNearlySpent", provisioned_by="turnwatch"]',
    ),
)
"""A script, what stands once in the shipped configuration, and what instead makes the script fail."""


def spoilt(folder: Path, right: str, wrong: str) -> Path:
    shipped = SHIPPED_CONFIG.read_text()
    assert shipped.count(right) == 1
    configuration = folder / f"{uuid.uuid4().hex}.yml"
    configuration.write_text(shipped.replace('[severity="page", slo!=""]', '[severity="page"]').replace(right, wrong))
    return configuration


@pytest.fixture(scope="module")
def spoilt_plays(tmp_path_factory: pytest.TempPathFactory) -> list[Future[Tried]]:
    """Every script with its spoilt configuration, side by side: a script is little but waiting for its times."""
    folder = tmp_path_factory.mktemp("spoilt")

    def play(script: str, right: str, wrong: str) -> Tried:
        files = load_scripts([SHIPPED_SCRIPTS / f"{script}.yaml"])
        (tried,) = asyncio.run(try_all(files, read_configuration(spoilt(folder, right, wrong)), None, LATE_S))
        return tried

    with ThreadPoolExecutor(TOGETHER_MAX) as playing:
        return [playing.submit(play, *each) for each in SPOILT]


@NEEDS_ALERTMANAGER
@pytest.mark.parametrize("number", range(len(SPOILT)), ids=[each[0] for each in SPOILT])
def test_the_shipped_scripts_notice_what_they_are_there_for(number: int, spoilt_plays: list[Future[Tried]]) -> None:
    assert not spoilt_plays[number].result().is_right


@NEEDS_ALERTMANAGER
def test_what_never_comes_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "both.yaml"
    script.write_text(INHIBITED + "  - {receiver: tickets, firing: [ticket], between: [1m, 2m]}\n")
    assert run_routes_test([script], None, None, 1.0) == 1
    assert "firing ticket: WRONG, never came; expected between 1m and 2m" in capsys.readouterr().out


@NEEDS_ALERTMANAGER
def test_a_configuration_that_alertmanager_refuses_is_told_with_its_reason(inhibited: Path, tmp_path: Path) -> None:
    unknown = edited(tmp_path, route={"receiver": "on-cal"})
    with pytest.raises(ConfigurationError) as refused:
        run_routes_test([inhibited], unknown, None, LATE_S)
    assert str(refused.value) == f'{unknown}: Alertmanager refuses it: undefined receiver "on-cal" used in route.'
    assert exit_code_for(refused.value) == 2


@NEEDS_ALERTMANAGER
def test_a_machine_that_cannot_keep_to_the_script_is_no_verdict(inhibited: Path) -> None:
    with pytest.raises(
        TooSlow, match=r"inhibited\.yaml: This machine is too slow for 100 times the speed: the alerts of"
    ):
        run_routes_test([inhibited], None, None, late_s=0.0)


@pytest.mark.parametrize("speed", [float("nan"), float("inf")])
def test_a_speed_that_is_none_is_refused(speed: float, inhibited: Path) -> None:
    with pytest.raises(BadInput, match=r"--speed: (nan|inf) is no speed"):
        run_routes_test([inhibited], None, speed, LATE_S)


def test_without_alertmanager_it_says_how_to_get_it(
    inhibited: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackFailure) as failed:
        run_routes_test([inhibited], None, None, LATE_S)
    assert exit_code_for(failed.value) == 1
    assert "apt-get install prometheus-alertmanager" in capsys.readouterr().err


def test_a_wrong_script_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "wrong.yaml").write_text(INHIBITED.replace("on-call", "on-cal"))
    with pytest.raises(ScriptError) as refused:
        run_routes_test([tmp_path / "wrong.yaml"], None, None, LATE_S)
    assert exit_code_for(refused.value) == 2
    assert "wrong.yaml:10: expect[0].receiver: No receiver is named 'on-cal'" in capsys.readouterr().err


def emitted() -> dict[str, list[set[str]]]:
    """By alertname, the names of the labels that our alerts have; those of Prometheus are in no incident."""
    paging = Paging(slos={slo.name: slo for slo in load_slos()})
    halt = Halt(topic="aggregates.turns", partition=0, offset=0, reason="wrong_type", why="Too many.", at_ms=0)
    cuts = ("", ",bundle=v1", ",region=x", ",route=x")
    burns = [burning(slice_text=f"pool=realtime{cut}") for cut in cuts]
    said = (
        found(0, saturated(), saturated(severity="ticket"), intruding()),
        found(0, regressed(), question="cost"),
    )
    labels = [
        *(
            alert.labels
            for each in said
            for alert in step_findings(Found(), each, paging, OpenIncidents(), 0).published
        ),
        *(labels_of(burn, paging) for burn in burns),
        *(step(Pages(), decided(10, burn), paging, 0).published[0].labels for burn in burns),
        *(labels_of_silence("turns", producer, "page") for producer in (None, "collector-7")),
        diverting([halt], Links(), 0).labels,
        watchdog(0, 0, Links()).labels,
        *of_grafana(),
    ]
    names = {each["alertname"] for each in labels}
    return {name: [set(each) for each in labels if each["alertname"] == name] for name in names}


def of_grafana() -> Iterator[dict[str, str]]:
    """Of every rule of the second line: with the texts of a row that it answers, and without, where its query fails."""
    for rule, told in zip(second_line_rules(()), alert_rules(()), strict=True):
        labels = {"alertname": rule.name, "grafana_folder": FOLDER_TITLE, **told["labels"]}
        yield labels
        yield labels | dict.fromkeys(re.findall(r'\.Labels "(\w+)"', rule.summary), "")


def test_the_shipped_scripts_play_alerts_with_the_labels_that_ours_have() -> None:
    """But one, which is about alerts that are not ours."""
    ours = emitted()
    played = [labels for file in load_scripts(shipped_scripts()) for labels in file.script.alerts.values()]
    assert {labels["alertname"] for labels in played} == {*ours, "SomethingNew"}
    for labels in played:
        if labels["alertname"] in ours:
            assert set(labels) in ours[labels["alertname"]]
