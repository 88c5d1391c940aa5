"""ClickHouse's HTTP protocol on loopback in front of chDB, the real engine in this process.

Run as `python -m stack.clickhouse_http --data DIR --port PORT`; all our code talks to it with the ordinary
`clickhouse-connect` client, so that a real server is a changed URL. It carries statements in the URL, the body or a
form, `param_x`, settings, sessions, compressed bodies and answers, the X-ClickHouse headers, and ClickHouse's own
error numbers under the HTTP statuses a server gives them. SIGTERM cancels what runs, closes the engine and unlocks its
folder.

What a developer meets here and not on a server: one user; no system.query_log and no other system logs; `query_id` is
only echoed (`KILL QUERY` works by condition); Native output is of revision 0 whatever `client_protocol_version` asks,
so LowCardinality arrives as its plain type; no external tables, no `compress=1` block format, no replication. A page in
a browser cannot reach it: foreign Host and Origin headers are refused.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Protocol, TypeVar

import cramjam
from aiohttp import web
from cramjam import Buffer

from stack.clickhouse_engine import Engine, EngineError, Question, Totals
from stack.clickhouse_requests import Account, read_question, require_account
from stack.machine import LOOPBACK
from stack.strangers import refusal_of_strangers

THREADS = 16
HELD_BYTES = 1 << 20
"""How much of an answer is held back, so that an early error still gets its own HTTP status."""

IN_MEMORY_BYTES = 64 << 20
SHUTDOWN_S = 5.0
USER_VARIABLE, PASSWORD_VARIABLE = "TURNWATCH_CLICKHOUSE_USER", "TURNWATCH_CLICKHOUSE_PASSWORD"
"""Environment variables, because everybody on the machine can read a command line."""

STATUSES = {
    401: "REQUIRED_PASSWORD",
    403: "UNKNOWN_USER WRONG_PASSWORD AUTHENTICATION_FAILED ACCESS_DENIED SET_NON_GRANTED_ROLE",
    400: "BAD_ARGUMENTS CANNOT_COMPILE_REGEXP CANNOT_PARSE_TEXT CANNOT_PARSE_ESCAPE_SEQUENCE "
    "CANNOT_PARSE_QUOTED_STRING CANNOT_PARSE_DATE CANNOT_PARSE_DATETIME CANNOT_PARSE_NUMBER "
    "CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING "
    "CANNOT_PARSE_IPV4 CANNOT_PARSE_IPV6 CANNOT_PARSE_INPUT_ASSERTION_FAILED CANNOT_PARSE_UUID DUPLICATE_COLUMN "
    "ILLEGAL_COLUMN UNKNOWN_ELEMENT_IN_AST UNKNOWN_TYPE_OF_AST_NODE THERE_IS_NO_COLUMN TOO_DEEP_AST TOO_BIG_AST "
    "UNEXPECTED_AST_STRUCTURE SYNTAX_ERROR INCORRECT_DATA TYPE_MISMATCH VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    404: "UNKNOWN_TABLE UNKNOWN_FUNCTION UNKNOWN_IDENTIFIER UNKNOWN_TYPE UNKNOWN_STORAGE UNKNOWN_DATABASE "
    "UNKNOWN_SETTING UNKNOWN_DIRECTION_OF_SORTING UNKNOWN_AGGREGATE_FUNCTION UNKNOWN_FORMAT UNKNOWN_DATABASE_ENGINE "
    "UNKNOWN_TYPE_OF_QUERY UNKNOWN_ROLE",
    408: "TIMEOUT_EXCEEDED",
    413: "QUERY_IS_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    501: "NOT_IMPLEMENTED",
    503: "SOCKET_TIMEOUT CANNOT_OPEN_FILE CANNOT_SCHEDULE_TASK",
}
"""The HTTP status under which ClickHouse reports each error; all others are a 500."""

STATUS_OF = {name: status for status, names in STATUSES.items() for name in names.split()}

CONTENT_TYPES = {
    "tabseparated": "text/tab-separated-values; charset=UTF-8",
    "tsv": "text/tab-separated-values; charset=UTF-8",
    "csv": "text/csv; charset=UTF-8; header=absent",
    "csvwithnames": "text/csv; charset=UTF-8; header=present",
    "json": "application/json; charset=UTF-8",
    "jsoncompact": "application/json; charset=UTF-8",
    "jsoneachrow": "application/x-ndjson; charset=UTF-8",
    "pretty": "text/plain; charset=UTF-8",
    "native": "application/octet-stream",
    "rowbinary": "application/octet-stream",
    "arrow": "application/octet-stream",
    "arrowstream": "application/octet-stream",
    "parquet": "application/octet-stream",
}
ENCODINGS = ("zstd", "lz4", "gzip")


Answer = TypeVar("Answer")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Compressor(Protocol):
    def compress(self, piece: bytes) -> int: ...
    def flush(self) -> Buffer: ...
    def finish(self) -> Buffer: ...


@dataclass(frozen=True, slots=True)
class Served:
    """What every handler works with."""

    engine: Engine
    account: Account
    pool: ThreadPoolExecutor
    timezone: str
    display_name: str


SERVED = web.AppKey("served", Served)


def application(served: Served) -> web.Application:
    app = web.Application(middlewares=[refuse_strangers])
    app[SERVED] = served
    app.router.add_get("/ping", say_ok)
    app.router.add_get("/replicas_status", say_ok)
    app.router.add_get("/", answer, allow_head=False)
    app.router.add_post("/", answer)
    app.on_shutdown.append(interrupt)
    app.on_cleanup.append(close)
    return app


@web.middleware
async def refuse_strangers(request: web.Request, handler: Handler) -> web.StreamResponse:
    refusal = refusal_of_strangers(request)
    return web.Response(status=403, text=refusal + "\n") if refusal else await handler(request)


async def say_ok(request: web.Request) -> web.Response:
    return web.Response(text="Ok.\n")


async def answer(request: web.Request) -> web.StreamResponse:
    """Carry out what a request asks; every failure is ClickHouse's own sentence under the status it has there."""
    served = request.app[SERVED]
    headers = {
        "X-ClickHouse-Server-Display-Name": served.display_name,
        "X-ClickHouse-Query-Id": request.query.get("query_id") or str(uuid.uuid4()),
        "X-ClickHouse-Timezone": served.timezone,
    }
    if request.method == "GET" and not request.query_string:
        return web.Response(text="Ok.\n", headers=headers)
    try:
        require_account(request, served.account)
        question = await read_question(request)
        return await Exchange(request, question, headers, served).run()
    except EngineError as error:
        return error_response(error, headers)


