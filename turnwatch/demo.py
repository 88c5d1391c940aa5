"""`turnwatch demo`: the whole flow on this machine, with an incident, and the page that arithmetic says it must cause.

Real servers, the shipped SLOs and policy unchanged, event time that runs faster than the clock. What is predicted from
the scenario's distributions is stated first; the demo succeeds when the page comes within one bucket of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

from aiokafka import AIOKafkaConsumer
from clickhouse_connect.driver.exceptions import ClickHouseError
from rich.console import Console
from rich.live import Live

from alerts.definitions import watched_slos
from alerts.webhook_receiver import WebhookReceiver
from dashboards.variables import OVERVIEW_UID
from producers.drive import Progress, WallClock
from producers.prediction import Prediction, predict_page
from producers.scenarios import Truth, canary
from producers.simulation import Plan, planned, simulate
from schemas.burns import AlertState
from schemas.failures import Foreseen
from schemas.kafka import KafkaAddress
from schemas.slos import Slo
from schemas.topics import ALERTS
from schemas.warehouse import ClickHouseAddress
from stack.alertmanager import HOW_TO_GET_IT
from stack.local import Ports
from stack.processes import Running, last_words
from stream_jobs.sinks.clickhouse import connect, explained
from turnwatch.board.process import open_in_browser, serving
from turnwatch.demo_view import View, draw, verdict
from turnwatch.places import DEMO
from turnwatch.surroundings import Surroundings, counters, surroundings

BUCKET_MS = 10_000
HEALTHY_S = 510
"""Long enough to know each stage as it is in good health before one of them grows; and the page is on no bucket's edge."""
SLOW_STAGE = "llm_first_token"
COLLECTORS_PER_REGION = 1
"""Of the scenario's two: the same turns in half as many frames, and a small machine keeps pace with them."""
MARGIN_S = 360
PAGE_WAIT_S = 180.0
STAGE_WAIT_S = 30.0
"""How long after the page its stage may become known. A shard that fires is told of every 10 s of event time, and of the stage with it."""
COUNTED_EVERY_S = 1.0
"""How often the worker is asked for its counters, which it takes time to write: it has more than a thousand."""
INDICATOR, POOL = "turn_4000ms", "realtime"


class DemoError(Foreseen):
    """The demo cannot go on; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What will happen, and what must follow from it."""

    plan: Plan
    slo: Slo
    truth: Truth
    predicted: Prediction


@dataclass(frozen=True, slots=True)
class Arrival:
    """Whether the page has come, and names the stage. Without Alertmanager the page itself is enough."""

    view: View
    is_page_enough: bool
    paged: asyncio.Event = field(default_factory=asyncio.Event)
    named: asyncio.Event = field(default_factory=asyncio.Event)

    def look(self) -> None:
        """After each thing that was learnt."""
        if self.view.the_page is not None and (self.is_page_enough or self.view.the_notification is not None):
            self.paged.set()
            if self.view.names_stage:
                self.named.set()


def run_demo(once: bool, seed: int, speed: float, ports: tuple[int | None, int | None, int | None]) -> int:
    return asyncio.run(_demo(Console(), once, seed, speed, Ports(*(port or 0 for port in ports))))


async def _demo(console: Console, once: bool, seed: int, speed: float, ports: Ports) -> int:
    async with WebhookReceiver() as webhook, surroundings(console, ports, webhook.url) as around:
        if around.stack.alertmanager is None:
            console.print(HOW_TO_GET_IT, "Until then the demo shows the page itself.", highlight=False)
        expected = _expected(seed, speed)
        async with _boards(console, once, expected, around.clickhouse) as boards:
            return await _watch(console, once, expected, around, webhook, boards)


@asynccontextmanager
async def _boards(
    console: Console, once: bool, expected: Expected, clickhouse: ClickHouseAddress
) -> AsyncIterator[str]:
    """Serves the boards for who watches, and opens them where there is a terminal; their address, nothing with `once`."""
    if once:
        yield ""
        return
    async with serving(clickhouse, "127.0.0.1", 0) as url:
        plan, overview = expected.plan, f"{url}/d/{OVERVIEW_UID}"
        view = View(expected.slo, expected.truth, expected.predicted, plan.start_ms, plan.speed, boards=overview)
        link = view.board_at(plan.start_ms + plan.duration_ms, {})
        console.print(f"The boards of this demo: {link}", highlight=False, soft_wrap=True)
        if console.is_terminal:
            await asyncio.to_thread(open_in_browser, link)
        yield overview


def _expected(seed: int, speed: float) -> Expected:
    """The scenario from now on, and the first page that the shipped policy must send for it."""
    scenario = canary(healthy_s=HEALTHY_S, slow_stage=SLOW_STAGE)
    regions = tuple(replace(region, collectors=COLLECTORS_PER_REGION) for region in scenario.regions)
    scenario = replace(scenario, regions=regions)
    watched = next(each for each in watched_slos() if (each.slo.indicator.name, each.slo.pool) == (INDICATOR, POOL))
    duration_s = 3_600
    for is_last in (False, True):  # The day curve depends a little on the start, and the start on the length.
        plan = planned(scenario, seed, speed, duration_s, WallClock().now_ms())
        truth = plan.truth
        predicted = predict_page(truth, watched.rows, plan.start_ms + 6 * 3_600_000) if truth else None
        if truth is None or predicted is None:
            break
        if is_last:
            return Expected(plan, watched.slo, truth, predicted)
        duration_s = (predicted.page_ms - plan.start_ms) // 1_000 + MARGIN_S
    raise DemoError("The scenario causes no page under the shipped policy; was a policy or an SLO file changed?")


