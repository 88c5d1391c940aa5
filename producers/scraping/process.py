"""A scraper as a process: rounds of scrapes into one collector, whose frames go to Kafka, until it is asked to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from producers.collector import WINDOW_MS, Collector
from producers.drive import Clock
from producers.scraping.fetching import session
from producers.scraping.rounds import Rounds
from producers.scraping.sending import Connect, Sending
from producers.scraping.targets import Config
from schemas.scrape_metrics import ScrapeMetrics


async def scrape(config: Config, connect: Connect, clock: Clock, stop: asyncio.Event, metrics: ScrapeMetrics) -> None:
    """Scrapes until `stop`; returns when Kafka has every frame, or raises `NotDelivered` or `Overflowing`."""
    async with connect():  # A Kafka that cannot be reached at all is told before anything is asked.
        pass
    now_ms = clock.now_ms()
    collector = Collector(config.producer, config.region, incarnation=now_ms, opens_at_ms=now_ms)
    sending = Sending(connect, metrics)
    background = asyncio.create_task(sending.run())
    try:
        async with session(config.timeout_s) as asking:
            rounds = Rounds(config, collector, clock, asking, metrics)
            while (end_ms := await _before(stop, rounds.next_end_ms())) is not None:
                await rounds.ask()
                await clock.sleep_until(end_ms)
                sending.put(rounds.closed(end_ms))
                if background.done():
                    break  # It never ends by itself: what it failed of is told below.
            # What was scraped for the window that is not over would be lost with this process.
            sending.put(rounds.closed(-(-clock.now_ms() // WINDOW_MS) * WINDOW_MS))
    finally:
        sending.end()
        await background


async def _before(stop: asyncio.Event, waiting: Awaitable[int]) -> int | None:
    """What is waited for, or none where the stop comes first."""
    stopping, waited = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(waiting)
    await asyncio.wait({stopping, waited}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not waited.done():
        waited.cancel()
        return None
    return waited.result()
