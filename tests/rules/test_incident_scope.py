"""One incident, one name: who joins which, whatever the order in which shards decide, and how it ends."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from alerts.alertmanager import Alertmanagers, Destination
from alerts.explanations import Paging
from alerts.incident_ends import ENDS_TOGETHER_MS, ends_together
from alerts.incident_scope import (
    SAME_CAUSE_MS,
    OpenIncidents,
    begun_ms_of,
    explaining_slices,
    incident_name,
    scope_of,
)
from alerts.pages import FROZEN_AFTER_MS, Pages, freeze, restore, step, to_send
from alerts.telling import OPEN_AT_LEAST_MS, Telling
from alerts.webhook_receiver import Notification, WebhookReceiver
from schemas.burns import LAST_INSTANT_MS, AlertState, Burn, Decision
from schemas.metrics import WorkerMetrics
from schemas.slices import shard_of
from schemas.slos import Slo
from tests.rules.burning import CANARY, ENDS_AT_ONCE, TURN_SLO, burning, decided, suspect
from tests.rules.conftest import StartAlertmanager

OTHER_SLO = Slo(**{name: getattr(TURN_SLO, name) for name in Slo.__dataclass_fields__} | {"name": "queue-wait"})
SLOS = {each.name: each for each in (TURN_SLO, OTHER_SLO)}
PAGING = Paging(slos=SLOS, lives=dict.fromkeys(SLOS, ENDS_AT_ONCE))
NOW_MS = 1_800_000_000_000
FLEET, EUROPE, US = "pool=realtime", "pool=realtime,region=eu-west", "pool=realtime,region=us-east"
EUROPE_CANARY = "pool=realtime,region=eu-west,bundle=v2-canary"
BATCH = "pool=batch"


def named(at_s: int, pool: str = "realtime") -> str:
    return incident_name(pool, decided(at_s).decided_ms)


def stepped(*decisions: Decision, pages: Pages | None = None, now_ms: int = NOW_MS) -> Pages:
    pages = pages or Pages()
    for decision in decisions:
        pages = step(pages, decision, PAGING, now_ms).pages
    return pages


def incidents(pages: Pages) -> dict[tuple[str, str, str], str]:
    return {(a.burn.slo, a.burn.slice, a.burn.severity): a.labels.get("incident", "") for a in pages.alerts}


def opened(*texts: str, slo: Slo = TURN_SLO, row: str = "page_1h_5m", at_s: int = 10, shard: int = 0) -> Decision:
    return decided(at_s, *(burning(row, slice_text=text, slo=slo) for text in texts), shard=shard)


def joined(first: str, second: str, slo: Slo = OTHER_SLO) -> bool:
    """Whether an alert that begins in the second slice is of the incident that is open in the first."""
    pages = stepped(opened(first), opened(second, slo=slo, at_s=20, shard=1))
    return len(set(incidents(pages).values())) == 1


def test_scope_is_the_fleet_where_the_slice_is_the_whole_pool() -> None:
    assert [scope_of(text) for text in ("all", FLEET, CANARY, EUROPE_CANARY)] == ["fleet", "fleet", "slice", "slice"]
    labels = {a.burn.slice: a.labels["scope"] for a in stepped(opened(FLEET, CANARY)).alerts}
    assert labels == {FLEET: "fleet", CANARY: "slice"}


def test_slices_of_one_objective_are_one_incident_named_by_pool_and_beginning() -> None:
    pages = stepped(opened(EUROPE, CANARY), opened(EUROPE, CANARY, US, at_s=20))
    assert set(incidents(pages).values()) == {named(10)}


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [
        (CANARY, CANARY, True),
        (EUROPE, EUROPE_CANARY, True),
        (EUROPE_CANARY, EUROPE, True),
        (FLEET, US, True),
        (US, FLEET, True),
        (EUROPE, US, False),
        (EUROPE, CANARY, False),
    ],
)
def test_another_objective_joins_where_its_slice_is_or_lies_within_one_of_the_incident(
    first: str, second: str, is_one: bool
) -> None:
    assert joined(first, second) is is_one


@pytest.mark.parametrize(("first", "second"), [(FLEET, US), (US, FLEET), (FLEET, FLEET)])
@pytest.mark.parametrize(("apart_s", "is_one"), [(1_800, True), (1_810, False), (6 * 3_600, False)])
def test_what_the_whole_fleet_burns_for_holds_together_only_what_begins_within_half_an_hour(
    first: str, second: str, apart_s: int, is_one: bool
) -> None:
    """Or a page of the fleet that has been open for hours would take up every new one of its pool."""
    pages = stepped(opened(first), opened(second, slo=OTHER_SLO, at_s=10 + apart_s, shard=1))
    assert (len(set(incidents(pages).values())) == 1) is is_one


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [
        (EUROPE, US, False),
        (EUROPE, EUROPE_CANARY, True),
        (EUROPE_CANARY, EUROPE, True),
        (FLEET, US, True),
        (US, FLEET, False),
    ],
)
def test_after_half_an_hour_the_same_objective_alone_is_not_the_same_incident(
    first: str, second: str, is_one: bool
) -> None:
    """It would be told as an update of a page that somebody has already seen; a pager that goes by groups wakes nobody."""
    pages = stepped(opened(first), opened(second, at_s=10 + 1_800, shard=1))
    assert set(incidents(pages).values()) == {named(10)}
    pages = stepped(opened(first), opened(second, at_s=10 + 1_810, shard=1))
    assert set(incidents(pages).values()) == ({named(10)} if is_one else {named(10), named(1_820)})


def test_the_half_hour_counts_from_the_incidents_beginning_not_from_its_oldest_open_alert() -> None:
    """Or it would roll on for as long as each alert is joined by a next one before it ends."""
    pages = stepped(
        opened(EUROPE), opened(US, at_s=1_510, shard=1), decided(1_520), opened(CANARY, at_s=3_010, shard=2)
    )
    assert incidents(pages)[TURN_SLO.name, US, "page"] == named(10)
    assert incidents(pages)[TURN_SLO.name, CANARY, "page"] == named(3_010)


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [(EUROPE, US, False), (EUROPE, FLEET, False), (EUROPE, EUROPE_CANARY, True), (EUROPE_CANARY, EUROPE, False)],
)
@pytest.mark.parametrize("slo", [TURN_SLO, OTHER_SLO])
def test_what_is_frozen_is_joined_only_by_its_slice_and_what_lies_within(
    first: str, second: str, is_one: bool, slo: Slo
) -> None:
    pages = freeze(stepped(opened(first)), NOW_MS + FROZEN_AFTER_MS).pages
    assert [each.state for each in pages.alerts] == ["frozen"]
    pages = stepped(opened(second, slo=slo, at_s=20, shard=1), pages=pages)
    assert (len(set(incidents(pages).values())) == 1) is is_one


def test_a_frozen_page_of_the_fleet_is_joined_for_half_an_hour_by_its_own_objective_too() -> None:
    for at_s, is_one in ((1_810, True), (1_820, False)):
        pages = freeze(stepped(opened(FLEET)), NOW_MS + FROZEN_AFTER_MS).pages
        pages = stepped(opened(US, at_s=at_s, shard=1), pages=pages)
        assert (len(set(incidents(pages).values())) == 1) is is_one


@given(pool=st.sampled_from(["realtime", "", "a-b"]), at_ms=st.integers(0, LAST_INSTANT_MS - 1))
def test_the_name_of_an_incident_says_when_it_began(pool: str, at_ms: int) -> None:
    assert begun_ms_of(incident_name(pool, at_ms)) == at_ms


@pytest.mark.parametrize("name", ["", "realtime", "realtime-", "realtime-LOYW", "-1", "realtime-zzzzzzzzzz"])
def test_a_name_without_an_instant_says_nothing(name: str) -> None:
    assert begun_ms_of(name) is None


def test_another_pool_is_another_incident() -> None:
    assert not joined(FLEET, BATCH)
    assert incidents(stepped(opened(BATCH)))[TURN_SLO.name, BATCH, "page"] == named(10, "batch")


def test_a_fleet_that_a_slice_explains_joins_what_that_slice_is_in_and_nothing_else() -> None:
    explained = opened(FLEET, slo=OTHER_SLO, at_s=20, shard=1).model_copy(
        update={"suspects": (suspect(CANARY, 900, 1_000, slo=OTHER_SLO),)}
    )
    for first, is_one in ((CANARY, True), (EUROPE, False)):
        pages = stepped(opened(first), explained)
        (fleet,) = (each for each in pages.alerts if each.burn.slice == FLEET)
        assert explaining_slices(fleet) == (CANARY,)
        assert (fleet.labels["incident"] == named(10)) is is_one


def test_where_the_fleet_burns_its_slices_bring_nothing_into_the_incident_but_what_explains_it() -> None:
    """Errors in one region are errors in every bundle; that a bundle is slow besides has nothing to do with them."""
    errors = opened(FLEET, EUROPE, CANARY, EUROPE_CANARY).model_copy(
        update={"suspects": (suspect(EUROPE, 900, 1_000),)}
    )
    slow = opened(CANARY, EUROPE_CANARY, slo=OTHER_SLO, at_s=20, shard=1)
    found = incidents(stepped(errors, slow))
    assert {found[TURN_SLO.name, text, "page"] for text in (FLEET, EUROPE, CANARY, EUROPE_CANARY)} == {named(10)}
    assert found[OTHER_SLO.name, CANARY, "page"] == named(20)
    assert found[OTHER_SLO.name, EUROPE_CANARY, "page"] == named(10)


def test_a_page_joins_no_ticket_but_a_ticket_joins_a_page() -> None:
    """A ticket that has been open for days would hold together what has nothing in common."""
    ticket, page = opened(FLEET, row="ticket_1d_2h"), opened(FLEET, at_s=20, shard=1)
    assert len(set(incidents(stepped(ticket, page)).values())) == 2
    page, ticket = opened(FLEET), opened(FLEET, row="ticket_1d_2h", at_s=20, shard=1)
    assert set(incidents(stepped(page, ticket)).values()) == {named(10)}


def test_of_several_incidents_it_joins_the_oldest() -> None:
    pages = stepped(opened(EUROPE), opened(US, slo=OTHER_SLO, at_s=20, shard=1), opened(FLEET, at_s=30, shard=2))
    assert incidents(pages)[TURN_SLO.name, FLEET, "page"] == named(10)


def test_an_incident_that_is_over_is_not_joined() -> None:
    pages = stepped(opened(FLEET), decided(20), opened(FLEET, at_s=30))
    assert incidents(pages)[TURN_SLO.name, FLEET, "page"] == named(30)


def test_it_is_the_same_for_as_long_as_the_alert_fires_also_after_a_restart() -> None:
    first = stepped(opened(CANARY))
    stored = [AlertState.model_validate_json(each.model_dump_json()) for each in first.alerts]
    pages = stepped(opened(CANARY, US, at_s=20), pages=restore(stored, shards=1))
    assert set(incidents(pages).values()) == {named(10)}


def test_a_pending_alert_is_in_no_incident_and_opens_none() -> None:
    pages = stepped(decided(10, held=(burning(slice_text=FLEET),)), opened(US, slo=OTHER_SLO, at_s=20, shard=1))
    assert incidents(pages) == {(TURN_SLO.name, FLEET, "page"): "", (OTHER_SLO.name, US, "page"): named(20)}


def test_an_alert_from_before_there_were_incidents_keeps_its_labels_and_is_joined_by_none() -> None:
    (alert,) = stepped(opened(CANARY)).alerts
    labels = {name: value for name, value in alert.labels.items() if name not in ("incident", "scope")}
    pages = restore([alert.model_copy(update={"labels": labels})], shards=1)
    pages = stepped(opened(CANARY, US, at_s=20), pages=pages)
    assert incidents(pages) == {(TURN_SLO.name, CANARY, "page"): "", (TURN_SLO.name, US, "page"): named(20)}


texts = st.sampled_from([FLEET, EUROPE, US, CANARY, EUROPE_CANARY, BATCH])
burns = st.builds(
    lambda text, slo, row: burning(row, slice_text=text, slo=slo),
    texts,
    st.sampled_from([TURN_SLO, OTHER_SLO]),
    st.sampled_from(["page_1h_5m", "ticket_1d_2h"]),
)


@given(waves=st.lists(st.lists(burns, max_size=6), min_size=1, max_size=4), seed=st.integers())
def test_the_order_in_which_shards_decide_an_instant_changes_no_incident(waves: list[list[Burn]], seed: int) -> None:
    dice = random.Random(seed)
    straight, shuffled = Pages(), Pages()
    known: list[Burn] = []
    for place, wave in enumerate(waves):
        known += wave
        decisions = [
            decided(10 * place, *(burn for burn in known if shard_of(burn.slice, 4) == shard), shard=shard)
            for shard in range(4)
        ]
        straight = stepped(*decisions, pages=straight)
        shuffled = stepped(*dice.sample(decisions, 4), pages=shuffled)
    assert incidents(straight) == incidents(shuffled)


names = st.sampled_from(["i0", "i1", named(0), named(20), named(-7_200)])


@given(
    open_burns=st.lists(st.tuples(burns, st.integers(0, 5), names, st.booleans()), max_size=12),
    burn=burns,
    seed=st.integers(),
    after_s=st.sampled_from([50, 1_800, 7_200]),
)
def test_it_is_what_comparing_with_every_open_alert_finds(
    open_burns: list[tuple[Burn, int, str, bool]], burn: Burn, seed: int, after_s: int
) -> None:
    alerts = [
        stepped(decided(10 * at, each))
        .alerts[0]
        .model_copy(update={"labels": {"incident": name}, "state": "frozen" if is_frozen else "firing"})
        for each, at, name, is_frozen in open_burns
    ]
    random.Random(seed).shuffle(alerts)
    starts_ms = decided(after_s).decided_ms
    assert OpenIncidents(alerts, starts_ms).incident_of(burn, (burn.slice,), starts_ms) == _compared(
        alerts, burn, starts_ms
    )


def _compared(alerts: Sequence[AlertState], burn: Burn, starts_ms: int) -> str:
    before = [alert for alert in alerts if alert.starts_event_ms < starts_ms]
    begun = {
        name: min(alert.starts_event_ms for alert in before if alert.labels["incident"] == name)
        if name.startswith("i")
        else int(name.split("-")[1], 36)
        for name in {alert.labels["incident"] for alert in before}
    }
    found = {
        alert.labels["incident"]
        for alert in before
        if _joins(burn, alert, before, starts_ms - begun[alert.labels["incident"]] <= SAME_CAUSE_MS)
    }
    pool = burn.slice.split(",")[0].removeprefix("pool=")
    return min(found, key=lambda each: (begun[each], each)) if found else incident_name(pool, starts_ms)


def _joins(burn: Burn, alert: AlertState, before: Sequence[AlertState], is_young: bool) -> bool:
    mine, theirs = set(burn.slice.split(",")), set(alert.burn.slice.split(","))
    is_firing, is_same = alert.state == "firing", alert.burn.slo == burn.slo
    may_join = alert.burn.severity == "page" or burn.severity == "ticket"
    follows = len(theirs) > 1 and any(
        len(each.burn.slice.split(",")) == 1 and _told(each) == _told(alert) for each in before
    )
    within, around = not follows and theirs <= mine, not follows and mine <= theirs and is_firing
    of_fleet = (within and len(theirs) == 1) or (around and len(mine) == 1)
    of_slices = (within and len(theirs) > 1) or (around and len(mine) > 1)
    by_objective = is_same and is_firing and (is_young or (within and len(theirs) == 1))
    is_of_pool = burn.slice.split(",")[0] == alert.burn.slice.split(",")[0]
    return is_of_pool and may_join and (by_objective or of_slices or (of_fleet and is_young))


def _told(alert: AlertState) -> tuple[str, str, str]:
    return alert.labels["incident"], alert.burn.slo, alert.burn.severity


# -- how it ends ---------------------------------------------------------------------------------------------------------


def telling(pages: Pages) -> Telling:
    to = Destination("http://127.0.0.1:1")
    return Telling(Alertmanagers([to]), to, lambda now_ms: to_send(pages, now_ms), WorkerMetrics(CollectorRegistry()))


def told(pages: Pages, now_ms: int = NOW_MS + OPEN_AT_LEAST_MS) -> dict[str, str]:
    """What Alertmanager is told of each slice; nothing here began a moment ago."""
    return {each.labels["slice"]: each.state for each in telling(pages).due(now_ms)}


def test_the_fleets_end_is_told_with_the_last_slices_that_it_mutes() -> None:
    pages = stepped(opened(FLEET), opened(CANARY, shard=1), decided(20))
    assert told(pages) == {FLEET: "firing", CANARY: "firing"}
    assert {each.burn.slice: each.state for each in pages.alerts} == {FLEET: "resolved", CANARY: "firing"}
    (fleet, _) = telling(pages).due(NOW_MS + OPEN_AT_LEAST_MS)
    assert fleet.ends_ms is None and fleet.labels["scope"] == "fleet"
    assert told(stepped(decided(20, shard=1), pages=pages)) == {FLEET: "resolved", CANARY: "resolved"}


def test_a_slice_that_burns_on_keeps_it_back_for_five_minutes_at_most() -> None:
    pages = stepped(opened(FLEET), opened(CANARY, shard=1), decided(20))
    assert told(pages, NOW_MS + ENDS_TOGETHER_MS - 1)[FLEET] == "firing"
    assert told(pages, NOW_MS + ENDS_TOGETHER_MS) == {FLEET: "resolved", CANARY: "firing"}


def test_tickets_and_slices_of_other_objectives_keep_nothing_back_and_it_keeps_no_slice_back() -> None:
    ticket = opened(CANARY, row="ticket_1d_2h", shard=1)
    assert told(stepped(opened(FLEET), ticket, decided(20)))[FLEET] == "resolved"
    other = stepped(opened(FLEET), opened(CANARY, slo=OTHER_SLO, shard=1), decided(20))
    assert len(set(incidents(other).values())) == 1
    assert told(other)[FLEET] == "resolved", "it mutes slices of its own objective only"
    batch = stepped(opened(FLEET), opened("pool=batch,bundle=v1", slo=OTHER_SLO, shard=1), decided(20))
    assert told(batch)[FLEET] == "resolved"
    assert told(stepped(opened(FLEET), opened(CANARY, shard=1), decided(20, shard=1)))[CANARY] == "resolved"
    explained = opened(FLEET).model_copy(update={"suspects": (suspect(CANARY, 900, 1_000),)})
    later = stepped(explained, opened(EUROPE, at_s=7_200, shard=1), decided(7_210))
    assert len(set(incidents(later).values())) == 2
    assert told(later)[FLEET] == "resolved", "it mutes slices of its own incident only"


def test_alerts_without_an_incident_are_kept_back_by_objective_and_pool() -> None:
    pages = stepped(opened(FLEET), opened(CANARY, shard=1), decided(20))
    bare = [
        each.model_copy(update={"labels": {name: text for name, text in each.labels.items() if name != "incident"}})
        for each in pages.alerts
    ]
    assert [each.state for each in ends_together(bare, NOW_MS)] == ["firing", "firing"]
    of_another_kind = [bare[0], *(each for each in pages.alerts if each.burn.slice == CANARY)]
    assert [each.state for each in ends_together(of_another_kind, NOW_MS)] == ["resolved", "firing"]


def test_after_a_restart_it_is_still_kept_back() -> None:
    slices = (FLEET, CANARY)
    shards = {text: shard_of(text, 64) for text in slices}
    assert len(set(shards.values())) == 2
    pages = stepped(*(opened(text, shard=shards[text]) for text in slices), decided(20, shard=shards[FLEET]))
    assert told(restore(pages.alerts, shards=64)) == {FLEET: "firing", CANARY: "firing"}


def test_a_slice_that_came_and_went_within_a_moment_is_told_as_open_and_keeps_it_back_too() -> None:
    """`telling.py` says why; if the fleet's end were told before its, it would be notified as new."""
    later_ms = NOW_MS + OPEN_AT_LEAST_MS
    pages = stepped(opened(CANARY, shard=1), pages=stepped(opened(FLEET)), now_ms=later_ms - 1_000)
    pages = stepped(decided(20), decided(20, shard=1), pages=pages, now_ms=later_ms)
    assert {each.state for each in pages.alerts} == {"resolved"}
    assert told(pages, later_ms) == {FLEET: "firing", CANARY: "firing"}
    teller = telling(pages)
    teller.due(later_ms)
    assert teller._next_end_s == (OPEN_AT_LEAST_MS - 1_000) / 1_000
    assert told(pages, later_ms + OPEN_AT_LEAST_MS - 1_000) == {FLEET: "resolved", CANARY: "resolved"}


