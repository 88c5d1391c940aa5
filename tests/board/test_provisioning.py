"""Provisioning against a Grafana that answers as recorded, and against a real one where `GRAFANA_URL` names it."""

from __future__ import annotations

import copy
import json
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from alerts.openslo import load_slos
from alerts.policies import policy_for
from dashboards.changes import WRITING, Change, How
from dashboards.data_source import UID, ClickHouseSource, source_at
from dashboards.grafana import ATTEMPTS_MAX, GrafanaAddress, ProvisioningRefused
from dashboards.ownership import FOLDER_UID
from dashboards.provisioning import Wanted, provision
from dashboards.render import COMPOSE_SOURCE, COMPOSE_TOLD, alert_rules, boards
from dashboards.variables import OVERVIEW_UID
from schemas.warehouse import ClickHouseAddress
from tests.board.recorded_grafana import RecordedGrafana
from tests.warehouse.tls import self_signed

SOURCE = ClickHouseSource("clickhouse", 8123, database="turnwatch", username="reader", password="first-secret")
WATCHED = tuple(policy_for(slo) for slo in load_slos())
BOARDS = {OVERVIEW_UID: boards(WATCHED)[OVERVIEW_UID]}
"""One is as good as all of them: each takes the same way."""


def _run(
    grafana: RecordedGrafana, source: ClickHouseSource = SOURCE, *, password: str = "right", how: How = WRITING
) -> list[Change]:
    address = GrafanaAddress(grafana.url, username="admin", password=password)
    return provision(address, Wanted(source, BOARDS), how, pause=lambda _: None)


def _refusal(grafana: RecordedGrafana, password: str = "right") -> str:
    with pytest.raises(ProvisioningRefused) as refused:
        _run(grafana, password=password)
    sentence = str(refused.value)
    assert "\n" not in sentence and "secret" not in sentence
    return sentence


@pytest.mark.recorded
def test_an_empty_grafana_gets_folder_source_and_board(grafana: RecordedGrafana) -> None:
    changes = _run(grafana)
    assert [(change.kind, change.action) for change in changes] == [
        ("folder", "created"),
        ("data source", "created"),
        ("dashboard", "created"),
    ]
    assert grafana.boards[OVERVIEW_UID]["meta"]["folderUid"] == FOLDER_UID
    assert grafana.secrets[UID] == {"password": "first-secret"}
    assert "first-secret" not in json.dumps(grafana.sources)


@pytest.mark.recorded
def test_a_second_run_writes_nothing_and_says_so(grafana: RecordedGrafana) -> None:
    _run(grafana)
    grafana.writes.clear()
    assert {change.action for change in _run(grafana)} == {"unchanged"}
    assert grafana.writes == []


@pytest.mark.recorded
def test_a_dry_run_says_what_it_would_do_and_does_not(grafana: RecordedGrafana) -> None:
    assert [change.action for change in _run(grafana, how=How(is_dry_run=True))] == ["created"] * 3
    assert grafana.writes == []


@pytest.mark.recorded
def test_what_was_changed_by_hand_is_put_back_and_nothing_else(grafana: RecordedGrafana) -> None:
    _run(grafana)
    grafana.folders[FOLDER_UID]["title"] = "renamed"
    grafana.boards[OVERVIEW_UID]["dashboard"]["panels"].pop()
    grafana.writes.clear()
    folder, source, board = _run(grafana)
    assert (folder.action, source.action, board.action) == ("updated", "unchanged", "updated")
    assert folder.difference == ('- title: "renamed"', '+ title: "turnwatch"')
    assert board.difference and all(line.startswith("+ panels[") for line in board.difference)
    assert [path for _, path, _ in grafana.writes] == [f"/api/folders/{FOLDER_UID}", "/api/dashboards/db"]
    assert {change.action for change in _run(grafana)} == {"unchanged"}


@pytest.mark.recorded
def test_a_changed_password_is_sent_again_once_clickhouse_refuses_the_old_one(grafana: RecordedGrafana) -> None:
    _run(grafana)
    changed = ClickHouseSource("clickhouse", 8123, database="turnwatch", username="reader", password="second-secret")
    grafana.health = (400, {"message": "code: 516, message: reader: Authentication failed", "status": "ERROR"})
    assert _run(grafana, changed)[1].action == "updated"
    assert grafana.secrets[UID]["password"] == "second-secret"


@pytest.mark.recorded
def test_a_certificate_that_is_no_longer_given_is_cleared(grafana: RecordedGrafana) -> None:
    tls = ClickHouseSource(
        "clickhouse",
        8443,
        database="turnwatch",
        username="reader",
        password="first-secret",
        is_tls=True,
        ca_certificate="PEM",
    )
    _run(grafana, tls)
    assert grafana.sources[UID]["secureJsonFields"] == {"password": True, "tlsCACert": True}
    assert _run(grafana)[1].action == "updated"
    assert grafana.sources[UID]["secureJsonFields"] == {"password": True}


