"""What the demo shows of a page: the one that Alertmanager notified of, or without one the page itself."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from rich.console import Console

from alerts.definitions import watched_slos
from alerts.explanations import Paging
from alerts.pages import Pages, step
from alerts.policies import policy_for
from alerts.webhook_receiver import NotifiedAlert
from dashboards.local.views import viewed
from dashboards.render import all_boards
from dashboards.variables import OVERVIEW_UID
from producers.prediction import predict_page
from producers.scenarios import canary
from producers.simulation import planned
from stack.machine import choose_ports
from stack.processes import start
from tests.rules.burning import TURN_SLO, burning, decided
from turnwatch.demo import DemoError, _follow_worker
from turnwatch.demo_view import View, draw, verdict

BUCKET_MS = 10_000
STAGE = "llm_first_token"


@pytest.fixture
def view() -> View:
    """The demo's incident, and its page decided at the predicted instant."""
    plan = planned(canary(healthy_s=300), 7, 12.0, 900, 1_800_000_000_000)
    assert plan.truth is not None
    predicted = predict_page(plan.truth, policy_for(TURN_SLO).rows, plan.start_ms + 6 * 3_600_000)
    assert predicted is not None
    burn = burning(slice_text=plan.truth.slice)
    decision = decided(0, burn).model_copy(update={"decided_ms": predicted.page_ms})
    (alert,) = step(Pages(), decision, Paging({TURN_SLO.name: TURN_SLO}), 0).published
    return View(TURN_SLO, plan.truth, predicted, plan.start_ms, 12.0, alerts={alert.alert: alert})


def shown(view: View) -> str:
    console = Console(width=400)
    with console.capture() as captured:
        console.print(draw(view))
    return captured.get()


async def test_what_a_worker_counted_is_known_after_it_ended(view: View, tmp_path: Path) -> None:
    """The screen that the demo ends with says what had happened until then, not that nothing had."""
    worker = start("worker", [sys.executable, "-c", "print('It stood still.')"], tmp_path / "worker.log", "parent")
    assert worker.has_ended_within(20)
    (port,) = choose_ports((0,))
    view.counters = {"turnwatch_frames_applied_total": 864.0}
    with pytest.raises(DemoError, match="It stood still"):
        await _follow_worker(f"http://127.0.0.1:{port}/metrics", worker, view)
    worker.stop()
    assert "864  frames consumed" in shown(view)


def test_without_alertmanager_the_page_itself_is_shown(view: View) -> None:
    text = shown(view)
    assert "published; Alertmanager has not notified yet" in text
    assert view.the_page is not None and view.truth.slice in text
    assert "slo-burn-rate.md" in text and "% of turns bad" in text


def test_the_page_stands_where_a_short_terminal_shows_it(view: View) -> None:
    assert shown(view).lstrip("╭─ ").startswith("PAGE at")
    view.alerts.clear()
    assert "PAGE" not in shown(view)


def test_of_many_other_slices_that_fire_some_are_named_and_the_rest_counted(view: View) -> None:
    page = view.the_page
    assert page is not None
    for place in range(6):
        burn = page.burn.model_copy(update={"slice": f"pool=realtime,route=r{place}"})
        view.alerts[str(place)] = page.model_copy(update={"alert": str(place), "burn": burn, "state": "firing"})
    assert "route=r3 and 2 slices more" in shown(view) and "route=r4" not in shown(view)


def test_what_alertmanager_notified_of_is_shown_as_it_says(view: View) -> None:
    assert view.the_page is not None
    told = NotifiedAlert(
        status="firing",
        labels=view.the_page.labels,
        annotations={"summary": "as it was notified"},
        starts_at="",
        ends_at="",
    )
    view.notified[view.slo.name, view.truth.slice, "page"] = told
    assert "notified by Alertmanager" in shown(view) and "as it was notified" in shown(view)


@pytest.mark.parametrize(
    ("notified", "known", "is_named"), [("", "", False), ("asr", "", False), (STAGE, "", True), ("", STAGE, True)]
)
def test_the_verdict_holds_the_page_to_the_stage_as_notified_or_as_told_since(
    view: View, notified: str, known: str, is_named: bool
) -> None:
    """The page of a busy worker may leave before the stage is known: the next telling has it."""
    page = view.the_page
    assert page is not None
    said = {"summary": "as it was notified"} | ({"stage": notified} if notified else {})
    view.truth = replace(view.truth, stage=STAGE)
    view.notified[view.slo.name, view.truth.slice, "page"] = NotifiedAlert(
        status="firing", labels=page.labels, annotations=said, starts_at="", ends_at=""
    )
    since = page.annotations | {"summary": "as it was told since"} | ({"stage": known} if known else {})
    view.alerts = {page.alert: page.model_copy(update={"annotations": since})}
    sentence, is_right = verdict(view, BUCKET_MS)
    assert is_right is is_named
    assert (f"NOT name {STAGE}" in sentence) is not is_named
    assert ("as it was told since" in shown(view)) is bool(known)
    assert ("before the stage was known" in shown(view)) is bool(known)


@pytest.mark.parametrize(("changed", "counts"), [({}, True), ({"slo": "x"}, False), ({"scope": "slice"}, False)])
def test_the_fleets_page_of_the_same_objective_may_arrive_instead(
    view: View, changed: dict[str, str], counts: bool
) -> None:
    """It mutes the slice's."""
    assert view.the_page is not None
    labels = view.the_page.labels | {"slice": "pool=realtime", "scope": "fleet"} | changed
    said = {"summary": "the fleet burns"}
    told = NotifiedAlert(status="firing", labels=labels, annotations=said, starts_at="", ends_at="")
    view.notified[view.slo.name, "pool=realtime", "page"] = told
    assert (view.the_notification is told) is counts
    assert ("the fleet burns" in shown(view)) is counts
    assert view.truth.slice in shown(view)


@pytest.mark.parametrize(
    ("off_ms", "is_right"), [(0, True), (BUCKET_MS, True), (-BUCKET_MS, True), (2 * BUCKET_MS, False)]
)
def test_the_verdict_holds_the_page_to_one_bucket_of_the_prediction(view: View, off_ms: int, is_right: bool) -> None:
    later = replace(view.predicted, page_ms=view.predicted.page_ms - off_ms)
    sentence, said = verdict(replace(view, predicted=later), BUCKET_MS)
    assert said is is_right and ("NOT within" in sentence) is not is_right


def test_without_a_page_the_verdict_says_so(view: View) -> None:
    assert verdict(replace(view, alerts={}), BUCKET_MS) == ("No page has come yet.", False)


def test_the_page_links_to_its_slice_and_time_on_this_machines_board(view: View) -> None:
    """As the board reads it; and where none is served nothing is linked."""
    assert "on this machine" not in shown(view)
    view.boards = "http://127.0.0.1:1/d/turnwatch-fleet-overview"
    assert view.the_page is not None
    link = next(word for word in shown(view).replace("│", " ").split() if word.startswith(f"{view.boards}?"))
    read = viewed(parse_qsl(urlsplit(link).query), all_boards(watched_slos())[OVERVIEW_UID])
    assert read.given == {
        "slo": (view.slo.name,),
        **{name: (value,) for name, value in (part.split("=") for part in view.truth.slice.split(","))},
    }
    from_s, to_s = read.between(0)
    assert from_s == view.start_ms // 1_000 < view.the_page.starts_event_ms // 1_000 < to_s