def test_what_mutes_others_is_told_first() -> None:
    pages = stepped(opened(CANARY, EUROPE), opened(FLEET, shard=1))
    assert next(iter(told(pages))) == FLEET


@pytest.mark.needs("prometheus-alertmanager")
@pytest.mark.asyncio
async def test_forty_slices_that_burn_and_end_one_after_the_other_are_one_notification_and_one_end(
    start_alertmanager: StartAlertmanager,
) -> None:
    """Through a real Alertmanager. Slices burn before the fleet does and after it, in a shard each."""
    texts = [f"pool=realtime,bundle=v{number}" for number in range(40)]
    now = time.time_ns() // 1_000_000
    pages = stepped(*(opened(text, shard=shard) for shard, text in enumerate(texts, 1)), opened(FLEET), now_ms=now)
    async with (
        WebhookReceiver() as webhook,
        # Alertmanager learns of alerts one by one: a group that does not wait may be notified before it is muted.
        start_alertmanager(webhook.url, "2s") as url,
        Alertmanagers([Destination(url)]) as alertmanagers,
    ):
        await alertmanagers.send(ends_together(to_send(pages, now), now), now)
        begun = await _next(webhook)
        assert [(each.status, each.labels["slice"]) for each in begun.alerts] == [("firing", FLEET)]
        pages = stepped(decided(20), *(decided(20, shard=shard) for shard in range(1, 20)), pages=pages, now_ms=now)
        await alertmanagers.send(ends_together(to_send(pages, now), now), now)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(webhook.next(), 2.0)
        pages = stepped(*(decided(20, shard=shard) for shard in range(20, 41)), pages=pages, now_ms=now)
        await alertmanagers.send(ends_together(to_send(pages, now), now), now)
        over = await _next(webhook)
        assert over.status == "resolved"
        assert (over.receiver, over.group_key) == (begun.receiver, begun.group_key)


async def _next(webhook: WebhookReceiver) -> Notification:
    return await asyncio.wait_for(webhook.next(), 20)
