"""What a question finds is an alert until a later statement on enough of the volume does not name it; else it is frozen."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from alerts import findings_state
from alerts.explanations import Links, Paging
from alerts.findings import Found, Stepped, freeze, restore, step, to_send
from alerts.incident_scope import OpenIncidents, incident_name
from alerts.openslo import load_slos
from alerts.pages import RESOLVED_KEPT_MS
from schemas.burns import LAST_INSTANT_MS
from schemas.findings import LISTED_MAX, FindingAlert, Findings
from tests.rules.burning import TURN_SLO
from tests.rules.conftest import SHIPPED_CONFIG
from tests.rules.finding import EVENT_MS, POOL, found, regressed, saturated

NOW_MS = 1_800_000_000_000
WAIT_SLO = next(slo for slo in load_slos() if slo.name == "queue-wait-250ms-realtime")
PAGING = Paging(slos={slo.name: slo for slo in (TURN_SLO, WAIT_SLO)}, links=Links(runbooks="https://git.example/main"))
LLM, EU = saturated(), saturated(f"{POOL},region=eu-west")


def hear(state: Found, said: Findings, now_ms: int = NOW_MS) -> Stepped:
    return step(state, said, PAGING, OpenIncidents(found=state.open, before_ms=LAST_INSTANT_MS), now_ms)


def run(statements: Iterable[Findings], state: Found | None = None) -> list[Stepped]:
    """Steps through statements, a second of wall clock apart."""
    steps: list[Stepped] = []
    for place, said in enumerate(statements):
        steps.append(hear(steps[-1].found if steps else state or Found(), said, NOW_MS + place * 1_000))
    return steps


def states(steps: Iterable[Stepped]) -> list[list[str]]:
    """Of each step what is news, by state."""
    return [[alert.state for alert in each.news] for each in steps]


def only(state: Found) -> FindingAlert:
    (alert,) = state.alerts
    return alert


# -- life ----------------------------------------------------------------------------------------------------------------


def test_a_finding_fires_at_once_and_ends_with_the_first_later_statement_that_does_not_name_it() -> None:
    steps = run([found(0, LLM), found(60, LLM), found(120)])
    assert states(steps) == [["firing"], [], ["resolved"]]
    ended = steps[-1].news[0]
    assert (ended.starts_ms, ended.ends_ms) == (NOW_MS, NOW_MS + 2_000)
    assert (ended.starts_event_ms, ended.decided_event_ms) == (EVENT_MS, EVENT_MS + 120_000)
    assert ended.annotations["resolved_event_time"] == "2023-11-14T22:15:20Z"


def test_each_statement_brings_its_figures_and_the_next_version_of_the_same_alert() -> None:
    steps = run([found(0, LLM), found(60, saturated(facts={"depth": 400.0}))])
    (first,), (second,) = (each.published for each in steps)
    assert second.annotations["depth"] == "400"
    assert (first.labels, first.starts_ms) == (second.labels, second.starts_ms)
    assert second.version > first.version


@pytest.mark.parametrize(
    ("completeness", "ends_as"), [(1.0, "resolved"), (0.95, "resolved"), (0.9499, "frozen"), (0.0, "frozen")]
)
def test_nothing_ends_on_less_than_nearly_all_of_the_volume(completeness: float, ends_as: str) -> None:
    after = run([found(0, LLM), found(60, completeness=completeness)])[-1]
    assert states([after]) == [[ends_as]]
    assert ("reported" in after.news[0].annotations.get("state", "")) == (ends_as == "frozen")


@pytest.mark.parametrize(("completeness", "begun"), [(0.49, []), (0.5, ["firing"])])
def test_on_less_than_half_of_the_volume_nothing_begins_and_what_fires_is_frozen(
    completeness: float, begun: list[str]
) -> None:
    said = found(60, LLM, completeness=completeness)
    (began,) = run([said])
    assert states([began]) == [begun]
    assert began.found.owners["saturation", 0].said.unlisted == 1 - len(begun), "what is no alert is counted"
    again = run([found(0, LLM), said])[-1].found
    assert only(again).state == ("firing" if begun else "frozen")


def test_what_no_newer_statement_confirms_is_frozen_once_its_statement_holds_no_more() -> None:
    state = run([found(0, LLM)])[-1].found
    assert freeze(state, NOW_MS + 179_999) == Stepped(state)
    frozen = freeze(state, NOW_MS + 180_000)
    assert states([frozen]) == [["frozen"]]
    assert only(frozen.found).annotations["state"] == (
        "frozen since 2023-11-14T22:13:20Z (event time): nothing newer has been stated since, so it neither fires on nor resolves"
    )
    assert freeze(frozen.found, NOW_MS + 10**9) == Stepped(frozen.found), "it is said once"
    repeated = hear(frozen.found, found(0, LLM))
    assert only(repeated.found).state == "frozen", "what was said before confirms nothing"
    assert states([hear(frozen.found, found(60, LLM))]) == [["firing"]]
    assert "state" not in only(hear(frozen.found, found(60, LLM)).found).annotations
    assert states([hear(frozen.found, found(60))]) == [["resolved"]]


def test_each_statement_holds_for_as_long_as_it_says_and_each_question_on_its_own() -> None:
    bill = found(0, regressed(), question="cost", holds_s=1_200)
    state = run([found(0, LLM), bill])[-1].found
    frozen = freeze(state, NOW_MS + 600_000).found
    assert {alert.question: alert.state for alert in frozen.alerts} == {"saturation": "frozen", "cost": "firing"}
    assert only(Found({("cost", 0): hear(frozen, found(60)).found.owners["cost", 0]})).state == "firing"


def test_a_statement_with_more_than_it_names_ends_nothing() -> None:
    after = run([found(0, LLM), found(60, EU, unlisted=3)])[-1]
    assert {alert.alert: alert.state for alert in after.news} == {LLM.name: "frozen", EU.name: "firing"}
    assert "among 3 findings that its statement has no room for" in after.news[1].annotations["state"]


def test_what_becomes_worse_goes_on_as_a_page_and_the_ticket_says_so() -> None:
    after = run([found(0, saturated(severity="ticket")), found(60, LLM)])[-1]
    assert [(alert.labels["severity"], alert.state) for alert in after.news] == [
        ("page", "firing"),
        ("ticket", "resolved"),
    ]
    assert after.news[1].annotations["resolved_because"] == "It goes on as a page."


def test_what_comes_again_is_another_incident_and_the_earlier_end_is_still_told() -> None:
    """Or an Alertmanager that was away would never hear that the first one is over."""
    state = run([found(0, LLM), found(60), found(4_000, LLM)])[-1].found
    told = to_send(state, NOW_MS + 60_000)
    assert [each.state for each in told] == ["resolved", "firing"]
    assert len({each.labels["incident"] for each in told}) == 2
    again = to_send(run([found(0, regressed()), found(60), found(4_000, regressed())])[-1].found, NOW_MS)
    assert [each.state for each in again] == ["firing"], "a ticket has no incident: it is the same alert again"


def test_an_end_is_told_for_a_day() -> None:
    state = run([found(0, LLM), found(60)])[-1].found
    assert [alert.state for alert in to_send(state, NOW_MS + RESOLVED_KEPT_MS)] == ["resolved"]
    assert to_send(state, NOW_MS + RESOLVED_KEPT_MS + 1_000) == ()
    assert hear(state, found(120), NOW_MS + RESOLVED_KEPT_MS + 1_000).found.alerts == ()


def many(count: int, first: int = 0) -> list[Any]:
    return [saturated(f"{POOL},bundle=v{number}") for number in range(first, first + count)]


def test_alerts_of_a_shard_are_bounded_open_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements that name others each time, and never all, would otherwise grow for ever."""
    monkeypatch.setattr("alerts.findings.OPEN_MAX", 2 * LISTED_MAX + 50)
    monkeypatch.setattr(findings_state, "ENDED_MAX", 30)
    statements = [found(turn * 60, *many(LISTED_MAX, turn * LISTED_MAX), unlisted=7) for turn in range(4)]
    state = run(statements)[-1].found
    assert len(state.open) == 2 * LISTED_MAX + 50
    assert state.owners["saturation", 0].said.unlisted == 7 + LISTED_MAX, "what found no room is counted"
    over = hear(state, found(300)).found
    assert (len(over.open), len(over.alerts)) == (0, 30)


