"""The sink between a real Kafka and a real ClickHouse: rows are late at worst, never lost, and never counted twice."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from schemas.kafka import KafkaAddress
from schemas.warehouse import ClickHouseAddress
from stack.clickhouse import start_clickhouse
from stream_jobs.sinks.migrate import migrate
from stream_jobs.sinks.rollups import SinkSettings
from tests.warehouse.rows import expected, final_rows, rows_of
from tests.warehouse.sinks import PARTITIONS, TABLE, Send, Start, committed_all, offsets


async def test_rows_land_and_offsets_follow(
    kafka: KafkaAddress, settings: SinkSettings, address: ClickHouseAddress, start: Start, send: Send
) -> None:
    rows = rows_of(TABLE, seed=1, count=200)
    sink = start(address)
    count = await send(rows)
    await sink.until(lambda: sink.counted("rollup_rows_landed_total") == count)
    await sink.end()
    assert final_rows(address, TABLE.name) == expected(TABLE, rows)
    sent, committed = await offsets(kafka, settings)
    assert committed == sent


async def test_what_is_read_again_changes_nothing(
    kafka: KafkaAddress, settings: SinkSettings, address: ClickHouseAddress, start: Start, send: Send
) -> None:
    """A crash between landing and committing: the next sink starts from the beginning and lands everything once more."""
    rows = rows_of(TABLE, seed=2, count=100)
    count = await send(rows)
    first = start(address)
    await first.until(lambda: first.counted("rollup_rows_landed_total") == count)
    await first.end()
    await _rewind(kafka, settings)
    second = start(address)
    await second.until(lambda: second.counted("rollup_rows_landed_total") == count)
    assert final_rows(address, TABLE.name) == expected(TABLE, rows)


async def test_two_sinks_share_the_work_and_one_that_leaves_loses_nothing(
    address: ClickHouseAddress, start: Start, send: Send
) -> None:
    rows = rows_of(TABLE, seed=3, count=300)
    first, second = start(address), start(address)
    half = await send(rows[:150])
    await first.until(
        lambda: first.counted("rollup_rows_landed_total") + second.counted("rollup_rows_landed_total") >= half
    )
    await first.end()
    last = rows_of(TABLE, seed=4, count=100)
    await send([*rows[150:], *last])
    landed_by_first = first.counted("rollup_rows_landed_total")
    await second.until(
        lambda: (
            landed_by_first + second.counted("rollup_rows_landed_total") >= len(rows) + len(last)
            and final_rows(address, TABLE.name) == expected(TABLE, [*rows, *last])
        )
    )
    assert second.counted("rollup_rows_landed_total") >= len(last), "what came when it was alone"


async def test_an_outage_of_clickhouse_delays_rows_and_loses_none(
    kafka: KafkaAddress,
    settings: SinkSettings,
    start: Start,
    send: Send,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = start_clickhouse(tmp_path)
    server.wait_until_healthy()
    address = ClickHouseAddress(f"{server.url}/outage")
    migrate(address)
    rows = rows_of(TABLE, seed=5, count=200)
    sink = start(address)
    before = await send(rows[:60])
    await sink.until(lambda: sink.counted("rollup_rows_landed_total") == before)
    landed_messages = await committed_all(kafka, settings)
    server.stop()
    with caplog.at_level(logging.INFO, "turnwatch.sink"):
        await send(rows[60:])
        await sink.until(lambda: sink.counted("sink_retries_total") >= 3)
        sent, committed = await offsets(kafka, settings)
        assert committed == landed_messages < sent, "nothing is committed that has not landed"
        server = start_clickhouse(tmp_path, port=server.port)
        try:
            server.wait_until_healthy()
            await sink.until(lambda: sink.counted("rollup_rows_landed_total") == len(rows))
            assert final_rows(address, TABLE.name) == expected(TABLE, rows)
            await sink.end()
        finally:
            server.stop()
    events = [record.getMessage().partition(":")[0] for record in caplog.records if record.name == "turnwatch.sink"]
    assert events.count("warehouse_regained") == 1
    assert await offsets(kafka, settings) == (sent, sent)


async def test_a_database_without_tables_is_waited_for_with_the_command_that_helps(
    no_database: ClickHouseAddress, start: Start, send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    rows = rows_of(TABLE, seed=6, count=20)
    sink = start(no_database)
    count = await send(rows)
    await sink.until(lambda: sink.counted("sink_retries_total") >= 1)
    assert "has no database" in caplog.text and "turnwatch prepare" in caplog.text
    migrate(no_database)
    await sink.until(lambda: sink.counted("rollup_rows_landed_total") == count)
    assert final_rows(no_database, TABLE.name) == expected(TABLE, rows)


async def test_a_message_that_does_not_fit_is_counted_and_set_aside(
    kafka: KafkaAddress, settings: SinkSettings, address: ClickHouseAddress, start: Start, send: Send
) -> None:
    producer = AIOKafkaProducer(**kafka.aiokafka_options())
    await producer.start()
    await producer.send_and_wait(
        settings.topic, b"private words", headers=[("tw-table", TABLE.name.encode())], partition=1
    )
    await producer.stop()
    rows = rows_of(TABLE, seed=7, count=30)
    count = await send(rows)
    sink = start(address)
    await sink.until(lambda: sink.counted("rollup_rows_landed_total") == count)
    assert sink.counted("rollups_refused_total") == 1
    assert [(letter.topic, letter.partition, letter.offset) for letter in sink.letters] == [(settings.topic, 1, 0)]
    assert "private" not in sink.letters[0].rejected.detail
    assert final_rows(address, TABLE.name) == expected(TABLE, rows)


async def test_a_sink_whose_clickhouse_is_away_ends_when_asked(start: Start, send: Send, unused_tcp_port: int) -> None:
    sink = start(ClickHouseAddress(f"http://127.0.0.1:{unused_tcp_port}"))
    await send(rows_of(TABLE, seed=8, count=10))
    await sink.until(lambda: sink.counted("sink_retries_total") >= 1)
    await sink.end()
    assert sink.counted("rollup_rows_landed_total") == 0


async def test_messages_that_kafka_deleted_before_they_landed_are_told(
    kafka: KafkaAddress,
    settings: SinkSettings,
    address: ClickHouseAddress,
    start: Start,
    send: Send,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rows = rows_of(TABLE, seed=9, count=200)[:45]  # Three messages for each of three partitions.
    first = start(address)
    count = await send(rows[:15])
    await first.until(lambda: first.counted("rollup_rows_landed_total") == count)
    await first.end()
    await send(rows[15:30])
    admin = AIOKafkaAdminClient(**kafka.aiokafka_options())
    await admin.start()
    await admin.delete_records({TopicPartition(settings.topic, 0): RecordsToDelete(-1)})
    await admin.close()
    await send(rows[30:45])
    second = start(address)
    await second.until(lambda: second.counted("rollup_rows_landed_total") == len(rows[15:]) - 5)
    place = f"{settings.topic} partition 0, before offset 2"
    assert f"rollups_lost: Kafka deleted 1 messages that had not landed, of {place}." in caplog.text


async def _rewind(kafka: KafkaAddress, settings: SinkSettings) -> None:
    consumer = AIOKafkaConsumer(group_id=settings.group, enable_auto_commit=False, **kafka.aiokafka_options())
    partitions = [TopicPartition(settings.topic, number) for number in range(PARTITIONS)]
    consumer.assign(partitions)
    await consumer.start()
    await consumer.commit(dict.fromkeys(partitions, 0))
    await consumer.stop()
