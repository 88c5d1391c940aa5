"""What an Alertmanager does with what it is told, in memory and in reality alike."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from alerts.alertmanager import Alertmanagers, Destination, Outcome, Patience
from alerts.explanations import Paging
from alerts.pages import Pages, step
from tests.contracts.alertmanagers import Alert, Api, Start, alert, in_memory, instant, real, written
from tests.rules.burning import TURN_SLO, burning, decided
from tests.rules.test_webhook_receiver import message

PAGING = Paging(slos={TURN_SLO.name: TURN_SLO})
HASTY = Patience(request_timeout_s=5.0, pause_first_s=0.01, pause_max_s=0.05, bound_s=5.0)

BACKENDS = [
    pytest.param(in_memory, id="memory"),
    pytest.param(real, id="real", marks=pytest.mark.needs("prometheus-alertmanager")),
]


@pytest.fixture(params=BACKENDS)
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Start:
    return partial(request.param, tmp_path)


@pytest_asyncio.fixture
async def api(start: Start) -> AsyncIterator[Api]:
    async with start() as started:
        yield started


# -- one alert ---------------------------------------------------------------------------------------------------------


async def test_the_same_labels_are_one_alert_whatever_else_is_said_of_it(api: Api) -> None:
    starts = instant(-60)
    for burn in ("14", "50"):
        assert await api.post(alert(starts, instant(60), burn, slice="pool=realtime")) == 200
    assert await api.post(alert(starts, instant(60), slice="pool=batch")) == 200
    assert await api.post(alert(starts, instant(60), "51", slice="pool=realtime", region="")) == 200
    assert [(each["labels"]["slice"], each["annotations"]["burn"]) for each in await api.listed()] == [
        ("pool=batch", "14"),
        ("pool=realtime", "51"),
    ]


async def test_while_it_fires_the_earliest_start_and_the_latest_end_rule(api: Api) -> None:
    early, late, soon, later = instant(-90), instant(-60), instant(30), instant(120)
    for starts, ends in ((late, soon), (late, later), (instant(-30), soon), (early, soon)):
        assert await api.post(alert(starts, ends)) == 200
    (found,) = await api.listed()
    assert (found["startsAt"], found["endsAt"]) == (early, later)


async def test_an_end_in_the_past_resolves_it_and_its_start_stays(api: Api) -> None:
    starts = instant(-60)
    await api.post(alert(starts, instant(60)))
    assert states(await api.receiver.next()) == [("firing", starts, NEVER)]
    ends = instant(-0.1)
    await api.post(alert(instant(-30), ends))
    assert await api.listed() == []
    assert states(await api.receiver.next()) == [("resolved", starts, ends)]


async def test_what_is_not_told_again_resolves_by_itself_at_its_end(api: Api) -> None:
    starts, ends = instant(-60), instant(0.6)
    await api.post(alert(starts, ends))
    assert states(await api.receiver.next()) == [("firing", starts, NEVER)]
    assert states(await api.receiver.next()) == [("resolved", starts, ends)]


async def test_what_fires_again_after_its_end_has_a_new_start_and_is_told_again(api: Api) -> None:
    first, ended = instant(-60), instant(-30)
    await api.post(alert(first, instant(60)))
    await api.receiver.next()
    await api.post(alert(first, ended))
    await api.receiver.next()
    again = instant(-1)
    await api.post(alert(again, instant(60)))
    assert states(await api.receiver.next()) == [("firing", again, NEVER)]


async def test_an_alert_without_times_starts_now_and_goes_on(api: Api) -> None:
    before = instant(0)
    assert await api.post({"labels": {"alertname": "SloBurnRateHigh"}}) == 200
    (found,) = await api.listed()
    assert before <= found["startsAt"] <= instant(0) < found["endsAt"]
    assert found["annotations"] == {}


# -- who is told -------------------------------------------------------------------------------------------------------


async def test_telling_it_again_notifies_nobody_again(api: Api) -> None:
    """Another group, that began later, is told of its end meanwhile: by then this group's turn has come and gone."""
    starts = instant(-60)
    await api.post(alert(starts, instant(60)))
    assert states(await api.receiver.next()) == [("firing", starts, NEVER)]
    for burn in ("20", "30", "40"):
        await api.post(alert(starts, instant(60), burn))
    for ends, said in ((instant(60), "firing"), (instant(-1), "resolved"), (instant(60), "firing")):
        await api.post(alert(starts, ends, alertname="Other"))
        heard = await api.receiver.next()
        assert (heard["groupLabels"]["alertname"], heard["status"]) == ("Other", said)
    assert api.receiver.heard.empty()


