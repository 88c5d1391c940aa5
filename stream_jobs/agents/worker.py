"""A worker: every stage of one consumer group, the sink and the pager, in one process and one event loop.

It ends with a sentence when something must not go on (a gap, a stalled loop, a crashed fetcher); a supervisor starts it
anew, and it begins again from what is saved. Its pages are then left to whoever goes on with their state. One that is
asked to stop saves, commits and tells first (`stopping.py`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import faust

from schemas.drift_policies import STANDARD as STANDARD_DRIFT
from schemas.drift_policies import DriftPolicy
from schemas.families import FAMILIES, INDICATORS_OF
from schemas.metrics import WorkerMetrics
from schemas.prices import NO_PRICES, PriceList
from schemas.rejections import PRODUCERS_MAX
from schemas.slos import WatchedSlo
from schemas.spend_policies import STANDARD, SpendPolicy
from stream_jobs.agents.application import ApplicationSettings, build
from stream_jobs.agents.burn_rate import BurnRateStage
from stream_jobs.agents.cost import CostStage
from stream_jobs.agents.diversion import DiversionBound
from stream_jobs.agents.exact import Stage, StageSettings
from stream_jobs.agents.incidents import IncidentsStage
from stream_jobs.agents.intake import IntakeStage
from stream_jobs.agents.pager import Pager
from stream_jobs.agents.pulse import Pulse, StageFailure
from stream_jobs.agents.stopping import LEFT_BY, STOP_WITHIN_S, TOLD_BY, Deadline, Ending, raise_failure
from stream_jobs.agents.traffic import TrafficStage, Watching
from stream_jobs.operators.abuse.watch import AbuseWatch
from stream_jobs.operators.cost.pricing import Pricing
from stream_jobs.operators.cost.pricing_watch import PricingWatch
from stream_jobs.operators.drift.watch import DriftWatch
from stream_jobs.operators.saturation.watch import SaturationWatch
from stream_jobs.operators.totals.reach import LIVE, REPLAYED
from stream_jobs.operators.totals.traffic import Capacity

log = logging.getLogger("turnwatch.worker")

SILENT_MAX_S = 30.0
"""How long a partition may be ours without its state once nothing is being recovered any more."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """`clock`: `wall` decides a bucket 2 s after its end at the latest; `watermark` follows the producers alone, for replays.

    `stop_within_s`: how long the worker may take to end once it is asked to. `prices`: without any, all use is uncosted.
    """

    application: ApplicationSettings
    stages: StageSettings
    watched: tuple[WatchedSlo, ...]
    pager: Pager
    clock: str = "wall"
    capacity: Capacity | None = None
    slices_max: int = 5_000
    producers_max: int = PRODUCERS_MAX
    stop_within_s: float = STOP_WITHIN_S
    prices: PriceList = NO_PRICES
    spend_policy: SpendPolicy = STANDARD
    drift_policy: DriftPolicy = STANDARD_DRIFT


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
    beside = [
        asyncio.create_task(companion(stop), name=f"companion-{place}") for place, companion in enumerate(companions)
    ]
    tasks = list(beside)
    deadline: Deadline | None = None
    try:
        # What a store of a stage keeps while Faust starts would otherwise leave it starting for ever.
        surprises = [asyncio.create_task(stage.surprise.raised(), name=f"{stage.name} state") for stage in stages]
        starting = asyncio.create_task(app.start(), name="start")
        tasks += [*surprises, starting]
        await _until_first(stop, [starting, *surprises], ready=True)
        if stop.is_set():
            return
        log.info("worker_started")
        metrics.worker_ready.set(1)
        pulse, stop_pager = Pulse(settings.stages.stall_max_s), asyncio.Event()
        running = [asyncio.create_task(stage.run(stop, pulse), name=stage.name) for stage in stages]
        watching = [
            asyncio.create_task(_watch_faust(app), name="faust"),
            asyncio.create_task(_watch_ownership(app, stages), name="ownership"),
            asyncio.create_task(pulse.run(), name="pulse"),
            *surprises,
        ]
        pager = asyncio.create_task(settings.pager.run(stop_pager, pulse.check), name="pager")
        tasks += [*running, *watching, pager]
        await _until_first(stop, [*beside, *running, *watching, pager])
        deadline = Deadline(settings.stop_within_s)
        await Ending(running, beside, watching, lambda: _commit(app), pager, stop_pager).drain(deadline)
    finally:
        stop.set()
        await _end(app, tasks, deadline or Deadline(settings.stop_within_s))


def _stages(
    app: faust.App, settings: WorkerSettings, metrics: WorkerMetrics, bound: DiversionBound | None = None
) -> list[Stage]:
    partitions = settings.application.partitions
    bound = bound or DiversionBound()
    patience = LIVE if settings.clock == "wall" else REPLAYED
    return [
        IntakeStage(
            app, partitions, settings.stages, metrics, settings.slices_max, bound, patience, settings.producers_max
        ),
        TrafficStage(app, partitions, settings.stages, metrics, settings.capacity, bound, patience, _watches(settings)),
        *(
            BurnRateStage(app, partitions, settings.stages, metrics, settings.watched, patience, bound, FAMILIES[name])
            for name in INDICATORS_OF
        ),
        CostStage(app, partitions, settings.stages, metrics, settings.spend_policy, bound),
        IncidentsStage(app, partitions, settings.stages, settings.pager, metrics, bound, patience),
    ]


def _watches(settings: WorkerSettings) -> Watching:
    """The questions that watch the totals of a shard."""
    pricing, shards = Pricing(settings.prices), settings.application.partitions
    return lambda shard: (
        PricingWatch(shard, pricing),
        SaturationWatch(shard),
        AbuseWatch(shard),
        DriftWatch(shard, shards, settings.drift_policy),
    )


async def _until_first(stop: asyncio.Event, tasks: Sequence[asyncio.Task[None]], ready: bool = False) -> None:
    """Waits for `stop` or, with `ready`, for the tasks; a task that ends with an exception ends the worker."""
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    for task in done - {stopping}:
        raise_failure(task)
        if not ready and not stop.is_set():
            raise StageFailure(f"Task {task.get_name()} ended although nobody asked it to.")


async def _watch_faust(app: faust.App) -> None:
    """Faust keeps a process alive whose fetcher has crashed; this does not."""
    while True:
        await asyncio.sleep(1)
        _require_whole(app)


def _require_whole(app: faust.App) -> None:
    services: tuple[Any, ...] = (app, app.consumer, app._fetcher, app.producer, app.tables)
    crashed = [service for service in services if service.crashed]
    if crashed:
        reasons = {str(service.crash_reason) for service in crashed if service.crash_reason}
        raise StageFailure(f"Faust's {type(crashed[0]).__name__} crashed: {'; '.join(reasons) or 'no reason given'}.")
    if app.should_stop:
        raise StageFailure("Faust stopped by itself.")


async def _commit(app: faust.App) -> None:
    """Commits what is acknowledged; twice, for where another one is under way Faust only waits for that."""
    await app.consumer.commit()
    await app.consumer.commit()
    _require_whole(app)


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


async def _end(app: faust.App, tasks: Sequence[asyncio.Task[None]], deadline: Deadline) -> None:
    """Ends what still runs. Companions have heard of it, and may end by themselves.

    A pager that still runs is cut off: why the worker ends may be why its pages are not its own any more.
    """
    companions = [task for task in tasks if task.get_name().startswith("companion")]
    for task in tasks:
        if task not in companions:
            task.cancel()
    if tasks:
        await asyncio.wait([asyncio.create_task(_quietly(task)) for task in tasks], timeout=deadline.left_s(TOLD_BY))
    for companion in companions:
        companion.cancel()
    try:
        await asyncio.wait_for(app.stop(), timeout=max(1.0, deadline.left_s(LEFT_BY)))
    except (TimeoutError, asyncio.CancelledError):
        log.warning("faust_stop_timed_out")
    except Exception as error:  # Whatever a broken Faust says of its end must not hide why we end.
        log.warning("faust_stop_failed: %s", error)


async def _quietly(task: asyncio.Task[None]) -> None:
    await asyncio.gather(task, return_exceptions=True)
