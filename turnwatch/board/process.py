"""`turnwatch board`: serves until SIGTERM or SIGINT, and opens a browser if there is one."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rich.console import Console

from alerts.definitions import watched_slos
from dashboards.render import all_boards
from dashboards.variables import OVERVIEW_UID
from producers.listening import listening
from schemas.failures import BadInput
from schemas.warehouse import ClickHouseAddress
from stack.jars import cache_root
from turnwatch.board.desk import Desk
from turnwatch.board.files import Files
from turnwatch.board.server import application
from turnwatch.places import clickhouse
from turnwatch.settings import load


def run_board(host: str | None, port: int | None, is_opened: bool) -> int:
    """Serves until it is asked to stop; arguments win over settings."""
    settings = load()
    host = host or settings.board.host
    require_this_machine(host)
    port = settings.board.port if port is None else port
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)
    asyncio.run(_until_stopped(clickhouse(settings), host, port, is_opened))
    return 0


def require_this_machine(host: str) -> None:
    """Raises `BadInput` for an address that other machines reach: whoever reaches the board reads everything."""
    try:
        is_ours = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_ours = False
    if not is_ours:
        raise BadInput(
            f"The board has no password and serves this machine only, which {host[:100]} is not: leave --host out, and reach it "
            "from elsewhere through `ssh -L`, or use Grafana."
        )


@asynccontextmanager
async def serving(address: ClickHouseAddress, host: str, port: int) -> AsyncIterator[str]:
    """Serves boards inside of the block, whose value is their address."""
    files = Files(cache_root())
    files.warm()
    app = application(Desk(address, all_boards(watched_slos())), files)
    async with listening(app, host, port, "The board cannot be served", "TURNWATCH_BOARD") as addresses:
        shown, taken = addresses[0]
        yield f"http://{f'[{shown}]' if ':' in shown else shown}:{taken}"


async def _until_stopped(address: ClickHouseAddress, host: str, port: int, is_opened: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serving(address, host, port) as url:
        home = f"{url}/d/{OVERVIEW_UID}"
        Console().print(f"The boards are at {home} until Ctrl-C.", highlight=False, soft_wrap=True)
        if is_opened:
            await asyncio.to_thread(open_in_browser, home)
        await stop.wait()


def open_in_browser(url: str) -> None:
    """Where there is no browser the address has been printed."""
    webbrowser.open(url)