stated = st.builds(
    lambda at, names, **others: found(at * 60, *names, **others),
    st.integers(0, 5),
    st.lists(st.sampled_from((LLM, EU, saturated(severity="ticket"))), max_size=3, unique_by=lambda each: each.name),
    shard=st.integers(0, 1),
    completeness=st.sampled_from((0.3, 0.9, 1.0)),
    unlisted=st.sampled_from((0, 2)),
)
statements = st.lists(stated, min_size=1, max_size=8)


def instant(said: Findings) -> tuple[int, float]:
    return said.decided_ms, said.completeness


@given(said=statements)
def test_what_is_read_again_or_late_changes_nothing(said: list[Findings]) -> None:
    """A restart reads a part of the topic again."""
    state = run(said)[-1].found
    for each in said:
        newest = max((other for other in reversed(said) if other.owner == each.owner), key=instant)
        again = hear(state, each, NOW_MS + 99_000)
        if instant(each) < instant(newest):
            assert again == Stepped(state)
        elif each == newest:
            assert (again.published, again.found) == ((), state)


@given(said=statements)
def test_a_restart_goes_on_where_it_was(said: list[Findings]) -> None:
    state = run(said)[-1].found
    saved = [FindingAlert.model_validate_json(alert.model_dump_json()) for alert in state.alerts]
    again = restore([stated.said for stated in state.owners.values()], saved, 2, NOW_MS)
    assert {alert.alert: alert for alert in again.alerts} == {alert.alert: alert for alert in state.alerts}
    one, other = (hear(each, found(600, LLM)) for each in (state, again))
    assert [alert.model_dump() for alert in one.published] == [alert.model_dump() for alert in other.published]


