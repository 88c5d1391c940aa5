"""The Watchdog always fires, is one alert whoever sends it, reaches the dead man's switch, and ends when we do."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
import time
from datetime import datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from alerts.alertmanager import OUTLIVES_US_MS, Alertmanagers, Destination, postable
from alerts.check import REPOSITORY
from alerts.explanations import Links, Paging
from alerts.telling import Telling
from alerts.watchdog import LASTS_MS, RUNBOOK, WatchdogAlert, watchdog
from alerts.webhook_receiver import WebhookReceiver
from schemas.metrics import WorkerMetrics
from stack.alertmanager import start_alertmanager
from stream_jobs.agents.pager import Pager
from stream_jobs.agents.pulse import StageFailure
from stream_jobs.operators.totals.reach import REPLAYED
from tests.faults.desk import Desk
from tests.rules.conftest import SHIPPED_CONFIG
from tests.rules.memory import MemoryAlertmanager
from tests.rules.test_alertmanager import listed

LINKS = Links(runbooks="https://git.example/main")
ARRIVES_WITHIN_S = 20


def told(now_ms: int) -> list[WatchdogAlert]:
    return [watchdog(1_000, now_ms, LINKS)]


def telling(alertmanagers: Alertmanagers) -> Telling:
    metrics = WorkerMetrics(CollectorRegistry())
    return Telling(alertmanagers, alertmanagers.destinations[0], told, metrics)


def test_it_is_one_alert_whoever_sends_it_and_whenever() -> None:
    assert watchdog(0, 60_000, LINKS).labels == watchdog(9_000_000, 9_100_000, Links()).labels
    assert watchdog(0, 0, LINKS).annotations["runbook_url"] == f"https://git.example/main/{RUNBOOK}"


def test_it_outlasts_a_telling_that_fails_and_not_the_worker() -> None:
    alertmanagers = Alertmanagers([])
    assert 2 * alertmanagers.resend_s * 1_000 < LASTS_MS < OUTLIVES_US_MS / 10
    assert postable(watchdog(0, 60_000, LINKS), now_ms=60_000)["endsAt"] == "1970-01-01T00:03:00.000Z"


def test_it_is_due_at_every_telling() -> None:
    always = telling(Alertmanagers([Destination("http://127.0.0.1:9")]))
    for now_ms in range(0, 3_600_000, 30_000):
        (due,) = always.due(now_ms)
        assert due.ends_ms is not None
        assert due.ends_ms > now_ms


def test_only_whoever_owns_the_pages_is_watched(tmp_path: Path) -> None:
    """Or a worker that only counts would hide that nobody pages."""
    desk = Desk(tmp_path, REPLAYED)
    assert watched(desk.pager) == 1
    desk.stage.forget()
    assert watched(desk.pager) == 0
    desk.start()
    assert watched(desk.pager) == 1
    assert watched(Pager(Alertmanagers([]), Paging(), WorkerMetrics(CollectorRegistry()))) == 0


def watched(pager: Pager) -> int:
    return sum(isinstance(alert, WatchdogAlert) for alert in pager._current(1_700_000_000_000))


async def test_a_worker_that_owns_the_pages_says_so_though_nothing_fires_and_after_it_nobody_does() -> None:
    async with MemoryAlertmanager() as alertmanager:
        pager = Pager(
            Alertmanagers([Destination(alertmanager.url)], resend_s=0.05), Paging(), WorkerMetrics(CollectorRegistry())
        )
        stop = asyncio.Event()
        telling = asyncio.create_task(pager.run(stop))
        pager.holds_since_ms = int(time.time() * 1_000)
        async with asyncio.timeout(ARRIVES_WITHIN_S):
            while len(alertmanager.requests) < 3:
                await asyncio.sleep(0.01)
        stop.set()
        await telling
        (found,) = await listed(alertmanager.url)
        assert found["labels"]["alertname"] == "Watchdog"
        ends_s = datetime.fromisoformat(found["endsAt"]).timestamp()
        assert time.time() < ends_s <= time.time() + LASTS_MS / 1_000


async def test_a_worker_that_was_overruled_is_not_watched_any_more() -> None:
    async with MemoryAlertmanager() as alertmanager:
        pager = Pager(Alertmanagers([Destination(alertmanager.url)]), Paging(), WorkerMetrics(CollectorRegistry()))
        pager.holds_since_ms = 0

        def stood_still() -> None:
            raise StageFailure("The worker stood still.")

        with pytest.raises(StageFailure):
            await pager.run(asyncio.Event(), stood_still)
        assert alertmanager.requests == []


@pytest.mark.needs("prometheus-alertmanager")
async def test_the_switch_hears_it_and_nobody_is_paged_and_the_runbooks_first_query_finds_it(tmp_path: Path) -> None:
    async with WebhookReceiver() as webhook:
        server = start_alertmanager(tmp_path, SHIPPED_CONFIG, webhook.url)
        assert server, "the test is marked as needing it"
        try:
            server.wait_until_healthy()
            async with Alertmanagers([Destination(server.url)]) as alertmanagers:
                await telling(alertmanagers).tell()
            deadline = time.monotonic() + ARRIVES_WITHIN_S
            while not webhook.signs_of_life and time.monotonic() < deadline:
                await asyncio.sleep(0.02)
            listed = subprocess.run(first_query(server.url), capture_output=True, text=True, timeout=30, check=True)
        finally:
            server.stop()
        assert webhook.signs_of_life == 1
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await webhook.next()  # Whoever is on call heard nothing of it.
    assert "Watchdog" in listed.stdout


def first_query(url: str) -> list[str]:
    """The runbook's, at another address."""
    found = re.search(r"^amtool .*$", (REPOSITORY / RUNBOOK).read_text(), re.MULTILINE)
    assert found
    return shlex.split(found[0].replace("http://127.0.0.1:9093", url))
