"""A stack and a worker for the length of one command: the demo, and a replay when no stack runs.

Everything is fresh, and ends with the command, even by `kill -9`: servers and worker have their lives tied to it.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import aiohttp
from rich.console import Console

from schemas.kafka import KafkaAddress
from schemas.topics import PARTITIONS_DEFAULT
from schemas.warehouse import ClickHouseAddress
from stack.failures import StackFailure
from stack.local import LocalStack, Ports, addresses, start_stack
from stack.machine import choose_ports
from stack.processes import Running, last_words, start
from stream_jobs.sinks.migrate import migrate
from turnwatch.places import DEMO
from turnwatch.prepare import create_topics
from turnwatch.settings import load

WORKER_START_S = 60.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What runs: servers, worker, and where the worker shows its counters."""

    stack: LocalStack
    kafka: KafkaAddress
    clickhouse: ClickHouseAddress
    worker: Running
    metrics_url: str


@asynccontextmanager
async def surroundings(
    console: Console, ports: Ports | None = None, pager_url: str | None = None, run_dir: Path | None = None
) -> AsyncIterator[Surroundings]:
    """A fresh stack with topics, tables and a worker whose event time follows the producers."""
    run_dir = run_dir or load().run_dir.absolute() / DEMO
    with console.status("starting Kafka, ClickHouse and Alertmanager …"):
        stack = _fresh_stack(run_dir, ports, pager_url)
    with stack:
        with console.status("creating topics and tables, starting the worker …"):
            kafka, clickhouse = KafkaAddress(stack.kafka.bootstrap), ClickHouseAddress(stack.clickhouse.url)
            await create_topics(kafka, PARTITIONS_DEFAULT)
            await asyncio.to_thread(migrate, clickhouse)
            worker, metrics_url = await start_worker(stack)
        try:
            yield Surroundings(stack, kafka, clickhouse, worker, metrics_url)
        finally:
            worker.stop()


def _fresh_stack(run_dir: Path, ports: Ports | None, pager_url: str | None) -> LocalStack:
    """A stack without a past: what an earlier run left is removed, unless one runs there still."""
    if not addresses(run_dir):
        shutil.rmtree(run_dir, ignore_errors=True)
    return start_stack(run_dir, ports, pager_url=pager_url)


async def start_worker(
    stack: LocalStack,
    arguments: Sequence[str] = ("-m", "turnwatch", "worker"),
    clock: Literal["wall", "watermark"] = "watermark",
) -> tuple[Running, str]:
    """The worker as anybody runs it, but for its clock, which follows the producers unless they send in real time.

    Its process, and where its counters are.
    """
    (port,) = choose_ports((0,))
    environment = {
        "TURNWATCH_KAFKA__BOOTSTRAP": stack.kafka.bootstrap,
        "TURNWATCH_CLICKHOUSE__URL": stack.clickhouse.url,
        "TURNWATCH_ALERTMANAGER__URLS": stack.alertmanager.url if stack.alertmanager else "",
        "TURNWATCH_METRICS__PORT": str(port),
        "TURNWATCH_CLOCK": clock,
        "TURNWATCH_RUN_DIR": str(stack.run_dir),
    }
    command = [sys.executable, *arguments]
    worker = start("worker", command, stack.run_dir / "worker.log", "parent", environment)
    deadline = time.monotonic() + WORKER_START_S
    url = f"http://127.0.0.1:{port}/metrics"
    while not (await counters(url)).get("turnwatch_worker_ready"):
        if worker.process() is None or time.monotonic() > deadline:
            worker.stop()
            raise StackFailure(f"The worker did not start: {last_words(worker.log)}")
        await asyncio.sleep(0.2)
    return worker, url


async def counters(url: str) -> dict[str, float]:
    """Every counter and gauge of a worker, summed over its labels; none while it does not answer."""
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, timeout=aiohttp.ClientTimeout(total=2)) as answer,
        ):
            text = await answer.text()
    except (aiohttp.ClientError, OSError, TimeoutError):
        return {}
    return summed(text)


def summed(text: str) -> dict[str, float]:
    """Every sample of Prometheus' text format, without timestamps, summed over its labels.

    Labels are passed over unread: to read them takes many times as long.

    >>> summed('# TYPE frames_total counter\\nframes_total{family="turns"} 3.0\\nframes_total{family="a } b"} 4.0\\nready 1.0')
    {'frames_total': 7.0, 'ready': 1.0}
    """
    sums: dict[str, float] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            labelled, value = line.rsplit(" ", 1)
            name = labelled.partition("{")[0]
            sums[name] = sums.get(name, 0.0) + float(value)
    return sums
