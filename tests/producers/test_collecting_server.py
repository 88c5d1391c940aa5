"""The collector over HTTP: whatever is sent is answered by a sentence or taken, and the process goes on."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry

from producers.collecting.durable import DurableCollector, Limits
from producers.collecting.engine import Engine
from producers.collecting.server import READING_BYTES_MAX, application
from producers.collector import Frame
from producers.observation_batches import BATCH_BYTES_MAX, PATH, Answer, BatchHeader, encode_batch, read_answer
from producers.recorder import Recorder
from producers.transport import NotDelivered
from schemas.metrics import CollectorMetrics
from tests.producers.worlds import START_MS, rows_of, turns_world

SECRET = "whispered-by-nobody-4242"


@dataclass(slots=True)
class Hands:
    """A clock that stands until it is set, and a Kafka that may be away."""

    at_ms: int = START_MS
    is_away: bool = False
    sent: list[Frame] = field(default_factory=list)

    def now_ms(self) -> int:
        return self.at_ms

    async def sleep_until(self, at_ms: int) -> None:
        while self.at_ms < at_ms:
            await asyncio.sleep(0.005)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Hands]:
        if self.is_away:
            raise NotDelivered("Kafka is away.")
        yield self

    async def send(self, frames: Iterable[Frame]) -> None:
        if self.is_away:
            raise NotDelivered("Kafka is away.")
        self.sent += frames


@dataclass(slots=True)
class Running:
    """A collector that answers."""

    server: TestServer
    engine: Engine
    hands: Hands
    stop: asyncio.Event
    session: ClientSession

    async def post(self, headers: dict[str, str], body: bytes) -> Answer:
        async with self.session.post(self.server.make_url(PATH), data=body, headers=headers) as response:
            return read_answer(response.status, response.headers, await response.read())

    async def raw(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer to bytes that no client would send."""
        reader, writer = await self.sent(request)
        try:
            async with asyncio.timeout(10):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                (length,) = re.findall(r"(?i)content-length: (\d+)", head)
                return int(head.split()[1]), await reader.readexactly(int(length))
        finally:
            writer.close()

    async def sent(self, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection over which these bytes were sent."""
        reader, writer = await asyncio.open_connection(self.server.host, self.server.port)
        writer.write(request)
        return reader, writer

    async def get(self, path: str) -> tuple[int, str]:
        async with self.session.get(self.server.make_url(path)) as response:
            return response.status, await response.text()


@asynccontextmanager
async def running(
    folder: Path, limits: Limits | None = None, read_timeout_s: float = 5, at_ms: int = START_MS
) -> AsyncIterator[Running]:
    hands, stop, is_closed = Hands(at_ms), asyncio.Event(), asyncio.Event()
    core = DurableCollector.opened(folder, "eu-0", "eu-west-1", hands.at_ms, limits or Limits())
    engine = Engine(core, hands, hands.connect, CollectorMetrics(CollectorRegistry()))
    working = asyncio.create_task(engine.run(is_closed))
    try:
        server = TestServer(application(engine, stop, read_timeout_s))
        async with server, ClientSession() as session:
            yield Running(server, engine, hands, stop, session)
    finally:
        is_closed.set()
        await working
        core.shut()


def batch(sequence: int = 0, count: int = 50, **others: str) -> tuple[dict[str, str], bytes]:
    rows = turns_world(sequence, count=count, start_ms=START_MS - 5_000, span_ms=5_000)
    headers, body = encode_batch(BatchHeader("turns", "host-1", 1, sequence, 1_000, 0), rows)
    return headers | others, body


async def test_batches_become_frames_and_are_counted_at_metrics(tmp_path: Path) -> None:
    async with running(tmp_path) as collector:
        answers = await asyncio.gather(*(collector.post(*batch(number)) for number in (0, 1, 2, 1)))
        assert sorted((each.taken, each.is_repeated) for each in answers) == [(0, True), *[(50, False)] * 3]
        foreign = turns_world(9, count=3, start_ms=START_MS - 5_000, span_ms=5_000).with_columns(
            caller=pl.Series(["+49 151 12345678", "ana@example.org", None])
        )
        answer = await collector.post(*encode_batch(BatchHeader("turns", "host-2", 1, 0, 3, 0), foreign))
        assert answer == Answer(200, 3, dropped={"email": 1, "phone": 1})
        collector.hands.at_ms += 12_000
        async with asyncio.timeout(10):
            while not collector.hands.sent:
                await asyncio.sleep(0.01)
        assert rows_of(collector.hands.sent, "turns")["turns"].sum() == 153
        _, shown = await collector.get("/metrics")
        for line in (
            'turnwatch_collector_batches_taken_total{kind="turns"} 4.0',
            'turnwatch_collector_batches_repeated_total{kind="turns"} 1.0',
            'turnwatch_collector_observations_taken_total{kind="turns"} 153.0',
            'turnwatch_collector_columns_dropped_total{kind="turns"} 1.0',
            'turnwatch_collector_fields_dropped_total{kind="turns",reason="phone"} 1.0',
            "turnwatch_collector_windows_closed_total 1.0",
            "turnwatch_collector_recorders 2.0",
        ):
            assert line in shown


async def test_what_a_recorder_recorded_is_what_kafka_is_sent(tmp_path: Path) -> None:
    """The real recorder before the real server: turns, a call and its barge-in, each once."""
    async with running(tmp_path / "collector", at_ms=time.time_ns() // 1_000_000 - 15_000) as collector:
        address = str(collector.server.make_url("/")).rstrip("/")
        dimensions = {"region": "eu-west-1", "pool": "realtime", "route": "support", "bundle": "v1"}
        recorder = Recorder([address], b"k" * 32, tmp_path / "spool", dimensions, flush_interval_s=0.05)
        with recorder.stream("call-1") as call:
            call.duplex("barge_in", stopped_after_ms=120.0, detected_after_ms=90.0)
            for _ in range(30):
                with recorder.turn("call-1", language="en", device_class="phone", prompt="words of hers") as turn:
                    turn.took("llm_first_token", 0.001)
        recorder.observe("nonsense", pool="batch")
        with recorder.turn("call-2", route="ana@example.org"):
            pass
        await recorder.aclose()
        assert recorder.totals()["waiting"] == 0
        collector.hands.at_ms += 40_000
        async with asyncio.timeout(10):
            while not collector.hands.sent:
                await asyncio.sleep(0.01)
        sent = collector.hands.sent
        assert rows_of(sent, "turns")["turns"].sum() == 30
        assert rows_of(sent, "streams").select("starts", "ends").sum().row(0) == (1, 1)
        assert rows_of(sent, "duplex").filter(duplex_event="barge_in")["events"].sum() == 1
        told = rows_of(sent, "heartbeats").filter(reported_family="turns")
        assert told.select("observations_seen", "observations_dropped").sum().row(0) == (31, 1)
        refused = rows_of(sent, "privacy").filter(fate="refused", reported_family="turns")
        assert sorted(refused.select("pool", "because", "observations").rows()) == [
            ("realtime", "content_field", 30),
            ("realtime", "email", 1),
        ]
        unknown = rows_of(sent, "privacy").filter(reported_family="unknown")
        assert unknown.select("pool", "because", "observations").rows() == [("batch", "outside_vocabulary", 1)]


def headed(headers: dict[str, str], body: bytes, **others: str) -> bytes:
    """A request as it goes over the wire."""
    all_headers = {"host": "x", "content-length": str(len(body)), **headers, **others}
    lines = [f"POST {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in all_headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def of_type(name: str, values: pa.Array) -> bytes:
    """A sound stream with a column that is not what it should be."""
    table = pa.table({name: values})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


@pytest.mark.parametrize(
    ("others", "body", "status"),
    [
        ({"content-type": "text/html"}, b"<html>" + SECRET.encode(), 415),
        ({"content-encoding": "gzip"}, None, 415),
        ({"tw-kind": SECRET}, None, 400),
        ({"tw-sequence": "-1"}, None, 400),
        ({"tw-recorder": f"../{SECRET}"}, None, 400),
        ({"tw-dropped": "1001"}, None, 400),
        ({}, b"", 400),
        ({}, SECRET.encode() * 10, 400),
        ({}, b"\xff\xff\xff\xff" + SECRET.encode(), 400),
        ({}, bytes(BATCH_BYTES_MAX + 1), 413),
        ({}, of_type("turn_ms", pa.array([Decimal(1)], pa.decimal256(50, 2))), 400),
        ({}, of_type("region", pa.array([{SECRET: 1}])), 400),
    ],
)
async def test_what_is_no_batch_is_one_sentence(
    others: dict[str, str], body: bytes | None, status: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    headers, sound = batch()
    async with running(tmp_path) as collector:
        got, told = await collector.raw(headed(headers | others, sound if body is None else body))
        assert got == status
        assert set(json.loads(told)) == {"error"}
        assert SECRET not in told.decode() + caplog.text
        assert (await collector.post(headers, sound)).taken == 50
        assert f'batches_refused_total{{status="{status}"}} 1.0' in (await collector.get("/metrics"))[1]


async def test_200_mb_are_refused_before_they_are_read_and_while_they_come(tmp_path: Path) -> None:
    headers, sound = batch()
    async with running(tmp_path) as collector:
        told = await collector.raw(headed(headers, b"x" * 1_000, **{"content-length": "200000000"}))
        assert told[0] == 413
        answer = await collector.post(headers, bytes(200_000_000))
        assert (answer.status, answer.error) == (
            413,
            f"The body has more than {BATCH_BYTES_MAX} bytes: send fewer rows at once.",
        )
        chunk = b"100000\r\n" + bytes(0x100000) + b"\r\n"
        unsized = headed(headers, b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
        assert (await collector.raw(unsized + chunk * 8))[0] == 413
        assert (await collector.post(headers, sound)).taken == 50


async def test_half_a_body_and_a_slow_one_take_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    headers, sound = batch()
    async with running(tmp_path, read_timeout_s=0.2) as collector:
        _, writer = await collector.sent(headed(headers, sound)[:-10])
        writer.close()
        assert (await collector.raw(headed(headers, sound)[:-10]))[0] == 408
        assert (await collector.post(headers, sound)).taken == 50
    assert "Traceback" not in caplog.text


async def test_paths_and_methods_that_are_not_there_are_told_so(tmp_path: Path) -> None:
    async with running(tmp_path) as collector:
        assert (await collector.get("/v2"))[0] == 404
        assert (await collector.get(PATH))[0] == 405
        assert await collector.get("/healthz") == (200, '{"status": "ok"}')


async def test_what_it_has_no_room_for_may_come_again(tmp_path: Path) -> None:
    async with running(tmp_path, Limits(rows_max=40)) as collector:
        assert (await collector.post(*batch(0))).taken == 50
        answer = await collector.post(*batch(1))
        assert (answer.status, answer.retry_after_s, answer.is_final) == (429, 2, False)
        assert (await collector.get("/readyz"))[0] == 503
        collector.hands.at_ms += 62_000
        async with asyncio.timeout(10):
            while (await collector.get("/readyz"))[0] != 200:
                await asyncio.sleep(0.01)
        assert (await collector.post(*batch(1))).taken == 50


async def test_bodies_that_are_being_read_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.collecting.server.READING_BYTES_MAX", 1_000_000)
    headers, sound = batch()
    async with running(tmp_path) as collector:
        _, writer = await collector.sent(headed(headers, sound[:100], **{"content-length": "999999"}))
        async with asyncio.timeout(10):
            while (await collector.post(headers, sound)).status != 429:
                await asyncio.sleep(0.01)
        writer.close()
        async with asyncio.timeout(10):
            while (await collector.post(headers, sound)).status != 200:
                await asyncio.sleep(0.01)
    assert READING_BYTES_MAX > 10 * BATCH_BYTES_MAX


async def test_frames_wait_on_disk_for_kafka_and_it_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producers.collecting.engine.RETRY_S_MIN", 0.01)
    caplog.set_level(logging.INFO)
    async with running(tmp_path) as collector:
        collector.hands.is_away = True
        assert (await collector.post(*batch(0))).taken == 50
        collector.hands.at_ms += 25_000
        async with asyncio.timeout(10):
            while len(collector.engine.core.store.unsent) < 1 or "kafka_away" not in caplog.text:
                await asyncio.sleep(0.01)
        assert (await collector.post(*batch(1))).taken == 50
        collector.hands.is_away = False
        async with asyncio.timeout(10):
            while collector.engine.core.store.unsent:
                await asyncio.sleep(0.01)
        assert rows_of(collector.hands.sent, "turns")["turns"].sum() == 50
    assert (caplog.text.count("kafka_away"), caplog.text.count("kafka_back")) == (1, 1)


async def test_a_collector_that_ends_asks_to_come_again_and_keeps_what_it_took(tmp_path: Path) -> None:
    async with running(tmp_path) as collector:
        assert (await collector.post(*batch(0))).taken == 50
        collector.stop.set()
        assert (await collector.post(*batch(1))).status == 503
        assert (await collector.get("/readyz"))[0] == 503
        assert (await collector.get("/healthz"))[0] == 200
    async with running(tmp_path) as collector:
        assert collector.engine.core.recovered.rows == 50


async def test_a_clock_that_went_back_is_told(tmp_path: Path) -> None:
    async with running(tmp_path) as collector:
        collector.hands.at_ms += 120_000
        async with asyncio.timeout(10):
            while collector.engine.core.collector.open_ms < START_MS + 110_000:
                await asyncio.sleep(0.01)
        collector.hands.at_ms -= 120_000
        status, told = await collector.get("/readyz")
        assert status == 503 and "The clock is 110 s behind" in told
