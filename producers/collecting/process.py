"""The collector's process: opens its folder, listens, and ends within a bound when it is asked to.

Asked to stop it takes nothing more, closes the windows that are due and sends what Kafka takes in time. The rest stays
in its folder, and the next start goes on with it. Asked to finish it closes everything first.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry

from producers.collecting.beginning import SETTINGS, SetBy
from producers.collecting.durable import DurableCollector, Limits
from producers.collecting.engine import Connect, Engine
from producers.collecting.server import application
from producers.drive import Clock, WallClock
from producers.listening import ANSWERING_S, listening
from producers.noising import Sampler
from producers.transport import KafkaTransport
from schemas.failures import BadInput
from schemas.kafka import KafkaAddress
from schemas.metrics import CollectorMetrics

log = logging.getLogger("turnwatch.collector")


@dataclass(frozen=True, slots=True)
class CollectorSettings:
    """`producer` is unique in the fleet; `folder` belongs to it alone. Without a `sampler` nothing gets noise."""

    producer: str
    region: str
    folder: Path
    host: str
    port: int
    stop_within_s: float
    limits: Limits = field(default_factory=Limits)
    sampler: Sampler | None = None
    set_by: SetBy = SETTINGS


async def collect(
    settings: CollectorSettings,
    connect: Connect,
    stop: asyncio.Event,
    clock: Clock | None = None,
    metrics: CollectorMetrics | None = None,
) -> None:
    """Collects until `stop`. Raises `Foreseen` where folder or port cannot be used."""
    clock = clock or WallClock()
    core = await _opened(settings, clock)
    try:
        engine = Engine(core, clock, connect, metrics or CollectorMetrics())
        await _serve(settings, engine, stop)
        await engine.finish(max(1.0, settings.stop_within_s - ANSWERING_S - 1))
    except BadInput:
        core.abandon()
        raise
    finally:
        core.shut()


async def finish(settings: CollectorSettings, connect: Connect, clock: Clock | None = None) -> int:
    """Takes nothing, waits until all that is open can be closed, and sends it; returns how many turns are still held.

    Raises `NotDelivered` where Kafka does not take everything: what is left is sent when it is called again.
    """
    clock = clock or WallClock()
    core = await _opened(settings, clock)
    try:
        engine = Engine(core, clock, connect, CollectorMetrics(CollectorRegistry()))  # Nobody looks at them.
        await engine.close_everything()
        await engine.send_the_rest()
        return core.collector.held_turns
    finally:
        core.shut()


async def _opened(settings: CollectorSettings, clock: Clock) -> DurableCollector:
    whose = (settings.folder, settings.producer, settings.region)
    core = await asyncio.to_thread(DurableCollector.opened, *whose, clock.now_ms(), settings.limits, settings.set_by)
    core.collector.sampler = settings.sampler
    _tell(core, settings)
    return core


def kafka(address: KafkaAddress) -> Connect:
    return lambda: KafkaTransport(address)


async def _serve(settings: CollectorSettings, engine: Engine, stop: asyncio.Event) -> None:
    """Answers until `stop` or until the engine fails; the engine works until the last request is answered."""
    is_closed = asyncio.Event()
    working = asyncio.create_task(engine.run(is_closed))
    address = (settings.host, settings.port, "The collector cannot listen", "TURNWATCH_COLLECTOR", settings.set_by.port)
    try:
        async with listening(application(engine, stop), *address) as addresses:
            for host, port in addresses:
                log.info("listening: http://%s:%s", host, port)
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
    finally:
        is_closed.set()
        await working


def _tell(core: DurableCollector, settings: CollectorSettings) -> None:
    found = core.recovered
    log.info("opened: %s of %s in %s", settings.producer, settings.region, settings.folder)
    if found.batches:
        log.info("journal_observed: %d batches with %d observations", found.batches, found.rows)
    if found.unfinished_bytes:
        log.info(
            "journal_unfinished: %d bytes that were being written, and were never answered", found.unfinished_bytes
        )
    if found.unread_batches:
        log.error("journal_unread: %d batches that this version cannot read are lost", found.unread_batches)
