"""Alertmanagers that are away, hang or forget: real ones, stopped and started again where they were."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from alerts.alertmanager import OUTLIVES_US_MS, Alertmanagers, Destination, Patience
from alerts.durations import duration_ms
from alerts.explanations import Paging
from alerts.pages import Pages, step
from alerts.telling import ENDS_RESENT_MS, OPEN_AT_LEAST_MS, Telling
from alerts.webhook_receiver import WebhookReceiver
from schemas.burns import AlertState
from schemas.metrics import WorkerMetrics
from stack.alertmanager import Alertmanager, start_alertmanager
from stack.local import ALERTMANAGER_CONFIGURATION
from tests.rules.burning import TURN_SLO, burning, decided
from tests.rules.conftest import hasty
from tests.rules.test_alertmanager import listed, notified, now_ms

pytestmark = pytest.mark.needs("prometheus-alertmanager")

PAGING = Paging(slos={TURN_SLO.name: TURN_SLO})
HASTY = Patience(request_timeout_s=2.0, pause_first_s=0.01, pause_max_s=0.05, bound_s=0.2)
ENDLESS = Patience(request_timeout_s=3_600, bound_s=3_600)


@dataclass
class Host:
    """Where an Alertmanager is, whether it runs or not."""

    folder: Path
    configuration: Path
    running: Alertmanager | None = None
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> str:
        self.running = start_alertmanager(self.folder, self.configuration, port=self.port)
        assert self.running, "the tests are marked as needing it"
        self.running.wait_until_healthy()
        self.port = self.running.port
        return self.url

    def stop(self) -> None:
        if self.running:
            self.running.stop()
            self.running = None

    def notifications(self) -> float:
        """How many were answered; it takes note of one right after, and would forget one that it is stopped before."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:
            families = text_string_to_metric_families(answer.read().decode())
            counted = (sample for family in families for sample in family.samples)
            return sum(each.value for each in counted if each.name == "alertmanager_notification_latency_seconds_count")

    def signal(self, number: signal.Signals) -> None:
        assert self.running
        os.kill(self.running.running.pid, number)


@dataclass
class Told:
    """Alertmanagers that are kept told of `alerts`, which a test changes as a stage does."""

    alerts: tuple[AlertState, ...] = ()
    tellings: list[Telling] = field(default_factory=list)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def tell(self, *alerts: AlertState) -> None:
        self.alerts = alerts
        for telling in self.tellings:
            telling.news.set()

    def waiting_s(self, url: str) -> float:
        return self.registry.get_sample_value("turnwatch_pages_waiting_seconds", {"alertmanager": url}) or 0.0

    def sent(self) -> float:
        return self.registry.get_sample_value("turnwatch_pages_sent_total", {"state": "firing"}) or 0.0


@asynccontextmanager
async def telling(
    *urls: str, resend_s: float = 0.2, patience: Patience = HASTY, open_at_least_ms: int = 0
) -> AsyncIterator[Told]:
    told, stop = Told(), asyncio.Event()
    metrics = WorkerMetrics(told.registry)
    async with Alertmanagers([Destination(url) for url in urls], resend_s, patience) as known:
        told.tellings = [
            Telling(known, to, lambda _: told.alerts, metrics, open_at_least_ms) for to in known.destinations
        ]
        tasks = [asyncio.create_task(each.run(stop)) for each in told.tellings]
        try:
            yield told
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Callable[[str], Host]]:
    """Makes hosts whose Alertmanagers notify a webhook at once."""
    made: list[Host] = []

    def make(webhook_url: str) -> Host:
        folder = tmp_path / f"host-{len(made)}"
        folder.mkdir()
        configuration = folder / "given.yml"
        configuration.write_text(hasty(webhook_url))
        made.append(Host(folder, configuration))
        return made[-1]

    yield make
    for host in made:
        if host.running:
            host.signal(signal.SIGCONT)
        host.stop()


Hosts = Callable[[str], Host]


def fired(at_ms: int | None = None, bundle: str = "v2-canary") -> AlertState:
    burn = burning(slice_text=f"pool=realtime,bundle={bundle}")
    return step(Pages(), decided(10, burn), PAGING, at_ms or now_ms()).published[0]


def ended(alert: AlertState, at_ms: int | None = None) -> AlertState:
    return alert.model_copy(update={"state": "resolved", "ends_ms": at_ms or now_ms(), "version": alert.version + 1})


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        await asyncio.sleep(0.02)


async def test_a_page_waits_for_an_alertmanager_that_is_away_and_says_so_once(
    hosts: Hosts, caplog: pytest.LogCaptureFixture
) -> None:
    async with WebhookReceiver() as webhook:
        host = hosts(webhook.url)
        url = host.start()
        host.stop()
        with caplog.at_level(logging.INFO, "turnwatch.pager"):
            async with telling(url) as told:
                told.tell(fired())
                await until(lambda: len(told.tellings) == 1 and told.waiting_s(url) > 0)
                before = told.waiting_s(url)
                await until(lambda: told.waiting_s(url) > before + 1)
                host.start()
                page = await notified(webhook, lambda each: each.status == "firing")
                await until(lambda: told.waiting_s(url) == 0)
    assert page.receiver == "on-call"
    events = [each.getMessage().partition(":")[0] for each in caplog.records if each.name == "turnwatch.pager"]
    assert events == ["alertmanager_lost", "alertmanager_regained"]


