"""One plant for all tests of a module, and a seed that a failure prints."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from schemas.kafka import KafkaAddress
from schemas.topics import PARTITIONS_DEFAULT
from schemas.warehouse import ClickHouseAddress
from stack.local import start_stack
from stream_jobs.sinks.migrate import migrate
from tests.integration.plant import Plant
from tests.integration.runs import drawn_seed, say_seed
from turnwatch.prepare import create_topics
from turnwatch.surroundings import start_worker

BEGINS_BEFORE_NOW_MS = 6 * 3_600_000


@pytest.fixture
def seed() -> int:
    """Another world in every run; `TURNWATCH_SEED` brings one back."""
    seed = drawn_seed()
    say_seed(seed)
    return seed


@pytest.fixture(scope="module")
def partitions() -> int:
    """Of aggregates and partials. Each tells every shard how far it has come, so what a run costs grows with their square:
    a module whose claims need fewer says so.
    """
    return PARTITIONS_DEFAULT


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory, partitions: int) -> Iterator[Plant]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TURNWATCH_KAFKA__PARTITIONS", str(partitions))
        # A killed worker comes back under its own name, so that nobody waits for its session to end.
        environment.setenv("TURNWATCH_INSTANCE", "only-worker")
        stack = start_stack(tmp_path_factory.mktemp("plant"))
        try:
            asyncio.run(create_topics(KafkaAddress(stack.kafka.bootstrap), partitions))
            migrate(ClickHouseAddress(stack.clickhouse.url))
            worker, metrics_url = asyncio.run(start_worker(stack))
        except BaseException:
            stack.close()
            raise
        begins_ms = (int(time.time() * 1_000) - BEGINS_BEFORE_NOW_MS) // 60_000 * 60_000
        plant = Plant(stack, stack.clickhouse.running, worker, metrics_url, begins_ms)
        try:
            yield plant
        finally:
            plant.close()
