"""Incidents are plain, and no page that is missed, repeated, unexpected or never resolved goes unseen."""

from __future__ import annotations

from collections import Counter

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from alerts.explanations import Paging
from alerts.openslo import load_slos
from alerts.pages import Pages, step
from alerts.policies import policy_for
from alerts.webhook_receiver import Notification, NotifiedAlert
from schemas.burns import AlertState
from tests.rules.burning import burning, decided
from turnwatch.bench.faults.expectation import expected, expected_burns
from turnwatch.bench.faults.paging import Episodes, all_came, expected_pages, pages_besides, tally_pages
from turnwatch.bench.faults.schedule import WINDOWS
from turnwatch.bench.faults.world import WINDOW_MS, World, incidents

START_MS = 1_800_000_000_000
SLO, EVERYTHING, CANARY = "turn-4000ms-realtime", "pool=realtime", "pool=realtime,bundle=v2"


def notified(*alerts: tuple[str, str], slo: str = SLO) -> Notification:
    """A notification of (slice, status) pairs of one objective's pages."""
    told = tuple(
        NotifiedAlert.model_validate(
            {"status": status, "labels": {"slo": slo, "slice": text, "severity": "page"}}
            | {"annotations": {}, "starts_at": "", "ends_at": ""}
        )
        for text, status in alerts
    )
    return Notification(receiver="on-call", status="firing", group_key=slo, group_labels={"slo": slo}, alerts=told)


EXPECTED: Episodes = Counter({(SLO, EVERYTHING): 1, (SLO, CANARY): 1})
COMING_AND_GOING = [
    notified((EVERYTHING, "firing")),
    notified((EVERYTHING, "firing"), (CANARY, "firing")),
    notified((EVERYTHING, "resolved"), (CANARY, "firing")),
    notified((CANARY, "resolved")),
]


@pytest.mark.parametrize("seed", range(2))
def test_every_round_has_the_same_plain_pages(seed: int) -> None:
    """None of them hangs on a tenth of its threshold, or `expected_pages` would refuse them."""
    world = World(seed, START_MS)
    watched = [policy_for(slo) for slo in load_slos()]
    burns: list[pl.DataFrame] = []
    for round_ in range(2):
        told = [each for window in range(WINDOWS) for each in world.window(round_ * WINDOWS + window)]
        burns.append(expected_burns(told))
        pages = expected_pages(pl.concat(burns), watched, START_MS + round_ * WINDOWS * WINDOW_MS)
        of_slo = Counter(slo for slo, _ in pages.elements())
        assert of_slo == {"turn-error-realtime": 11, "turn-4000ms-realtime": 4, "queue-wait-250ms-realtime": 1}
        region = incidents(seed, round_)[0].value
        assert pages["turn-error-realtime", f"pool=realtime,region={region}"] == 1


def test_burns_alone_are_those_of_all_tables() -> None:
    world = World(0, START_MS)
    told = [each for window in range(12) for each in world.window(window)]
    assert_frame_equal(expected_burns(told), expected(told)["burn_rate_10s"], check_row_order=False)


def test_pages_that_come_and_go_as_expected_are_right() -> None:
    tally = tally_pages(EXPECTED, COMING_AND_GOING, [])
    assert (tally.expected, tally.delivered, tally.notes) == (2, 2, ())
    assert all_came(EXPECTED, COMING_AND_GOING)


def test_a_page_that_was_never_notified_as_firing_is_missed() -> None:
    told = [notified((EVERYTHING, "firing")), notified((EVERYTHING, "resolved"), (CANARY, "resolved"))]
    tally = tally_pages(EXPECTED, told, [])
    assert (tally.delivered, tally.missed) == (1, 1)
    assert not all_came(EXPECTED, [notified((CANARY, "firing")), notified((CANARY, "resolved"))])


def published(text: str) -> AlertState:
    burn = burning(slice_text=text)
    return step(Pages(), decided(10, burn.model_copy(update={"slo": SLO})), Paging(), START_MS).published[0]


