"""Findings in the incidents stage: saved and told like pages, in one incident with the burn that they explain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alerts.findings import to_send as findings_to_send
from alerts.incident_scope import incident_name
from schemas.arrow_streams import read_table
from schemas.topics import FINDINGS
from stream_jobs.operators.totals.blocks import applied_offset
from stream_jobs.operators.totals.reach import LIVE, REPLAYED
from tests.faults.desk import Desk, HeldClock
from tests.rules.burning import burning, decided
from tests.rules.finding import EVENT_MS, POOL, found, regressed, saturated

LLM, BILL = saturated(), regressed()
BURN = burning(slice_text=POOL)


def told(desk: Desk) -> dict[str, str]:
    return {alert.finding.alert: alert.state for alert in desk.pager.found.alerts}


def rows(desk: Desk) -> list[dict[str, Any]]:
    """What was told of the table `findings`."""
    of_findings = [each for each in desk.rolled_up if ("tw-table", b"findings") in each.headers]
    return [row for each in of_findings for row in read_table(each.value or b"", 10**7).to_pylist()]


def incident_of(desk: Desk) -> set[str]:
    labels = [alert.labels for alert in desk.pager.pages.alerts] + [alert.labels for alert in desk.pager.found.alerts]
    return {each["incident"] for each in labels if "incident" in each}


# -- state, rows and gauges ----------------------------------------------------------------------------------------------


def test_what_is_found_is_told_at_once_outlives_a_kill_and_its_end_is_told_once_saved(
    tmp_path: Path, clock: HeldClock
) -> None:
    desk = Desk(tmp_path, REPLAYED)
    desk.hear(found(0, LLM))
    desk.hear(found(0, BILL, question="cost"))
    assert told(desk) == {"Saturated": "firing", "CostRegressed": "firing"}, "nobody waits for a save to be paged"
    assert desk.gauge("turnwatch_finding_alerts", alert="Saturated", state="firing") == 1
    desk.save()
    before = desk.pager.found.alerts
    desk.start()
    assert sorted(desk.pager.found.alerts, key=lambda each: each.alert) == sorted(before, key=lambda each: each.alert)
    desk.hear(found(60))
    assert told(desk) == {"Saturated": "firing", "CostRegressed": "firing"}, "an end is told once it is saved"
    desk.start()
    desk.hear(found(0, LLM))
    assert told(desk) == {"Saturated": "firing", "CostRegressed": "firing"}
    desk.hear(found(60))
    desk.save()
    assert told(desk) == {"Saturated": "resolved", "CostRegressed": "firing"}
    assert desk.gauge("turnwatch_finding_alerts", alert="Saturated", state="firing") == 0
    desk.hear(found(0, LLM))
    assert told(desk)["Saturated"] == "resolved", "what was stated before the end begins nothing anew"


def test_a_statement_that_is_read_again_does_not_make_blocks_older(tmp_path: Path, clock: HeldClock) -> None:
    desk = Desk(tmp_path, REPLAYED)
    desk.offset = 7
    desk.hear(found(0, LLM))
    desk.offset = 3
    desk.hear(found(60, LLM))
    desk.save()
    assert {applied_offset(block) for block in desk.changelog.values()} == {7}


def test_what_was_found_and_ended_between_two_saves_is_told_and_kept(tmp_path: Path, clock: HeldClock) -> None:
    desk = Desk(tmp_path, REPLAYED)
    desk.hear(found(0, LLM))
    desk.hear(found(60))
    assert told(desk) == {"Saturated": "firing"}
    desk.save()
    desk.start()
    assert told(desk) == {"Saturated": "resolved"}
    assert [row["state"] for row in rows(desk)] == ["firing", "resolved"]


def test_each_statement_is_a_row_that_says_what_since_when_what_to_do_and_the_end(
    tmp_path: Path, clock: HeldClock
) -> None:
    desk = Desk(tmp_path, REPLAYED)
    for said in (found(0, LLM), found(60, LLM), found(60, LLM), found(120)):
        desk.hear(said)
        desk.save()
        clock.now_ms += 60_000
    first, second, ended = rows(desk)
    assert first["version"] < second["version"] < ended["version"]
    assert (first["alert"], first["slice"], first["cut"], first["severity"]) == ("Saturated", POOL, "pool", "page")
    assert json.loads(first["labels"]) == {"queue": "llm"}
    assert json.loads(first["facts"])["depth"] == 294
    assert (first["action"], first["incident"]) == (LLM.action, incident_name("realtime", EVENT_MS))
    assert [row["since"].timestamp() for row in (first, ended)] == [LLM.since_ms / 1_000] * 2
    assert (first["ends"], ended["state"]) == (None, "resolved")
    assert ended["ends"].timestamp() * 1_000 == clock.now_ms - 60_000
    desk.start()
    desk.save()
    assert len(rows(desk)) == 3, "a restart tells nothing anew"


def test_what_nothing_newer_confirms_is_frozen_by_the_clock_where_event_time_follows_it(
    tmp_path: Path, clock: HeldClock
) -> None:
    live, replayed = Desk(tmp_path / "live", LIVE), Desk(tmp_path / "replayed", REPLAYED)
    for desk in (live, replayed):
        desk.hear(found(0, LLM, holds_s=180))
        desk.save()
    clock.now_ms += 180_000
    live.save()
    replayed.save()
    assert (told(live), told(replayed)) == ({"Saturated": "frozen"}, {"Saturated": "firing"})
    assert live.gauge("turnwatch_finding_alerts", alert="Saturated", state="frozen") == 1
    live.start()
    assert told(live) == {"Saturated": "frozen"}
    assert [row["state"] for row in rows(live)] == ["firing", "frozen"]
    live.hear(found(60, LLM))
    assert told(live) == {"Saturated": "firing"}


def test_an_alert_that_ended_long_ago_leaves_the_changelog(tmp_path: Path, clock: HeldClock) -> None:
    desk = Desk(tmp_path, REPLAYED)
    for said in (found(0, LLM), found(60)):
        desk.hear(said)
        desk.save()
    assert len(desk.changelog) == 2, "the alert, and what was stated last"
    clock.now_ms += 25 * 3_600_000
    desk.start()
    desk.hear(found(120))
    desk.save()
    assert list(desk.changelog) == [b"|found|saturation|0"]


def test_what_is_left_out_is_counted_and_forgotten_with_the_state(tmp_path: Path, clock: HeldClock) -> None:
    desk = Desk(tmp_path, REPLAYED)
    desk.hear(found(0, LLM, unlisted=3))
    assert desk.gauge("turnwatch_findings_left_out", question="saturation") == 3
    desk.stage.forget()
    assert desk.gauge("turnwatch_findings_left_out", question="saturation") == 0
    assert desk.gauge("turnwatch_finding_alerts", alert="Saturated", state="firing") == 0
    assert told(desk) == {}
    desk.hear(found(60))
    assert desk.save() == [] and list(desk.changelog) == [b"|found|saturation|0"], "and what was not saved is not kept"


def test_what_is_no_statement_of_a_shard_that_there_is_is_diverted(tmp_path: Path) -> None:
    desk = Desk(tmp_path, REPLAYED)
    others = json.loads(found(0, LLM).model_dump_json())
    for payload in (
        b"{",
        found(0, LLM, shard=7).model_dump_json().encode(),
        json.dumps(others | {"holds_s": 0}).encode(),
    ):
        desk.take_in(FINDINGS, payload)
    letters = [json.loads(letter.value) for letter in desk.stage._diversion.letters() if letter.value]
    assert [(letter["topic"], letter["reason"]) for letter in letters] == [(FINDINGS, "undecodable")] * 3
    assert "of a shard that is none of the 1 there are" in letters[1]["detail"]
    assert told(desk) == {}


# -- one incident --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["burn", "finding"])
def test_a_queue_that_breaks_and_the_burn_that_it_makes_are_one_incident_whichever_is_first(
    first: str, tmp_path: Path, clock: HeldClock
) -> None:
    desk = Desk(tmp_path, REPLAYED)
    if first == "burn":
        desk.hear(decided(10, BURN))
        desk.hear(found(120, LLM))
    else:
        desk.hear(found(0, LLM))
        desk.hear(decided(120, BURN))
    begun_ms = EVENT_MS + (10_000 if first == "burn" else 0)
    assert incident_of(desk) == {incident_name("realtime", begun_ms)}
    desk.save()
    desk.start()
    assert incident_of(desk) == {incident_name("realtime", begun_ms)}


@pytest.mark.parametrize(
    ("slice_text", "at_s", "severity", "is_joined"),
    [
        (POOL, 120, "page", True),
        (f"{POOL},bundle=v2-canary", 120, "page", True),
        (f"{POOL},bundle=v1", 120, "page", False),
        ("pool=batch", 120, "page", False),
        (POOL, 1_820, "page", False),
        (f"{POOL},bundle=v2-canary", 1_820, "page", True),
    ],
)
def test_a_finding_joins_the_incident_that_has_to_do_with_its_slice(
    slice_text: str, at_s: int, severity: str, is_joined: bool, tmp_path: Path, clock: HeldClock
) -> None:
    """A finding of the whole pool has to do with all of it, for half an hour after the incident has begun."""
    desk = Desk(tmp_path, REPLAYED)
    desk.hear(decided(10, burning(slice_text=f"{POOL},bundle=v2-canary")))
    desk.hear(found(at_s, saturated(slice_text, severity=severity)))
    assert len(incident_of(desk)) == (1 if is_joined else 2)


def test_a_ticket_belongs_to_no_incident_and_a_page_joins_none_of_a_ticket(tmp_path: Path, clock: HeldClock) -> None:
    desk = Desk(tmp_path, REPLAYED)
    desk.hear(found(0, saturated(severity="ticket"), BILL))
    assert incident_of(desk) == set()
    desk.hear(decided(10, burning("ticket_1d_2h", bad_share=0.05, slice_text=POOL)))
    desk.hear(found(60, LLM))
    assert incident_of(desk) == {incident_name("realtime", EVENT_MS + at_ms) for at_ms in (10_000, 60_000)}


def test_a_burn_joins_no_finding_that_is_frozen_unless_it_lies_within_its_slice(
    tmp_path: Path, clock: HeldClock
) -> None:
    """What is frozen says nothing of now."""
    desk = Desk(tmp_path, REPLAYED)
    desk.hear(found(0, saturated(f"{POOL},region=eu-west")))
    desk.hear(found(60, completeness=0.5))
    desk.hear(decided(70, BURN))
    assert len(incident_of(desk)) == 2
    desk.hear(decided(80, BURN, burning(slice_text=f"{POOL},region=eu-west,bundle=v1")))
    assert len(incident_of(desk)) == 2


def test_a_bill_that_is_told_anew_is_the_same_alert_to_an_alertmanager(tmp_path: Path, clock: HeldClock) -> None:
    desk = Desk(tmp_path, REPLAYED)
    labels = []
    for said in (found(0, BILL), found(600), found(1_200, BILL)):
        desk.hear(said)
        desk.save()
        labels += [each.labels for each in findings_to_send(desk.pager.found, clock.now_ms)]
    assert labels == [labels[0]] * 3
