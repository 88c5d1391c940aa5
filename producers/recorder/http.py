"""Posting one batch to one collector. Whatever happens comes back as an answer; nothing is raised for the network's sake."""

from __future__ import annotations

from collections.abc import Mapping

import urllib3

from producers.observation_batches import PATH, Answer, read_answer
from schemas.addresses import require_tls_for, verifying, web_address

CONNECT_TIMEOUT_S = 2.0
ANSWER_BYTES_MAX = 64_000
UNREACHABLE = 0
"""Status of an answer that never came."""


class Http:
    """Connections to the collectors, kept open between batches."""

    def __init__(self, addresses: tuple[str, ...], cafile: str | None = None) -> None:
        for address in addresses:
            web_address(address, "A collector's address")
            require_tls_for(cafile, address, "the collector")
        self._pool = urllib3.PoolManager(maxsize=1, retries=False, ssl_context=_context(addresses, cafile))

    def post(self, address: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Answer:
        """The collector's answer, or one with status `UNREACHABLE`, within about `timeout_s`."""
        timeout = urllib3.Timeout(connect=min(CONNECT_TIMEOUT_S, timeout_s), total=timeout_s)
        url = address.rstrip("/") + PATH
        try:
            response = self._pool.request(
                "POST", url, body=body, headers=dict(headers), timeout=timeout, redirect=False, preload_content=False
            )
            try:
                told = response.read(ANSWER_BYTES_MAX)
            finally:
                response.release_conn()
            lowered = {name.lower(): value for name, value in response.headers.items()}
            return read_answer(response.status, lowered, told)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return Answer(UNREACHABLE, error=type(error).__name__)

    def close(self) -> None:
        self._pool.clear()


def _context(addresses: tuple[str, ...], cafile: str | None) -> object:
    return verifying(cafile, "the collector") if any(each.startswith("https:") for each in addresses) else None
