"""Plays the rounds: real servers and workers, traffic and faults at the same time, then quiet, then the reckoning."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.live import Live

from alerts.definitions import watched_slos
from alerts.webhook_receiver import Notification, WebhookReceiver
from schemas.failures import BadInput
from schemas.kafka import KafkaAddress
from schemas.topics import PARTITIONS_DEFAULT
from schemas.warehouse import ClickHouseAddress
from stack.alertmanager import HOW_TO_GET_IT, find_alertmanager
from stack.local import start_stack
from stream_jobs.sinks.migrate import migrate
from turnwatch.bench.faults.expectation import Tables, expected
from turnwatch.bench.faults.paging import (
    Episodes,
    all_came,
    expected_pages,
    is_of_objective,
    pages_besides,
    tally_pages,
)
from turnwatch.bench.faults.processes import Servers, Workers, hurried, until
from turnwatch.bench.faults.reckoning import Reckoning, landed_rows, tally_refusals, tally_tables, together
from turnwatch.bench.faults.report import View, draw, show_round
from turnwatch.bench.faults.schedule import (
    STORM_S_MIN,
    STORM_WINDOWS,
    WINDOWS,
    FrameFault,
    ProcessFault,
    Schedule,
    plan,
)
from turnwatch.bench.faults.sending import Disturbance, Producers, Sent, send_windows
from turnwatch.bench.faults.settling import (
    LogReader,
    corrupted_positions,
    published_alerts,
    refused_positions,
    settled,
)
from turnwatch.bench.faults.world import COLLECTORS_PER_REGION, WINDOW_MS, Told, World
from turnwatch.prepare import create_topics

ROUND_MS = WINDOWS * WINDOW_MS
BEHIND_NOW_MS = 120_000
"""Event time ends so long before the clock: nothing may come from the future."""
CALM_S = 6.0
"""How long the windows after the storm take."""
SETTLED_WITHIN_S = 150.0
NOTIFIED_WITHIN_S = 90.0
"""Alertmanager tells of a group's resolved alerts every 6 s here; a worker tells it again every 30 s."""
REDRAW_S = 0.5


class NoAlertmanager(BadInput):
    """Pages cannot be followed to their receiver without it."""


@dataclass(frozen=True, slots=True)
class Played:
    """A round as it was, for whoever reckons again."""

    reckoning: Reckoning
    told: list[Told]
    landed: Tables


@dataclass(slots=True)
class _Scene:
    """Everything that runs, and what is known so far."""

    kafka: KafkaAddress
    clickhouse: ClickHouseAddress
    workers: Workers
    servers: Servers
    world: World
    view: View
    reader: LogReader
    notifications: list[Notification] = field(default_factory=list)
    burns: list[pl.DataFrame] = field(default_factory=list)


def run_faults(rounds: int, seed: int | None, faults: int) -> int:
    """Prints what became of it; 0 only when every bad figure is 0."""
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    console = Console()
    console.print(f"{rounds} x {faults} faults; `--seed {seed}` draws this schedule again.", highlight=False)
    folder = Path(tempfile.mkdtemp(prefix="turnwatch-faults-"))
    reckoned: list[Reckoning] = []
    is_right = False
    try:
        asyncio.run(play(console, folder, rounds, seed, faults, lambda played: reckoned.append(played.reckoning)))
        is_right = together(reckoned).is_right
    finally:
        _tidy(console, folder, keeps_logs=not is_right)
    print(together(reckoned).line)
    return 0 if is_right else 1


async def play(
    console: Console,
    folder: Path,
    rounds: int,
    seed: int,
    faults: int,
    on_played: Callable[[Played], None],
    storm_s_min: float = STORM_S_MIN,
    collectors_per_region: int = COLLECTORS_PER_REGION,
) -> None:
    """Every round, one after the other in the same servers; ends what it started."""
    if find_alertmanager() is None:
        raise NoAlertmanager(f"{HOW_TO_GET_IT} Without it nobody can say whether a page was delivered.")
    async with _scene(console, folder, rounds, seed, collectors_per_region) as scene:
        for round_ in range(rounds):
            schedule = plan(faults, seed + round_, is_soak=rounds > 1, storm_s_min=storm_s_min)
            played = await _round(scene, round_, schedule, seed + round_)
            besides = pages_besides(scene.notifications)
            show_round(console, round_, played.reckoning, scene.view.sent, scene.workers.own_ends(), besides)
            on_played(played)


