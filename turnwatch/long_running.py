"""Commands that run until they are asked to stop: how they log, and by which signals they are asked."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def log_events(without: tuple[str, ...] = ("aiokafka", "aiohttp")) -> None:
    """What happens is logged on standard error; clients that say it in words of their own are `without` a voice."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for chatty in without:
        logging.getLogger(chatty).setLevel(logging.CRITICAL)


def asked_to_stop() -> asyncio.Event:
    """Set when somebody asks for the end. To be called where a loop runs."""
    stop = asyncio.Event()
    when_asked(stop.set)
    return stop


def when_asked(stop: Callable[[], object]) -> None:
    """Calls `stop` when somebody asks for the end."""
    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop)