async def _watch(
    console: Console, once: bool, expected: Expected, at: Surroundings, webhook: WebhookReceiver, boards: str
) -> int:
    """Drives traffic and shows what becomes of it, until the page has come (once) or the user has seen enough."""
    plan = expected.plan
    view = View(expected.slo, expected.truth, expected.predicted, plan.start_ms, plan.speed, boards=boards)
    arrival = Arrival(view, is_page_enough=at.stack.alertmanager is None)
    with Live(draw(view), console=console, refresh_per_second=4, transient=False) as live:
        tasks = [
            asyncio.create_task(task)
            for task in (
                _drive(plan, at.kafka, view),
                _follow_alerts(at.kafka, arrival),
                _follow_notifications(webhook, arrival),
                _follow_worker(at.metrics_url, at.worker, view),
                _follow_burn(at.clickhouse, view),
                _redraw(live, view),
            )
        ]
        try:
            await _until_paged(tasks, arrival.paged, view)
            await _until_named(arrival.named)
            if not once:
                await _until_interrupted(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            live.update(draw(view))
    sentence, is_right = verdict(view, BUCKET_MS)
    console.print(sentence)
    return 0 if is_right else 1


async def _until_paged(tasks: list[asyncio.Task[None]], paged: asyncio.Event, view: View) -> None:
    """Returns when the page has come; raises when a part has failed, or when nothing has moved for so long that none will come.

    A machine that is busy takes longer: as long as frames are produced and consumed, the page may be on its way.
    """
    waiting = asyncio.create_task(paged.wait())
    moved, moved_at = view.frames, time.monotonic()
    pending = {waiting, *tasks}
    while not waiting.done():
        done, pending = await asyncio.wait(pending, timeout=1, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {waiting}:
            task.result()
        if view.frames != moved:
            moved, moved_at = view.frames, time.monotonic()
        if time.monotonic() > moved_at + PAGE_WAIT_S and not waiting.done():
            waiting.cancel()
            raise DemoError(
                f"No page came, and for {PAGE_WAIT_S:.0f} s no frame was produced or consumed; the worker's log says why: "
                f"{DEMO}/worker.log in the run folder."
            )


async def _until_named(named: asyncio.Event) -> None:
    """Waits a while for the stage: at this speed a busy worker may know of a burn some event time before it knows of the stage."""
    with suppress(TimeoutError):
        await asyncio.wait_for(named.wait(), STAGE_WAIT_S)


async def _until_interrupted(tasks: list[asyncio.Task[None]]) -> None:
    """Shows on until Ctrl-C."""
    try:
        for task in asyncio.as_completed(tasks):
            await task
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return


async def _drive(plan: Plan, kafka: KafkaAddress, view: View) -> None:
    def note(progress: Progress) -> None:
        view.produced = progress

    await simulate(plan, kafka, note)


async def _follow_alerts(kafka: KafkaAddress, arrival: Arrival) -> None:
    """The compacted topic says what fires and since when in event time; without Alertmanager it is the page itself."""
    consumer = AIOKafkaConsumer(ALERTS, auto_offset_reset="earliest", **kafka.aiokafka_options())
    await consumer.start()
    try:
        async for record in consumer:
            if record.value is None:
                continue  # It ended long ago.
            alert = AlertState.model_validate_json(record.value)
            arrival.view.alerts[alert.alert] = alert
            arrival.look()
    finally:
        await consumer.stop()


async def _follow_notifications(webhook: WebhookReceiver, arrival: Arrival) -> None:
    async for notification in webhook:
        for alert in notification.alerts:
            if "slo" not in alert.labels:
                continue  # A page about telemetry, and not about an objective.
            arrival.view.notified[alert.labels["slo"], alert.labels["slice"], alert.labels["severity"]] = alert
        arrival.look()


async def _follow_worker(url: str, worker: Running, view: View) -> None:
    while True:
        view.counters = await counters(url) or view.counters  # Of one that is gone, the last that are known.
        if worker.process() is None:
            raise DemoError(f"The worker ended: {last_words(worker.log)}")
        await asyncio.sleep(COUNTED_EVERY_S)


async def _follow_burn(clickhouse: ClickHouseAddress, view: View) -> None:
    """The newest burn per window, as an analyst would ask for it."""
    client = await asyncio.to_thread(connect, clickhouse)
    sql = """
        SELECT slice, window, burn, budget_left FROM burn_windows FINAL
        WHERE slo = {slo:String} AND slice IN {slices:Array(String)}
        ORDER BY decided_at DESC, window_s LIMIT 1 BY slice, window
    """
    while True:
        asked = {"slo": view.slo.name, "slices": [view.truth.slice, f"pool={view.slo.pool}"]}
        try:
            rows = (await asyncio.to_thread(client.query, sql, asked)).result_rows
        except (ClickHouseError, OSError) as error:
            raise DemoError(str(explained(error, clickhouse))) from None
        view.burns = {(piece, window): (burn, left) for piece, window, burn, left in rows}
        await asyncio.sleep(1)


async def _redraw(live: Live, view: View) -> None:
    while True:
        live.update(draw(view))
        await asyncio.sleep(0.25)