def test_a_page_that_the_fleets_mutes_has_to_be_published_and_not_notified() -> None:
    told = [notified((EVERYTHING, "firing")), notified((EVERYTHING, "resolved"))]
    both = [published(EVERYTHING), published(CANARY)]
    assert (tally_pages(EXPECTED, told, both).delivered, tally_pages(EXPECTED, told, both[:1]).missed) == (2, 1)
    assert all_came(EXPECTED, told)


def test_a_page_that_was_pending_is_none() -> None:
    waits = published(CANARY).model_copy(update={"state": "pending", "has_fired": False})
    told = [notified((EVERYTHING, "firing")), notified((EVERYTHING, "resolved"))]
    assert tally_pages(EXPECTED, told, [published(EVERYTHING), waits]).missed == 1


def test_a_slice_that_was_first_and_muted_then_ends_with_the_fleet() -> None:
    first = [notified((CANARY, "firing")), notified((EVERYTHING, "firing")), notified((EVERYTHING, "resolved"))]
    both = [published(EVERYTHING), published(CANARY)]
    assert tally_pages(EXPECTED, first, both) == tally_pages(EXPECTED, COMING_AND_GOING, both)
    assert tally_pages(EXPECTED, first[:2], both).unresolved == 2
    burns_on = [*first, notified((CANARY, "firing")), notified((CANARY, "resolved"))]
    assert tally_pages(EXPECTED, burns_on, both).repeated == 0
    assert tally_pages(EXPECTED, burns_on[:-1], both).unresolved == 1


def test_a_page_that_fires_again_is_repeated() -> None:
    tally = tally_pages(EXPECTED, [*COMING_AND_GOING, notified((CANARY, "firing")), notified((CANARY, "resolved"))], [])
    assert (tally.delivered, tally.repeated) == (2, 1)


def test_a_notification_with_nothing_new_is_repeated() -> None:
    tally = tally_pages(EXPECTED, [COMING_AND_GOING[0], *COMING_AND_GOING], [])
    assert tally.repeated == 1


def test_a_page_that_nothing_called_for_is_unexpected() -> None:
    strange = [notified((CANARY, "firing"), slo="other"), notified((CANARY, "resolved"), slo="other")]
    assert tally_pages(EXPECTED, [*COMING_AND_GOING, *strange], []).unexpected == 1


def test_a_page_whose_end_nobody_was_told_of_is_unresolved() -> None:
    assert tally_pages(EXPECTED, COMING_AND_GOING[:-1], []).unresolved == 1
    assert not all_came(EXPECTED, COMING_AND_GOING[:-1])


def test_a_page_about_turnwatch_itself_is_shown_and_not_reckoned() -> None:
    """A worker that is away for seconds of accelerated event time looks like minutes of silence."""
    silent = NotifiedAlert.model_validate(
        {"status": "firing", "labels": {"alertname": "TelemetrySilent", "severity": "page"}}
        | {"annotations": {}, "starts_at": "", "ends_at": ""}
    )
    besides = COMING_AND_GOING[0].model_copy(update={"group_key": "silence", "alerts": (silent,)})
    tally = tally_pages(EXPECTED, [*COMING_AND_GOING, besides, besides], [])
    assert (tally.delivered, tally.repeated, tally.unexpected, tally.notes) == (2, 0, 0, ())
    assert pages_besides([*COMING_AND_GOING, besides]) == {"TelemetrySilent": 1}


def test_a_queue_that_joins_or_leaves_the_notification_of_what_it_burns_is_news() -> None:
    """And no page of an objective, nor unexpected."""
    saturated = NotifiedAlert.model_validate(
        {"status": "firing", "labels": {"alertname": "Saturated", "severity": "page", "slice": EVERYTHING}}
        | {"annotations": {}, "starts_at": "", "ends_at": ""}
    )
    first, *others = COMING_AND_GOING
    joined = first.model_copy(update={"alerts": (*first.alerts, saturated)})
    assert tally_pages(EXPECTED, [first, joined, *others], []) == tally_pages(EXPECTED, COMING_AND_GOING, [])
    assert tally_pages(EXPECTED, [first, joined, joined, *others], []).repeated == 1
