"""A finding reaches a real Alertmanager: in the notification of the burn that it explains, or at the tickets' receiver."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from alerts.alertmanager import Alertmanagers, Destination
from alerts.webhook_receiver import Notification, WebhookReceiver
from stream_jobs.operators.totals.reach import REPLAYED
from tests.faults.desk import Desk
from tests.rules.burning import burning, decided
from tests.rules.conftest import StartAlertmanager
from tests.rules.finding import POOL, found, regressed, saturated
from tests.rules.test_alertmanager import listed

ARRIVES_WITHIN_S = 20


async def tell(desk: Desk, url: str) -> None:
    now_ms = time.time_ns() // 1_000_000
    async with Alertmanagers([Destination(url)]) as alertmanagers:
        (outcome,) = await alertmanagers.send(desk.pager._current(now_ms), now_ms)
    assert outcome.is_complete, outcome.problem


async def notified(webhook: WebhookReceiver, receiver: str) -> Notification:
    async with asyncio.timeout(ARRIVES_WITHIN_S):
        while True:
            notification = await webhook.next()
            if notification.receiver == receiver:
                return notification


def said(notification: Notification) -> list[tuple[str, str]]:
    return sorted((alert.labels["alertname"], alert.status) for alert in notification.alerts)


@pytest.mark.needs("prometheus-alertmanager")
@pytest.mark.asyncio
async def test_a_queue_that_breaks_is_told_with_the_burn_that_it_makes_and_so_is_the_end(
    tmp_path: Path, start_alertmanager: StartAlertmanager
) -> None:
    desk = Desk(tmp_path, REPLAYED)
    async with WebhookReceiver() as webhook, start_alertmanager(webhook.url) as url:
        desk.hear(found(0, saturated()))
        desk.hear(decided(10, burning(slice_text=POOL)))
        await tell(desk, url)
        begun = await notified(webhook, "on-call")
        assert said(begun) == [("Saturated", "firing"), ("SloBurnRateHigh", "firing")]
        shown = next(alert for alert in begun.alerts if alert.labels["alertname"] == "Saturated")
        assert shown.annotations["action"] == "Shed batch work, or add 3 replicas."
        desk.hear(found(60))
        desk.hear(decided(90))
        desk.save()
        await tell(desk, url)
        over = await notified(webhook, "on-call")
        assert (over.group_key, said(over)) == (
            begun.group_key,
            [("Saturated", "resolved"), ("SloBurnRateHigh", "resolved")],
        )


@pytest.mark.needs("prometheus-alertmanager")
@pytest.mark.asyncio
async def test_money_waits_and_what_is_paged_needs_no_ticket(
    tmp_path: Path, start_alertmanager: StartAlertmanager
) -> None:
    """The ticket that is muted was told before the others, so what has not come with them was kept back."""
    desk = Desk(tmp_path, REPLAYED)
    async with WebhookReceiver() as webhook, start_alertmanager(webhook.url) as url:
        desk.hear(found(0, saturated(), saturated(severity="ticket", labels={"queue": "tts"})))
        await tell(desk, url)
        await notified(webhook, "on-call")
        desk.hear(found(0, regressed(), question="cost"))
        await tell(desk, url)
        assert said(await notified(webhook, "tickets")) == [("CostRegressed", "firing")]
        muted = {each["labels"]["severity"] for each in await listed(url) if each["status"]["inhibitedBy"]}
        assert muted == {"ticket"}
