"""From an HTTP request to a question for the engine, by the rules of ClickHouse's HTTP interface.

The statement is the `query` of the URL followed by the body, or a form's `query`. Of the URL's other parameters,
`param_x` fill placeholders, some steer the protocol, and the rest are settings.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace

import cramjam
from aiohttp import BodyPartReader, web

from stack.clickhouse_engine import EngineError, Question, SessionRequest
from stack.clickhouse_statements import Statement, at_revision_zero, read_statement

BODY_BYTES_MAX = 1 << 30
SESSION_TIMEOUT_S, SESSION_TIMEOUT_S_MAX = 60.0, 3_600.0
DEFAULT_FORMAT = "TabSeparated"

OF_THE_PROTOCOL = frozenset(
    (
        "query",
        "database",
        "user",
        "password",
        "session_id",
        "session_timeout",
        "session_check",
        "query_id",
        "default_format",
        "wait_end_of_query",
        "buffer_size",
        "client_protocol_version",
        "quota_key",
        "stacktrace",
        "close_session",
        "role",
        "compress",
        "decompress",
        "enable_http_compression",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
        "cancel_http_readonly_queries_on_client_close",
        "http_zlib_compression_level",
    )
)
"""Parameters of a URL that are not handed to the engine as settings."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who may ask. The default is ClickHouse's own: the user `default`, without a password."""

    user: str = "default"
    password: str = ""


def require_account(request: web.Request, account: Account) -> None:
    """Refuse wrong credentials, in time that does not tell which part was wrong."""
    user, password = credentials(request)
    is_user = hmac.compare_digest(user.encode(), account.user.encode())
    is_password = hmac.compare_digest(password.encode(), account.password.encode())
    if not (is_user and is_password):
        reason = f"{user}: Authentication failed: password is incorrect, or there is no user with such name."
        raise EngineError.because(516, "AUTHENTICATION_FAILED", reason)


def credentials(request: web.Request) -> tuple[str, str]:
    if "X-ClickHouse-User" in request.headers:
        return request.headers["X-ClickHouse-User"], request.headers.get("X-ClickHouse-Key", "")
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return user, password
    return request.query.get("user", "default"), request.query.get("password", "")


async def read_question(request: web.Request) -> Question:
    """What a request asks of the engine."""
    given, body = await read_content(request)
    require_supported(given)
    statement = combined(given.get("query", "").encode(), body)
    if "client_protocol_version" in given:
        statement = replace(statement, text=at_revision_zero(statement.text))
    if request.method == "GET" and not statement.is_read_only:
        reason = "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. Use POST."
        raise EngineError.because(164, "READONLY", reason)
    return Question(
        statement=statement,
        default_format=request.headers.get("X-ClickHouse-Format") or given.get("default_format") or DEFAULT_FORMAT,
        parameters={name.removeprefix("param_"): value for name, value in given.items() if name.startswith("param_")},
        settings={name: value for name, value in given.items() if is_setting(name)},
        database=request.headers.get("X-ClickHouse-Database") or given.get("database"),
        session=read_session(given),
    )


def combined(of_url: bytes, body: bytes) -> Statement:
    """The URL's statement with its data in the body, or both as one text."""
    statement = read_statement(of_url)
    if of_url and statement.takes_data:
        return replace(statement, data=statement.data + body)
    text = of_url + b"\n" + body if of_url and body else of_url or body
    return read_statement(text)


def is_setting(name: str) -> bool:
    return name not in OF_THE_PROTOCOL and not name.startswith("param_")


def read_session(given: Mapping[str, str]) -> SessionRequest | None:
    if not given.get("session_id"):
        return None
    try:
        timeout_s = float(given.get("session_timeout", SESSION_TIMEOUT_S))
    except ValueError:
        raise EngineError.because(72, "CANNOT_PARSE_NUMBER", "Invalid session timeout") from None
    timeout_s = min(timeout_s, SESSION_TIMEOUT_S_MAX)
    return SessionRequest(given["session_id"], timeout_s, must_exist=given.get("session_check") == "1")


def require_supported(given: Mapping[str, str]) -> None:
    if given.get("compress", "0") != "0" or given.get("decompress", "0") != "0":
        reason = "ClickHouse's block compression (compress=1, decompress=1) is not served here: use Content-Encoding "
        raise EngineError.because(48, "NOT_IMPLEMENTED", reason + "and Accept-Encoding (gzip, zstd, lz4).")


async def read_content(request: web.Request) -> tuple[dict[str, str], bytes]:
    """The URL's parameters, with a form's if the body is one, and the body if it is not."""
    given = dict(request.query)
    if request.content_type == "multipart/form-data":
        return given | await read_form(request), b""
    return given, decoded(await read_body(request), request.headers.get("Content-Encoding", "identity"))


async def read_form(request: web.Request) -> dict[str, str]:
    fields: dict[str, str] = {}
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader) or part.filename is not None:
            raise EngineError.because(48, "NOT_IMPLEMENTED", "External tables in a form are not served here.")
        fields[part.name or ""] = await part.text()
    return fields


async def read_body(request: web.Request) -> bytes:
    pieces, length = [], 0
    async for piece in request.content.iter_any():
        pieces.append(piece)
        length += len(piece)
        if length > BODY_BYTES_MAX:
            reason = f"The body exceeds {BODY_BYTES_MAX >> 20} MiB: send it in several inserts."
            raise EngineError.because(229, "QUERY_IS_TOO_LARGE", reason)
    return b"".join(pieces)


def decoded(body: bytes, encoding: str) -> bytes:
    """A body as it was before its Content-Encoding."""
    decompress = {
        "gzip": cramjam.gzip.decompress,
        "zstd": cramjam.zstd.decompress,
        "lz4": cramjam.lz4.decompress,
        "br": cramjam.brotli.decompress,
        "deflate": cramjam.zlib.decompress,
    }
    name = encoding.strip().lower()
    if name == "identity" or not body:
        return body
    if name not in decompress:
        reason = f"Unknown compression method: {encoding}. Known: {', '.join(sorted(decompress))}."
        raise EngineError.because(89, "UNKNOWN_COMPRESSION_METHOD", reason)
    try:
        return bytes(decompress[name](body))
    except cramjam.DecompressionError as error:
        raise EngineError.because(354, "CANNOT_DECOMPRESS", f"The body is not valid {name}: {error}") from error
