"""Objectives on their way to ClickHouse: a worker tells at its start by what it judges, so that budgets can be reckoned."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.metrics import WorkerMetrics
from schemas.objectives import rows
from schemas.rollups import encode
from schemas.slos import Slo
from schemas.topics import ROLLUPS
from stream_jobs.agents.worker import Companion

PAUSE_S = 1.0

log = logging.getLogger("turnwatch.objectives")


def telling(producer: AIOKafkaProducer, slos: Sequence[Slo], metrics: WorkerMetrics) -> Companion:
    """A companion that sends the objectives' rows until Kafka has them, and then waits for the worker's end."""

    async def tell(stopping: asyncio.Event) -> None:
        table = rows(slos, int(time.time() * 1_000))
        headers, payload = encode("objectives", table)
        while table.num_rows and not stopping.is_set():
            try:
                await producer.send_and_wait(ROLLUPS, payload, headers=headers, partition=0)
            except KafkaError as error:
                log.info("objectives_untold: Kafka did not take them (%s); trying again.", type(error).__name__)
                await asyncio.sleep(PAUSE_S)
            else:
                metrics.rollup_rows_sent.labels("objectives").inc(table.num_rows)
                break
        await stopping.wait()

    return tell
