"""Exporters on loopback, well and ill: each path of one real HTTP server behaves in its own way."""

from __future__ import annotations

import asyncio
import gzip
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.producers.scraping.engines import TEXT

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
HUGE_BYTES = 200_000_000
SECRET = "ana@example.com"


class Exporters:
    """`texts` is what each path shows; what else paths do is in `ILL`. `sent_bytes` counts what the huge one wrote."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.asked: Counter[str] = Counter()
        self.sent_bytes = 0
        self.base = ""

    def url(self, path: str) -> str:
        return f"{self.base}/{path}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path.lstrip("/")
        self.asked[path] += 1
        if path in self.texts:
            return web.Response(body=self.texts[path].encode(), headers={"Content-Type": TEXT})
        return await getattr(self, path)(request)  # type: ignore[no-any-return]  # Paths are names of the methods below.

    async def html(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=f"<html><body>{SECRET}</body></html>\n", content_type="text/html")

    async def half_a_line(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"vllm:num_requests_waiting 3\nvllm:num_requ", headers={"Content-Type": TEXT})

    async def breaks_off(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": TEXT, "Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"vllm:num_requests_waiting 3\n")
        assert request.transport
        request.transport.close()
        return response

    async def huge(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": TEXT})
        await response.prepare(request)
        chunk = b"# nothing\n" * 100_000
        try:
            while self.sent_bytes < HUGE_BYTES:
                await response.write(chunk)
                self.sent_bytes += len(chunk)
        except (ConnectionError, asyncio.CancelledError):
            pass
        return response

    async def huge_and_says_so(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": TEXT, "Content-Length": str(HUGE_BYTES)})
        await response.prepare(request)
        try:
            await response.write(b"# nothing\n")
            await asyncio.sleep(60)
        except (ConnectionError, asyncio.CancelledError):
            pass
        return response

    async def silent(self, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    async def drips(self, request: web.Request) -> web.StreamResponse:
        """Never quiet for long, and never done."""
        response = web.StreamResponse(headers={"Content-Type": TEXT})
        await response.prepare(request)
        try:
            while True:
                await response.write(b"#\n")
                await asyncio.sleep(0.01)
        except (ConnectionError, asyncio.CancelledError):
            return response

    async def broken(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=500, text=f"Traceback of {SECRET}")

    async def elsewhere(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": self.url("well")})

    async def compressed(self, request: web.Request) -> web.StreamResponse:
        body = gzip.compress(b"#" * 10_000_000)
        return web.Response(body=body, headers={"Content-Type": TEXT, "Content-Encoding": "gzip"})


@asynccontextmanager
async def serving() -> AsyncIterator[Exporters]:
    """A server on a free port of 127.0.0.1 for as long as the context lasts."""
    exporters, app = Exporters(), web.Application()
    app.router.add_get("/{path}", exporters.answer)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server(shutdown_timeout=0.1)
    exporters.base = str(server.make_url("")).rstrip("/")
    try:
        yield exporters
    finally:
        await server.close()
