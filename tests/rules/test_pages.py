"""The life of an alert: it fires once, goes on while stated, ends on evidence, and survives disorder and restarts.

Where there is no evidence it freezes, which everybody can see, and thaws with the next decision on enough data. Alerts
end at once here; `test_life.py` has them pending, near a threshold, and waiting for their end.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.alertmanager import postable
from alerts.explanations import Paging
from alerts.pages import FROZEN_AFTER_MS, RESOLVED_KEPT_MS, Pages, Stepped, freeze, restore, step, to_send
from schemas.burns import AlertState, Decision, Quiet
from schemas.slices import shard_of
from tests.rules.burning import CANARY, ENDS_AT_ONCE, TURN_SLO, burning, decided

PAGING = Paging(slos={TURN_SLO.name: TURN_SLO}, lives={TURN_SLO.name: ENDS_AT_ONCE})
NOW_MS = 1_800_000_000_000


def run(decisions: Sequence[Decision], pages: Pages | None = None) -> list[Stepped]:
    """Steps through decisions, a second of wall clock apart."""
    steps: list[Stepped] = []
    for place, decision in enumerate(decisions):
        steps.append(step(steps[-1].pages if steps else pages or Pages(), decision, PAGING, NOW_MS + place * 1_000))
    return steps


def states(steps: list[Stepped]) -> list[list[str]]:
    return [[alert.state for alert in each.published] for each in steps]


def test_an_alert_fires_goes_on_while_stated_and_resolves_once() -> None:
    steps = run([decided(0), decided(10, burning()), decided(20, burning()), decided(30), decided(40)])
    assert states(steps) == [[], ["firing"], ["firing"], ["resolved"], []]


def test_only_the_beginning_and_the_end_are_news() -> None:
    steps = run([decided(10, burning()), decided(20, burning()), decided(30)])
    assert [[alert.state for alert in each.news] for each in steps] == [["firing"], [], ["resolved"]]


def test_times_are_kept_apart_wall_clock_for_alertmanager_and_event_time_for_readers() -> None:
    first, second, last = (
        each.published[0] for each in run([decided(10, burning()), decided(20, burning()), decided(30)])
    )
    assert (first.starts_ms, second.starts_ms, last.starts_ms) == (NOW_MS, NOW_MS, NOW_MS)
    assert (first.ends_ms, second.ends_ms, last.ends_ms) == (None, None, NOW_MS + 2_000)
    assert second.starts_event_ms == decided(10).decided_ms
    assert second.decided_event_ms == decided(20).decided_ms
    assert last.annotations["resolved_event_time"] == "2023-11-14T22:13:50Z"


def test_labels_stay_the_same_while_it_fires_whatever_moves() -> None:
    first, second = run([decided(10, burning()), decided(20, burning("outage_10m_1m", bad_share=0.9))])
    assert first.published[0].labels == second.published[0].labels
    assert first.published[0].annotations != second.published[0].annotations


def test_labels_stay_the_same_even_when_the_slo_file_changes_under_it() -> None:
    fired = step(Pages(), decided(10, burning()), PAGING, NOW_MS)
    again = step(fired.pages, decided(20, burning()), Paging(), NOW_MS)
    assert again.published[0].labels == fired.published[0].labels


def test_rows_of_one_severity_are_one_alert_with_the_highest_burn() -> None:
    burns = (burning("page_6h_30m", 0.1), burning("page_1h_5m", 0.25), burning("ticket_1d_2h", 0.05))
    (both,) = run([decided(10, *burns)])
    assert [(alert.burn.severity, alert.burn.row) for alert in both.published] == [
        ("page", "page_1h_5m"),
        ("ticket", "ticket_1d_2h"),
    ]


def test_an_alert_goes_on_when_another_row_takes_over() -> None:
    steps = run([decided(10, burning("page_1h_5m")), decided(20, burning("page_6h_30m", 0.1))])
    assert states(steps) == [["firing"], ["firing"]]
    assert steps[1].news == ()


def test_silence_ends_nothing() -> None:
    """A decision that most producers are missing from ends nothing; the next complete one does."""
    steps = run([decided(10, burning()), decided(20, completeness=0.4), decided(30)])
    assert states(steps) == [["firing"], [], ["resolved"]]


@pytest.mark.parametrize("completeness", [0.4, 0.94])
def test_silence_that_lasts_freezes_an_alert_until_there_is_data_again(completeness: float) -> None:
    silent = [decided(at_s, completeness=completeness) for at_s in (20, 69, 70, 80)]
    steps = run([decided(10, burning()), *silent, decided(90, burning()), decided(100)])
    assert states(steps) == [["firing"], [], [], ["frozen"], [], ["firing"], ["resolved"]]
    assert [len(each.news) for each in steps] == [1, 0, 0, 1, 0, 1, 1]
    assert steps[-2].published[0].starts_ms == steps[0].published[0].starts_ms, "it went on, it did not fire anew"


def test_an_alert_whose_slice_has_no_traffic_freezes_too() -> None:
    quiet = Quiet(slo=TURN_SLO.name, slice=CANARY, severity="page")
    steps = run([decided(10, burning()), *(decided(at_s, quiet=(quiet,)) for at_s in (20, 70))])
    assert states(steps) == [["firing"], [], ["frozen"]]
    assert "no traffic" in steps[-1].published[0].annotations["state"]


def test_a_frozen_alert_resolves_as_soon_as_enough_data_says_so() -> None:
    frozen, over = run([decided(10, burning()), decided(70, completeness=0.4), decided(80)])[1:]
    assert [alert.state for alert in frozen.published] == ["frozen"]
    assert [alert.state for alert in over.published] == ["resolved"]
    assert "state" not in over.published[0].annotations


def test_nothing_begins_to_fire_on_less_than_half_of_recent_volume() -> None:
    steps = run([decided(10, burning(), completeness=0.49), decided(20, burning(), completeness=0.5)])
    assert states(steps) == [[], ["firing"]]


def test_an_alert_that_only_too_few_producers_confirm_freezes() -> None:
    steps = run([decided(10, burning()), decided(70, burning(), completeness=0.3)])
    assert states(steps) == [["firing"], ["frozen"]]


def test_a_frozen_alert_goes_on_in_alertmanager_and_says_since_when_it_is_frozen_and_why() -> None:
    pages = run([decided(10, burning()), decided(70, completeness=0.4)])[-1].pages
    (told,) = to_send(pages, NOW_MS + 3_600_000)
    assert told.annotations["state"] == (
        "frozen since 2023-11-14T22:13:30Z (event time): only 40 % of recent volume has reported, "
        "so it neither fires on nor resolves"
    )
    assert told.labels == pages.alerts[0].labels
    sent = postable(told, NOW_MS + 3_600_000)
    assert sent["endsAt"] > sent["startsAt"]
    assert told.ends_ms is None


def test_a_shard_that_decides_nothing_any_more_freezes_its_alerts_by_the_clock_once() -> None:
    fired = run([decided(10, burning(), shard=0), decided(10, shard=1)])[0]
    assert freeze(fired.pages, NOW_MS + FROZEN_AFTER_MS - 1).published == ()
    frozen = freeze(fired.pages, NOW_MS + FROZEN_AFTER_MS)
    assert [alert.state for alert in frozen.published] == ["frozen"]
    assert frozen.news == frozen.published
    assert freeze(frozen.pages, NOW_MS + 2 * FROZEN_AFTER_MS).published == ()
    thawed = step(frozen.pages, decided(20, burning()), PAGING, NOW_MS + 3 * FROZEN_AFTER_MS)
    assert [alert.state for alert in thawed.published] == ["firing"]
    assert freeze(thawed.pages, NOW_MS + 3 * FROZEN_AFTER_MS + 1).published == ()


def test_a_decision_that_comes_again_keeps_nothing_from_freezing() -> None:
    pages = run([decided(10, burning())])[-1].pages
    again = step(pages, decided(10, burning()), PAGING, NOW_MS + FROZEN_AFTER_MS)
    assert [alert.state for alert in freeze(again.pages, NOW_MS + FROZEN_AFTER_MS).published] == ["frozen"]


def test_after_a_restart_the_clock_begins_anew_and_what_was_frozen_is_frozen() -> None:
    frozen = run([decided(10, burning()), decided(70, completeness=0.4)])[-1].pages
    firing = run([decided(10, burning())])[-1].pages
    again, anew = (restore(each.alerts, shards=4, now_ms=NOW_MS) for each in (frozen, firing))
    assert [alert.state for alert in again.alerts] == ["frozen"]
    assert freeze(anew, NOW_MS + FROZEN_AFTER_MS - 1).published == ()
    assert len(freeze(anew, NOW_MS + FROZEN_AFTER_MS).published) == 1


def test_another_shards_decision_ends_nothing() -> None:
    steps = run([decided(10, burning(), shard=0), decided(99, shard=1)])
    assert states(steps) == [["firing"], []]
    assert len(steps[-1].pages.firing) == 1


def test_an_older_decision_changes_nothing() -> None:
    late = [decided(20, burning()), decided(10)]
    assert run(late)[1] == Stepped(run(late)[0].pages)


def test_the_same_instant_decided_again_without_it_does_not_end_it() -> None:
    assert states(run([decided(10, burning()), decided(10)])) == [["firing"], []]


def test_the_same_instant_decided_on_more_of_the_volume_corrects_the_alert() -> None:
    early, late = decided(10, burning(), completeness=0.6), decided(10)
    assert states(run([early, late])) == [["firing"], ["resolved"]]
    assert states(run([early, late, early])) == [["firing"], ["resolved"], []], "and is not corrected back"
    assert states(run([decided(10, completeness=0.6), decided(10, burning())])) == [[], ["firing"]]


def test_what_burns_again_is_a_new_alert_of_the_same_identity() -> None:
    steps = run([decided(10, burning()), decided(20), decided(30, burning())])
    first, _, again = (each.published[0] for each in steps)
    assert first.alert == again.alert
    assert again.starts_event_ms == decided(30).decided_ms
    assert steps[2].news == steps[2].published


def test_versions_grow_with_every_statement_also_after_it_was_forgotten() -> None:
    steps = run([decided(10, burning()), decided(20, burning()), decided(30)])
    forgotten = step(steps[-1].pages, decided(40), PAGING, NOW_MS + RESOLVED_KEPT_MS + 60_000)
    assert forgotten.pages.alerts == ()
    again = step(forgotten.pages, decided(50, burning()), PAGING, NOW_MS + RESOLVED_KEPT_MS + 61_000)
    versions = [alert.version for each in (*steps, again) for alert in each.published]
    assert versions == sorted(set(versions))


def test_versions_grow_while_the_wall_clock_stands_still_or_goes_back() -> None:
    first = step(Pages(), decided(10, burning()), PAGING, NOW_MS)
    second = step(first.pages, decided(20, burning()), PAGING, NOW_MS - 60_000)
    assert second.published[0].version > first.published[0].version


def test_a_resolved_alert_is_told_for_a_while_and_then_forgotten() -> None:
    pages = run([decided(10, burning()), decided(20)])[-1].pages
    ended_ms = NOW_MS + 1_000
    assert [alert.state for alert in to_send(pages, ended_ms + RESOLVED_KEPT_MS - 1)] == ["resolved"]
    assert to_send(pages, ended_ms + RESOLVED_KEPT_MS) == ()


def test_a_restart_goes_on_where_it_was_without_a_second_page() -> None:
    shard = shard_of(CANARY, 4)
    before = run([decided(10, burning(), shard=shard), decided(20, burning(), shard=shard)])
    published = [alert for each in before for alert in each.published]
    random.Random(7).shuffle(published)
    after = run([decided(20, burning(), shard=shard), decided(30, shard=shard)], restore(published, shards=4))
    assert after[0].news == ()
    assert after[0].published[0].starts_ms == published[0].starts_ms
    assert states(after) == [["firing"], ["resolved"]]


def test_a_restart_keeps_what_a_later_telling_of_the_same_instant_said() -> None:
    shard = shard_of(CANARY, 4)
    early, late = decided(10, burning(), shard=shard, completeness=0.6), decided(10, shard=shard)
    restored = restore([alert for each in run([early, late]) for alert in each.published], shards=4)
    assert states(run([early], restored)) == [[]]


def test_a_restart_with_a_published_state_read_back_as_json_is_the_same() -> None:
    published = [alert for each in run([decided(10, burning())]) for alert in each.published]
    again = [AlertState.model_validate_json(alert.model_dump_json()) for alert in published]
    assert restore(again, shards=4) == restore(published, shards=4)


moments = st.lists(
    st.tuples(
        st.integers(0, 3), st.integers(0, 12), st.sets(st.sampled_from(["pool=realtime", CANARY])), st.booleans()
    ),
    max_size=25,
)


@given(moments=moments, repeat=st.data())
def test_repeats_and_stragglers_never_change_what_fires(
    moments: list[tuple[int, int, set[str], bool]], repeat: st.DataObject
) -> None:
    ordered = sorted(
        {(shard, at): (burns, ok) for shard, at, burns, ok in moments}.items(), key=lambda each: each[0][1]
    )
    decisions = [
        decided(
            at * 10, *(burning(slice_text=text) for text in sorted(burns)), shard=shard, completeness=1.0 if ok else 0.5
        )
        for (shard, at), (burns, ok) in ordered
    ]
    disturbed = [
        each
        for place, decision in enumerate(decisions)
        for each in (decision, *repeat.draw(st.lists(st.sampled_from(decisions[: place + 1]), max_size=2)))
    ]
    expected = {
        (a.alert, shard)
        for shard, s in last(decisions).shards.items()
        for a in s.alerts.values()
        if a.state == "firing"
    }
    found = {
        (a.alert, shard)
        for shard, s in last(disturbed).shards.items()
        for a in s.alerts.values()
        if a.state == "firing"
    }
    assert found == expected


def last(decisions: Sequence[Decision]) -> Pages:
    steps = run(decisions)
    return steps[-1].pages if steps else Pages()


@pytest.mark.parametrize("completeness", [0.95, 1.0])
def test_ninety_five_percent_of_recent_volume_is_enough_to_end_an_alert(completeness: float) -> None:
    assert states(run([decided(10, burning()), decided(20, completeness=completeness)]))[1] == ["resolved"]
