"""Alerts reach a real Alertmanager and its notifications reach the webhook; what goes wrong on the way is a sentence."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from alerts.alertmanager import BATCH_ALERTS_MAX, Alertmanagers, Destination, Outcome, Patience, postable
from alerts.explanations import Paging
from alerts.pages import Pages, step
from alerts.webhook_receiver import Notification, WebhookReceiver
from schemas.burns import AlertState, Burn
from tests.rules.burning import TURN_SLO, burning, decided
from tests.rules.conftest import StartAlertmanager
from tests.rules.memory import MemoryAlertmanager

PAGING = Paging(slos={TURN_SLO.name: TURN_SLO})
HASTY = Patience(request_timeout_s=2.0, pause_first_s=0.01, pause_max_s=0.05, bound_s=1.0)
ARRIVES_WITHIN_S = 20


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def firing(*burns: Burn, at_ms: int | None = None) -> tuple[AlertState, ...]:
    return step(Pages(), decided(10, *burns), PAGING, at_ms or now_ms()).published


Answer = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[str]:
    """An HTTP server that answers deliveries as told; for what a healthy Alertmanager cannot be made to do."""
    application = web.Application()
    application.router.add_post("/api/v2/alerts", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def send(url: str, alerts: tuple[AlertState, ...], **credentials: str) -> Outcome:
    async with Alertmanagers([Destination(url, **credentials)], patience=HASTY) as alertmanagers:
        (outcome,) = await alertmanagers.send(alerts, now_ms())
    return outcome


async def notified(webhook: WebhookReceiver, wanted: Callable[[Notification], bool]) -> Notification:
    async with asyncio.timeout(ARRIVES_WITHIN_S):
        async for notification in webhook:
            if wanted(notification):
                return notification
    raise AssertionError("the receiver never ends")


async def listed(url: str) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/api/v2/alerts") as response:
        found: list[dict[str, Any]] = await response.json()
        return found


@pytest.mark.needs("prometheus-alertmanager")
@pytest.mark.asyncio
async def test_a_page_is_listed_notified_and_resolved_through_a_real_alertmanager(
    start_alertmanager: StartAlertmanager,
) -> None:
    async with WebhookReceiver() as webhook, start_alertmanager(webhook.url) as url:
        fired = step(Pages(), decided(10, burning()), PAGING, now_ms())
        async with Alertmanagers([Destination(url)], patience=HASTY) as alertmanagers:
            assert await alertmanagers.send(fired.news, now_ms()) == (Outcome(url, delivered=1),)
            (found,) = await listed(url)
            assert found["labels"] == fired.news[0].labels
            assert found["annotations"] == fired.news[0].annotations

            page = await notified(webhook, lambda each: each.status == "firing")
            assert page.receiver == "on-call"
            assert page.alerts[0].annotations["summary"] == fired.news[0].annotations["summary"]

            over = step(fired.pages, decided(70), PAGING, now_ms())
            await alertmanagers.send(over.news, now_ms())
            resolved = await notified(webhook, lambda each: each.status == "resolved")
            assert resolved.alerts[0].labels == page.alerts[0].labels
            assert resolved.alerts[0].starts_at == page.alerts[0].starts_at


@pytest.mark.needs("prometheus-alertmanager")
@pytest.mark.asyncio
async def test_re_sending_a_page_with_new_numbers_is_still_one_alert(start_alertmanager: StartAlertmanager) -> None:
    async with WebhookReceiver() as webhook, start_alertmanager(webhook.url) as url:
        first = step(Pages(), decided(10, burning()), PAGING, now_ms())
        second = step(first.pages, decided(20, burning(bad_share=0.5)), PAGING, now_ms())
        await send(url, first.published)
        await send(url, second.published)
        (found,) = await listed(url)
        assert found["annotations"]["burn"] == "50"


@pytest.mark.needs("prometheus-alertmanager")
@pytest.mark.asyncio
async def test_a_page_keeps_the_ticket_of_the_same_slice_from_arriving(start_alertmanager: StartAlertmanager) -> None:
    """The ticket of another slice arrives after them, so what has not come by then was inhibited."""
    async with WebhookReceiver() as webhook, start_alertmanager(webhook.url) as url:
        await send(url, firing(burning()))
        await notified(webhook, lambda each: each.alerts[0].labels["severity"] == "page")
        ticket = burning("ticket_1d_2h", bad_share=0.05)
        await send(url, firing(ticket))
        other = burning("ticket_1d_2h", bad_share=0.05, slice_text="pool=realtime,bundle=v1")
        await send(url, firing(other))
        arrived = await notified(webhook, lambda each: each.receiver == "tickets")
        assert [alert.labels["slice"] for alert in arrived.alerts] == ["pool=realtime,bundle=v1"]
        inhibited = {each["labels"]["slice"] for each in await listed(url) if each["status"]["inhibitedBy"]}
        assert inhibited == {ticket.slice}


@pytest.mark.asyncio
async def test_an_alertmanager_that_recovers_within_the_bound_gets_the_alerts() -> None:
    statuses = iter([503, 429, 200])

    async def recover(_request: web.Request) -> web.Response:
        return web.Response(status=next(statuses))

    async with answering(recover) as url:
        assert await send(url, firing(burning())) == Outcome(url, delivered=1)


@pytest.mark.asyncio
async def test_every_alertmanager_is_told_whatever_the_others_do() -> None:
    async def fail(_request: web.Request) -> web.Response:
        return web.Response(status=500, text="out of disk")

    async with MemoryAlertmanager() as well, answering(fail) as ill:
        destinations = [Destination(ill), Destination(well.url), Destination("http://127.0.0.1:9")]
        async with Alertmanagers(destinations, patience=HASTY) as alertmanagers:
            failed, told, away = await alertmanagers.send(firing(burning()), now_ms())
        assert len(await listed(well.url)) == 1
        assert told == Outcome(well.url, delivered=1)
    assert failed == Outcome(ill, 0, 1, f"{ill}: Alertmanager answered HTTP 500: out of disk.")
    assert away.undelivered == 1
    assert "cannot be reached" in away.problem


@pytest.mark.parametrize(("status", "says"), [(400, "answered HTTP 400"), (401, "credentials"), (302, "redirects")])
@pytest.mark.asyncio
async def test_what_trying_again_cannot_help_is_tried_once(status: int, says: str) -> None:
    asked = []

    async def refuse(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async with answering(refuse) as url:
        outcome = await send(url, firing(burning()))
    assert len(asked) == 1
    assert not outcome.is_complete
    assert says in outcome.problem


@pytest.mark.asyncio
async def test_a_silent_alertmanager_costs_no_more_than_the_bound() -> None:
    async def hang(_request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with answering(hang) as url:
        patience = Patience(request_timeout_s=0.1, pause_first_s=0.01, bound_s=0.2)
        async with Alertmanagers([Destination(url)], patience=patience) as alertmanagers:
            async with asyncio.timeout(ARRIVES_WITHIN_S):
                (outcome,) = await alertmanagers.send(firing(burning()), now_ms())
    assert "did not answer in time" in outcome.problem


@pytest.mark.asyncio
async def test_many_alerts_go_in_batches_and_none_is_left_out() -> None:
    count = 2 * BATCH_ALERTS_MAX + 1
    burns = [burning(slice_text=f"pool=realtime,bundle=v{number}") for number in range(count)]
    async with MemoryAlertmanager() as alertmanager:
        assert await send(alertmanager.url, firing(*burns)) == Outcome(alertmanager.url, delivered=count)
        found = await listed(alertmanager.url)
    assert alertmanager.requests == [BATCH_ALERTS_MAX, BATCH_ALERTS_MAX, 1]
    assert len({alert["labels"]["bundle"] for alert in found}) == count


@pytest.mark.parametrize(
    ("credentials", "header"),
    [
        ({"username": "turnwatch", "password": "s3cret"}, f"Basic {base64.b64encode(b'turnwatch:s3cret').decode()}"),
        ({"bearer_token": "s3cret"}, "Bearer s3cret"),
        ({}, None),
    ],
)
@pytest.mark.asyncio
async def test_credentials_go_to_alertmanager_and_are_never_shown(
    credentials: dict[str, str], header: str | None
) -> None:
    seen: list[str | None] = []

    async def take(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.Response(status=401)

    async with answering(take) as url:
        outcome = await send(url, firing(burning()), **credentials)
        assert "s3cret" not in repr(outcome) + repr(Destination(url, **credentials))
    assert seen == [header]


@pytest.mark.parametrize("url", ["127.0.0.1:9093", "ftp://host", "http://", "http://user:pw@host:9093"])
def test_an_address_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="Alertmanager's address") as refused:
        Destination(url)
    assert "pw" not in str(refused.value)


def test_a_firing_alert_outlives_us_by_an_hour_and_a_resolved_one_has_its_end() -> None:
    fired = step(Pages(), decided(10, burning()), PAGING, 1_800_000_000_000)
    over = step(fired.pages, decided(70), PAGING, 1_800_000_007_000)
    first = postable(fired.news[0], now_ms=1_800_000_001_000)
    last = postable(over.news[0], now_ms=1_800_000_009_000)
    assert (first["startsAt"], first["endsAt"]) == ("2027-01-15T08:00:00.000Z", "2027-01-15T09:00:01.000Z")
    assert (last["startsAt"], last["endsAt"]) == ("2027-01-15T08:00:00.000Z", "2027-01-15T08:00:07.000Z")
    assert first["generatorURL"] == fired.news[0].annotations["dashboard_url"]
