"""`turnwatch worker`: puts stages, pager and sink together from the settings, and runs them until SIGTERM or SIGINT.

It ends within a bound then, whatever still hangs: what is in Kafka is right at any time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from alerts.alertmanager import Alertmanagers
from alerts.document_files import WrongFiles
from alerts.drift_document import STANDARD_DRIFT, load_drift_policy
from alerts.explanations import Links, Paging
from alerts.openslo import load_slos
from alerts.policies import policy_for
from alerts.price_document import SHIPPED_PRICES, load_prices
from alerts.spend_document import STANDARD_SPEND, load_spend_policy
from producers.connection import why_unreachable
from schemas.families import INDICATORS_OF
from schemas.kafka import KafkaAddress
from schemas.metrics import WorkerMetrics
from stream_jobs.agents.application import ApplicationSettings
from stream_jobs.agents.diversion import Diversion, DiversionBound, Halted, dead_letter
from stream_jobs.agents.exact import StageSettings
from stream_jobs.agents.halts import halting
from stream_jobs.agents.kafka_away import KafkaWatch
from stream_jobs.agents.objectives import telling
from stream_jobs.agents.pager import Pager
from stream_jobs.agents.worker import Companion, WorkerSettings, run
from stream_jobs.operators.totals.traffic import Capacity
from stream_jobs.sinks.batches import DeadLetter
from stream_jobs.sinks.rollups import SinkSettings, run_sink
from turnwatch.client_chatter import ClientChatter
from turnwatch.long_running import log_events, when_asked
from turnwatch.metrics_page import show_metrics
from turnwatch.places import Places, boards_url, places
from turnwatch.prepare import PrepareError
from turnwatch.settings import CapacitySettings, Settings, SettingsError, load

Sink = Literal["with", "without", "only"]
Document = TypeVar("Document")

log = logging.getLogger("turnwatch.worker")


def run_worker(sink: Sink, accept_gap: bool = False, accept_refused: bool = False, is_fenced: bool = True) -> int:
    """Works until it is asked to stop. `is_fenced`: see `StageSettings`; only a benchmark turns it off."""
    settings = load()
    log_events(without=())
    for chatty in ("aiokafka", "faust", "mode", "stream_jobs.agents.block_tables", "stream_jobs.agents.positions"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("faust.transport.producer").setLevel(logging.ERROR)  # It warns of a full buffer, which is normal.
    for handler in logging.getLogger().handlers:
        handler.addFilter(ClientChatter())
    held = _held_by_a_stage(settings) - _queued_for_a_stage(settings)
    exact = StageSettings(accept_gaps=accept_gap, is_fenced=is_fenced, pending_bytes_max=held)
    asyncio.run(_work(settings, places(settings), sink, exact, accept_refused))
    return 0


async def _work(settings: Settings, known: Places, sink: Sink, exact: StageSettings, accept_refused: bool) -> None:
    stop = asyncio.Event()
    when_asked(partial(_ask_to_stop, stop, settings.stop_within_s))
    metrics = WorkerMetrics(slo_slices_max=settings.metrics.slo_slices_max)
    stages = worker_settings(settings, known, metrics, exact)
    show_metrics(settings.metrics)
    async with (
        _producer(known.kafka) as producer,
        halting(known.kafka, Alertmanagers(known.alertmanagers), stages.pager.paging.links) as halts,
    ):
        bound = DiversionBound(None if accept_refused else settings.diverted_per_minute_max, await halts.by_topic())
        send_dead_letter = _sending(producer, Diversion(bound, metrics))

        async def land(stopping: asyncio.Event) -> None:
            sink_settings = SinkSettings(instance=settings.instance)
            await run_sink(known.kafka, known.clickhouse, metrics, stopping, send_dead_letter, sink_settings)

        async def watch(stopping: asyncio.Event) -> None:
            await halts.watch(stopping, bound)

        kafka_watch = KafkaWatch(known.kafka, partial(why_unreachable, known.kafka), metrics)
        companions = [kafka_watch.run, watch]
        try:
            if sink == "only":
                await _land_watched(land, companions, stop)
            else:
                companions.append(telling(producer, [each.slo for each in stages.watched], metrics))
                await run(stages, stop, metrics, [*companions, land] if sink == "with" else companions, bound)
        except Halted as halted:
            await halts.tell(halted.halt)
            raise


def _ask_to_stop(stop: asyncio.Event, within_s: float) -> None:
    """Sets `stop`, and ends the process `within_s` from now should it still be there."""
    if not stop.is_set():
        last = threading.Timer(within_s, _end_at_once, (within_s,))
        last.daemon = True
        last.start()
    stop.set()


def _end_at_once(within_s: float) -> None:
    log.error("stop_overdue: asked to stop, it did not end within %.0f s; what is not saved is read again.", within_s)
    os._exit(1)


async def _land_watched(land: Companion, watches: Sequence[Companion], stop: asyncio.Event) -> None:
    """Lands rollups until `stop`, with nobody but the watches beside it; the first that fails ends the others."""
    tasks = [asyncio.create_task(each(stop)) for each in (land, *watches)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        task.result()


def worker_settings(
    settings: Settings, known: Places, metrics: WorkerMetrics, exact: StageSettings | None = None
) -> WorkerSettings:
    slos = load_slos()
    links = Links(settings.runbook_base_url, boards_url(settings))
    watched = tuple(policy_for(slo) for slo in slos)
    paging = Paging({slo.name: slo for slo in slos}, links, lives={each.slo.name: each.life for each in watched})
    return WorkerSettings(
        application=ApplicationSettings(
            known.kafka,
            settings.kafka.partitions,
            settings.kafka.replication_factor,
            settings.instance,
            data_dir=settings.run_dir / "faust",
            queued_bytes_max=_queued_for_a_stage(settings),
        ),
        stages=exact or StageSettings(),
        watched=watched,
        pager=Pager(
            Alertmanagers(known.alertmanagers), paging, metrics, round(settings.alertmanager.open_at_least_s * 1_000)
        ),
        clock=settings.clock,
        capacity=_capacity(settings.capacity),
        producers_max=settings.producers_max,
        stop_within_s=settings.stop_within_s,
        prices=_document(load_prices, settings.prices or SHIPPED_PRICES, "TURNWATCH_PRICES"),
        spend_policy=_document(load_spend_policy, settings.spend_policy or STANDARD_SPEND, "TURNWATCH_SPEND_POLICY"),
        drift_policy=_document(load_drift_policy, settings.drift_policy or STANDARD_DRIFT, "TURNWATCH_DRIFT_POLICY"),
    )


def _held_by_a_stage(settings: Settings) -> int:
    """Bytes of records that one of the stages may hold: intake, traffic, cost, incidents, and one for each family that is judged."""
    return settings.pending_mb * 1024 * 1024 // (4 + len(INDICATORS_OF))


def _queued_for_a_stage(settings: Settings) -> int:
    """Those of them that the stage has not looked at yet."""
    return _held_by_a_stage(settings) * 3 // 4


def _capacity(figures: CapacitySettings) -> Capacity | None:
    if figures.gpu_seconds_per_audio_second is None:
        return None
    try:
        return Capacity(figures.gpu_seconds_per_audio_second, figures.target_utilization, figures.vad_savings)
    except ValueError as error:
        raise SettingsError(f"TURNWATCH_CAPACITY__…: {error}") from None


def _document(read: Callable[[Path], Document], file: Path, variable: str) -> Document:
    """What a file says; a mistake in it is told with the variable that names it."""
    try:
        return read(file)
    except WrongFiles as error:
        raise SettingsError(f"{variable}: {error}") from None


@asynccontextmanager
async def _producer(kafka: KafkaAddress) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(**kafka.aiokafka_options(), acks="all", enable_idempotence=True)
    try:
        try:
            await producer.start()
        except KafkaError as error:
            raise PrepareError(await why_unreachable(kafka)) from error
        yield producer
    finally:
        await producer.stop()


def _sending(producer: AIOKafkaProducer, diversion: Diversion) -> Callable[[DeadLetter], Awaitable[None]]:
    """Sends the sink's dead letters: reason and position, never content; within the worker's bound."""

    async def send(refused: DeadLetter) -> None:
        diversion.divert(dead_letter(refused.rejected, None, refused.topic, refused.partition, refused.offset))
        for record in diversion.letters():
            await producer.send_and_wait(record.topic, record.value, key=record.key)

    return send
