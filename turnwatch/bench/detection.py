"""How long after a full outage begins does the page arrive, and how long after the bucket that tips the arithmetic?

Kafka, Alertmanager and a worker on the wall clock, as anybody runs them. Producers report three hours of healthy history
at once, then each window as it ends; a straggler with a tenth of the volume comes after the grace, so that every bucket is
decided by its grace. Then slices fail, one after the other, every turn of theirs. A sample is from the end of the bucket
that tips the arithmetic to the moment at which the webhook behind Alertmanager has the notification. The routes are the
shipped ones, but pages wait for no others: their group is the slice, and its `group_wait` is 0.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from alerts.definitions import watched_slos
from alerts.routes_config import read_configuration
from alerts.webhook_receiver import Notification, WebhookReceiver
from producers.collector import Frame
from producers.transport import KafkaTransport
from schemas.families import OPERATIONAL, TURNS
from schemas.frames import FrameHeader, encode
from schemas.kafka import KafkaAddress
from schemas.slos import WatchedSlo
from schemas.topics import PARTITIONS_DEFAULT
from schemas.warehouse import ClickHouseAddress
from stack.alertmanager import HOW_TO_GET_IT, find_alertmanager
from stack.failures import StackFailure
from stack.local import ALERTMANAGER_CONFIGURATION, start_stack
from stream_jobs.sinks.migrate import migrate
from turnwatch.bench.outages import (
    TURNS_PER_S,
    WINDOW_MS,
    Outage,
    Reporter,
    bundles,
    floor_s,
    floor_with_evidence_s,
    outages,
    percentile,
    reporters,
    tips,
)
from turnwatch.prepare import create_topics
from turnwatch.surroundings import counters, start_worker

SLO = "turn-error-realtime"
LIMIT_S = 4.0
"""From a bucket's end to its notification, the grace of 2 s included."""
BEYOND_FLOOR_S = 14.0
"""What a bucket, its grace and the way may add to the arithmetic."""
HISTORY_MS = 3 * 3_600_000
"""So much that the window of 6 h, which holds no more than this, does not see an outage sooner than the floor."""
DELAYS_S = (0.1, 0.5, 1.0)
STRAGGLING_S = 2.5
BATCH_WINDOWS = 180
CAUGHT_UP_WITHIN_S = 60.0
PATIENCE_S = 15.0
"""How long after its bucket's end a page is waited for; what comes later is missed."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One outage that was paged: the instants, in ms since the epoch, of what happened."""

    begins_ms: int
    bucket_end_ms: int
    produced_ms: int
    paged_ms: int


@dataclass(frozen=True, slots=True)
class Measured:
    """All samples, how many outages there were, and the least that the arithmetic takes."""

    outages: int
    samples: tuple[Sample, ...]
    floor_s: float
    floor_with_evidence_s: float

    @property
    def is_within(self) -> bool:
        """Whether every outage was paged, none before its bucket's end, and nearly all within both limits."""
        if len(self.samples) < self.outages or self.early:
            return False
        delay_limit_s = self.floor_with_evidence_s + BEYOND_FLOOR_S
        return self.after_bucket_end_s(0.99) <= LIMIT_S and self.delay_s(0.99) <= delay_limit_s

    @property
    def early(self) -> int:
        """Pages before the bucket's end that should have tipped: what was judged was something else."""
        return sum(after < 0 for after in self._after("bucket_end_ms"))

    def after_bucket_end_s(self, share: float) -> float:
        return percentile(self._after("bucket_end_ms"), share)

    def after_frame_s(self, share: float) -> float:
        return percentile(self._after("produced_ms"), share)

    def delay_s(self, share: float) -> float:
        return percentile(self._after("begins_ms"), share)

    def lines(self) -> Iterator[str]:
        """The figures; the last line is for machines."""
        missed = self.outages - len(self.samples)
        if not self.samples:
            yield f"outages={self.outages} missed={missed}"
            return
        yield (
            f"outage to page: {self.delay_s(0.5):.1f} s (p50), {self.delay_s(0.99):.1f} s (p99); the floor is "
            f"{self.floor_s:.2f} s, {self.floor_with_evidence_s:.1f} s until it is evident at {TURNS_PER_S} turns/s, "
            f"{self.floor_with_evidence_s + BEYOND_FLOOR_S:.1f} s with a bucket, its grace and the way"
        )
        yield (
            f"frame to page: {self.after_frame_s(0.5):.2f} s (p50), {self.after_frame_s(0.99):.2f} s (p99), "
            f"most of it the grace"
        )
        yield (
            f"outages={self.outages} missed={missed} early={self.early} floor_s={self.floor_s:.2f} "
            f"evident_s={self.floor_with_evidence_s:.1f} delay_s_p50={self.delay_s(0.5):.1f} "
            f"delay_s_p99={self.delay_s(0.99):.1f} bucket_end_to_page_s_p50={self.after_bucket_end_s(0.5):.2f} "
            f"bucket_end_to_page_s_p99={self.after_bucket_end_s(0.99):.2f} limit_s={LIMIT_S:g} "
            f"ratio={self.after_bucket_end_s(0.99) / LIMIT_S:.2f}"
        )

    def _after(self, instant: str) -> list[float]:
        return [(each.paged_ms - getattr(each, instant)) / 1_000 for each in self.samples]


