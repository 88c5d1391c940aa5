"""The receiver takes what Alertmanager sends, refuses what it does not, and loses nothing."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin

import aiohttp
import pytest

from alerts.webhook_receiver import UNREAD_MAX, WATCHDOG_PATH, WebhookReceiver


def message(number: int = 0) -> dict[str, Any]:
    """A webhook message as Alertmanager 0.25 sends it."""
    alert = {
        "status": "firing",
        "labels": {"alertname": "SloBurnRateHigh"},
        "annotations": {"summary": f"page {number}"},
        "startsAt": "2027-01-15T08:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": "9e2d4a1c0b3f5e67",
    }
    return {
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "on-call",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://127.0.0.1:9093",
        "alerts": [alert],
    }


async def post(webhook: WebhookReceiver, **body: Any) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.post(webhook.url, **body) as response:
        return response.status, await response.text()


@pytest.mark.asyncio
async def test_notifications_are_handed_out_in_the_order_they_came() -> None:
    async with WebhookReceiver() as webhook:
        for number in range(3):
            assert await post(webhook, json=message(number)) == (200, "")
        read = [(await webhook.next()).alerts[0].annotations["summary"] for _ in range(3)]
    assert read == ["page 0", "page 1", "page 2"]


@pytest.mark.asyncio
async def test_what_is_no_notification_is_refused_and_its_content_not_repeated() -> None:
    async with WebhookReceiver() as webhook:
        status, said = await post(webhook, json=message() | {"alerts": "s3cret"})
        assert (status, said) == (400, "This is not an Alertmanager webhook message: see alerts.\n")
        status, said = await post(webhook, data=b"\x00not json")
        assert (status, said) == (400, "This is not an Alertmanager webhook message: see the body.\n")


@pytest.mark.asyncio
async def test_a_pager_that_nobody_reads_asks_to_be_tried_again() -> None:
    async with WebhookReceiver() as webhook, aiohttp.ClientSession() as session:
        for number in range(UNREAD_MAX):
            async with session.post(webhook.url, json=message(number)) as response:
                assert response.status == 200
        assert (await post(webhook, json=message()))[0] == 503
        await webhook.next()
        assert (await post(webhook, json=message()))[0] == 200


@pytest.mark.asyncio
async def test_signs_of_life_are_counted_and_not_handed_out() -> None:
    async with WebhookReceiver() as webhook, aiohttp.ClientSession() as session:
        for _ in range(2):
            async with session.post(urljoin(webhook.url, WATCHDOG_PATH), json=message()) as response:
                assert response.status == 200
        assert await post(webhook, json=message(7)) == (200, "")
        assert (await webhook.next()).alerts[0].annotations["summary"] == "page 7"
        assert webhook.signs_of_life == 2


@pytest.mark.asyncio
async def test_a_taken_port_is_said_in_a_sentence() -> None:
    async with WebhookReceiver() as webhook:
        port = int(webhook.url.rsplit(":", 1)[1].partition("/")[0])
        with pytest.raises(OSError, match=f"cannot listen on port {port}: give a free one"):
            async with WebhookReceiver(port):
                pass
