"""`turnwatch replay` and `turnwatch simulate`: traffic into a running stack, or into one that lives as long as the command."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from producers import replay as replays
from producers import simulation
from producers.drive import OnProgress, WallClock
from producers.drive import Progress as Sent
from producers.fleet.choice import chosen, listed, minutes_of
from producers.traces import read_trace
from schemas.counted import counted
from schemas.failures import BadInput
from schemas.families import FAMILIES
from schemas.kafka import KafkaAddress
from schemas.warehouse import ClickHouseAddress
from stream_jobs.sinks.clickhouse import connect
from turnwatch.places import kafka
from turnwatch.settings import NothingKnown, load
from turnwatch.surroundings import surroundings

ENDLESS_MINUTES = 30 * 24 * 60
LANDING_S = 120.0

Send = Callable[[KafkaAddress, OnProgress], Awaitable[Sent]]


def run_replay(trace: Path, speed: float, seed: int) -> int:
    read_trace(trace)  # A trace that cannot be read is told before anything starts.

    async def send(kafka: KafkaAddress, on_progress: OnProgress) -> Sent:
        return await replays.replay(trace, speed, seed, kafka, on_progress)

    return asyncio.run(_send(send, f"replaying {trace.name}"))


def run_simulation(
    name: str, minutes: float | None, speed: float, seed: int, truth: Path | None = None, aggregates: bool = False
) -> int:
    scenario = chosen(name)
    if aggregates:
        simulation.drawable(scenario)  # What cannot be drawn is told before anything starts.
    simulate = simulation.simulate_aggregates if aggregates else simulation.simulate
    duration_s = round((minutes or minutes_of(scenario) or ENDLESS_MINUTES) * 60)

    async def send(kafka: KafkaAddress, on_progress: OnProgress) -> Sent:
        plan = simulation.planned(scenario, seed, speed, duration_s, WallClock().now_ms())
        if truth is not None:
            _write_truth(truth, plan)
        return await simulate(plan, kafka, on_progress)

    return asyncio.run(_send(send, f"simulating {scenario.name}"))


def list_scenarios(output: str) -> int:
    """Prints every shipped scenario with its length and its sentence."""
    found = listed()
    if output == "json":
        print(json.dumps([asdict(each) for each in found], indent=2))
        return 0
    width = max(len(each.name) for each in found)
    for each in found:
        length = "endless" if each.minutes is None else f"{each.minutes:g} min"
        print(f"{each.name:<{width}}  {length:>9}  {each.sentence}")
    return 0


def _write_truth(path: Path, plan: simulation.Plan) -> None:
    """Before anything is sent: the truth does not depend on what is seen."""
    try:
        path.write_text(json.dumps(plan.told_truth(), indent=2) + "\n")
    except OSError as error:
        raise BadInput(f"{path}: the truth could not be written there ({error.strerror}).") from None


async def _send(send: Send, title: str) -> int:
    console = Console()
    try:
        known = kafka(load())
    except NothingKnown:
        async with surroundings(console) as around:
            sent = await _with_progress(console, send, around.kafka, title)
            tell_unfinished(console, sent)
            return await _landed(console, around.clickhouse, sent.turns)
    sent = await _with_progress(console, send, known, title)
    console.print(
        f"Sent {counted(sent.turns, 'turn')} in {counted(sum(sent.frames.values()), 'frame')} to {known.bootstrap}."
    )
    tell_unfinished(console, sent)
    return 0


def tell_unfinished(console: Console, sent: Sent) -> None:
    """Nothing that was made is left out without a word."""
    left = {family: count for family, count in sorted(sent.unfinished.items()) if count}
    if not left:
        return
    minutes = {family: FAMILIES[family].partitions[0].k_window_s / 60 for family in left}
    told = [
        f"{counted(count, 'observation')} of {family} (by {minutes[family]:g} min)" for family, count in left.items()
    ]
    console.print(
        f"Not sent, for it ended before their windows did: {', '.join(told)}. Windows end by the clock, in event time: "
        f"{2 * max(minutes.values()):g} min hold a whole one of each."
    )


async def _with_progress(console: Console, send: Send, kafka: KafkaAddress, title: str) -> Sent:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=None)

        def note(sent: Sent) -> None:
            reached = time.strftime("%H:%M:%S", time.gmtime(sent.event_ms / 1_000))
            frames = counted(sum(sent.frames.values()), "frame")
            told = f"{counted(sent.turns, 'turn')}, {frames}, {counted(sent.rows, 'row')}, event time {reached} UTC"
            bar.update(task, description=f"{title}: {told}")

        return await send(kafka, note)


async def _landed(console: Console, clickhouse: ClickHouseAddress, sent_turns: int) -> int:
    """Waits until as many turns are in ClickHouse as were sent; 1 if that does not come."""
    client = await asyncio.to_thread(connect, clickhouse)
    deadline = time.monotonic() + LANDING_S
    landed = 0
    with console.status("waiting for the rows to land …"):
        while time.monotonic() < deadline and landed != sent_turns:
            sql = "SELECT sum(turns) FROM traffic_1m FINAL WHERE cut = 'pool'"
            landed = int((await asyncio.to_thread(client.query, sql)).result_rows[0][0])
            await asyncio.sleep(0.5)
    console.print(
        f"{counted(sent_turns, 'turn')} sent, {counted(landed, 'turn')} in ClickHouse: {'equal' if landed == sent_turns else 'NOT equal'}."
    )
    return 0 if landed == sent_turns else 1