@asynccontextmanager
async def _scene(
    console: Console, folder: Path, rounds: int, seed: int, collectors_per_region: int
) -> AsyncIterator[_Scene]:
    async with WebhookReceiver() as webhook:
        with console.status("starting Kafka, ClickHouse and Alertmanager …"):
            routes = hurried(folder)
            stack = start_stack(folder, pager_url=webhook.url, alertmanager_configuration=routes)
        servers = Servers(stack, webhook.url, routes)
        workers = Workers(stack)
        try:
            kafka, clickhouse = KafkaAddress(stack.kafka.bootstrap), ClickHouseAddress(stack.clickhouse.url)
            with console.status("creating topics and tables, starting three workers …"):
                await create_topics(kafka, PARTITIONS_DEFAULT)
                await asyncio.to_thread(migrate, clickhouse)
            now_ms = int(time.time() * 1_000) - BEHIND_NOW_MS - rounds * ROUND_MS
            world = World(seed, now_ms // 60_000 * 60_000, collectors_per_region)
            view = View(console, rounds, workers, servers)
            scene = _Scene(kafka, clickhouse, workers, servers, world, view, LogReader(kafka))
            async with _beside([workers.supervise(), _follow(webhook, scene)]):
                await workers.until_one_is_ready()
                yield scene
        finally:
            workers.close()
            servers.close()
            stack.close()


async def _round(scene: _Scene, round_: int, schedule: Schedule, seed: int) -> Played:
    view = scene.view
    view.round_, view.schedule, view.sent = round_, schedule, Sent()
    view.struck.clear()
    notified_before = len(scene.notifications)
    with Live(draw(view), console=view.console, auto_refresh=False, transient=True) as live:
        async with _beside([_redraw(live, view)]):
            told = await _traffic(scene, round_, schedule, seed)
            view.doing = "waiting until everything is read"
            unread = await _settle(scene)
            tables = expected(told)
            pages = _expected_pages(scene, round_, tables)
            view.doing = "waiting for the pages"
            await _until_notified(pages, scene.notifications, notified_before)
            view.doing = "reckoning"
            from_ms = scene.world.start_ms + round_ * ROUND_MS
            landed = await asyncio.to_thread(landed_rows, scene.clickhouse, from_ms, from_ms + ROUND_MS)
            reckoning = Reckoning(
                faults=view.struck.total(),
                on_processes=len(schedule.processes),
                tables=tally_tables(tables, landed),
                refusals=tally_refusals(await corrupted_positions(scene.reader), await refused_positions(scene.reader)),
                pages=tally_pages(pages, scene.notifications[notified_before:], await published_alerts(scene.reader)),
                unread=unread,
            )
    return Played(reckoning, told, landed)


async def _traffic(scene: _Scene, round_: int, schedule: Schedule, seed: int) -> list[Told]:
    """A storm of traffic and faults together, then, when everything is read, calm traffic; all that was told."""
    view = scene.view

    def note(fault: FrameFault, frame: str) -> None:
        view.strike(fault.kind, frame)

    disturbance = Disturbance(random.Random(seed), schedule.frames, note, view.sent)
    async with Producers(scene.kafka, view.sent) as producers:

        def send(numbers: range, lasting_s: float) -> Coroutine[Any, Any, list[Told]]:
            return send_windows(scene.world, round_, numbers, producers, disturbance, lasting_s)

        view.doing = "traffic and faults"
        sending = asyncio.create_task(send(range(STORM_WINDOWS), schedule.storm_s))
        await _together([sending, *(asyncio.create_task(_strike(scene, fault)) for fault in schedule.processes)])
        view.doing = "waiting until the storm is read"
        await _settle(scene)
        view.doing = "calm traffic"
        return sending.result() + await send(range(STORM_WINDOWS, WINDOWS), CALM_S)


async def _together(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Returns when all have ended; where one fails, the others are not waited for."""
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _strike(scene: _Scene, fault: ProcessFault) -> None:
    await asyncio.sleep(fault.at_s)
    how = " by kill -9" if fault.is_hard else ""
    lasting = f", for {fault.lasts_s:.0f} s" if fault.lasts_s else ""
    scene.view.strike(fault.kind, fault.target)
    if how or lasting:
        scene.view.say(f"  {fault.target}{how}{lasting}")
    suffer = scene.workers.suffer if fault.target in scene.workers.all else scene.servers.suffer
    await suffer(fault)


async def _settle(scene: _Scene) -> dict[str, int]:
    """What nobody has read within the patience; nothing, when all is well."""
    left: dict[str, int] = {}

    def note(unread: dict[str, int]) -> None:
        left.clear()
        left.update(unread)
        scene.view.unread = unread

    await settled(scene.kafka, SETTLED_WITHIN_S, note)
    return left


def _expected_pages(scene: _Scene, round_: int, tables: Tables) -> Episodes:
    scene.burns.append(tables["burn_rate_10s"])
    return expected_pages(pl.concat(scene.burns), watched_slos(), scene.world.start_ms + round_ * ROUND_MS)


async def _until_notified(pages: Episodes, notifications: list[Notification], before: int) -> None:
    """Returns when every page has come and gone, or too late."""
    await until(lambda: all_came(pages, notifications[before:]), NOTIFIED_WITHIN_S)


async def _follow(webhook: WebhookReceiver, scene: _Scene) -> None:
    async for notification in webhook:
        scene.notifications.append(notification)
        of_pages = list(filter(is_of_objective, notification.alerts))
        scene.view.firing = sum(alert.status == "firing" for alert in of_pages)
        scene.view.resolved = sum(alert.status == "resolved" for alert in of_pages)
        if of_pages:
            incident = notification.group_labels.get("incident", "")
            scene.view.say(f"  paged: {incident}, {scene.view.firing} firing, {scene.view.resolved} resolved")


async def _redraw(live: Live, view: View) -> None:
    while True:
        live.update(draw(view), refresh=view.console.is_terminal)
        await asyncio.sleep(REDRAW_S)


@asynccontextmanager
async def _beside(coroutines: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Runs these beside the block and cancels them after it; where one fails, the block fails with it, at once."""
    block = asyncio.current_task()
    assert block is not None

    def fail(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception():
            block.cancel()

    tasks = [asyncio.create_task(each) for each in coroutines]
    for task in tasks:
        task.add_done_callback(fail)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        failed = [end for end in ends if isinstance(end, Exception)]
        if failed:
            block.uncancel()
            raise failed[0]


def _tidy(console: Console, folder: Path, keeps_logs: bool) -> None:
    """Removes the run's folder; after a bad end the logs stay, and it is said where."""
    if not keeps_logs or not any(folder.iterdir()):
        shutil.rmtree(folder, ignore_errors=True)
        return
    for inside in folder.iterdir():
        if inside.is_dir():
            shutil.rmtree(inside, ignore_errors=True)
    console.print(f"The logs of this run are in {folder}.", highlight=False)
