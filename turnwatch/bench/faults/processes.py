"""Real processes and what is done to them: three workers under a supervisor, and the servers of the local stack.

The supervisor does what a restart policy does: a worker that has ended, by our hand or by its own judgement, is started
anew, with growing pauses while it does not last. Servers come back on their port and in their folder. Everything has its
life tied to this process; servers and workers are therefore started on its main thread.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from alerts.routes_config import read_configuration
from stack.alertmanager import HOW_TO_GET_IT, Alertmanager, start_alertmanager
from stack.clickhouse import ClickHouseServer, start_clickhouse
from stack.failures import StackFailure
from stack.kafka import KafkaBroker, start_kafka
from stack.local import ALERTMANAGER_CONFIGURATION, LocalStack
from stack.machine import choose_ports
from stack.processes import Running, last_words, log_tail, reap, start
from turnwatch.bench.faults.schedule import (
    ALERTMANAGER,
    CLICKHOUSE,
    DYNAMIC_WORKER,
    KAFKA,
    STATIC_WORKERS,
    ProcessFault,
)
from turnwatch.surroundings import counters

WATCH_S = 0.1
PAUSE_FIRST_S, PAUSE_MAX_S = 0.2, 3.0
LASTED_S = 15.0
"""A worker that lived so long is started anew at once."""
READY_WITHIN_S = 90.0
STOP_GRACE_S = 20.0
SERVER_GRACE_S = 10.0
OPEN_AT_LEAST_S = 9.0
"""Longer than `GROUP_INTERVAL` of the round's Alertmanager, as a deployment's is longer than its own."""
GROUP_INTERVAL = "6s"
TICKETS = "tickets"
DEFECT = "this is a defect of turnwatch"
"""What a worker says last after a traceback (`turnwatch/sentences.py`)."""


@dataclass(slots=True)
class Worker:
    """A worker's place: who runs in it, and what became of those before."""

    name: str
    instance: str | None
    port: int
    folder: Path
    running: Running | None = None
    is_wanted: bool = True
    is_ours_to_end: bool = False
    state: str = "away"
    started_at: float = 0.0
    starts: int = 0
    pause_s: float = PAUSE_FIRST_S
    own_ends: list[str] = field(default_factory=list)
    """Why it ended when nobody had ended it, in its last words."""

    @property
    def metrics_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/metrics"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"


class Workers:
    """The supervisor of all workers."""

    def __init__(self, stack: LocalStack) -> None:
        assert stack.alertmanager is not None
        self._environment = {
            "TURNWATCH_KAFKA__BOOTSTRAP": stack.kafka.bootstrap,
            "TURNWATCH_CLICKHOUSE__URL": stack.clickhouse.url,
            "TURNWATCH_ALERTMANAGER__URLS": stack.alertmanager.url,
            "TURNWATCH_ALERTMANAGER__OPEN_AT_LEAST_S": str(OPEN_AT_LEAST_S),
            "TURNWATCH_CLOCK": "watermark",
        }
        names = (*STATIC_WORKERS, DYNAMIC_WORKER)
        ports = choose_ports((0,) * len(names))
        self.all = {
            name: Worker(name, None if name == DYNAMIC_WORKER else name, port, stack.run_dir)
            for name, port in zip(names, ports, strict=True)
        }

    async def supervise(self) -> None:
        """Starts every worker, and anew whenever one has ended, until cancelled."""
        while True:
            for worker in self.all.values():
                self._look_after(worker)
            await asyncio.sleep(WATCH_S)

    async def until_one_is_ready(self) -> None:
        """Returns once a worker works; the others join while traffic flows, as they do when one scales out."""
        deadline = time.monotonic() + READY_WITHIN_S
        workers = list(self.all.values())
        while not any([(await counters(worker.metrics_url)).get("turnwatch_worker_ready") for worker in workers]):
            if time.monotonic() > deadline:
                raise StackFailure(f"No worker did start; {workers[0].name} says: {last_words(workers[0].log)}")
            await asyncio.sleep(WATCH_S)

    async def suffer(self, fault: ProcessFault) -> None:
        """Does to a worker what the fault says; returns when that is over, not when the worker has recovered."""
        worker = self.all[fault.target]
        running = await self._present(worker)
        if fault.kind == "killed":
            worker.is_ours_to_end = True
            _signal(running, signal.SIGKILL)
        elif fault.kind == "frozen":
            await self._freeze(worker, running, fault.lasts_s)
        else:
            await self._leave_and_join(worker, running, fault.lasts_s)

    def own_ends(self) -> Counter[str]:
        """Why workers ended that nobody had ended, and how often."""
        return Counter(reason for worker in self.all.values() for reason in worker.own_ends)

    def close(self) -> None:
        """Ends all: asked together, so that they drain side by side."""
        for worker in self.all.values():
            worker.is_wanted = False
            if worker.running:
                _signal(worker.running, signal.SIGCONT)
                worker.running.request_end()
        for worker in self.all.values():
            if worker.running:
                worker.running.stop(STOP_GRACE_S)
                worker.running = None

    def _look_after(self, worker: Worker) -> None:
        if worker.running is not None and worker.running.process() is None:
            self._note_end(worker, worker.running)
        if worker.running is None and worker.is_wanted and time.monotonic() >= worker.started_at + worker.pause_s:
            self._start(worker)

    def _note_end(self, worker: Worker, ended: Running) -> None:
        reap(ended.pid)
        has_lasted = time.monotonic() - worker.started_at >= LASTED_S
        worker.pause_s = PAUSE_FIRST_S if has_lasted else min(2 * worker.pause_s, PAUSE_MAX_S)
        if not worker.is_ours_to_end:
            worker.own_ends.append(why_it_ended(worker.log))
        worker.running, worker.is_ours_to_end, worker.state = None, False, "away"

    def _start(self, worker: Worker) -> None:
        environment = self._environment | {
            "TURNWATCH_METRICS__PORT": str(worker.port),
            "TURNWATCH_INSTANCE": worker.instance or "",
            "TURNWATCH_RUN_DIR": str(worker.folder / worker.name),
        }
        command = [sys.executable, "-m", "turnwatch", "worker"]
        worker.running = start(worker.name, command, worker.log, "parent", environment)
        worker.started_at, worker.state = time.monotonic(), "runs"
        worker.starts += 1

    async def _present(self, worker: Worker) -> Running:
        """Its process; where it is just being started anew, as soon as there is one."""
        while True:
            if worker.running is not None and worker.running.process():
                return worker.running
            await asyncio.sleep(WATCH_S / 2)

    async def _freeze(self, worker: Worker, running: Running, lasts_s: float) -> None:
        _signal(running, signal.SIGSTOP)
        worker.state = "frozen"
        try:
            await asyncio.sleep(lasts_s)
        finally:
            _signal(running, signal.SIGCONT)
            worker.state = "thawed"

    async def _leave_and_join(self, worker: Worker, running: Running, away_s: float) -> None:
        """It drains, leaves the group, and another comes in its place: the group rebalances twice."""
        worker.is_wanted, worker.is_ours_to_end = False, True
        worker.state = "leaves"
        running.request_end()
        if not await until(lambda: running.process() is None, STOP_GRACE_S):
            _signal(running, signal.SIGKILL)
        await asyncio.sleep(away_s)
        worker.is_wanted = True