def error_response(error: EngineError, headers: dict[str, str]) -> web.Response:
    headers = {**headers, "X-ClickHouse-Exception-Code": str(error.code)}
    return web.Response(status=STATUS_OF.get(error.name, 500), text=error.message + "\n", headers=headers)


class Exchange:
    """One request and its answer: held back while it may still fail, then sent whole or, if it is large, in pieces."""

    def __init__(self, request: web.Request, question: Question, headers: dict[str, str], served: Served) -> None:
        self.request, self.question, self.served = request, question, served
        self.totals, self.started_s = Totals(), time.monotonic()
        self.pieces = served.engine.answer(question, self.totals)
        self.encoding = accepted_encoding(request)
        self.headers = headers | self.content_headers()

    def content_headers(self) -> dict[str, str]:
        headers = {"Content-Encoding": self.encoding} if self.encoding else {}
        if not self.question.statement.returns_rows:
            return headers
        name = self.question.format
        content_type = CONTENT_TYPES.get(name.casefold(), "text/plain; charset=UTF-8")
        return headers | {"X-ClickHouse-Format": name, "Content-Type": content_type}

    async def run(self) -> web.StreamResponse:
        waits_for_end = self.request.query.get("wait_end_of_query", "0") != "0"
        with SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as held:
            try:
                while (piece := await self.next_piece()) is not None:
                    held.write(piece)
                    if held.tell() >= HELD_BYTES and not waits_for_end:
                        break
                if piece is None:
                    self.headers["X-ClickHouse-Summary"] = self.summary()
                if piece is None and held.tell() <= IN_MEMORY_BYTES:
                    held.seek(0)
                    return await self.whole(held.read())
                return await self.in_pieces(held)
            finally:
                await self.in_thread(self.pieces.close)

    async def whole(self, body: bytes) -> web.Response:
        if self.encoding and body:
            body = await self.in_thread(compressed, body, self.encoding)
        elif self.encoding:
            del self.headers["Content-Encoding"]
        return web.Response(body=body, headers=self.headers)

    async def in_pieces(self, held: IO[bytes]) -> web.StreamResponse:
        """Send what was held back and then the rest as it comes; an error now is told inside of the body."""
        tag = secrets.token_hex(8)
        response = web.StreamResponse(headers=self.headers | {"X-ClickHouse-Exception-Tag": tag})
        compressor = new_compressor(self.encoding) if self.encoding else None
        await response.prepare(self.request)
        held.seek(0)
        try:
            while piece := held.read(HELD_BYTES):
                await self.send(response, piece, compressor)
            while (more := await self.next_piece()) is not None:
                await self.send(response, more, compressor)
        except EngineError as error:
            await self.send(response, in_body(error, tag), compressor)
            await self.break_off(response, compressor)
            return response
        if compressor:
            await response.write(bytes(compressor.finish()))
        await response.write_eof()
        return response

    async def send(self, response: web.StreamResponse, piece: bytes, compressor: Compressor | None) -> None:
        if compressor:
            piece = await self.in_thread(one_piece, compressor, piece)
        if piece:
            await response.write(piece)

    async def break_off(self, response: web.StreamResponse, compressor: Compressor | None) -> None:
        """End without the chunk that would make the answer complete, so that nobody takes it for that."""
        if compressor:
            await response.write(bytes(compressor.finish()))
        response.force_close()
        if self.request.transport:
            self.request.transport.close()

    async def next_piece(self) -> bytes | None:
        return await self.in_thread(next, self.pieces, None)

    async def in_thread(self, function: Callable[..., Answer], *arguments: object) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self.served.pool, function, *arguments)

    def summary(self) -> str:
        elapsed_ns = int((time.monotonic() - self.started_s) * 1e9)
        told = {**asdict(self.totals), "total_rows_to_read": 0, "elapsed_ns": elapsed_ns}
        return json.dumps({name: str(figure) for name, figure in told.items()})


