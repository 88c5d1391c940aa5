"""OTLP over HTTP: `POST /v1/metrics`, answered as the specification says.

200 with what was refused of it; 400 for what is no request, 413, 415; 429 or 503 with Retry-After while the collector takes
nothing, for then the same points are to be sent again. The answer has the encoding of the request.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from producers.otlp.delivery import NotTaken
from producers.otlp.gateway import Gateway
from producers.otlp.receiver import Taken
from producers.otlp.requests import (
    BODY_BYTES_MAX,
    PROTOBUF,
    Encoding,
    Refusable,
    encoding_of,
    failure,
    success,
    too_large,
    unpacked,
)

METRICS_PATH = "/v1/metrics"
READ_TIMEOUT_S = 30.0
READING_BYTES_MAX = 4 * BODY_BYTES_MAX
"""Of all bodies that are being read and unpacked at once."""


@dataclass(slots=True)
class _Reading:
    bytes: int = 0


def otlp_routes(gateway: Gateway, stop: asyncio.Event) -> list[web.RouteDef]:
    """The route of OTLP, for an application of one's own or of a collector. Once `stop` is set it answers 503."""
    reading = _Reading()

    async def export(request: web.Request) -> web.Response:
        encoding: Encoding = PROTOBUF
        try:
            encoding = encoding_of(request.headers.get("Content-Type", ""))
            if stop.is_set():
                raise NotTaken("The process is ending: send to another one, or again.")
            taken = await _taken(request, gateway, encoding, reading)
            return _response(200, success(taken.refused, encoding), encoding)
        except Refusable as error:
            gateway.metrics.requests.labels(str(error.status)).inc()
            return _response(error.status, failure(str(error), encoding), encoding)
        except NotTaken as error:
            status = 429 if error.is_busy else 503
            gateway.metrics.requests.labels(str(status)).inc()
            return _response(status, failure(str(error), encoding), encoding, error.retry_after_s)

    return [web.post(METRICS_PATH, export)]


def otlp_application(gateway: Gateway, stop: asyncio.Event) -> web.Application:
    """A server of its own: OTLP, and what the process says of itself."""

    async def metrics(_: web.Request) -> web.Response:
        shown = await asyncio.to_thread(generate_latest, gateway.metrics.registry)
        return web.Response(body=shown, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ending" if stop.is_set() else "ok"}, status=503 if stop.is_set() else 200)

    # A body is unpacked here, within a bound; aiohttp would do so without one.
    app = web.Application(client_max_size=BODY_BYTES_MAX, handler_args={"auto_decompress": False})
    app.add_routes([*otlp_routes(gateway, stop), web.get("/metrics", metrics), web.get("/healthz", healthz)])
    return app


async def _taken(request: web.Request, gateway: Gateway, encoding: Encoding, reading: _Reading) -> Taken:
    length = request.content_length if request.content_length is not None else BODY_BYTES_MAX
    if length > BODY_BYTES_MAX:
        raise too_large()
    if reading.bytes + length > READING_BYTES_MAX:
        raise NotTaken("As many requests are being read as memory holds.", is_busy=True)
    reading.bytes += length
    try:
        body = unpacked(await _read(request), request.headers.get("Content-Encoding", ""))
        return await gateway.take(body, encoding, "http")
    finally:
        reading.bytes -= length


async def _read(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise too_large() from None
    except TimeoutError:
        raise Refusable(408, f"The body did not come within {READ_TIMEOUT_S:g} s.") from None
    except (web.RequestPayloadError, ConnectionError):
        raise Refusable(400, "The body ended before its end.") from None


def _response(status: int, body: bytes, encoding: Encoding, retry_after_s: int | None = None) -> web.Response:
    after = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return web.Response(status=status, body=body, content_type=encoding, headers=after)