def hurried(run_dir: Path) -> Path:
    """The shipped routes, whose groups tell every few seconds: a round waits for the ends of its pages."""
    data = read_configuration(ALERTMANAGER_CONFIGURATION).data
    for route in (data["route"], *data["route"].get("routes", [])):
        if route.get("receiver") != TICKETS and "group_interval" in route:
            route["group_interval"] = GROUP_INTERVAL
    copy = run_dir / "alertmanager-hurried.yml"
    copy.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return copy


class Servers:
    """The servers of a stack, each of which can be ended and brought back where it was."""

    def __init__(self, stack: LocalStack, pager_url: str, alertmanager_configuration: Path) -> None:
        if stack.alertmanager is None:
            raise StackFailure(HOW_TO_GET_IT)
        self._stack, self._pager_url = stack, pager_url
        self._configuration = alertmanager_configuration
        self.running = {
            KAFKA: stack.kafka.running,
            CLICKHOUSE: stack.clickhouse.running,
            ALERTMANAGER: stack.alertmanager.running,
        }
        self.states = dict.fromkeys(self.running, "runs")
        self._begin: dict[str, Callable[[], KafkaBroker | ClickHouseServer | Alertmanager]] = {
            KAFKA: self._begin_kafka,
            CLICKHOUSE: lambda: start_clickhouse(stack.run_dir, stack.clickhouse.port),
            ALERTMANAGER: self._begin_alertmanager,
        }

    async def suffer(self, fault: ProcessFault) -> None:
        """Ends a server, leaves it away for a while, and returns when it answers again."""
        name = fault.target
        self.states[name] = "away"
        await asyncio.to_thread(end, self.running[name], fault.is_hard)
        await asyncio.sleep(fault.lasts_s)
        server = self._begin[name]()
        self.running[name] = server.running
        self.states[name] = "starts"
        await asyncio.to_thread(server.wait_until_healthy)
        self.states[name] = "runs"

    def close(self) -> None:
        """Ends those that are not the stack's own any more."""
        for running in self.running.values():
            running.request_end()
        for running in self.running.values():
            running.stop(SERVER_GRACE_S)

    def _begin_kafka(self) -> KafkaBroker:
        return start_kafka(self._stack.run_dir, int(self._stack.kafka.bootstrap.rpartition(":")[2]))

    def _begin_alertmanager(self) -> Alertmanager:
        assert self._stack.alertmanager is not None
        port = self._stack.alertmanager.port
        again = start_alertmanager(self._stack.run_dir, self._configuration, self._pager_url, port)
        if again is None:
            raise StackFailure(HOW_TO_GET_IT)
        return again


def end(running: Running, is_hard: bool) -> None:
    """Ends a server, by `kill -9` or politely, and returns when it has ended."""
    if is_hard:
        _signal(running, signal.SIGKILL)
    running.stop(SERVER_GRACE_S)


async def until(is_so: Callable[[], bool], within_s: float) -> bool:
    """Waits for a claim to hold; whether it came to."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if is_so():
            return True
        await asyncio.sleep(WATCH_S)
    return is_so()


def _signal(running: Running, number: signal.Signals) -> None:
    """Sends a signal to the process if it is still the one we know."""
    if running.process():
        try:
            os.kill(running.pid, number)
        except ProcessLookupError:
            return


def why_it_ended(log: Path) -> str:
    """Its last words without the file they stand in, so that equal ones count together; of a defect the exception."""
    lines = [line for line in log_tail(log).splitlines() if line.strip() and not line.startswith(" ")]
    if len(lines) > 1 and DEFECT in lines[-1]:
        return f"a defect: {lines[-2][:300]}"
    return last_words(log).partition(" (log: ")[0].strip("“”")
