"""The collector over HTTP: batches in, and what it counts and whether it is well out.

Whatever is sent is answered by one sentence as JSON: a body that is too large, of another type, broken, cut off or slow,
and a collector that has no room. What waits in memory while it is read is bounded, too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from producers.collecting.admission import received
from producers.collecting.durable import RETRY_AFTER_S
from producers.collecting.engine import Engine
from producers.observation_batches import (
    BATCH_BYTES_MAX,
    PATH,
    Answer,
    BatchHeader,
    MalformedBatch,
    decode_header,
)

READING_BYTES_MAX = 64_000_000
"""Of all bodies that are being read, unpacked or written."""
READ_TIMEOUT_S = 30.0
CLOCK_BEHIND_MS_MAX = 60_000

log = logging.getLogger("turnwatch.collector")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class _Reading:
    """Bytes that are promised to requests."""

    bytes: int = 0


def application(engine: Engine, stop: asyncio.Event, read_timeout_s: float = READ_TIMEOUT_S) -> web.Application:
    """The collector's routes. Once `stop` is set batches are refused for another try."""
    reading = _Reading()

    async def take(request: web.Request) -> web.Response:
        answer = await _taken(request, engine, reading, stop, read_timeout_s)
        if not answer.is_taken:
            engine.metrics.batches_refused.labels(str(answer.status)).inc()
        return web.Response(
            status=answer.status, body=answer.body(), content_type="application/json", headers=answer.headers
        )

    async def metrics(_: web.Request) -> web.Response:
        shown = await asyncio.to_thread(generate_latest, engine.metrics.registry)
        return web.Response(body=shown, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        why = _why_not_ready(engine, stop)
        return web.json_response({"status": "not ready", "error": why}, status=503) if why else await healthz(_)

    app = web.Application(client_max_size=BATCH_BYTES_MAX, middlewares=[_in_json])
    app.add_routes(
        [web.post(PATH, take), web.get("/metrics", metrics), web.get("/healthz", healthz), web.get("/readyz", readyz)]
    )
    return app


async def _taken(
    request: web.Request, engine: Engine, reading: _Reading, stop: asyncio.Event, read_timeout_s: float
) -> Answer:
    length = BATCH_BYTES_MAX if request.content_length is None else request.content_length
    if length > BATCH_BYTES_MAX:
        return _too_large()
    if stop.is_set():
        return Answer(503, error="The collector is ending.", retry_after_s=1)
    if reading.bytes + length > READING_BYTES_MAX:
        return Answer(429, error="The collector is reading as much as it can hold.", retry_after_s=RETRY_AFTER_S)
    if engine.core.is_full:
        return Answer(429, error=engine.core.why_full, retry_after_s=RETRY_AFTER_S)
    reading.bytes += length
    try:
        header, body = await _read(request, read_timeout_s)
        return await engine.take(await asyncio.to_thread(received, header, body, engine.now_ms()))
    except MalformedBatch as error:
        return Answer(error.status, error=str(error))
    except web.HTTPRequestEntityTooLarge:
        return _too_large()
    except TimeoutError:
        return Answer(408, error=f"The batch did not come within {read_timeout_s:g} s.")
    except (web.RequestPayloadError, ConnectionError):
        return Answer(400, error="The body ended before its end.")
    finally:
        reading.bytes -= length


async def _read(request: web.Request, read_timeout_s: float) -> tuple[BatchHeader, bytes]:
    if request.headers.get("content-encoding", "identity") != "identity":
        raise MalformedBatch(415, "The body has to come without a content encoding: Arrow's own lz4 is inside.")
    header = decode_header(request.headers)
    async with asyncio.timeout(read_timeout_s):
        return header, await request.read()


def _too_large() -> Answer:
    return Answer(413, error=f"The body has more than {BATCH_BYTES_MAX} bytes: send fewer rows at once.")


def _why_not_ready(engine: Engine, stop: asyncio.Event) -> str:
    if stop.is_set():
        return "The collector is ending."
    if engine.core.is_full:
        return engine.core.why_full
    behind_ms = engine.core.collector.open_ms - engine.now_ms()
    if behind_ms > CLOCK_BEHIND_MS_MAX:
        return (
            f"The clock is {behind_ms / 1_000:.0f} s behind the newest window: nothing is closed until it is past it."
        )
    return ""


@web.middleware
async def _in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Paths and methods that are none of ours are told like everything else."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return web.json_response({"error": f"{error.status} {error.reason}"}, status=error.status)
    except Exception:
        log.exception("request_failed: this is a defect of turnwatch; please report it.")
        return web.json_response({"error": "The collector failed at this request."}, status=500)
