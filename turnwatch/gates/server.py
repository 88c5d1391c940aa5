"""Gates over HTTP: `/v1/gate` for whoever reads JSON, and Flagger's forms below `/flagger`.

200 at `/v1/gate` is a verdict, whichever it is. Whatever else happens has a status of 400 or above and a sentence without a
decision: 400 for what the asker has to correct, 401 and 403 for who may not ask, 429 while too many do, 503 where a server is
away, 500 for a defect. So no error reads as `continue`, and none as `rollback`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from schemas.failures import BadInput, Foreseen
from schemas.verdicts import ReleaseVerdict
from turnwatch.gates.access import Access
from turnwatch.gates.asking import Desk, TooMany, sentence, summary
from turnwatch.gates.flagger import ONLINE, Hook, fields_of, one_value, payload_of, status_of, value_of

BODY_BYTES_MAX = 64_000
READ_TIMEOUT_S = 10.0
AGAIN_S = 5
FRESH = {"Cache-Control": "no-store"}

log = logging.getLogger("turnwatch.gates")


def application(desk: Desk, access: Access, now_s: Callable[[], float] = time.time) -> web.Application:
    """The routes; all but `/healthz` and `/metrics` are for those who may ask."""

    async def gate(request: web.Request) -> web.Response:
        fields = await _object(request) if request.method == "POST" else _fields(request)
        return _json(summary(_told(await desk.answer(fields, "http"))))

    def hook(which: Hook) -> Handler:
        async def answer(request: web.Request) -> web.Response:
            asked = payload_of(await _object(request))
            verdict = _told(await desk.answer(asked.metadata, asked.who))
            return web.Response(status=status_of(which, verdict), text=sentence(verdict), headers=FRESH)

        return answer

    async def query(request: web.Request) -> web.Response:
        text = _fields(request).get("query", "")
        if text == ONLINE:
            return _json(one_value(1, now_s(), {}))
        return _json(value_of(_told(await desk.answer(fields_of(text), "flagger"))))

    app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[_sentences(desk, access)])
    app.add_routes([web.get("/v1/gate", gate, allow_head=False), web.post("/v1/gate", gate)])
    app.add_routes([web.post(f"/flagger/{which}", hook(which)) for which in ("confirm", "rollback")])
    app.add_routes([web.get("/flagger/api/v1/query", query, allow_head=False)])
    app.add_routes([web.get("/healthz", _healthz), web.get("/metrics", _metrics(desk))])
    return app


_OPEN = frozenset(("/healthz", "/metrics"))


def _sentences(desk: Desk, access: Access) -> Middleware:
    """Whatever is no verdict is a sentence with a status of 400 or above, and is counted."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = None if request.path in _OPEN else access.refusal(request)
            if response is None:
                return await handler(request)
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # A panic of polars is no `Exception`.
            response = _without_verdict(error)
        desk.metrics.unanswered.labels(str(response.status)).inc()
        return response

    return middleware


def _without_verdict(error: BaseException) -> web.Response:
    match error:
        case web.HTTPRequestEntityTooLarge():
            return _error(413, f"The body has more than {BODY_BYTES_MAX} bytes: a question has less.")
        case web.HTTPException():
            return _error(max(error.status, 400), f"{error.status} {error.reason}")
        case TooMany():
            return _error(429, str(error), {"Retry-After": str(AGAIN_S)})
        case BadInput():
            return _error(400, str(error))
        case Foreseen() | OSError():
            log.warning("no_verdict: %s", error)
            return _error(503, str(error), {"Retry-After": str(AGAIN_S)})
    log.error("no_verdict: this is a defect of turnwatch; please report it.", exc_info=error)
    return _error(500, "There is no verdict: the gate failed at this question, which is a defect of turnwatch.")


def _error(status: int, told: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": told}, status=status, headers={**FRESH, **(headers or {})})


def _json(answer: dict[str, Any]) -> web.Response:
    return web.json_response(answer, headers=FRESH)


def _told(verdict: ReleaseVerdict) -> ReleaseVerdict:
    log.info("told: %s", sentence(verdict))
    return verdict


def _fields(request: web.Request) -> dict[str, str]:
    """The URL's fields, each written once."""
    if len(request.query) > len(set(request.query)):
        raise BadInput("A field is written twice in the URL: keep one of them.")
    return dict(request.query)


async def _object(request: web.Request) -> dict[str, Any]:
    """The JSON object of a body; raises `BadInput`."""
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            read = json.loads(await request.read(), object_pairs_hook=_once_each)
    except TimeoutError:
        raise BadInput(f"The body did not come within {READ_TIMEOUT_S:g} s.") from None
    except (ValueError, RecursionError):
        raise BadInput("The body is no JSON, or has a field twice.") from None
    except (web.RequestPayloadError, ConnectionError):
        raise BadInput("The body ended before its end.") from None
    if not isinstance(read, dict):
        raise BadInput('The body is no JSON object: write {"release": "…"}.')
    return read


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


async def _healthz(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


def _metrics(desk: Desk) -> Handler:
    async def metrics(_: web.Request) -> web.Response:
        shown = await asyncio.to_thread(generate_latest, desk.metrics.registry)
        return web.Response(body=shown, headers={"Content-Type": CONTENT_TYPE_LATEST})

    return metrics
