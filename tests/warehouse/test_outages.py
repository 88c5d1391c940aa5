"""ClickHouse in trouble, as the engine itself has it: rows wait, what is wrong is said, and all that can land does, once.

What a table does to a write is brought about with the means that ClickHouse has for it: constraints, limits on parts,
views that take their time. Everything else of these tests is as in `test_sink.py`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import web
from clickhouse_connect.driver.client import Client

from schemas.kafka import KafkaAddress
from schemas.rejections import Reason
from schemas.tables import TABLES
from schemas.warehouse import ClickHouseAddress
from stream_jobs.sinks.clickhouse import ClickHouseWarehouse, WarehouseError
from stream_jobs.sinks.migrate import migrate
from stream_jobs.sinks.rollups import SinkSettings
from tests.warehouse.rows import Row, arrow_of, expected, final_rows, rows_of
from tests.warehouse.sinks import TABLE, Running, Send, Start, offsets, send_one

OTHER = TABLES["pages"]
TELLTALE = 424_242
"""A value that ClickHouse repeats in its answer, and nobody else may."""


@pytest.fixture
def address(no_database: ClickHouseAddress) -> ClickHouseAddress:
    """Tables of its own for each test: they are changed here, and dropped."""
    migrate(no_database)
    return no_database


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage().partition(":")[0] for each in caplog.records if each.name == "turnwatch.sink"]


def with_offenders(rows: list[Row], places: set[int]) -> list[Row]:
    return [row | {"bad": TELLTALE if place in places else place} for place, row in enumerate(rows)]


def distinct(seed: int, count: int) -> list[Row]:
    """So many rows with keys of their own."""
    template = rows_of(TABLE, seed, count=1)[0]
    return [template | {"slice": f"slice {number}", "bad": number} for number in range(count)]


async def landed(sink: Running, count: int) -> None:
    await sink.until(lambda: sink.counted("rollup_rows_landed_total") == count)


async def waiting(sink: Running, tries: int = 3) -> None:
    before = sink.counted("sink_retries_total")
    await sink.until(lambda: sink.counted("sink_retries_total") >= before + tries)


async def test_too_many_parts_are_waited_for_and_said_once(
    address: ClickHouseAddress, client: Client, start: Start, send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    rows = distinct(1, 60)
    client.command(f"SYSTEM STOP MERGES {TABLE.name}")
    client.command(f"ALTER TABLE {TABLE.name} MODIFY SETTING parts_to_delay_insert = 1, parts_to_throw_insert = 1")
    sink = start(address)
    with caplog.at_level(logging.INFO, "turnwatch.sink"):
        await send(rows[:5])
        await landed(sink, 5)
        await send(rows[5:])
        await waiting(sink)
        assert sink.counted("sink_waiting_seconds") > 0
        assert "TOO_MANY_PARTS" in caplog.text
        client.command(f"ALTER TABLE {TABLE.name} RESET SETTING parts_to_delay_insert, parts_to_throw_insert")
        client.command(f"SYSTEM START MERGES {TABLE.name}")
        await landed(sink, len(rows))
    assert final_rows(address, TABLE.name) == expected(TABLE, rows)
    assert events(caplog) == ["warehouse_lost", "warehouse_regained"]
    assert sink.counted("sink_waiting_seconds") == 0
    assert not sink.letters


async def test_a_dropped_table_is_waited_for_and_prepare_brings_it_back(
    kafka: KafkaAddress,
    settings: SinkSettings,
    address: ClickHouseAddress,
    client: Client,
    start: Start,
    send: Send,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rows = distinct(2, 60)
    sink = start(address)
    await send(rows[:10])
    await landed(sink, 10)
    client.command(f"DROP TABLE {TABLE.name} SYNC")
    await send(rows[10:])
    await waiting(sink)
    assert "UNKNOWN_TABLE" in caplog.text and "run `turnwatch prepare`" in caplog.text
    sent, committed = await offsets(kafka, settings)
    assert committed < sent, "nothing is committed that has not landed"
    migrate(address)
    await landed(sink, len(rows))
    assert final_rows(address, TABLE.name) == expected(TABLE, rows[10:]), "what the table had went with it"
    assert not sink.letters


async def test_a_refused_message_is_found_and_set_aside_and_all_others_land(
    kafka: KafkaAddress,
    settings: SinkSettings,
    address: ClickHouseAddress,
    client: Client,
    start: Start,
    send: Send,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Messages have five rows: one bad row takes its message with it, and no other."""
    client.command(f"ALTER TABLE {TABLE.name} ADD CONSTRAINT plausible CHECK bad != {TELLTALE}")
    rows = with_offenders(distinct(3, 300), {7, 8, 151, 299})
    await send(rows)
    sink = start(address)
    await landed(sink, 285)
    await sink.until(lambda: sink.counted("rollups_refused_total") == 3)
    good = [row for place, row in enumerate(rows) if place // 5 not in (1, 30, 59)]
    assert final_rows(address, TABLE.name) == expected(TABLE, good)
    # Message n is the (n ÷ 3)th of partition n mod 3.
    assert {(each.partition, each.offset) for each in sink.letters} == {(1, 0), (0, 10), (2, 19)}
    assert {each.rejected.reason for each in sink.letters} == {Reason.REFUSED_BY_WAREHOUSE}
    said = caplog.text + "".join(each.rejected.detail for each in sink.letters)
    assert "code 469, VIOLATED_CONSTRAINT" in said and str(TELLTALE) not in said
    await sink.end()
    assert await offsets(kafka, settings) == (60, 60)


async def test_a_table_that_refuses_everything_empties_nothing_into_the_dead_letters(
    address: ClickHouseAddress,
    client: Client,
    start: Start,
    send: Send,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rows = distinct(4, 100)
    client.command(f"ALTER TABLE {TABLE.name} ADD CONSTRAINT absurd CHECK bad > {TELLTALE}")
    await send(rows[:50])
    sink = start(address)
    with caplog.at_level(logging.INFO, "turnwatch.sink"):
        await waiting(sink, 5)
        await send(rows[50:])
        await waiting(sink, 5)
        client.command(f"ALTER TABLE {TABLE.name} DROP CONSTRAINT absurd")
        await landed(sink, len(rows))
    assert final_rows(address, TABLE.name) == expected(TABLE, rows)
    assert not sink.letters
    assert events(caplog) == ["warehouse_lost", "warehouse_regained"]


async def test_a_lone_refused_message_waits_until_another_shows_whose_fault_it_is(
    kafka: KafkaAddress,
    settings: SinkSettings,
    address: ClickHouseAddress,
    client: Client,
    start: Start,
    send: Send,
) -> None:
    client.command(f"ALTER TABLE {TABLE.name} ADD CONSTRAINT plausible CHECK bad != {TELLTALE}")
    rows = with_offenders(distinct(5, 10), {2})
    await send(rows[:5])
    sink = start(address)
    await waiting(sink)
    assert not sink.letters and (await offsets(kafka, settings))[1] == 0
    await send_one(kafka, settings, rows[5:])
    await landed(sink, 5)
    await sink.until(lambda: bool(sink.letters))
    assert final_rows(address, TABLE.name) == expected(TABLE, rows[5:])
    assert [(each.partition, each.offset) for each in sink.letters] == [(0, 0)]


async def test_a_table_in_trouble_does_not_keep_the_others_of_its_batch_from_landing(
    kafka: KafkaAddress,
    settings: SinkSettings,
    address: ClickHouseAddress,
    client: Client,
    start: Start,
    send: Send,
) -> None:
    """While it cannot be told whose fault it is. Rows of the other are written once, however often this one is tried."""
    client.command(f"ALTER TABLE {TABLE.name} ADD CONSTRAINT absurd CHECK bad > {TELLTALE}")
    rows, others = distinct(6, 20), rows_of(OTHER, 6)
    await send(rows)
    await send_one(kafka, settings, others, OTHER.name)
    sink = start(address)
    await sink.until(lambda: final_rows(address, OTHER.name) == expected(OTHER, others))
    await waiting(sink)
    assert sink.counted("rollup_rows_landed_total") == len(others)
    client.command(f"ALTER TABLE {TABLE.name} DROP CONSTRAINT absurd")
    await landed(sink, len(rows) + len(others))
    assert final_rows(address, TABLE.name) == expected(TABLE, rows)


async def test_writes_that_take_too_long_are_tried_in_halves_until_they_land(
    settings: SinkSettings,
    address: ClickHouseAddress,
    client: Client,
    start: Start,
    kafka: KafkaAddress,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A view behind the table takes 4 ms a row: 400 rows at once never land within a second, a hundred do."""
    client.command("CREATE TABLE slow (s UInt8) ENGINE = Null")
    client.command(
        f"CREATE MATERIALIZED VIEW slowly TO slow AS SELECT sleepEachRow(0.004) AS s FROM {TABLE.name} "
        "SETTINGS function_sleep_max_microseconds_per_block = 60000000"
    )
    rows = distinct(7, 400)
    for row in rows:
        await send_one(kafka, settings, [row])
    sink = start(replace(address, read_timeout_s=1.0))
    await landed(sink, len(rows))
    assert final_rows(address, TABLE.name) == expected(TABLE, rows)
    assert "did not answer in time" in caplog.text
    assert events(caplog).count("warehouse_lost") == 1


async def test_what_answers_but_is_no_clickhouse_is_an_outage_too(unused_tcp_port: int) -> None:
    async with answering(unused_tcp_port, web.Response(body=b"\x01\x02 welcome")):
        warehouse = ClickHouseWarehouse(ClickHouseAddress(f"http://127.0.0.1:{unused_tcp_port}"))
        with pytest.raises(WarehouseError, match="broke off, or what answers there is no ClickHouse"):
            await warehouse.write(TABLE.name, arrow_of(TABLE, distinct(8, 1)))
        await warehouse.close()


@asynccontextmanager
async def answering(port: int, response: web.Response) -> AsyncIterator[None]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=response.body)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()
