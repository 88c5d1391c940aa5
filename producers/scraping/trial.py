"""One scrape of every target, for whoever sets scraping up: what it says, or why it says nothing. Nothing is sent."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any

import aiohttp

from producers.scraping.exposition import Exposition, Unreadable, read_exposition
from producers.scraping.fetching import NoAnswer, fetch, session
from producers.scraping.mapping import Mapping, mapping_of
from producers.scraping.readings import TargetState, reading
from producers.scraping.targets import Config, Target
from schemas.counted import counted
from schemas.refusals import Refusal


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
    mapping, names = mapping_of(target.kind), set(shown.samples["metric"])
    missing = [entry for entry in mapping.metrics if not names.intersection(entry.names)]
    refused_names = {name for name, _ in shown.refused_of}
    refused = [name for entry in missing for name in entry.names if name in refused_names]
    absent = [entry.names[0] for entry in missing if refused_names.isdisjoint(entry.names)]
    queues = [
        f"{_shown('depth', row, mapping, shown)} wait and {_shown('running', row, mapping, shown)} run in {row['queue']} of {row['bundle']}"
        for row in (said.kinds["queues"].to_dicts() if "queues" in said.kinds else [])
    ]
    told = [
        f"{name}: {counted(len(shown.samples), 'sample is', 'samples are')} mapped",
        *queues,
        *(
            f"nothing is told of {queue} of {bundle} while a gauge of it is no number"
            for bundle, queue in sorted(said.unknown)
        ),
        *([f"it does not show {', '.join(absent)}"] if absent else []),
        *([f"it shows no number of {', '.join(refused)}"] if refused else []),
        *_reckoned("sample", "refused", said.refused),
        *_reckoned("label", "dropped", said.dropped),
    ]
    return Trial(bool(queues) or not mapping.is_serving, "; ".join(told) + ".")


def _shown(measure: str, row: dict[str, Any], mapping: Mapping, shown: Exposition) -> str:
    """How many requests a measure says, where the engine says it."""
    names = {name for entry in mapping.metrics if entry.measure == measure for name in entry.names}
    return f"{row[measure]:,}" if names.intersection(shown.samples["metric"]) else "an unknown number"


def _reckoned(what: str, fate: str, counts: Counter[Refusal]) -> list[str]:
    """Such as "3 labels dropped (1 × email, 2 × unknown_field)"; nothing of nothing."""
    total = counts.total()
    reasons = ", ".join(f"{count:,} × {reason.value}" for reason, count in sorted(counts.items()))
    return [f"{counted(total, what)} {fate} ({reasons})"] if total else []
