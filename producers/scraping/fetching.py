"""Asking one exporter over HTTP, within bounds of time and size. What comes back is bytes, or why there are none.

A redirect is not followed: a target is what the configuration names. A compressed answer is refused, for its size is not
known before it is unpacked. Of an answer that is too large no more is read than the bound.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

import aiohttp

from producers.scraping.exposition import BODY_BYTES_MAX, Unreadable
from schemas.refusals import Refusal

ACCEPT = "text/plain;version=0.0.4;q=1,application/openmetrics-text;version=1.0.0;q=0.5"

Why = Literal["away", "timeout", "status", "redirect"]


class NoAnswer(Exception):
    """The exporter is away, or says that it cannot answer. The message names no more than a status."""

    def __init__(self, why: Why, detail: str) -> None:
        super().__init__(detail)
        self.why: Why = why


@dataclass(frozen=True, slots=True)
class Answer:
    body: bytes
    content_type: str


def session(timeout_s: float) -> aiohttp.ClientSession:
    """What targets are asked with: one connection each, kept while they answer."""
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    headers = {"Accept": ACCEPT, "Accept-Encoding": "identity", "User-Agent": "turnwatch-scrape"}
    connector = aiohttp.TCPConnector(limit=0, limit_per_host=0)
    return aiohttp.ClientSession(timeout=timeout, headers=headers, connector=connector, auto_decompress=False)


async def fetch(asking: aiohttp.ClientSession, url: str, bytes_max: int = BODY_BYTES_MAX) -> Answer:
    """The answer of one exporter. Raises `NoAnswer`, or `Unreadable` where there is one that cannot be taken."""
    try:
        async with asking.get(url, allow_redirects=False) as response:
            if 300 <= response.status < 400:
                raise NoAnswer("redirect", f"it redirects (status {response.status}), which is not followed")
            if response.status != 200:
                raise NoAnswer("status", f"it answers with status {response.status}")
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise Unreadable(Refusal.MALFORMED, "the answer is compressed, which was not asked for")
            return Answer(await _body(response, bytes_max), response.headers.get("Content-Type", ""))
    except TimeoutError:
        raise NoAnswer("timeout", "it does not answer in time") from None
    except aiohttp.ClientPayloadError:
        raise Unreadable(Refusal.MALFORMED, "the answer breaks off") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise NoAnswer("away", _in_words(error)) from None


def _in_words(error: Exception) -> str:
    """Why there is no connection, or nothing that is HTTP comes of it."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "nobody knows the name of its host"
        case aiohttp.ClientConnectorCertificateError():
            return "its certificate is not trusted"
        case aiohttp.ClientSSLError():
            return "what answers there is no TLS"
        case aiohttp.ClientConnectorError() if error.os_error.errno:
            return f"it cannot be connected to ({os.strerror(error.os_error.errno)})"
        case aiohttp.ServerDisconnectedError():
            return "it closes the connection without an answer"
        case aiohttp.ClientResponseError():
            return "what answers there is no HTTP"
    return f"it cannot be asked ({type(error).__name__})"


async def _body(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    """The whole body, or `Unreadable` once it is longer than the bound; the connection is closed then."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        body += chunk
        if max(len(body), response.content_length or 0) > bytes_max:
            response.close()
            raise Unreadable(Refusal.TOO_LARGE, f"the answer has more than {bytes_max:,} bytes")
    return bytes(body)
