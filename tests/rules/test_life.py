"""What an alert does between quiet and paging: pending, near a threshold, silent, and waiting for its end.

Decisions are 10 s apart. A page fires on for 60 s and a ticket for 600 s after the last statement that speaks for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.alert_statements import _former
from alerts.explanations import Paging
from alerts.pages import RESOLVED_KEPT_MS, Pages, Stepped, restore, step, to_send
from schemas.burns import FORMER_MAX, AlertState, Burn, Decision, Quiet, decode_alert
from schemas.slices import shard_of
from schemas.slos import Life
from tests.rules.burning import CANARY, TURN_SLO, burning, decided

NOW_MS = 1_800_000_000_000
SHARD = shard_of(CANARY, 4)
USUAL = Life()
SLOW = Life(pending_s={"page": 30, "ticket": 0})
RECORDED = Path(__file__).parent / "recorded" / "alert_state_0.1.0.json"


def paging(life: Life) -> Paging:
    return Paging(slos={TURN_SLO.name: TURN_SLO}, lives={TURN_SLO.name: life})


def run(decisions: Sequence[Decision], life: Life = USUAL, pages: Pages | None = None) -> list[Stepped]:
    steps: list[Stepped] = []
    for place, decision in enumerate(decisions):
        before = steps[-1].pages if steps else pages or Pages()
        steps.append(step(before, decision, paging(life), NOW_MS + place * 1_000))
    return steps


def stated(at_s: int, *burns: Burn, completeness: float = 1.0, **listed: tuple[object, ...]) -> Decision:
    return decided(at_s, *burns, shard=SHARD, completeness=completeness, **listed)


def burns(*at_s: int) -> list[Decision]:
    return [stated(each, burning()) for each in at_s]


def nothing(*at_s: int) -> list[Decision]:
    return [stated(each) for each in at_s]


def held(*at_s: int) -> list[Decision]:
    return [stated(each, held=(burning(),)) for each in at_s]


def near(severity: str = "page") -> tuple[Quiet, ...]:
    return (Quiet.model_validate({"slo": TURN_SLO.name, "slice": CANARY, "severity": severity}),)


def published(steps: list[Stepped]) -> list[list[str]]:
    return [[alert.state for alert in each.published] for each in steps]


def now(steps: list[Stepped]) -> list[str]:
    return [alert.state for alert in steps[-1].pages.alerts]


def told(steps: list[Stepped]) -> list[tuple[str, ...]]:
    """What Alertmanagers know after each step."""
    return [tuple(alert.state for alert in to_send(each.pages, NOW_MS + 1_000_000)) for each in steps]


def test_what_wants_evidence_is_pending_and_nobody_is_told() -> None:
    steps = run(held(10, 20, 30))
    assert published(steps) == [["pending"], [], []], "on change of state only"
    assert told(steps) == [(), (), ()]
    assert [each.news for each in steps] == [(), (), ()]
    assert now(steps) == ["pending"]


def test_a_pending_alert_that_is_stated_no_more_ends_without_a_word() -> None:
    steps = run([*held(10), *nothing(20, 30)])
    assert published(steps) == [["pending"], ["resolved"], []]
    assert told(steps) == [(), (), ()]
    assert [each.news for each in steps] == [(), (), ()]
    assert now(steps) == [], "and is forgotten"


def test_what_is_only_near_a_threshold_or_silent_begins_nothing_and_keeps_nothing_pending() -> None:
    alone = run([stated(10, holding=near()), stated(20, quiet=near())])
    assert published(alone) == [[], []]
    assert published(run([*held(10), stated(20, holding=near())]))[1] == ["resolved"]
    assert published(run([*held(10), stated(20, quiet=near())]))[1] == ["resolved"]


def test_with_evidence_a_pending_alert_fires_from_that_instant_on() -> None:
    steps = run([*held(10, 20), *burns(30)])
    assert published(steps)[-1] == ["firing"]
    assert steps[-1].news == steps[-1].published
    assert steps[-1].published[0].starts_event_ms == stated(30).decided_ms
    assert steps[-1].published[0].starts_ms == NOW_MS + 2_000


def test_a_policy_may_ask_that_it_lasts_before_it_fires_counted_from_when_it_was_first_exceeded() -> None:
    assert published(run(burns(10, 20, 30, 40), SLOW)) == [["pending"], [], [], ["firing"]]
    assert published(run([*held(10, 20), *burns(30, 40)], SLOW)) == [["pending"], [], [], ["firing"]]


def test_a_gap_begins_the_count_anew_but_silence_is_no_gap() -> None:
    gap = run([*burns(10, 20), *nothing(30), *burns(40, 50, 60, 70)], SLOW)
    assert published(gap) == [["pending"], [], ["resolved"], ["pending"], [], [], ["firing"]]
    silence = run([*burns(10, 20), stated(30, completeness=0.4), *burns(40)], SLOW)
    assert published(silence) == [["pending"], [], [], ["firing"]]


def test_nothing_is_pending_on_less_than_half_of_recent_volume() -> None:
    assert published(run([stated(10, held=(burning(),), completeness=0.49)])) == [[]]


def test_where_any_bad_turn_is_too_many_no_share_of_the_volume_is_too_little() -> None:
    """Nor is a page of it held back for producers that are late."""
    error = burning().model_copy(update={"factor": 0.0, "threshold": 0.0})
    assert [alert.state for alert in run([stated(10, error, completeness=0.2)])[-1].pages.alerts] == ["firing"]


def test_the_row_with_evidence_gives_the_numbers_however_fast_one_without_burns() -> None:
    decision = stated(10, burning("page_6h_30m", 0.1), held=(burning("outage_10m_1m", 0.9),))
    assert [alert.burn.row for alert in run([decision])[0].published] == ["page_6h_30m"]


def test_a_page_fires_on_for_its_minute_and_then_resolves_once() -> None:
    steps = run([*burns(10), *nothing(20, 30, 40, 50, 60, 70, 80)])
    assert published(steps) == [*[["firing"]] * 6, ["resolved"], []]
    assert [alert.state for each in steps for alert in each.news] == ["firing", "resolved"]


def test_a_ticket_waits_ten_minutes_and_waiting_is_no_freezing() -> None:
    steps = run([stated(10, burning("ticket_1d_2h", 0.05)), *nothing(*range(20, 620, 10))])
    assert published(steps) == [*[["firing"]] * 60, ["resolved"]]


def test_it_resolves_with_the_first_decision_on_enough_data_after_the_wait() -> None:
    waits = [stated(60), stated(70, completeness=0.9), stated(95, completeness=0.94), stated(100)]
    assert published(run([*burns(10), *waits])) == [["firing"], ["firing"], [], [], ["resolved"]]


def test_silence_while_it_waits_freezes_it_and_enough_data_ends_it() -> None:
    steps = run([*burns(10), stated(20), stated(80, completeness=0.4), stated(90)])
    assert published(steps) == [["firing"], ["firing"], ["frozen"], ["resolved"]]


def test_what_comes_back_while_it_waits_is_the_same_alert() -> None:
    steps = run([*burns(10), *nothing(20, 60), *burns(65), *nothing(70, 120, 125)])
    assert published(steps) == [*[["firing"]] * 6, ["resolved"]]
    assert len({alert.starts_ms for each in steps for alert in each.published}) == 1
    assert [alert.state for each in steps for alert in each.news] == ["firing", "resolved"]


def test_coming_and_going_at_the_threshold_is_one_alert() -> None:
    """Alternately above, just below, and clearly below for a moment."""
    decisions = [each for at in range(10, 310, 30) for each in (*burns(at), stated(at + 10, holding=near()), *nothing(at + 20))]  # fmt: skip
    news = [alert.state for each in run(decisions) for alert in each.news]
    assert news == ["firing"]


def test_near_the_threshold_it_goes_on_for_as_long_as_that_lasts_with_its_figures() -> None:
    decisions = [*burns(10), *(stated(at_s, holding=near()) for at_s in range(20, 200, 10)), *nothing(240, 250)]
    steps = run(decisions)
    assert published(steps) == [*[["firing"]] * 20, ["resolved"]]
    assert steps[10].published[0].burn == steps[0].published[0].burn


def test_a_row_that_lost_its_evidence_keeps_the_alert_firing() -> None:
    assert published(run([*burns(10), *held(20, 100)])) == [["firing"]] * 3


def test_a_silent_slice_speaks_for_its_alert_so_the_wait_begins_when_it_speaks_again() -> None:
    steps = run([*burns(10), *(stated(at_s, quiet=near()) for at_s in range(20, 100, 10)), *nothing(100, 140, 150)])
    assert [alert.state for alert in steps[6].published] == ["frozen"], "nothing confirmed it for a minute"
    assert published(steps)[-3:] == [["firing"], ["firing"], ["resolved"]]


def test_what_speaks_for_a_page_speaks_for_no_ticket() -> None:
    both = stated(10, burning(), burning("ticket_1d_2h", 0.05))
    after = run([both, stated(700, holding=near())])[-1].published
    assert {alert.burn.severity: alert.state for alert in after} == {"page": "firing", "ticket": "resolved"}


def test_an_objective_that_is_not_known_here_lives_the_usual_life() -> None:
    pages = step(Pages(), stated(10, burning()), Paging(), NOW_MS).pages
    after = [step(pages, stated(at_s), Paging(), NOW_MS).published[0].state for at_s in (60, 70)]
    assert after == ["firing", "resolved"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (held(10, 20), [*held(30), *nothing(40)]),
        (held(10, 20), burns(30, 40)),
        (burns(10, 20), [*burns(30), *nothing(40)]),
        ([*burns(10), stated(20, holding=near())], [stated(30, holding=near()), *nothing(80, 90)]),
        ([*burns(10), *nothing(20, 30)], nothing(40, 50, 60, 70)),
        ([*burns(10), *nothing(20, 30)], [*nothing(40), *burns(50), *nothing(60, 110)]),
        ([*burns(10), stated(70, completeness=0.4)], [*burns(80), *nothing(90, 140)]),
        ([*burns(10), *nothing(70)], [*nothing(80), *burns(90)]),
    ],
    ids=["pending", "pending-fires", "firing", "near", "waiting", "waiting-burns", "frozen", "resolved"],
)
def test_a_restart_in_any_state_tells_nobody_anything_that_they_would_not_have_been_told(
    before: list[Decision], after: list[Decision]
) -> None:
    first = run(before)
    stored = [AlertState.model_validate_json(a.model_dump_json()) for each in first for a in each.published]
    anew = run(after, pages=restore(stored, shards=4, now_ms=NOW_MS))
    through = run([*before, *after])[len(before) :]
    assert [[(a.alert, a.state) for a in each.news] for each in anew] == [
        [(a.alert, a.state) for a in each.news] for each in through
    ]
    assert told(anew) == told(through)


def test_pending_is_counted_on_over_a_restart() -> None:
    first = run(burns(10, 20), SLOW)
    stored = [alert for each in first for alert in each.published]
    assert published(run(burns(30, 40), SLOW, restore(stored, shards=4))) == [[], ["firing"]]


def test_a_restart_during_silence_ends_no_alert_sooner() -> None:
    silent = [stated(at_s, quiet=near()) for at_s in range(20, 300, 10)]
    stored = [alert for each in run([*burns(10), *silent]) for alert in each.published]
    assert published(run(nothing(300, 350, 360), pages=restore(stored, shards=4))) == [
        ["firing"], ["firing"], ["resolved"]
    ]  # fmt: skip


def test_a_state_that_an_earlier_version_stored_is_read_and_goes_on() -> None:
    """As `0.1.0` wrote it: no state of its own for pending, nothing of when it was stated."""
    stored = decode_alert(RECORDED.read_bytes())
    assert {"has_fired", "stated_event_ms"}.isdisjoint(json.loads(RECORDED.read_bytes()))
    assert stored.has_fired and stored.state == "firing"
    pages = restore([stored], shards=4, now_ms=NOW_MS)
    assert published(run(burns(20), pages=pages)) == [["firing"]]
    assert run(burns(20), pages=pages)[0].news == (), "nobody is paged again"
    assert published(run(nothing(20, 70, 80), pages=pages)) == [["firing"], ["firing"], ["resolved"]]


said = st.sampled_from(["burns", "held", "holding", "quiet", "nothing", "incomplete"])


@given(st.lists(said, max_size=40), st.sampled_from([Life(), SLOW]))
def test_whatever_is_stated_an_alert_is_told_from_a_burn_to_an_end_and_never_pending(
    words: list[str], life: Life
) -> None:
    """News of one alert alternate between firing (or frozen) and resolved, and only a burn begins one."""
    decisions = [_saying(word, 10 * place) for place, word in enumerate(words, start=1)]
    is_told = False
    for word, each in zip(words, run(decisions, life), strict=True):
        for alert in each.news:
            assert alert.state != "pending"
            assert is_told or (alert.state == "firing" and word == "burns"), "only a burn begins an alert"
            is_told = alert.state != "resolved"
        assert is_told == any(alert.state in ("firing", "frozen") for alert in to_send(each.pages, NOW_MS))


def _saying(word: str, at_s: int) -> Decision:
    if word == "burns":
        return stated(at_s, burning())
    if word == "held":
        return stated(at_s, held=(burning(),))
    if word == "holding":
        return stated(at_s, holding=near())
    if word == "quiet":
        return stated(at_s, quiet=near())
    return stated(at_s, completeness=0.4 if word == "incomplete" else 1.0)


def test_what_never_fired_is_forgotten_at_once_and_what_did_is_told_for_a_day() -> None:
    both = run([stated(10, burning(), held=(burning("ticket_1d_2h", 0.05),)), stated(700), stated(710)])
    assert [alert.burn.severity for alert in both[-1].pages.alerts] == ["page"]
    assert len(to_send(both[-1].pages, NOW_MS + RESOLVED_KEPT_MS - 1)) == 1


@pytest.mark.parametrize("again", [held, burns])
def test_an_end_is_told_though_the_alert_is_pending_or_fires_again_since(again: Callable[..., list[Decision]]) -> None:
    """It has labels of its own, with its incident: nothing that begins later ends it in an Alertmanager."""
    steps = run([*burns(10), *nothing(20, 80), *again(90)])
    first, over = steps[0].pages.firing[0], steps[2].pages.alerts[0]
    for pages in (
        steps[-1].pages,
        restore([decode_alert(s.model_dump_json().encode()) for s in steps[-1].published], 4),
    ):
        told = [(alert.state, alert.labels) for alert in to_send(pages, NOW_MS)]
        assert ("resolved", first.labels) in told
        assert [labels for state, labels in told if state == "firing"] == [a.labels for a in pages.firing]
        ends = [alert.ends_ms for alert in to_send(pages, NOW_MS) if alert.labels == first.labels]
        assert ends == [over.ends_ms]
    later = run(nothing(*range(100, 200, 10)), pages=steps[-1].pages)[-1].pages
    assert to_send(later, NOW_MS + RESOLVED_KEPT_MS + 1_000_000) == ()
    assert step(later, stated(300), paging(USUAL), NOW_MS + RESOLVED_KEPT_MS + 1_000_000).pages.alerts == ()


def test_of_an_alert_that_comes_and_goes_the_newest_ends_are_told() -> None:
    rounds = [decision for at_s in range(0, 2_000, 100) for decision in (*burns(at_s), *nothing(at_s + 10, at_s + 70))]
    pages = run(rounds)[-1].pages
    told = to_send(pages, NOW_MS)
    assert {alert.state for alert in told} == {"resolved"}
    assert len({alert.labels["incident"] for alert in told}) == len(told) == FORMER_MAX + 1


def test_the_earlier_firings_of_an_alert_stay_small_whatever_it_had_to_say() -> None:
    """They are in every statement about it, every ten seconds."""
    alert = run([*burns(10), *nothing(20, 80)])[-1].pages.alerts[0]
    urls = {name: f"https://{name}/" + 1_970 * "x" for name in ("runbook_url", "dashboard_url")}
    said = dict.fromkeys(alert.annotations, 60_000 * "€") | urls
    long = alert.model_copy(update={"annotations": said})
    for _ in range(2 * FORMER_MAX):
        former = _former(long)
        long = long.model_copy(update={"former": former})
    (one, *_) = former
    assert (len(former), one.labels, one.ends_ms) == (FORMER_MAX, alert.labels, alert.ends_ms)
    assert one.annotations == {"summary": 500 * "€", **urls}
    without = len(long.model_copy(update={"former": ()}).model_dump_json().encode())
    assert len(long.model_dump_json().encode()) - without < 64 * 1024
    endless = alert.model_copy(update={"annotations": dict.fromkeys(alert.annotations, 60_000 * "x")})
    assert _former(endless)[0].annotations == {"summary": 500 * "x"}, "an address that is cut leads nowhere"