@pytest.mark.recorded
def test_an_absent_clickhouse_is_a_note_and_changes_nothing(grafana: RecordedGrafana) -> None:
    _run(grafana)
    grafana.health = grafana._recorded("datasource health, server away")
    source = _run(grafana)[1]
    assert source.action == "unchanged"
    assert source.note == (
        "Grafana can't read ClickHouse at http://clickhouse:8123 yet: failed to create ClickHouse client. "
        "If its password or CA has changed, --secrets sends them again."
    )


@pytest.mark.recorded
def test_a_changed_secret_of_the_source_is_sent_again_on_request(grafana: RecordedGrafana) -> None:
    """The recorded plugin says the same of a wrong password, of an untrusted certificate and of a server that is away."""
    _run(grafana)
    changed = replace(SOURCE, password="second-secret")
    grafana.health = grafana._recorded("datasource health, server away")
    grafana.writes.clear()
    assert (
        _run(grafana, changed, how=How(is_dry_run=True, resends=True))[1].action == "updated" and grafana.writes == []
    )
    source = _run(grafana, changed, how=How(resends=True))[1]
    assert source.action == "updated" and source.note.startswith("Its secrets are sent again. Grafana can't read")
    assert grafana.secrets[UID] == {"password": "second-secret"}
    grafana.sources[UID]["readOnly"] = True
    assert _run(grafana, changed, how=How(resends=True))[1].action == "unchanged", "a file says it at every start"


@pytest.mark.recorded
def test_wrong_credentials_are_noticed_although_anonymous_access_reads(grafana: RecordedGrafana) -> None:
    assert "doesn't know the user 'admin'" in _refusal(grafana, password="wrong")
    assert grafana.writes == []


@pytest.mark.recorded
def test_a_viewer_is_told_what_is_missing_before_anything_is_changed(grafana: RecordedGrafana) -> None:
    grafana.permissions = ("folders:create", "datasources:create", "datasources:write")
    sentence = _refusal(grafana)
    assert "create dashboards, change dashboards, provision alert rules" in sentence and "role Admin" in sentence
    assert grafana.writes == []


@pytest.mark.recorded
@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ({"version": "10.3.1"}, "is version 10.3.1; the boards need 10.4 or later"),
        ({"database": "failing"}, "is half up, its database is 'failing'"),
        ({"has_plugin": False}, "lacks the plugin grafana-clickhouse-datasource: install it"),
        ({"starting": ATTEMPTS_MAX}, "answers 503: it is starting"),
    ],
)
def test_a_grafana_that_cannot_take_the_boards_says_why(
    grafana: RecordedGrafana, behaviour: dict[str, object], said: str
) -> None:
    for name, value in behaviour.items():
        setattr(grafana, name, value)
    assert said in _refusal(grafana)
    assert grafana.writes == []


@pytest.mark.recorded
def test_a_grafana_that_is_starting_is_waited_for(grafana: RecordedGrafana) -> None:
    grafana.starting = ATTEMPTS_MAX - 1
    assert {change.action for change in _run(grafana)} == {"created"}


@pytest.mark.recorded
def test_a_grafana_that_is_asked_too_much_at_once_is_waited_for(grafana: RecordedGrafana) -> None:
    grafana.starting, grafana.start = ATTEMPTS_MAX - 1, (429, {"message": "Too many requests"})
    assert {change.action for change in _run(grafana)} == {"created"}


@pytest.mark.recorded
def test_what_was_done_without_an_answer_is_told_when_its_repetition_is_refused(grafana: RecordedGrafana) -> None:
    grafana.unanswered = "/api/folders"
    sentence = _refusal(grafana)
    assert "refused to create the folder 'turnwatch' (412)" in sentence
    assert sentence.endswith("may have done it without an answer: run this again.")
    assert {change.action for change in _run(grafana)} == {"unchanged", "created"}


@pytest.mark.recorded
def test_a_clickhouse_that_is_away_is_tried_once(grafana: RecordedGrafana) -> None:
    _run(grafana)
    grafana.health = (504, {"message": "timeout"})
    grafana.tried = 0
    assert "can't read ClickHouse" in _run(grafana)[1].note and grafana.tried == 1


@pytest.mark.recorded
def test_what_a_file_provisions_is_refused(grafana: RecordedGrafana) -> None:
    _run(grafana)
    grafana.boards[OVERVIEW_UID]["meta"]["provisioned"] = True
    grafana.boards[OVERVIEW_UID]["dashboard"]["title"] = "from a file"
    assert "is provisioned from a file" in _refusal(grafana)
    grafana.sources[UID] |= {"readOnly": True, "name": "from a file"}
    assert "The data source 'turnwatch ClickHouse' is provisioned from a file" in _refusal(grafana)


