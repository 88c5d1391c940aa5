"""Workers come, go, freeze and die while traffic flows, the broker restarts, a disk is lost: every rollup stays exact.

One run goes through all of it, on real Kafka with real worker processes. Each claim about it is then a test of its own;
most are named after the defect of Faust that would break it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl
import pytest
from aiokafka import AIOKafkaConsumer

from producers.simulation import Plan
from schemas.kafka import KafkaAddress
from schemas.topics import PARTITIONS_DEFAULT, changelog
from schemas.warehouse import ClickHouseAddress
from stack.kafka import start_kafka
from stack.local import LocalStack, start_stack
from stack.processes import Running
from stream_jobs.agents.application import SESSION_TIMEOUT_S
from stream_jobs.sinks.migrate import migrate
from tests.integration.conftest import BEGINS_BEFORE_NOW_MS
from tests.integration.oracle import differences
from tests.integration.plant import FLOW, POLL_S, SETTLED_WITHIN_S, Plant, _offsets, small_fleet
from tests.integration.runs import happened, send, wanted
from turnwatch.prepare import create_topics
from turnwatch.surroundings import start_worker

NAMES = ("worker-1", "worker-2", "worker-3")
MINUTES, SPEED = 5, 4.0
COLLECTORS = {"eu-west-1": 2, "ap-south-1": 2}
"""One for each source partition, so that whoever dies had open buckets."""

ENDS_ITSELF_WITHIN_S = 60.0


@dataclass(slots=True)
class Workers:
    """Worker processes by their stable names."""

    stack: LocalStack
    running: dict[str, Running] = field(default_factory=dict)
    metrics: dict[str, str] = field(default_factory=dict)

    async def start(self, name: str) -> None:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("TURNWATCH_INSTANCE", name)
            self.running[name], self.metrics[name] = await start_worker(self.stack)

    async def kill(self, name: str) -> None:
        """`kill -9`, and a supervisor starts it anew."""
        self.signal(name, signal.SIGKILL)
        self.running[name].stop()
        await self.start(name)

    def signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self.running[name].pid, number)

    async def ended(self, name: str) -> bool:
        deadline = time.monotonic() + ENDS_ITSELF_WITHIN_S
        while self.running[name].process() and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
        return self.running[name].process() is None

    async def leave(self, name: str) -> None:
        await asyncio.to_thread(self.running.pop(name).stop, 45.0)

    def close(self) -> None:
        for running in self.running.values():
            if running.process():
                os.kill(running.pid, signal.SIGCONT)
            running.stop()


@dataclass(frozen=True, slots=True)
class Survived:
    """What a run through everything left behind."""

    wanted: dict[str, pl.DataFrame]
    found: dict[str, pl.DataFrame]
    zombie_ended_itself: bool
    stale_buckets: Counter[str]
    uncommitted: int

    def wrong(self, table: str) -> list[str]:
        return differences({table: self.wanted[table]}, self.found)


@pytest.fixture(scope="module")
def survived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Survived]:
    stack = start_stack(tmp_path_factory.mktemp("membership"))
    workers = Workers(stack)
    try:
        yield asyncio.run(_live_through(stack, workers))
    finally:
        workers.close()
        stack.close()


async def _live_through(stack: LocalStack, workers: Workers) -> Survived:
    await create_topics(KafkaAddress(stack.kafka.bootstrap), PARTITIONS_DEFAULT)
    await asyncio.to_thread(migrate, ClickHouseAddress(stack.clickhouse.url))
    await workers.start(NAMES[0])
    begins_ms = (int(time.time() * 1_000) - BEGINS_BEFORE_NOW_MS) // 60_000 * 60_000
    first = workers.running[NAMES[0]]
    plant = Plant(stack, stack.clickhouse.running, first, workers.metrics[NAMES[0]], begins_ms)
    plan = plant.plan(7, MINUTES, SPEED, small_fleet(COLLECTORS))
    sending = asyncio.create_task(send(plant, plan))
    await _scale_out(workers)
    zombie_ended_itself = await _freeze(workers)
    await _restart_broker(stack, workers)
    await _scale_in(workers)
    await sending
    await plant.settled()
    world = happened(plan)
    rows = wanted(plan)
    found = plant.found(rows, world.start_ms, world.end_ms)
    uncommitted = await _uncommitted(plant)
    return Survived(rows, found, zombie_ended_itself, await _stale_buckets(plant, plan), uncommitted)


async def _scale_out(workers: Workers) -> None:
    """From one to three, with a death on the way."""
    await workers.start(NAMES[1])
    await workers.kill(NAMES[0])
    await workers.start(NAMES[2])


async def _freeze(workers: Workers) -> bool:
    """One stands still for longer than its session, wakes up as a zombie, and is started anew; meanwhile one loses its disk."""
    workers.signal(NAMES[2], signal.SIGSTOP)
    over = asyncio.create_task(asyncio.sleep(SESSION_TIMEOUT_S + 3))  # The fault itself: longer than the session.
    shutil.rmtree(workers.stack.run_dir / "faust", ignore_errors=True)
    await workers.kill(NAMES[1])
    await over
    workers.signal(NAMES[2], signal.SIGCONT)
    has_ended = await workers.ended(NAMES[2])
    workers.running[NAMES[2]].stop()
    await workers.start(NAMES[2])
    return has_ended


async def _restart_broker(stack: LocalStack, workers: Workers) -> None:
    """Whoever does not outlive it is started anew, as a supervisor would."""
    port = int(stack.kafka.bootstrap.rpartition(":")[2])
    await asyncio.to_thread(stack.kafka.running.stop)
    broker = start_kafka(stack.run_dir, port)
    workers.running["broker"] = broker.running
    await asyncio.to_thread(broker.wait_until_healthy)
    for name in NAMES:
        if workers.running[name].process() is None:
            workers.running[name].stop()
            await workers.start(name)


async def _scale_in(workers: Workers) -> None:
    """Back to one, with a death on the way."""
    await workers.leave(NAMES[2])
    await workers.kill(NAMES[0])
    await workers.leave(NAMES[1])


async def _uncommitted(plant: Plant) -> int:
    """How much stays unread. Who takes over tells again, which is read again: right after the last one has left, too."""
    deadline = time.monotonic() + SETTLED_WITHIN_S
    async with _offsets(plant.kafka) as unread:
        while (left := sum([await unread(group, topics) for group, topics in FLOW])) and time.monotonic() < deadline:
            await asyncio.sleep(POLL_S)
    return left


async def _stale_buckets(plant: Plant, plan: Plan) -> Counter[str]:
    """Open buckets of turns that are still in intake's changelog although their lateness was over long ago, by key."""
    consumer = AIOKafkaConsumer(changelog("intake"), auto_offset_reset="earliest", **plant.kafka.aiokafka_options())
    await consumer.start()
    stored: dict[tuple[int, bytes], bytes | None] = {}
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(each) < end for each, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                stored |= {(record.partition, record.key): record.value for record in records}
    finally:
        await consumer.stop()
    long_over_ms = plan.start_ms + (MINUTES - 4) * 60_000
    keys = [key.decode() for (_, key), value in stored.items() if value is not None and b"|totals|" in key]
    return Counter(key for key in keys if key.startswith("turns|") and int(key.split("|")[3]) < long_over_ms)


