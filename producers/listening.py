"""A web application that listens on one address for as long as somebody needs it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from schemas.failures import BadInput

KEEP_ALIVE_S = 75.0
"""How long a connection is kept that asks nothing: the library's own is an hour."""
ANSWERING_S = 5.0
"""How long requests that have begun may take once nothing more is taken."""


@asynccontextmanager
async def listening(
    application: web.Application, host: str, port: int, cannot: str, settings: str, port_set_by: str = ""
) -> AsyncIterator[list[tuple[str, int]]]:
    """Listens inside of the block, whose value are the addresses, and answers what has begun before it leaves.

    Raises `BadInput` where that address cannot be listened on: `cannot` begins its sentence, `settings` is what the settings
    of host and port begin with, and `port_set_by` how the port was given, where that is no setting.
    """
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=ANSWERING_S, keepalive_timeout=KEEP_ALIVE_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise BadInput(
                f"{cannot} on {host}:{port} ({error.strerror}): stop what listens there, or set {settings}__HOST or "
                f"{port_set_by or f'{settings}__PORT'}."
            ) from None
        yield [_host_and_port(address) for address in runner.addresses]
    finally:
        await runner.cleanup()


def _host_and_port(address: Any) -> tuple[str, int]:
    host, port, *_ = address
    return str(host), int(port)
