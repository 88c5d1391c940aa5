"""The process of `turnwatch otlp`: listens, reads Kafka if it is told a topic, and hands everything to a collector."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from producers.drive import Clock, WallClock
from producers.listening import listening
from producers.otlp.delivery import CollectorOverHttp, Delivery, NotTaken
from producers.otlp.gateway import Gateway
from producers.otlp.kafka import consume
from producers.otlp.receiver import Receiver
from producers.otlp.server import otlp_application
from schemas.kafka import KafkaAddress

log = logging.getLogger("turnwatch.otlp")


@dataclass(frozen=True, slots=True)
class OtlpSettings:
    """`name` is unique among the senders of the collector at `collector_url`; `kafka` and `topic` are given together."""

    name: str
    region: str
    host: str
    port: int
    collector_url: str
    turns_from: str
    defaults: Mapping[str, str]
    topic: str | None = None
    kafka: KafkaAddress | None = None


async def receive(settings: OtlpSettings, stop: asyncio.Event, clock: Clock | None = None) -> None:
    """Receives until `stop`, and then sends what a collector still takes. Raises `Foreseen`."""
    clock = clock or WallClock()
    async with aiohttp.ClientSession() as session:
        started_ms = clock.now_ms()
        receiver = Receiver(settings.region, started_ms, settings.turns_from, settings.defaults)
        delivery = Delivery(CollectorOverHttp(settings.collector_url, session), settings.name, started_ms)
        gateway = Gateway(receiver, delivery, clock)
        await _serve(settings, gateway, stop)
        try:
            await delivery.flush()
        except NotTaken as error:
            log.warning("not_delivered: %s Whoever sent it was told so, and sends it again.", error)


async def _serve(settings: OtlpSettings, gateway: Gateway, stop: asyncio.Event) -> None:
    address = (settings.host, settings.port, "OTLP cannot be listened for", "TURNWATCH_OTLP")
    async with listening(otlp_application(gateway, stop), *address) as addresses:
        for host, port in addresses:
            log.info("listening: http://%s:%s/v1/metrics", host, port)
        if settings.topic is None or settings.kafka is None:
            await stop.wait()
        else:
            await consume(gateway, settings.kafka, settings.topic, stop)
