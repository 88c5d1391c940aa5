"""`turnwatch worker`: puts stages, pager and sink together from the settings, and runs them until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Literal

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from prometheus_client import start_http_server

from alerts.alertmanager import Alertmanagers, Destination
from alerts.explanations import Links, Paging
from alerts.openslo import load_slos
from alerts.policies import policy_for
from schemas.kafka import KafkaAddress
from schemas.metrics import WorkerMetrics
from schemas.topics import DEAD_LETTERS
from stream_jobs.agents.application import ApplicationSettings
from stream_jobs.agents.exact import StageSettings
from stream_jobs.agents.incidents import Pager
from stream_jobs.agents.intake import dead_letter
from stream_jobs.agents.worker import WorkerSettings, run
from stream_jobs.operators.traffic import Capacity
from stream_jobs.sinks.batches import DeadLetter
from stream_jobs.sinks.rollups import SinkSettings, run_sink
from turnwatch.places import Places, places
from turnwatch.prepare import PrepareError
from turnwatch.settings import CapacitySettings, MetricsSettings, Settings, SettingsError, load

Sink = Literal["with", "without", "only"]

log = logging.getLogger("turnwatch.worker")


def run_worker(sink: Sink, accept_gap: bool) -> int:
    settings = load()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for chatty in ("aiokafka", "faust", "mode", "stream_jobs.agents.exact"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    asyncio.run(_work(settings, places(settings), sink, accept_gap))
    return 0


async def _work(settings: Settings, known: Places, sink: Sink, accept_gap: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    metrics = WorkerMetrics()
    stages = worker_settings(settings, known, metrics, accept_gap)
    _show(settings.metrics)
    async with _dead_letters(known.kafka) as send_dead_letter:

        async def land(stopping: asyncio.Event) -> None:
            sink_settings = SinkSettings(instance=settings.instance)
            await run_sink(known.kafka, known.clickhouse, metrics, stopping, send_dead_letter, sink_settings)

        if sink == "only":
            await land(stop)
        else:
            await run(stages, stop, metrics, [land] if sink == "with" else [])


def _show(metrics: MetricsSettings) -> None:
    """Serves what the worker counts, where a port is given for it."""
    if metrics.port is None:
        return
    try:
        start_http_server(metrics.port, addr=metrics.host)
    except OSError as error:
        raise PrepareError(
            f"Port {metrics.port} on {metrics.host} cannot be used for metrics ({error.strerror}): "
            "stop what listens there, or set TURNWATCH_METRICS__PORT to another."
        ) from None


def worker_settings(settings: Settings, known: Places, metrics: WorkerMetrics, accept_gap: bool) -> WorkerSettings:
    slos = load_slos()
    links = Links(settings.runbook_base_url, f"{settings.grafana.public_url.rstrip('/')}/d/turnwatch-fleet-overview")
    password = settings.alertmanager.password.get_secret_value() if settings.alertmanager.password else None
    destinations = [Destination(url, settings.alertmanager.username, password) for url in known.alertmanager_urls]
    paging = Paging({slo.name: slo for slo in slos}, links)
    return WorkerSettings(
        application=ApplicationSettings(
            known.kafka,
            settings.kafka.partitions,
            settings.kafka.replication_factor,
            settings.instance,
            data_dir=settings.run_dir / "faust",
        ),
        stages=StageSettings(accept_gaps=accept_gap),
        watched=tuple(policy_for(slo) for slo in slos),
        pager=Pager(Alertmanagers(destinations), paging, metrics),
        clock=settings.clock,
        capacity=_capacity(settings.capacity),
    )


def _capacity(figures: CapacitySettings) -> Capacity | None:
    if figures.gpu_seconds_per_audio_second is None:
        return None
    try:
        return Capacity(figures.gpu_seconds_per_audio_second, figures.target_utilization, figures.vad_savings)
    except ValueError as error:
        raise SettingsError(f"TURNWATCH_CAPACITY__…: {error}") from None


@asynccontextmanager
async def _dead_letters(kafka: KafkaAddress) -> AsyncIterator[Callable[[DeadLetter], Awaitable[None]]]:
    """Sends the sink's dead letters: reason and position, never content."""
    producer = AIOKafkaProducer(**kafka.aiokafka_options(), acks="all", enable_idempotence=True)

    async def send(letter: DeadLetter) -> None:
        rejected = letter.rejected
        record = dead_letter(rejected, None, letter.topic, letter.partition, letter.offset)
        await producer.send_and_wait(DEAD_LETTERS, record.value, key=record.key)

    try:
        try:
            await producer.start()
        except KafkaError as error:
            raise PrepareError(
                f"Kafka at {kafka.bootstrap} cannot be reached ({type(error).__name__}): is it running there?"
            ) from None
        yield send
    finally:
        await producer.stop()
