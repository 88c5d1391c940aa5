"""Requests as they come over HTTP or Kafka: bytes, perhaps gzip, protobuf or JSON, and the answer in the same encoding.

Source: OTLP specification 1.x, "OTLP/HTTP". A body is bounded before and after decompression; JSON is protobuf's JSON
mapping, in which unknown fields are ignored, and a request without any telemetry is a success. Nothing of a body that cannot be read is ever repeated.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Literal

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from schemas.failures import BadInput

Encoding = Literal["application/x-protobuf", "application/json"]
PROTOBUF: Encoding = "application/x-protobuf"
JSON: Encoding = "application/json"

_OTHER_SIGNALS = {f"resource{each}" for each in ("Spans", "Logs", "Profiles")} | {
    f"resource_{each}" for each in ("spans", "logs", "profiles")
}
_GZIP = b"\x1f\x8b"
_STATUS_MESSAGE = 2 << 3 | 2
BODY_BYTES_MAX = 20 * 2**20
"""Of a body, as sent and unpacked: what the specification recommends."""


class Refusable(BadInput):
    """A request that is refused whole. `status` is the HTTP status; the message is one sentence for its sender."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def encoding_of(content_type: str) -> Encoding:
    """The encoding that a header names; raises `Refusable` (415) for any other.

    >>> encoding_of("application/json; charset=utf-8")
    'application/json'
    """
    match content_type.partition(";")[0].strip().lower():
        case "application/x-protobuf":
            return PROTOBUF
        case "application/json":
            return JSON
    raise Refusable(415, f"The Content-Type of OTLP over HTTP is {PROTOBUF} or {JSON}.")


def unpacked(body: bytes, content_encoding: str) -> bytes:
    """The body without its compression; raises `Refusable` where it is too large (413), broken (400) or another (415)."""
    if len(body) > BODY_BYTES_MAX:
        raise too_large()
    match content_encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip":
            # A server may have unpacked it already: no request begins like gzip.
            return _gunzipped(body) if body[:2] == _GZIP else body
    raise Refusable(415, "The Content-Encoding has to be gzip, or none.")


def decode(body: bytes, encoding: Encoding) -> ExportMetricsServiceRequest:
    """The request; raises `Refusable` (400) where the body is none. `MetricsData` of Kafka has the same bytes."""
    request = ExportMetricsServiceRequest()
    try:
        if encoding == PROTOBUF:
            request.ParseFromString(body)
        else:
            _parse_json(body.decode("utf-8"), request)
    except (DecodeError, json_format.ParseError, UnicodeDecodeError, RecursionError, ValueError, TypeError):
        raise Refusable(
            400, "The body is no ExportMetricsServiceRequest of OTLP in the encoding that it names."
        ) from None
    if encoding == JSON and not request.resource_metrics:
        _require_no_other_signal(body)
    return request


def _parse_json(text: str, request: ExportMetricsServiceRequest) -> None:
    """Reads an object into the request. One without metrics is empty, which is a success, and so is one with fields that nobody
    knows."""
    if not text.lstrip().startswith("{"):
        raise ValueError("no object")  # Protobuf's reader takes an empty list, and a text, for an empty message.
    json_format.Parse(text, request, ignore_unknown_fields=True)


def _require_no_other_signal(text: bytes) -> None:
    """Traces and logs are fields that nobody knows here, and were meant for somebody else."""
    for field in _OTHER_SIGNALS & json.loads(text).keys():
        raise Refusable(
            400, f"The body holds {field}: this address takes metrics (resourceMetrics) and no other signal."
        )


def success(refused: Mapping[str, int], encoding: Encoding) -> bytes:
    """The answer to a request that was taken, wholly or in part; `refused` counts data points by reason."""
    response = ExportMetricsServiceResponse()
    if refused:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(refused.items()))
        told = f"Data points refused: {reasons}. What each reason means: docs/otlp.md of turnwatch."
        partial = ExportMetricsPartialSuccess(rejected_data_points=sum(refused.values()), error_message=told)
        response.partial_success.CopyFrom(partial)
    return _encoded(response, encoding)


def failure(sentence: str, encoding: Encoding) -> bytes:
    """The answer to a request that was not taken: `google.rpc.Status`, as the specification asks for."""
    if encoding == JSON:
        return json.dumps({"message": sentence}).encode()
    # Its one field that the specification asks for: a string with number 2, whose length is a varint of one or two bytes.
    text = sentence.encode()[:16_000]
    low, high = len(text) % 128, len(text) // 128
    return bytes([_STATUS_MESSAGE, *([low] if high == 0 else [low | 128, high])]) + text


def too_large() -> Refusable:
    return Refusable(413, f"The request has more than {BODY_BYTES_MAX} bytes: export fewer data points at once.")


def _encoded(message: Message, encoding: Encoding) -> bytes:
    if encoding == PROTOBUF:
        return bytes(message.SerializeToString())
    return str(json_format.MessageToJson(message, indent=None)).encode()


def _gunzipped(body: bytes) -> bytes:
    """Unpacked piece by piece, so that no small body can fill the memory."""
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        content = unpacker.decompress(body, BODY_BYTES_MAX + 1)
    except zlib.error:
        raise Refusable(400, "The body is not gzip, as its Content-Encoding says.") from None
    if len(content) > BODY_BYTES_MAX:
        raise too_large()
    if not unpacker.eof or unpacker.unused_data:
        raise Refusable(400, "The body is not one whole gzip stream.")
    return content
