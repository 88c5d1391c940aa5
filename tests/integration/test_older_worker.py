"""A worker that meets state of a newer version ends with a sentence, on a real Kafka: it never starts without that state.

Faust alone would recover for ever, or own partitions and do nothing.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiokafka import AIOKafkaProducer

from schemas.kafka import KafkaAddress
from schemas.topics import changelog
from stream_jobs.operators.totals.blocks import STATE_FORMAT, stamped
from tests.faults.test_surprises import ALERT, NEW_SENTENCE, UNKNOWN, alert
from tests.integration.commands import begun
from tests.stack_fixtures import PARTITIONS

ENDS_WITHIN_S = 60.0
NEWER = bytes([STATE_FORMAT + 1]) + stamped(7, b"{}")[1:]
INCIDENTS, INTAKE = changelog("incidents"), changelog("intake")


async def last_words(kafka: KafkaAddress, folder: Path) -> tuple[int, str]:
    """The exit code of a worker, and what it said."""
    folder.mkdir()
    worker = begun(
        folder, "worker", "--sink", "without",
        TURNWATCH_KAFKA__BOOTSTRAP=kafka.bootstrap, TURNWATCH_KAFKA__PARTITIONS=str(PARTITIONS),
        TURNWATCH_CLICKHOUSE__URL="http://default@127.0.0.1:1/turnwatch", TURNWATCH_INSTANCE="older-worker",
    )  # fmt: skip
    try:
        code = await asyncio.to_thread(worker.wait, ENDS_WITHIN_S)
    finally:
        worker.kill()
        worker.wait()
    return code, (folder / "output.txt").read_text(encoding="utf-8")


async def test_a_worker_that_meets_newer_state_ends_with_a_sentence(kafka: KafkaAddress, tmp_path: Path) -> None:
    key = ALERT.alert.encode()
    async with AIOKafkaProducer(**kafka.aiokafka_options()) as producer:
        await producer.send_and_wait(INCIDENTS, alert(state="hushed"), key=key, partition=0)
        code, said = await last_words(kafka, tmp_path / "once")
        assert (code, said.count(UNKNOWN)) == (1, 1), said
        assert f"turnwatch: {INCIDENTS}[0], block of kind alert: " in said
        assert "Traceback" not in said and "never retrieved" not in said

        await producer.send_and_wait(INCIDENTS, None, key=key, partition=0)
        for _ in range(2):
            await producer.send_and_wait(INTAKE, NEWER, key=b"turns|marker", partition=1)
        code, said = await last_words(kafka, tmp_path / "twice")
    assert (code, said.count(NEW_SENTENCE)) == (1, 1), said
    assert f"turnwatch: {INTAKE}[1], block of kind marker: " in said
    assert "Traceback" not in said and "Error in recovery" not in said
