"""The gateway: requests in, batches out, everything counted. One of it serves every way in, HTTP and Kafka alike."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from prometheus_client import Counter as Metric

from producers.drive import Clock
from producers.otlp.delivery import Delivery, Origin
from producers.otlp.receiver import Receiver, Taken
from producers.otlp.requests import Encoding, decode

log = logging.getLogger("turnwatch.otlp")


@dataclass(frozen=True, slots=True)
class GatewayMetrics:
    """What the process says of itself, at `/metrics`."""

    registry: CollectorRegistry
    points: Metric
    refused: Metric
    passed_over: Metric
    dropped: Metric
    requests: Metric


def gateway_metrics() -> GatewayMetrics:
    registry = CollectorRegistry()

    def counter(name: str, meaning: str, label: str) -> Metric:
        return Metric(f"turnwatch_otlp_{name}", meaning, [label], registry=registry)

    return GatewayMetrics(
        registry,
        counter("points", "Data points that were looked at, by way in", "way"),
        counter("points_refused", "Data points that were refused, by reason", "reason"),
        counter("points_passed_over", "Data points that add nothing: baselines, repeats, those without a value", "why"),
        counter(
            "attributes_dropped",
            "Attributes that fill no dimension, and sums that their buckets cannot have, which were dropped, by what they are",
            "reason",
        ),
        counter("requests_refused", "Requests that were refused whole, by HTTP status", "status"),
    )


@dataclass(slots=True)
class Gateway:
    """Takes requests one after the other: a series is compared with its last point."""

    receiver: Receiver
    delivery: Delivery
    clock: Clock
    metrics: GatewayMetrics = field(default_factory=gateway_metrics)
    told: Counter[str] = field(default_factory=Counter)
    """Points refused so far, by reason; a line is logged for the first of each."""
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def take(self, body: bytes, encoding: Encoding, way: str) -> Taken:
        """Returns when the collector has what the request adds.

        Raises `Refusable` where it is no request, and `NotTaken` where the collector takes nothing for now: then the
        same request is to be sent again, and adds what it has not added yet.
        """
        taken = await self.hear(body, encoding, way)
        await self.delivery.flush()
        return taken

    async def hear(self, body: bytes, encoding: Encoding, way: str, origin: Origin | None = None) -> Taken:
        """As `take`, but what the request adds waits for the next `flush` of the delivery."""
        if self.delivery.is_full:
            await self.delivery.flush()
        request = await asyncio.to_thread(decode, body, encoding)
        async with self._lock:
            taken = await asyncio.to_thread(self.receiver.take, request, self.clock.now_ms())
            self.delivery.add(taken.tables, origin)
        self._count(taken, way)
        return taken

    async def forget_series(self) -> None:
        """Another gateway may have read what comes next: no difference to what this one knew may be counted."""
        async with self._lock:
            self.receiver.forget_series(self.clock.now_ms())

    def _count(self, taken: Taken, way: str) -> None:
        self.metrics.points.labels(way).inc(taken.points)
        for metric, counts in (
            (self.metrics.refused, taken.refused),
            (self.metrics.passed_over, taken.passed_over),
            (self.metrics.dropped, taken.dropped),
        ):
            for reason, count in counts.items():
                metric.labels(reason).inc(count)
        for reason, count in taken.refused.items():
            if reason not in self.told:
                log.warning("points_refused: the first of %s; docs/otlp.md says what that is", reason)
            self.told[reason] += count