def test_every_rollup_equals_the_batch_after_everything(survived: Survived) -> None:
    assert differences(survived.wanted, survived.found) == []
    assert all(len(rows) for rows in survived.found.values())


def test_nothing_is_doubled_after_a_scale_out(survived: Survived) -> None:
    """Faust's windowed counts are, when a partition moves with its offset uncommitted."""
    for table in ("traffic_10s", "traffic_1m"):
        turns = [int(rows[table]["turns"].sum()) for rows in (survived.found, survived.wanted)]
        assert turns[0] <= turns[1], f"{table} counts turns twice"
        assert survived.wrong(table) == []


def test_no_window_is_lost_when_a_worker_dies(survived: Survived) -> None:
    """Faust's tables lose what was not yet in the changelog, or come back without their newest windows."""
    for table in ("burn_rate_10s", "burn_rate_1m"):
        assert (
            survived.found[table]["bucket_start_ms"].n_unique() == survived.wanted[table]["bucket_start_ms"].n_unique()
        )
        assert survived.wrong(table) == []


def test_windows_expire_after_recovery(survived: Survived) -> None:
    """Faust forgets which windows to expire when it recovers; ours leave the changelog all the same."""
    assert not survived.stale_buckets


def test_offsets_are_committed_after_many_rebalances(survived: Survived) -> None:
    """Faust stops committing after two."""
    assert survived.uncommitted == 0


def test_a_worker_that_woke_after_its_session_ended_itself(survived: Survived) -> None:
    assert survived.zombie_ended_itself
