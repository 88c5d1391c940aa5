"""OTLP over HTTP on loopback: the real SDK's exporter, and every answer that the specification asks for."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest
from aiohttp import ClientSession, web
from google.protobuf import json_format
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from producers.drive import WallClock
from producers.observation_batches import Answer
from producers.otlp.gateway import Gateway
from producers.otlp.requests import BODY_BYTES_MAX, JSON, PROTOBUF
from producers.otlp.server import otlp_application
from tests.otlp.collecting import Remembering, gateway_to
from tests.otlp.exports import EXPONENTIAL, NOW_MS, SDK_DELTA, counter, request
from tests.otlp.test_buckets import SEMCONV_FIRST_TOKEN_S

SENT = request([counter("turnwatch.turns.turns", 5, NOW_MS), counter("process.cpu.time", 1, NOW_MS)])
BUSY = Answer(429, error="The collector is full.", retry_after_s=7)
AWAY = Answer(503, error="The collector cannot be reached.")


@asynccontextmanager
async def served(gateway: Gateway, stop: asyncio.Event | None = None) -> AsyncIterator[str]:
    runner = web.AppRunner(otlp_application(gateway, stop or asyncio.Event()), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def posted(
    url: str, body: bytes, content_type: str = PROTOBUF, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    given = {"Content-Type": content_type} | {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        ClientSession(auto_decompress=False) as session,
        session.post(f"{url}/v1/metrics", data=BytesIO(body), headers=given) as answer,
    ):
        return answer.status, dict(answer.headers), await answer.read()


def export_with_the_sdk(url: str) -> None:
    """Exponential and explicit histograms, counters and gauges, gzipped, as the SDK sends them."""
    exporter = OTLPMetricExporter(
        endpoint=f"{url}/v1/metrics",
        compression=Compression.Gzip,
        preferred_temporality=SDK_DELTA,
        preferred_aggregation=EXPONENTIAL,
    )
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=1e7)
    semconv = View(
        instrument_name="gen_ai.server.time_to_first_token",
        aggregation=ExplicitBucketHistogramAggregation(SEMCONV_FIRST_TOKEN_S),
    )
    provider = MeterProvider([reader], Resource({"service.instance.id": "one"}), views=[semconv])
    meter = provider.get_meter("tests")
    duration = meter.create_histogram("gen_ai.server.request.duration", "s")
    for second in (0.5, 1.0, 4.5):
        duration.record(second, {"gen_ai.operation.name": "chat"})
    first_token = meter.create_histogram("gen_ai.server.time_to_first_token", "s")
    first_token.record(0.3, {"gen_ai.operation.name": "chat"})
    meter.create_counter("turnwatch.turns.tokens_out").add(40)
    meter.create_gauge("turnwatch.queues.depth").set(9, {"turnwatch.queue": "llm_first_token"})
    provider.shutdown()


async def test_the_real_sdk_exports_to_it() -> None:
    collecting = Remembering()
    gateway = gateway_to(collecting, WallClock())
    async with served(gateway) as url:
        await asyncio.to_thread(export_with_the_sdk, url)
    assert collecting.sum("rows.turns", "turns") == 3
    assert (collecting.sum("rows.turns", "turn_4000ms_total"), collecting.sum("rows.turns", "turn_4000ms_bad")) == (
        3,
        1,
    )
    assert collecting.sum("rows.turns", "tokens_out") == 40
    stages = collecting.rows("rows.stages")
    assert stages.group_by("stage").agg(pl.col("observations").sum()).sort("stage").rows() == [
        ("llm_first_token", 1),
        ("turn", 3),
    ]
    # 0.25 to 0.5 s is a fixed bucket of scale 0. The SDK's 160 buckets are of scale 5 here, which is kept: ours are of 6.
    assert set(stages.select("stage", "scale").unique().rows()) == {("llm_first_token", 0), ("turn", 5)}
    assert collecting.sum("queues", "depth") == 9
    assert not gateway.told


def environment_of_the_page(url: str) -> dict[str, str]:
    """What docs/otlp.md says an SDK needs, with another address."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "otlp.md").read_text(encoding="utf-8")
    named = dict(re.findall(r"^(OTEL_[A-Z_]+)=(.+)$", page, re.MULTILINE))
    assert len(named) == 6
    return named | {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{url}/v1/metrics"}


def export_twice_with_defaults() -> None:
    """An SDK that is configured by nothing but its environment."""
    provider = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
    duration = provider.get_meter("tests").create_histogram("gen_ai.server.request.duration", "s")
    duration.record(0.3, {"gen_ai.operation.name": "chat"})
    provider.force_flush()
    duration.record(0.7, {"gen_ai.operation.name": "chat"})
    provider.shutdown()


async def test_the_environment_that_the_page_shows_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deltas of exponential histograms, and a resource that says pool and bundle."""
    collecting = Remembering()
    async with served(gateway_to(collecting, WallClock())) as url:
        for name, value in environment_of_the_page(url).items():
            monkeypatch.setenv(name, value)
        await asyncio.to_thread(export_twice_with_defaults)
    rows = collecting.rows("rows.stages")
    assert (rows["observations"].sum(), rows["latency_ms_sum"].sum()) == (2, 1_000)
    assert rows["scale"].min() == 6  # An SDK's exponential histogram of one value is of its finest scale, 20.
    assert set(rows.select("pool", "bundle").rows()) == {("realtime", "v42")}


@pytest.mark.parametrize("content_type", [PROTOBUF, JSON])
async def test_what_is_refused_of_a_request_is_told_in_its_encoding(content_type: str) -> None:
    body = SENT.SerializeToString() if content_type == PROTOBUF else json_format.MessageToJson(SENT).encode()
    collecting, told = Remembering(), ExportMetricsServiceResponse()
    async with served(gateway_to(collecting)) as url:
        status, headers, answer = await posted(url, gzip.compress(body), content_type, Content_Encoding="gzip")
        again = await posted(url, body, content_type)
    if content_type == PROTOBUF:
        told.ParseFromString(answer)
    else:
        json_format.Parse(answer, told)
    assert (status, headers["Content-Type"].partition(";")[0]) == (200, content_type)
    assert told.partial_success.rejected_data_points == 1
    assert "unknown_field" in told.partial_success.error_message
    assert again[0] == 200 and collecting.sum("rows.turns", "turns") == 5


async def test_what_cannot_be_read_is_answered_and_the_process_goes_on() -> None:
    gateway = gateway_to(Remembering())
    body = SENT.SerializeToString()
    async with served(gateway) as url:
        told = [
            await posted(url, b"<html>502 Bad Gateway</html>", JSON),
            await posted(url, b"\x0a\xff"),
            await posted(url, body, "text/plain"),
            await posted(url, body, Content_Encoding="br"),
            await posted(url, bytes(BODY_BYTES_MAX + 1)),
            await posted(url, gzip.compress(bytes(BODY_BYTES_MAX + 1)), Content_Encoding="gzip"),
            await posted(url, body),
        ]
        async with ClientSession() as session, session.get(f"{url}/metrics") as answer:
            metrics = await answer.text()
    assert [status for status, _, _ in told] == [400, 400, 415, 415, 413, 413, 200]
    assert "html" not in json.loads(told[0][2])["message"]
    for line in (
        'turnwatch_otlp_requests_refused_total{status="400"} 2.0',
        'turnwatch_otlp_requests_refused_total{status="413"} 2.0',
        'turnwatch_otlp_points_total{way="http"} 2.0',
        'turnwatch_otlp_points_refused_total{reason="unknown_field"} 1.0',
    ):
        assert line in metrics


@pytest.mark.parametrize(("answer", "status", "retry_after"), [(BUSY, 429, "7"), (AWAY, 503, "2")])
async def test_points_that_no_collector_takes_count_once_when_they_come_again(
    answer: Answer, status: int, retry_after: str
) -> None:
    """The exporter is told to come again; by then the same points are repeats, and what they added waits."""
    collecting = Remembering([answer, answer])
    body = SENT.SerializeToString()
    async with served(gateway_to(collecting)) as url:
        first, second, third = [await posted(url, body) for _ in range(3)]
    assert [each[0] for each in (first, second, third)] == [status, status, 200]
    assert first[1]["Retry-After"] == retry_after
    assert collecting.sum("rows.turns", "turns") == 5
    assert [each.header.sequence for each in collecting.batches if each.header.kind == "rows.turns"] == [0]


async def test_a_process_that_ends_takes_nothing_more() -> None:
    stop = asyncio.Event()
    stop.set()
    async with served(gateway_to(Remembering()), stop) as url:
        assert (await posted(url, SENT.SerializeToString()))[0] == 503


async def test_what_a_collector_never_takes_is_counted_as_lost() -> None:
    gateway = gateway_to(Remembering([Answer(400, error="It knows no such kind.")]))
    await gateway.take(SENT.SerializeToString(), PROTOBUF, "http")
    assert gateway.delivery.lost == {"rows.turns": 1}
