"""One scrape of every target, for whoever sets scraping up: what it says, or why it says nothing. Nothing is sent."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import aiohttp

from producers.scraping.exposition import Unreadable, read_exposition
from producers.scraping.fetching import NoAnswer, fetch, session
from producers.scraping.mapping import mapping_of
from producers.scraping.readings import TargetState, reading
from producers.scraping.targets import Config, Target


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of one target, as a sentence."""

    is_heard: bool
    sentence: str


async def tried(config: Config) -> list[Trial]:
    """Asks every target once, at the same time."""
    async with session(config.timeout_s) as asking:
        return list(await asyncio.gather(*(_tried(config, target, asking) for target in config.targets)))


async def _tried(config: Config, target: Target, asking: aiohttp.ClientSession) -> Trial:
    name = f"{target.host} ({target.kind})"
    try:
        answer = await fetch(asking, target.url)
        shown = read_exposition(answer.body, answer.content_type, target.kind)
    except (NoAnswer, Unreadable) as error:
        return Trial(False, f"{name}: gives nothing: {error}.")
    said = reading(target, config.region, TargetState(), shown, 1, config.interval_s * 1_000)
    names = set(shown.samples["metric"])
    absent = [entry.names[0] for entry in mapping_of(target.kind).metrics if not names.intersection(entry.names)]
    queues = [
        f"{row['depth']:,} wait and {row['running']:,} are served in {row['queue']} of {row['bundle']}"
        for row in (said.kinds["queues"].to_dicts() if "queues" in said.kinds else [])
    ]
    told = [
        f"{name}: {len(shown.samples):,} samples are mapped",
        *queues,
        *([f"it does not show {', '.join(absent)}"] if absent else []),
        *(f"{count:,} × {reason.value} refused" for reason, count in sorted(said.refused.items())),
    ]
    return Trial(bool(queues) or not mapping_of(target.kind).is_serving, "; ".join(told) + ".")