def run_detection(rounds: int) -> int:
    """Prints the figures; 1 when a page was missed or came later than we promise."""
    if find_alertmanager() is None:
        raise StackFailure(HOW_TO_GET_IT)
    console = Console()
    with tempfile.TemporaryDirectory(prefix="turnwatch-bench-") as folder:
        measured = asyncio.run(_bench(console, Path(folder), rounds))
    *told, figures = measured.lines()
    for line in told:
        console.print(line, highlight=False)
    print(figures)
    return 0 if measured.is_within else 1


def at_once(run_dir: Path) -> Path:
    """The shipped routes, where pages of one slice are a group of their own that does not wait for others."""
    data = read_configuration(ALERTMANAGER_CONFIGURATION).data
    for route in (data["route"], *data["route"].get("routes", [])):
        if route.get("receiver") == data["route"]["receiver"]:
            route |= {"group_by": ["alertname", "slo", "slice"], "group_wait": "0s"}
    copy = run_dir / "alertmanager-at-once.yml"
    copy.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return copy


async def _bench(console: Console, folder: Path, rounds: int) -> Measured:
    names = bundles(rounds)
    async with WebhookReceiver() as webhook:
        with console.status("starting Kafka, ClickHouse and Alertmanager …"):
            stack = start_stack(folder, pager_url=webhook.url, alertmanager_configuration=at_once(folder))
        with stack:
            kafka = KafkaAddress(stack.kafka.bootstrap)
            await create_topics(kafka, PARTITIONS_DEFAULT)
            await asyncio.to_thread(migrate, ClickHouseAddress(stack.clickhouse.url))
            traffic = Traffic(reporters(names, DELAYS_S, STRAGGLING_S), _now_ms() // WINDOW_MS * WINDOW_MS - HISTORY_MS)
            with console.status("starting the worker …"):
                worker, metrics_url = await start_worker(stack, clock="wall")
            try:
                measuring = _measure(console, traffic, names, metrics_url, webhook)
                return await _beside(traffic.report(kafka, metrics_url), measuring)
            finally:
                worker.stop()


@dataclass(slots=True)
class Traffic:
    """What the producers report, and when each frame was produced. Outages may be added while it runs."""

    reporters: tuple[Reporter, ...]
    start_ms: int
    outages: dict[str, Outage] = field(default_factory=dict)
    produced_ms: dict[tuple[str, int], int] = field(default_factory=dict)
    """By producer and window end."""
    reported_ms: int = 0
    """The end of the newest window that all have reported."""

    async def report(self, kafka: KafkaAddress, metrics_url: str) -> None:
        """Sends windows that are over at once, and goes on with each as it ends, until cancelled."""
        async with KafkaTransport(kafka) as transport:
            live_ms = await self._past(transport, metrics_url)
            for start_ms in count(live_ms, WINDOW_MS):
                for reporter in self.reporters:
                    await asyncio.sleep((start_ms + WINDOW_MS - _now_ms()) / 1_000 + reporter.delay_s)
                    await transport.send([self._frame(reporter, start_ms)])
                self.reported_ms = start_ms + WINDOW_MS

    async def _past(self, transport: KafkaTransport, metrics_url: str) -> int:
        """The start of the first window that is not over for all producers.

        The worker reads along: of partitions an hour apart it takes the later one's rows for late (`LAG_MAX_MS`).
        """
        start_ms = self.start_ms
        while (over := int(_now_ms() - STRAGGLING_S * 1_000 - start_ms) // WINDOW_MS) > 0:
            starts = range(start_ms, start_ms + min(over, BATCH_WINDOWS) * WINDOW_MS, WINDOW_MS)
            await transport.send([self._frame(each, start) for start in starts for each in self.reporters])
            await _until_applied(metrics_url, len(self.produced_ms))
            start_ms = self.reported_ms = starts.stop
        return start_ms

    def _frame(self, reporter: Reporter, start_ms: int) -> Frame:
        sequence = (start_ms - self.start_ms) // WINDOW_MS
        header = FrameHeader(TURNS, OPERATIONAL, reporter.name, self.start_ms, sequence, start_ms)
        self.produced_ms[reporter.name, header.window_end_ms] = _now_ms()
        rows = reporter.rows(start_ms, self.outages)
        return Frame(header, *encode(header, rows), rows.num_rows)


async def _measure(
    console: Console, traffic: Traffic, names: tuple[str, ...], metrics_url: str, webhook: WebhookReceiver
) -> Measured:
    watched = next(each for each in watched_slos() if each.slo.name == SLO)
    with console.status("reporting three hours of healthy history …"):
        await _until_caught_up(traffic, metrics_url)
    traffic.outages |= outages(names, _now_ms() + 1_000)
    samples = await _samples(console, traffic, watched, webhook)
    evident_s = floor_with_evidence_s(watched.rows, TURNS_PER_S, watched.low_traffic)
    return Measured(len(names), samples, floor_s(watched.rows), evident_s)


async def _until_applied(metrics_url: str, frames: int) -> None:
    deadline = time.monotonic() + CAUGHT_UP_WITHIN_S
    while (await counters(metrics_url)).get("turnwatch_frames_applied_total", 0.0) < frames:
        if time.monotonic() > deadline:
            raise StackFailure(f"The worker had not read the history after {CAUGHT_UP_WITHIN_S:.0f} s.")
        await asyncio.sleep(0.1)


async def _until_caught_up(traffic: Traffic, metrics_url: str) -> None:
    """Returns once every shard has decided what was last reported as it happened, on all of the history."""
    deadline = time.monotonic() + CAUGHT_UP_WITHIN_S
    while True:
        told, reported_ms = await counters(metrics_url), traffic.reported_ms
        decided_s = told.get("turnwatch_watermark_timestamp_seconds", 0.0)  # Summed over shards.
        is_live = _now_ms() - reported_ms < 2 * WINDOW_MS
        if is_live and decided_s >= PARTITIONS_DEFAULT * reported_ms / 1_000:
            break
        if time.monotonic() > deadline:
            raise StackFailure(f"The worker had not read the history after {CAUGHT_UP_WITHIN_S:.0f} s.")
        await asyncio.sleep(0.2)
    late = told.get("turnwatch_rows_too_late_total", 0.0) + told.get("turnwatch_frames_late_total", 0.0)
    if late:
        raise StackFailure(f"The worker took {late:.0f} rows or frames of the history for late: try again.")


async def _samples(
    console: Console, traffic: Traffic, watched: WatchedSlo, webhook: WebhookReceiver
) -> tuple[Sample, ...]:
    """Each outage's first notification, for as long as there is hope."""
    tipping_ms = {each.slice: tips(each, traffic.start_ms, watched).page_ms for each in traffic.outages.values()}
    until_ms = max(tipping_ms.values()) + PATIENCE_S * 1_000
    paged_ms: dict[str, int] = {}
    with console.status("") as status:
        while len(paged_ms) < len(tipping_ms) and _now_ms() < until_ms:
            begun = sum(each.begins_ms <= _now_ms() for each in traffic.outages.values())
            status.update(f"{begun} of {len(tipping_ms)} slices have failed, {len(paged_ms)} have paged")
            for text in await _next_paged(webhook):
                if text in tipping_ms:
                    paged_ms.setdefault(text, _now_ms())
    return tuple(_sampled(traffic, tipping_ms, paged_ms))


async def _next_paged(webhook: WebhookReceiver) -> list[str]:
    """The slices that the next notification says are failing; none after a second without one."""
    try:
        notification = await asyncio.wait_for(webhook.next(), 1.0)
    except TimeoutError:
        return []
    return paged_slices(notification)


def paged_slices(notification: Notification) -> list[str]:
    """The slices that a notification pages for, of the objective that is measured."""
    wanted = {"slo": SLO, "severity": "page"}
    return [
        alert.labels.get("slice", "")
        for alert in notification.alerts
        if alert.status == "firing" and wanted.items() <= alert.labels.items()
    ]


def _sampled(traffic: Traffic, tipping_ms: dict[str, int], paged_ms: dict[str, int]) -> Iterator[Sample]:
    reporter_of = {bundle: reporter.name for reporter in traffic.reporters for bundle in reporter.bundles}
    for outage in traffic.outages.values():
        if outage.slice in paged_ms:
            bucket_end_ms = tipping_ms[outage.slice]
            produced_ms = traffic.produced_ms.get((reporter_of[outage.bundle], bucket_end_ms), bucket_end_ms)
            yield Sample(outage.begins_ms, bucket_end_ms, produced_ms, paged_ms[outage.slice])


async def _beside(endless: Coroutine[Any, Any, None], wanted: Coroutine[Any, Any, Measured]) -> Measured:
    """What the wanted one returns; where the endless one fails, so does this, at once."""
    reporting, measuring = asyncio.create_task(endless), asyncio.create_task(wanted)
    try:
        await asyncio.wait([reporting, measuring], return_when=asyncio.FIRST_COMPLETED)
        if reporting.done():
            reporting.result()
        return await measuring
    finally:
        reporting.cancel()
        measuring.cancel()
        await asyncio.gather(reporting, measuring, return_exceptions=True)


def _now_ms() -> int:
    return int(time.time() * 1_000)