def test_a_restart_leaves_out_shards_that_are_none_any_more_and_freezes_what_nobody_states() -> None:
    state = run([found(0, LLM, shard=3), found(0, EU, shard=1)])[-1].found
    again = restore([stated.said for stated in state.owners.values()], state.alerts, 2, NOW_MS)
    assert [alert.alert for alert in again.alerts] == [EU.name]
    without_statement = restore([], state.alerts, 2, NOW_MS)
    assert freeze(without_statement, NOW_MS + 10**6).published[0].state == "frozen"
    assert states([hear(without_statement, found(60, shard=1))]) == [["resolved"]]


# -- what it says --------------------------------------------------------------------------------------------------------


def test_labels_say_what_cannot_change_and_annotations_what_to_do() -> None:
    alert = only(run([found(0, LLM)])[-1].found)
    assert alert.labels == {
        "alertname": "Saturated", "question": "saturation", "severity": "page", "slice": POOL, "scope": "fleet",
        "pool": "realtime", "owner": "capacity", "queue": "llm", "incident": incident_name("realtime", EVENT_MS),
    }  # fmt: skip
    said = alert.annotations
    assert said["action"] == "Shed batch work, or add 3 replicas."
    assert said["runbook_url"] == "https://git.example/main/docs/runbooks/saturation.md"
    range_ = f"from={EVENT_MS - 3_660_000}&to={EVENT_MS}"
    assert said["dashboard_url"].endswith(f"/d/turnwatch-queues-and-capacity?{range_}&var-pool=realtime&var-queue=llm")
    assert (said["depth"], said["growth_per_min"], said["break_in_s"]) == ("294", "40.25", "1,380")
    assert said["description"] == (
        "Shed batch work, or add 3 replicas.\ndepth: 294\ngrowth_per_min: 40.25\nbreak_in_s: 1,380\nstage_first: llm\n"
        "It holds since 2023-11-14T22:12:20Z. Decided at 2023-11-14T22:13:20Z (event time) on 100 % of recent volume."
    )


@pytest.mark.parametrize(
    ("question", "finding", "owner"),
    [
        ("saturation", LLM, "capacity"),
        ("saturation", saturated("region=eu-west"), "capacity"),
        ("saturation", saturated("pool=nowhere"), None),
        ("cost", regressed(labels={}), None),
        ("cost", regressed(), "finance"),
    ],
)
def test_a_finding_names_the_owner_of_what_it_is_about_where_that_is_one(
    question: str, finding: Any, owner: str | None
) -> None:
    """Of the shipped objectives those of waiting in queues are of one owner, in both pools."""
    paging = Paging(slos={slo.name: slo for slo in load_slos()})
    stepped = step(Found(), found(0, finding, question=question), paging, OpenIncidents(), NOW_MS)
    assert [alert.labels.get("owner") for alert in stepped.news] == [owner]


@pytest.mark.parametrize("name", ["alertname", "severity", "slice", "slo", "incident"])
def test_a_finding_cannot_give_itself_a_label_that_routes_go_by(name: str) -> None:
    with pytest.raises(ValidationError, match=f"cannot give the labels {name} itself"):
        saturated(labels={name: "x"})


def test_a_figure_cannot_take_the_place_of_what_an_alert_says() -> None:
    said = only(
        run([found(0, saturated(facts={"action": "roll_back", "depth": 7.0, "state": "x"}))])[-1].found
    ).annotations
    assert (said["action"], said["found_action"], said["depth"]) == (LLM.action, "roll_back", "7")
    assert (said["found_state"], said.get("state")) == ("x", None), "or it would be taken for frozen"


@pytest.mark.needs("prometheus-alertmanager")
@pytest.mark.parametrize(("finding", "receiver"), [(LLM, "on-call"), (regressed(), "tickets")])
def test_pages_of_findings_wake_somebody_and_tickets_wait(finding: Any, receiver: str) -> None:
    labels = only(run([found(0, finding)])[-1].found).labels
    given_labels = [f"{name}={value}" for name, value in labels.items() if "," not in value]
    command = [
        "amtool",
        "config",
        "routes",
        "test",
        f"--config.file={SHIPPED_CONFIG}",
        f"--verify.receivers={receiver}",
    ]
    routed = subprocess.run([*command, *given_labels], capture_output=True, text=True, timeout=30, check=False)
    assert routed.returncode == 0, routed.stdout + routed.stderr