def in_body(error: EngineError, tag: str) -> bytes:
    """An error as ClickHouse tells it in the middle of an answer."""
    message = error.message.encode() + b"\n"
    marked = tag.encode()
    return b"\r\n__exception__\r\n%b\r\n%b%d %b\r\n__exception__\r\n" % (marked, message, len(message), marked)


def accepted_encoding(request: web.Request) -> str | None:
    """How to compress the answer: as the client lists it, and only if it also sets enable_http_compression."""
    if request.query.get("enable_http_compression", "0") == "0":
        return None
    wanted = (each.split(";")[0].strip().lower() for each in request.headers.get("Accept-Encoding", "").split(","))
    return next((each for each in wanted if each in ENCODINGS), None)


def new_compressor(encoding: str) -> Compressor:
    match encoding:
        case "zstd":
            return cramjam.zstd.Compressor()
        case "lz4":
            return cramjam.lz4.Compressor()
        case _:
            return cramjam.gzip.Compressor()


def compressed(body: bytes, encoding: str) -> bytes:
    compressor = new_compressor(encoding)
    compressor.compress(body)
    return bytes(compressor.finish())


def one_piece(compressor: Compressor, piece: bytes) -> bytes:
    compressor.compress(piece)
    return bytes(compressor.flush())


async def interrupt(app: web.Application) -> None:
    """On SIGTERM, before the requests under way are waited for."""
    app[SERVED].engine.interrupt()


async def close(app: web.Application) -> None:
    app[SERVED].pool.shutdown(cancel_futures=True)
    app[SERVED].engine.close()


def serve(data_dir: Path, port: int, account: Account) -> None:
    """Serve until SIGTERM or SIGINT."""
    data_dir.mkdir(parents=True, exist_ok=True)
    engine = Engine(data_dir)
    served = Served(
        engine,
        account,
        ThreadPoolExecutor(THREADS, "query"),
        engine.scalar("timezone()"),
        engine.scalar("displayName()"),
    )
    web.run_app(
        application(served),
        host=LOOPBACK,
        port=port,
        shutdown_timeout=SHUTDOWN_S,
        access_log=None,
        print=None,
        auto_decompress=False,  # Bodies are decompressed by us: one answer for every encoding.
    )


def main() -> int:
    parser = argparse.ArgumentParser("python -m stack.clickhouse_http", description="ClickHouse over HTTP, on chDB.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the engine's data")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    chosen = parser.parse_args()
    account = Account(os.environ.get(USER_VARIABLE, "default"), os.environ.get(PASSWORD_VARIABLE, ""))
    try:
        serve(chosen.data, chosen.port, account)
    except (EngineError, OSError) as error:
        print(f"ClickHouse on {chosen.data}, port {chosen.port}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
