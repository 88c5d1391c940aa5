"""Bytes to requests and back: both encodings, gzip within bounds, and nothing of what is broken in the answer."""

from __future__ import annotations

import gzip
import json

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from producers.otlp.requests import (
    BODY_BYTES_MAX,
    JSON,
    PROTOBUF,
    Encoding,
    Refusable,
    decode,
    encoding_of,
    failure,
    success,
    unpacked,
)
from tests.otlp.exports import NOW_MS, counter, request

SECRET = "ana@example.com said that her card is 4111"
EXAMPLE = request([counter("turnwatch.turns.turns", 5, NOW_MS)], {"service.name": "gateway"})

IN_JSON = """{"resourceMetrics": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "gateway"}}]},
  "scopeMetrics": [{"scope": {"name": "x"}, "metrics": [{"name": "turnwatch.turns.turns", "unit": "1", "notYetInvented": 7,
    "sum": {"aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [{"asInt": "5",
      "startTimeUnixNano": "1544712660300000000", "timeUnixNano": 1544712660300000000,
      "exemplars": [{"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "asInt": "1"}]}]}}]}]}]}"""
"""After the example of the specification, with a field that nobody knows and the identifiers in hexadecimal."""


def test_both_encodings_are_read() -> None:
    assert decode(EXAMPLE.SerializeToString(), PROTOBUF) == EXAMPLE
    assert decode(json_format.MessageToJson(EXAMPLE).encode(), JSON) == EXAMPLE
    (metric,) = decode(IN_JSON.encode(), JSON).resource_metrics[0].scope_metrics[0].metrics
    assert metric.sum.data_points[0].as_int == 5


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"resourceSpans": [{"%s": 1}]}', "The body holds resourceSpans: this address takes metrics"),
        ('{"%s": 1, "resource_logs": []}', "The body holds resource_logs: this address takes metrics"),
        *((body, "The body is no ExportMetricsServiceRequest") for body in ("[]", '"%s"', '["%s"]')),
    ],
)
def test_another_signal_and_what_is_no_object_are_refused_in_a_sentence(body: str, said: str) -> None:
    with pytest.raises(Refusable, match=f"^{said}") as refused:
        decode(body.replace("%s", SECRET).encode(), JSON)
    assert refused.value.status == 400 and "ana" not in str(refused.value)


@pytest.mark.parametrize(
    "body", ["{}", ' {"resourceMetrics": []}', '{"resourceMetrics": null}', '{"notYetInvented": 7}']
)
def test_a_request_without_telemetry_is_a_success(body: str) -> None:
    """So the specification says, and that unknown fields are to be ignored."""
    assert not decode(body.encode(), JSON).resource_metrics and not decode(b"", PROTOBUF).resource_metrics


def test_traces_and_logs_in_protobuf_are_refused() -> None:
    spans, logs = ExportTraceServiceRequest(), ExportLogsServiceRequest()
    spans.resource_spans.add().scope_spans.add().spans.add(trace_id=bytes(range(128, 144)), name="chat")
    logs.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=5).body.string_value = SECRET
    for each in (spans, logs):
        with pytest.raises(Refusable):
            decode(each.SerializeToString(), PROTOBUF)


def test_metrics_data_of_kafka_are_the_same_bytes() -> None:
    data = MetricsData(resource_metrics=EXAMPLE.resource_metrics)
    assert decode(data.SerializeToString(), PROTOBUF) == EXAMPLE


@pytest.mark.parametrize("encoding", [PROTOBUF, JSON])
@pytest.mark.parametrize(
    "body", [b"\x0a\xff", b"<html>502 Bad Gateway</html>", SECRET.encode(), b"{", b"[" * 5_000, b"\xff\xfe"]
)
def test_what_is_none_is_refused_without_repeating_it(body: bytes, encoding: Encoding) -> None:
    with pytest.raises(Refusable) as refused:
        decode(body, encoding)
    assert refused.value.status == 400
    assert "ana" not in str(refused.value) and refused.value.__cause__ is None


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_request_or_refused(body: bytes) -> None:
    for encoding in (PROTOBUF, JSON):
        try:
            decode(body, encoding)
        except Refusable as refused:
            assert refused.status == 400


def test_gzip_is_unpacked_within_a_bound() -> None:
    body = EXAMPLE.SerializeToString()
    assert unpacked(gzip.compress(body), "gzip") == body
    assert unpacked(body, "") == body
    assert unpacked(body, "gzip") == body  # A server in front has unpacked it.
    for bomb, status in (
        (gzip.compress(bytes(BODY_BYTES_MAX + 1)), 413),
        (bytes(BODY_BYTES_MAX + 1), 413),
        (gzip.compress(body)[:-4], 400),
        (b"\x1f\x8b" + SECRET.encode(), 400),
    ):
        with pytest.raises(Refusable) as refused:
            unpacked(bomb, "gzip")
        assert refused.value.status == status


@pytest.mark.parametrize("named", ["text/html", "", "application/grpc"])
def test_other_types_are_415(named: str) -> None:
    with pytest.raises(Refusable) as refused:
        encoding_of(named)
    assert refused.value.status == 415
    with pytest.raises(Refusable) as refused:
        unpacked(b"", "br")
    assert refused.value.status == 415


def test_answers_are_messages_of_the_protocol() -> None:
    whole, partial = ExportMetricsServiceResponse(), ExportMetricsServiceResponse()
    whole.ParseFromString(success({}, PROTOBUF))
    assert not whole.HasField("partial_success")
    json_format.Parse(success({"not_finite": 2, "negative": 1}, JSON), partial)
    assert partial.partial_success.rejected_data_points == 3
    assert "1 negative, 2 not_finite" in partial.partial_success.error_message
    for sentence in ("Too large.", "x" * 300):
        assert json.loads(failure(sentence, JSON)) == {"message": sentence}
        assert _status_message(failure(sentence, PROTOBUF)) == sentence


def _status_message(body: bytes) -> str:
    """Field 2 of `google.rpc.Status`, read by protobuf itself: a scope's version has the same number and type."""
    return str(InstrumentationScope.FromString(body).version)