@pytest.mark.recorded
def test_a_namesake_that_is_not_ours_is_left_alone(grafana: RecordedGrafana) -> None:
    _run(grafana)
    grafana.sources["theirs"] = grafana.sources.pop(UID) | {"uid": "theirs"}
    sentence = _refusal(grafana)
    assert (
        "refused to create the data source 'turnwatch ClickHouse' (409): data source with the same name already exists"
        in sentence
    )
    assert grafana.sources["theirs"]["uid"] == "theirs"


@pytest.mark.recorded
def test_a_board_of_ours_that_is_no_longer_wanted_is_named_and_deleted_on_request(grafana: RecordedGrafana) -> None:
    _run(grafana)
    theirs = {"uid": "theirs", "title": "theirs"}
    for changed in ({"uid": "turnwatch-old", "title": "old"}, theirs):
        held = copy.deepcopy(grafana.boards[OVERVIEW_UID])
        held["dashboard"] |= changed
        grafana.boards[changed["uid"]] = held
    moved = copy.deepcopy(grafana.boards["turnwatch-old"])
    moved["meta"]["folderUid"] = "of-others"
    grafana.boards["turnwatch-moved"] = moved
    grafana.writes.clear()
    *_, left = _run(grafana)
    assert (left.kind, left.name, left.action) == ("dashboard", "old", "left over") and "--prune" in left.note
    assert _run(grafana, how=How(is_dry_run=True, prunes=True))[-1].action == "deleted"
    assert grafana.writes == []
    assert _run(grafana, how=How(prunes=True))[-1].action == "deleted"
    assert set(grafana.boards) == {OVERVIEW_UID, "theirs", "turnwatch-moved"}


@pytest.mark.recorded
@pytest.mark.parametrize("status", [403, 409, 412, 422])
def test_a_refusal_in_between_is_a_sentence_and_the_next_run_goes_on(grafana: RecordedGrafana, status: int) -> None:
    grafana.refusing["/dashboards/db"] = (status, {"message": "not now."})
    assert _refusal(grafana).endswith(": not now.")
    grafana.refusing.clear()
    assert [change.action for change in _run(grafana)] == ["unchanged", "unchanged", "created"]


@pytest.mark.recorded
def test_requests_fit_the_api_document(grafana: RecordedGrafana) -> None:
    """The server holds each write to the document; this holds the server to doing so."""
    with pytest.raises(AssertionError, match="does not know"):
        grafana.answer("POST", "/api/folders", {}, {"uid": "x", "title": "x", "colour": "blue"})


def test_a_grafana_that_is_away_is_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ProvisioningRefused, match="can't be reached: check the address"):
            provision(GrafanaAddress(url), Wanted(SOURCE, BOARDS), pause=lambda _: None)


@pytest.mark.parametrize("url", ["localhost:3000", "ftp://grafana", "http://"])
def test_an_address_that_is_none_is_a_sentence(url: str) -> None:
    with pytest.raises(ProvisioningRefused, match="is no address of a Grafana"):
        provision(GrafanaAddress(url), Wanted(SOURCE, BOARDS))


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(SOURCE)
    assert "secret" not in repr(GrafanaAddress("http://grafana", token="secret", username="admin", password="secret"))


@pytest.mark.needs("openssl")
def test_a_source_carries_the_address_that_we_use_ourselves(tmp_path: Path) -> None:
    authority, _ = self_signed(tmp_path)
    address = ClickHouseAddress("https://ana@warehouse.example/boards", password="first-secret", cafile=str(authority))
    source = source_at(address)
    assert source.endpoint == "https://warehouse.example:8443"
    settings = source.definition()["jsonData"]
    assert isinstance(settings, dict)
    assert (settings["secure"], settings["tlsAuthWithCACert"], settings["defaultDatabase"]) == (True, True, "boards")
    assert source.secrets() == {"password": "first-secret", "tlsCACert": authority.read_text()}


@pytest.mark.grafana
def test_a_real_grafana_takes_the_boards_and_needs_them_once() -> None:
    """Who we are there comes from `GRAFANA_TOKEN`, or `GRAFANA_CREDENTIALS` as user:password."""
    url = os.environ.get("GRAFANA_URL")
    if not url:
        pytest.skip("GRAFANA_URL names no Grafana: docker compose up grafana, then GRAFANA_URL=http://127.0.0.1:3000")
    credentials = os.environ.get("GRAFANA_CREDENTIALS", "admin:admin").partition(":")
    address = GrafanaAddress(url, os.environ.get("GRAFANA_TOKEN", ""), credentials[0], credentials[2])
    wanted = Wanted(COMPOSE_SOURCE, boards(WATCHED), alert_rules(WATCHED), COMPOSE_TOLD)
    provision(address, wanted)
    assert {change.action for change in provision(address, wanted)} == {"unchanged"}