async def test_telling_its_end_again_notifies_nobody_again(api: Api) -> None:
    """As we do for a while, in case that somebody has not heard of it."""
    starts, ends = instant(-60), instant(-1)
    await api.post(alert(starts, instant(60)))
    await api.receiver.next()
    await api.post(alert(starts, ends))
    assert states(await api.receiver.next()) == [("resolved", starts, ends)]
    for other_ends, said in ((instant(60), "firing"), (instant(-1), "resolved"), (instant(60), "firing")):
        assert await api.post(alert(starts, ends)) == 200
        await api.post(alert(starts, other_ends, alertname="Other"))
        heard = await api.receiver.next()
        assert (heard["groupLabels"]["alertname"], heard["status"]) == ("Other", said)
    assert [each["labels"]["alertname"] for each in await api.listed()] == ["Other"]
    assert api.receiver.heard.empty()


async def test_after_the_repeat_interval_it_is_told_again_with_its_newest_words(start: Start) -> None:
    async with start(repeat_interval_s=0.5) as api:
        starts = instant(-60)
        await api.post(alert(starts, instant(60), "14"))
        assert burns(await api.receiver.next()) == ["14"]
        await api.post(alert(starts, instant(60), "50"))
        assert burns(await api.receiver.next()) == ["50"]
        assert burns(await api.receiver.next()) == ["50"]


async def test_alerts_of_a_group_are_told_together_the_resolved_once_more(api: Api) -> None:
    starts = instant(-60)
    await api.post(alert(starts, instant(60), slice="a"))
    assert slices(await api.receiver.next()) == [("a", "firing")]
    await api.post(alert(starts, instant(60), slice="b"))
    assert slices(await api.receiver.next()) == [("a", "firing"), ("b", "firing")]
    await api.post(alert(starts, instant(-1), slice="a"))
    heard = await api.receiver.next()
    assert (heard["status"], slices(heard)) == ("firing", [("a", "resolved"), ("b", "firing")])
    await api.post(alert(starts, instant(-1), slice="b"))
    heard = await api.receiver.next()
    assert (heard["status"], slices(heard)) == ("resolved", [("b", "resolved")])


async def test_an_end_of_what_nobody_was_told_of_is_told_nobody(api: Api) -> None:
    starts = instant(-60)
    assert await api.post(alert(starts, instant(-30), slice="over")) == 200
    await api.post(alert(starts, instant(60), alertname="Other"))
    assert (await api.receiver.next())["groupLabels"] == {"alertname": "Other"}
    assert [each["labels"]["alertname"] for each in await api.listed()] == ["Other"]


async def test_a_receiver_that_is_busy_is_told_again_until_it_takes_it(api: Api) -> None:
    api.receiver.answers = [503, 503]
    await api.post(alert(instant(-60), instant(60)))
    assert burns(await api.receiver.next()) == ["14"]
    assert api.receiver.answers == []


async def test_a_notification_has_the_fields_that_the_pager_is_tested_with(api: Api) -> None:
    await api.post(alert(instant(-60), instant(60)))
    heard = await api.receiver.next()
    assert kinds(heard) == kinds(message())
    assert kinds(heard["alerts"][0]) == kinds(message()["alerts"][0])
    assert (heard["version"], heard["alerts"][0]["endsAt"]) == ("4", message()["alerts"][0]["endsAt"])


NEVER = "0001-01-01T00:00:00Z"


def states(heard: Any) -> list[tuple[str, str, str]]:
    """Status, start and end of each alert. A notification's times drop zeros at their end, which a list's keep."""
    return [(each["status"], in_full(each["startsAt"]), in_full(each["endsAt"])) for each in heard["alerts"]]


def in_full(time_text: str) -> str:
    return time_text if time_text == NEVER else written(datetime.fromisoformat(time_text).astimezone(UTC))


def burns(heard: Any) -> list[str]:
    return [each["annotations"]["burn"] for each in heard["alerts"]]


def slices(heard: Any) -> list[tuple[str, str]]:
    return [(each["labels"]["slice"], each["status"]) for each in heard["alerts"]]


def kinds(message: dict[str, Any]) -> dict[str, type]:
    return {name: type(value) for name, value in message.items()}


# -- what it refuses ---------------------------------------------------------------------------------------------------

