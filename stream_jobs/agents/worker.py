"""A worker: every stage of one consumer group, the sink and the pager, in one process and one event loop.

It ends with a sentence when something must not go on (a gap, a stalled loop, a crashed fetcher); a supervisor starts it
anew, and it begins again from what is saved.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import faust
from aiokafka.errors import KafkaError

from schemas.metrics import WorkerMetrics
from schemas.slos import WatchedSlo
from stream_jobs.agents.application import ApplicationSettings, build
from stream_jobs.agents.burn_rate import BurnRateStage
from stream_jobs.agents.diversion import DiversionBound
from stream_jobs.agents.exact import Pulse, Stage, StageFailure, StageSettings
from stream_jobs.agents.incidents import IncidentsStage, Pager
from stream_jobs.agents.intake import IntakeStage
from stream_jobs.agents.traffic import TrafficStage
from stream_jobs.operators.reach import LIVE, REPLAYED
from stream_jobs.operators.traffic import Capacity

log = logging.getLogger("turnwatch.worker")

DRAIN_S = 30.0
"""How long a worker that was asked to stop may take to save; what is not saved is read again by whoever comes next."""
SILENT_MAX_S = 30.0
"""How long a partition may be ours without its state once nothing is being recovered any more."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """`clock`: `wall` decides a bucket 2 s after its end at the latest; `watermark` follows the producers alone, for replays."""

    application: ApplicationSettings
    stages: StageSettings
    watched: tuple[WatchedSlo, ...]
    pager: Pager
    clock: str = "wall"
    capacity: Capacity | None = None
    slices_max: int = 5_000


Companion = Callable[[asyncio.Event], Coroutine[Any, Any, None]]
"""Something that runs beside the stages until the event is set, such as the sink."""


async def run(
    settings: WorkerSettings,
    stop: asyncio.Event,
    metrics: WorkerMetrics,
    companions: Sequence[Companion] = (),
    bound: DiversionBound | None = None,
) -> None:
    """Works until `stop` is set, or raises `StageFailure`. The stages and whoever shares `bound` divert within it."""
    app = build(settings.application)
    stages = _stages(app, settings, metrics, bound)
    tasks = [
        asyncio.create_task(companion(stop), name=f"companion-{place}") for place, companion in enumerate(companions)
    ]
    try:
        await _until_first(stop, [asyncio.create_task(app.start(), name="start")], ready=True)
        log.info("worker_started")
        metrics.worker_ready.set(1)
        pulse = Pulse(settings.stages.stall_max_s)
        running = [asyncio.create_task(stage.run(stop, pulse), name=stage.name) for stage in stages]
        watching = [
            asyncio.create_task(_watch_faust(app), name="faust"),
            asyncio.create_task(_watch_ownership(app, stages), name="ownership"),
            asyncio.create_task(pulse.run(), name="pulse"),
        ]
        tasks += [*running, *watching, asyncio.create_task(settings.pager.run(stop), name="pager")]
        await _until_first(stop, tasks)
        # Never cancelled: between two phases of a save, blocks are on their way that the marker must not overtake.
        await asyncio.wait(running, timeout=DRAIN_S)
    finally:
        stop.set()
        await _end(app, tasks)


def _stages(
    app: faust.App, settings: WorkerSettings, metrics: WorkerMetrics, bound: DiversionBound | None = None
) -> list[Stage]:
    partitions = settings.application.partitions
    bound = bound or DiversionBound()
    patience = LIVE if settings.clock == "wall" else REPLAYED
    return [
        IntakeStage(app, partitions, settings.stages, metrics, settings.slices_max, bound, patience),
        TrafficStage(app, partitions, settings.stages, metrics, settings.capacity, bound),
        BurnRateStage(app, partitions, settings.stages, metrics, settings.watched, patience, bound),
        IncidentsStage(app, partitions, settings.stages, settings.pager, metrics, bound, patience),
    ]


async def _until_first(stop: asyncio.Event, tasks: Sequence[asyncio.Task[None]], ready: bool = False) -> None:
    """Waits for `stop` or, with `ready`, for the tasks; a task that ends with an exception ends the worker."""
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    for task in done - {stopping}:
        error = task.exception()
        if isinstance(error, KafkaError):  # Weather, not a defect.
            raise StageFailure(
                f"Kafka went away while the worker was busy ({task.get_name()}: {type(error).__name__}): "
                "start the worker anew once Kafka is there; it goes on from what is saved."
            ) from error
        if error is not None:
            raise error
        if not ready and not stop.is_set():
            raise StageFailure(f"Task {task.get_name()} ended although nobody asked it to.")


async def _watch_faust(app: faust.App) -> None:
    """Faust keeps a process alive whose fetcher has crashed; this does not."""
    while True:
        await asyncio.sleep(1)
        services: tuple[Any, ...] = (app, app.consumer, app._fetcher, app.producer, app.tables)
        crashed = [service for service in services if service.crashed]
        if crashed:
            reasons = {str(service.crash_reason) for service in crashed if service.crash_reason}
            raise StageFailure(
                f"Faust's {type(crashed[0]).__name__} crashed: {'; '.join(reasons) or 'no reason given'}."
            )
        if app.should_stop:
            raise StageFailure("Faust stopped by itself.")


async def _watch_ownership(app: faust.App, stages: Sequence[Stage]) -> None:
    """Partitions whose events nobody takes would be silent for good: that ends the process, and it begins anew."""
    silent_since = time.monotonic()
    while True:
        await asyncio.sleep(1)
        is_settled = not (app.rebalancing or app.in_recovery)
        silent = [place for stage in stages for place in stage.without_state(app.consumer.assignment())]
        if not (is_settled and silent):
            silent_since = time.monotonic()
        elif time.monotonic() - silent_since > SILENT_MAX_S:
            raise StageFailure(
                f"Partitions were assigned without their state for {SILENT_MAX_S:.0f} s ({', '.join(silent)}): "
                "check that their changelog topics exist (`turnwatch prepare`); a new start asks for them again."
            )


async def _end(app: faust.App, tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.get_name() not in ("pager",) and not task.get_name().startswith("companion"):
            task.cancel()
    await asyncio.wait(
        [asyncio.create_task(_quietly(task)) for task in tasks] or [asyncio.create_task(asyncio.sleep(0))], timeout=10
    )
    try:
        await asyncio.wait_for(app.stop(), timeout=20)
    except (TimeoutError, asyncio.CancelledError):
        log.warning("faust_stop_timed_out")
    except Exception as error:  # Whatever a broken Faust says of its end must not hide why we end.
        log.warning("faust_stop_failed: %s", error)


async def _quietly(task: asyncio.Task[None]) -> None:
    await asyncio.gather(task, return_exceptions=True)