async def test_an_end_that_an_alertmanager_missed_reaches_it_however_long_it_was_away(hosts: Hosts) -> None:
    """It notified, was away while the alert ended twenty minutes ago, and tells the receiver when it is back."""
    minute_ms = 60_000
    async with WebhookReceiver() as webhook:
        host = hosts(webhook.url)
        url = host.start()
        async with telling(url) as told:
            alert = fired(now_ms() - 30 * minute_ms)
            told.tell(alert)
            page = await notified(webhook, lambda each: each.status == "firing")
            while not await asyncio.to_thread(host.notifications):
                await asyncio.sleep(0.02)
            host.stop()
            told.tell(ended(alert, now_ms() - 20 * minute_ms))
            await until(lambda: told.waiting_s(url) > 0)
            host.start()
            resolved = await notified(webhook, lambda each: each.status == "resolved")
            await until(lambda: told.waiting_s(url) == 0)
            assert told.tellings[0].due(now_ms()) == [], "an old end is told until it is taken, and not longer"
    assert resolved.alerts[0].labels == page.alerts[0].labels


async def test_a_recent_end_is_told_again_although_it_was_taken(hosts: Hosts) -> None:
    """For an Alertmanager that took it and ended before it notified."""
    async with WebhookReceiver() as webhook:
        url = hosts(webhook.url).start()
        async with telling(url) as told:
            alert = fired()
            told.tell(alert)
            await until(lambda: told.sent() > 0)
            over = ended(alert)
            told.tell(over)
            await notified(webhook, lambda each: each.status == "resolved")
            assert over.ends_ms is not None
            (telling_it,) = told.tellings
            assert telling_it.due(over.ends_ms + ENDS_RESENT_MS - 1) == [over]
            assert telling_it.due(over.ends_ms + ENDS_RESENT_MS) == []


async def test_what_began_and_ended_within_a_moment_is_notified_and_then_resolved(hosts: Hosts) -> None:
    """As where a backlog is worked off: Alertmanager alone would never notify of what it first hears of as ended."""
    async with WebhookReceiver() as webhook:
        url = hosts(webhook.url).start()
        async with telling(url, open_at_least_ms=1_500) as told:
            over = ended(fired())
            told.tell(over)
            assert (await webhook.next()).status == "firing"
            assert (await webhook.next()).status == "resolved"
            assert told.tellings[0].due(now_ms()) == [over]


def test_an_end_waits_longer_than_any_group_of_pages() -> None:
    configuration = yaml.safe_load(ALERTMANAGER_CONFIGURATION.read_text())
    routes = [configuration["route"], *configuration["route"]["routes"]]
    of_pages = [each for each in routes if each["receiver"] != "tickets" and "group_interval" in each]
    assert of_pages
    assert all((duration_ms(each["group_interval"]) or OPEN_AT_LEAST_MS) < OPEN_AT_LEAST_MS for each in of_pages)


async def test_an_alertmanager_that_hangs_keeps_no_other_waiting(hosts: Hosts) -> None:
    """It takes connections and never answers, and nothing here would give up on it within the hour."""
    async with WebhookReceiver() as webhook:
        hanging, well = hosts("http://127.0.0.1:9/page"), hosts(webhook.url)
        urls = hanging.start(), well.start()
        hanging.signal(signal.SIGSTOP)
        async with telling(*urls, patience=ENDLESS) as told:
            alert = fired()
            told.tell(alert)
            await notified(webhook, lambda each: each.status == "firing")
            told.tell(ended(alert))
            await notified(webhook, lambda each: each.status == "resolved")
            hanging.signal(signal.SIGCONT)


async def test_all_alertmanagers_get_every_alert_also_those_that_come_later_or_forget(hosts: Hosts) -> None:
    first, second = (hosts("http://127.0.0.1:9/page") for _ in range(2))
    urls = first.start(), second.start()
    second.stop()
    async with telling(*urls) as told:
        alerts = [fired(bundle=f"v{number}") for number in range(3)]
        told.tell(*alerts)
        await until_listed(urls[0], 3)
        second.start()
        await until_listed(urls[1], 3)
        first.stop()
        first.start()  # It has forgotten all alerts.
        await until_listed(urls[0], 3)


async def test_one_alert_that_is_refused_keeps_no_other_from_arriving(hosts: Hosts) -> None:
    url = hosts("http://127.0.0.1:9/page").start()
    alerts = [fired(bundle=f"v{number}") for number in range(20)]
    alerts[7] = alerts[7].model_copy(update={"labels": {}})
    async with Alertmanagers([Destination(url)], patience=HASTY) as known:
        (outcome,) = await known.send(alerts, now_ms())
    assert (outcome.delivered, outcome.undelivered, outcome.kept) == (19, 1, (alerts[7],))
    assert "answered HTTP 4" in outcome.problem
    assert len(await listed(url)) == 19


async def test_a_page_goes_on_when_nobody_is_left_to_send_it(hosts: Hosts) -> None:
    url = hosts("http://127.0.0.1:9/page").start()
    async with telling(url) as told:
        told.tell(fired())
        await until_listed(url, 1)
    (found,) = await listed(url)
    assert found["status"]["state"] in ("active", "unprocessed")
    ends_s = time.mktime(time.strptime(found["endsAt"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
    assert ends_s * 1_000 > found_at_ms(found) + OUTLIVES_US_MS - 60_000


def found_at_ms(found: dict[str, str]) -> float:
    """When Alertmanager last took it."""
    return (time.mktime(time.strptime(found["updatedAt"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone) * 1_000


async def until_listed(url: str, count: int) -> None:
    while len(await listed(url)) != count:
        await asyncio.sleep(0.05)
