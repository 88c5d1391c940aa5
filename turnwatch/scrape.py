"""`turnwatch scrape`: scrapes the targets of a file until SIGTERM or SIGINT; with `--once` shows what each of them says, and ends
with 1 where one of them gives nothing."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from producers.drive import WallClock
from producers.scraping.process import scrape
from producers.scraping.targets import Config, read_config
from producers.scraping.trial import tried
from producers.transport import KafkaTransport
from schemas.counted import counted
from schemas.kafka import KafkaAddress
from schemas.scrape_metrics import ScrapeMetrics
from turnwatch.long_running import asked_to_stop, log_events
from turnwatch.metrics_page import show_metrics
from turnwatch.places import kafka
from turnwatch.settings import load

SOME_SAY_NOTHING = 1


def run_scrape(path: Path, is_trial: bool) -> int:
    """Scrapes until it is asked to stop, or once; 1 where a target gave nothing then."""
    config = read_config(path)
    if is_trial:
        return _try(config)
    settings = load()
    log_events()
    address = kafka(settings)
    show_metrics(settings.metrics)
    asyncio.run(_until_stopped(config, address))
    return 0


def _try(config: Config) -> int:
    trials = asyncio.run(tried(config))
    for trial in trials:
        print(trial.sentence)
    silent = sum(not trial.is_heard for trial in trials)
    if not silent:
        return 0
    print(f"{silent:,} of {counted(len(trials), 'target')} gave nothing that could be told.", file=sys.stderr)
    return SOME_SAY_NOTHING


async def _until_stopped(config: Config, address: KafkaAddress) -> None:
    await scrape(config, lambda: KafkaTransport(address), WallClock(), asked_to_stop(), ScrapeMetrics())
