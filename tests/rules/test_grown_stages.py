"""A page names the stage that grew in the slice that explains it, or in its own, and keeps it for as long as it lasts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alerts.explanations import Paging
from alerts.grown_stages import REMEMBERED_MS, GrownStages
from alerts.pages import Pages, Stepped, restore, step
from schemas.burns import AlertState, Decision
from schemas.families import INDICATORS
from schemas.growths import Growths
from schemas.topics import GROWTHS
from stream_jobs.operators.totals.reach import REPLAYED
from tests.faults.desk import Desk
from tests.rules.burning import CANARY, TURN_SLO, burning, decided, suspect
from tests.rules.growing import EVENT_MS, grown, stated_growths

FLEET = "pool=realtime"
FLEET_BURN = burning(slice_text=FLEET)
CULPRIT = suspect(CANARY, 893, 960, first_seen_s=-720)
NOW_MS = 1_800_000_000_000


class Incidents:
    """What the incidents stage does with statements, in the order in which they come."""

    def __init__(self, pages: Pages | None = None) -> None:
        self.pages, self.grown = pages or Pages(), GrownStages()
        self.now_ms = NOW_MS

    def hear(self, *said: Decision | Growths) -> Stepped:
        stepped = Stepped(self.pages)
        for each in said:
            if isinstance(each, Growths):
                self.grown = self.grown.heard(each)
                continue
            paging = Paging(slos={TURN_SLO.name: TURN_SLO}, grown=self.grown)
            self.now_ms += 1_000
            stepped = step(self.pages, each, paging, self.now_ms)
            self.pages = stepped.pages
        return stepped

    def of(self, slice_text: str) -> AlertState:
        return next(alert for alert in self.pages.alerts if alert.burn.slice == slice_text)


def test_the_title_names_the_stage_that_grew_in_the_slice_of_the_burn() -> None:
    incidents = Incidents()
    incidents.hear(stated_growths(0, grown(CANARY)), decided(10, burning(), suspects=(CULPRIT,)))
    said = incidents.of(CANARY).annotations
    assert said["summary"].startswith(
        "turn-4000ms-realtime burns 25 times its budget in pool=realtime,bundle=v2-canary (llm_first_token grew by 2.1 s "
        "a turn; bundle=v2-canary was first seen 12m10s before): 25 % of turns bad"
    )
    assert said["stage"] == "llm_first_token"
    assert (
        "llm_first_token grew in pool=realtime,bundle=v2-canary, first seen at 2023-11-14T22:12:20Z: on average it took "
        "2.5 s in the last 1m, and 320 ms in 1h of reference.\n31 % of its observations are above 609 ms, of the "
        "reference's 4.2 %. It adds 2.1 s to a turn, 96 % of what all parts added.\n"
    ) in said["description"]


@pytest.mark.parametrize("other", [{"factor": 0.0, "threshold": 0.0}, {"unit": "audio frames"}])
def test_a_page_that_is_not_for_time_that_turns_took_names_no_stage(other: dict[str, Any]) -> None:
    incidents = Incidents()
    incidents.hear(stated_growths(0, grown(CANARY)), decided(10, burning().model_copy(update=other)))
    assert "stage" not in incidents.of(CANARY).annotations


def test_the_fleets_title_names_the_stage_of_the_slice_that_explains_it() -> None:
    incidents = Incidents()
    of_fleet = grown(FLEET, "retrieval", added_ms=40)
    incidents.hear(stated_growths(0, of_fleet, grown(CANARY)), decided(10, FLEET_BURN, suspects=(CULPRIT,)))
    assert (
        "in pool=realtime (llm_first_token grew by 2.1 s a turn in bundle=v2-canary; 92 % of the excess is in "
        "bundle=v2-canary, which"
    ) in incidents.of(FLEET).annotations["summary"]


def test_what_grew_in_the_slice_itself_is_named_where_nothing_grew_in_what_explains_it() -> None:
    incidents = Incidents()
    incidents.hear(stated_growths(0, grown(FLEET, "retrieval", 340.4)), decided(10, FLEET_BURN, suspects=(CULPRIT,)))
    assert "(retrieval grew by 340 ms a turn; 92 % of the excess" in incidents.of(FLEET).annotations["summary"]


@pytest.mark.parametrize(("second", "named"), [("llm_first_token", "llm_first_token"), ("queue_wait", "retrieval")])
def test_several_slices_that_explain_a_burn_name_what_grew_in_all_of_them(second: str, named: str) -> None:
    regions = [f"{FLEET},region=r{place}" for place in range(2)]
    growths = (grown(regions[0]), grown(regions[1], second), grown(FLEET, "retrieval"))
    suspects = tuple(suspect(text, 480, 500) for text in regions)
    incidents = Incidents()
    incidents.hear(stated_growths(0, *growths), decided(10, FLEET_BURN, suspects=suspects))
    assert incidents.of(FLEET).annotations["stage"] == named


def test_a_burn_of_errors_names_what_is_slow_as_well() -> None:
    errors = replace(TURN_SLO, name="turn-error-realtime", indicator=INDICATORS[4])
    incidents = Incidents()
    incidents.hear(stated_growths(0, grown(CANARY, "retrieval", 400.0)), decided(10, burning(slo=errors)))
    said = incidents.of(CANARY).annotations
    assert said["summary"].startswith("turn-error-realtime burns 25 times its budget in")
    assert "(retrieval grew by 400 ms a turn)" in said["summary"]


def test_nothing_is_named_where_nothing_grew_there_nor_in_another_slice() -> None:
    incidents = Incidents()
    incidents.hear(stated_growths(0, grown("pool=batch"), grown(f"{FLEET},bundle=v1")), decided(10, FLEET_BURN))
    assert "stage" not in incidents.of(FLEET).annotations
    assert "grew" not in "".join(incidents.of(FLEET).annotations.values())


@pytest.mark.parametrize(
    ("stated_s", "is_named"), [(-121, False), (-120, True), (0, True), (40, True), (300, True), (301, False)]
)
def test_only_what_was_stated_at_about_the_beginning_of_an_alert_is_its_growth(stated_s: int, is_named: bool) -> None:
    incidents = Incidents()
    incidents.hear(decided(0, burning()), stated_growths(stated_s, grown(CANARY)), decided(310, burning()))
    assert ("stage" in incidents.of(CANARY).annotations) == is_named


def test_a_growth_that_comes_after_its_alert_is_added_once_without_another_alert() -> None:
    incidents = Incidents()
    first = incidents.hear(decided(10, burning()))
    second = incidents.hear(stated_growths(60, grown(CANARY)), decided(20, burning()))
    third = incidents.hear(decided(30, burning()))
    assert [len(each.news) for each in (first, second, third)] == [1, 1, 0]
    begun, named = first.news[0], second.news[0]
    assert "stage" not in begun.annotations
    assert named.annotations["stage"] == "llm_first_token"
    assert (named.alert, named.labels, named.starts_ms) == (begun.alert, begun.labels, begun.starts_ms)


def test_the_figures_follow_the_newest_statement_at_first_and_then_stay() -> None:
    incidents, said = Incidents(), []
    for at_s, added_ms in ((0, 400.0), (60, 2_000.0), (240, 2_100.0), (360, 90.0)):
        incidents.hear(stated_growths(at_s, grown(CANARY, added_ms=added_ms)), decided(at_s + 10, burning()))
        growth = incidents.of(CANARY).growth
        said.append(growth.added_ms if growth else 0.0)
    assert said == [400.0, 2_000.0, 2_100.0, 2_100.0]


def test_an_alert_keeps_its_stage_when_it_no_longer_grows_freezes_ends_and_the_worker_restarts() -> None:
    incidents = Incidents()
    incidents.hear(
        stated_growths(0, grown(CANARY)), decided(10, burning()), stated_growths(600), decided(610, burning())
    )
    before = incidents.of(CANARY)
    saved = AlertState.model_validate_json(before.model_dump_json())
    again = Incidents(restore([saved], shards=1, now_ms=NOW_MS))
    again.hear(decided(620, burning()))
    assert "llm_first_token grew by 2.1 s a turn" in again.of(CANARY).annotations["summary"]
    again.hear(decided(4_000))
    assert (again.of(CANARY).state, again.of(CANARY).annotations["stage"]) == ("resolved", "llm_first_token")


def test_the_next_alert_of_a_slice_begins_without_the_stage_of_the_last_one() -> None:
    incidents = Incidents()
    incidents.hear(stated_growths(0, grown(CANARY)), decided(10, burning()), decided(1_000), decided(2_000, burning()))
    assert incidents.of(CANARY).state == "firing"
    assert "stage" not in incidents.of(CANARY).annotations


def test_statements_are_kept_for_a_quarter_of_an_hour_by_shard() -> None:
    known = GrownStages()
    for minute in range(60):
        for shard in range(2):
            known = known.heard(stated_growths(minute * 60, grown(CANARY), shard=shard))
    assert len(known.statements) == 2 * REMEMBERED_MS // 60_000
    assert known.of(CANARY, EVENT_MS + 39 * 60_000) is None
    assert known.of(CANARY, EVENT_MS + 59 * 60_000) is not None


def test_a_repeated_statement_changes_nothing_and_a_corrected_one_counts() -> None:
    said = stated_growths(0, grown(CANARY))
    known = GrownStages().heard(said)
    assert known.heard(said) == known
    assert known.heard(stated_growths(0)).of(CANARY, EVENT_MS) is None


# -- the stage ------------------------------------------------------------------------------------------------------------


def test_the_incidents_stage_hears_growths_and_diverts_what_is_none(tmp_path: Path) -> None:
    desk = Desk(tmp_path, REPLAYED)
    for payload in (b"{", stated_growths(0, shard=7).model_dump_json().encode()):
        desk.take_in(GROWTHS, payload)
    letters = [json.loads(letter.value) for letter in desk.stage._diversion.letters() if letter.value]
    assert [(letter["topic"], letter["reason"]) for letter in letters] == [(GROWTHS, "undecodable")] * 2
    assert "of a shard that is none of the 1 there are" in letters[1]["detail"]
    desk.take_in(GROWTHS, stated_growths(0, grown(CANARY)).model_dump_json().encode())
    desk.hear(decided(10, burning()))
    assert [alert.annotations["stage"] for alert in desk.pager.pages.alerts] == ["llm_first_token"]