MEANINGLESS: dict[str, Alert] = {
    "no label": {"labels": {}},
    "only labels without a value": {"labels": {"alertname": ""}},
    "a name that is none": {"labels": {"alertname": "Bad", "9lives": "x"}},
    "an annotation's name that is none": {"labels": {"alertname": "Bad"}, "annotations": {"see also": "x"}},
    "an end before its start": alert("2027-01-15T08:00:01Z", "2027-01-15T08:00:00Z", alertname="Bad"),
}
UNREADABLE: dict[str, tuple[int, Alert]] = {
    "no labels at all": (422, {"annotations": {}}),
    "a generator that is no address": (422, {"labels": {"alertname": "Bad"}, "generatorURL": "the board"}),
    "a time that is none": (400, {"labels": {"alertname": "Bad"}, "startsAt": "soon"}),
    "a label that is a number": (400, {"labels": {"alertname": "Bad", "burn": 14}}),
}


@pytest.mark.parametrize("bad", MEANINGLESS.values(), ids=MEANINGLESS)
async def test_an_alert_that_means_nothing_is_refused_and_the_others_with_it_are_taken(api: Api, bad: Alert) -> None:
    good = alert(instant(-60), instant(60))
    for alerts in ([bad, good], [good | {"labels": good["labels"] | {"slice": "b"}}, bad]):
        assert await api.post(*alerts) == 400
    assert [each["labels"] for each in await api.listed()] == [
        {"alertname": "SloBurnRateHigh"},
        {"alertname": "SloBurnRateHigh", "slice": "b"},
    ]


@pytest.mark.parametrize(("status", "bad"), UNREADABLE.values(), ids=UNREADABLE)
async def test_an_alert_that_breaks_the_schema_is_refused_with_all_that_came_with_it(
    api: Api, status: int, bad: Alert
) -> None:
    assert await api.post(alert(instant(-60), instant(60)), bad) == status
    assert await api.listed() == []


@pytest.mark.parametrize(
    ("status", "body", "content_type"),
    [
        (200, b"[]", "application/json"),
        (200, b"null", "application/json"),
        (400, b"{}", "application/json"),
        (400, b"nonsense", "application/json"),
        (400, b"[3]", "application/json"),
        (422, b"", "application/json"),
        (415, b"[]", "text/plain"),
    ],
)
async def test_a_body_that_is_no_list_of_alerts_is_refused(
    api: Api, status: int, body: bytes, content_type: str
) -> None:
    answered, said = await api.post_body(body, content_type)
    assert answered == status
    assert bool(said) == (status != 200)


async def test_an_end_at_the_very_start_and_fields_it_does_not_know_are_taken(api: Api) -> None:
    at = instant(60)
    assert await api.post(alert(at, at) | {"mood": "calm"}) == 200


# -- as our own delivery sees it ---------------------------------------------------------------------------------------


async def test_a_page_is_delivered_listed_notified_and_resolved(api: Api) -> None:
    fired = step(Pages(), decided(10, burning()), PAGING, now_ms())
    async with Alertmanagers([Destination(api.url)], patience=HASTY) as alertmanagers:
        for _ in range(3):
            assert await alertmanagers.send(fired.news, now_ms()) == (Outcome(api.url, delivered=1),)
        (found,) = await api.listed()
        assert (found["labels"], found["annotations"]) == (fired.news[0].labels, fired.news[0].annotations)
        assert (await api.receiver.next())["status"] == "firing"
        over = step(fired.pages, decided(70), PAGING, now_ms())
        assert await alertmanagers.send(over.news, now_ms()) == (Outcome(api.url, delivered=1),)
    heard = await api.receiver.next()
    assert (heard["status"], heard["alerts"][0]["labels"]) == ("resolved", fired.news[0].labels)
    assert await api.listed() == []


@dataclass(frozen=True, slots=True)
class Told:
    """An alert as our delivery takes it."""

    labels: dict[str, str]
    annotations: dict[str, str] = field(default_factory=dict)
    starts_ms: int = 0
    ends_ms: int | None = None


REFUSED = {
    "for what it says": Told({"alertname": "Bad", "9lives": "x"}),
    "for its schema": Told({"alertname": "Bad"}, {"dashboard_url": "the board://"}),
}


@pytest.mark.parametrize("bad", REFUSED.values(), ids=REFUSED)
async def test_one_that_is_refused_keeps_no_other_of_a_delivery_from_arriving(api: Api, bad: Told) -> None:
    alerts = [Told({"alertname": "Good", "number": str(number)}) for number in range(5)]
    alerts.insert(3, bad)
    async with Alertmanagers([Destination(api.url)], patience=HASTY) as alertmanagers:
        (outcome,) = await alertmanagers.send(alerts, now_ms())
    assert (outcome.delivered, outcome.undelivered, outcome.kept) == (5, 1, (bad,))
    assert re.search(r"Alertmanager answered HTTP 4\d\d: .", outcome.problem)
    assert [each["labels"]["number"] for each in await api.listed()] == ["0", "1", "2", "3", "4"]


def now_ms() -> int:
    return time.time_ns() // 1_000_000
