"""Rounds over real HTTP: an exporter that misbehaves is counted by what it did, and every other one is told."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import polars as pl
import pytest
from prometheus_client import CollectorRegistry

from producers.collector import Frame
from producers.scraping.fetching import session
from producers.scraping.rounds import Rounds
from producers.scraping.targets import Config
from schemas.refusals import Refused
from schemas.scrape_metrics import ScrapeMetrics
from tests.producers.scraping import expositions as shows
from tests.producers.scraping.engines import target
from tests.producers.scraping.exporters import SECRET, Exporters, serving

TIMEOUT_S = 0.5


class Clock:
    """Time that passes only when somebody waits for it."""

    def __init__(self, at_ms: int = 1_700_000_001_000) -> None:
        self.at_ms = at_ms

    def now_ms(self) -> int:
        return self.at_ms

    async def sleep_until(self, at_ms: int) -> None:
        self.at_ms = max(self.at_ms, at_ms)


class Heard:
    """What a collector would have been told."""

    def __init__(self) -> None:
        self.kinds: dict[str, list[pl.DataFrame]] = {}
        self.dropped: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def observe(self, kind: str, rows: pl.DataFrame) -> None:
        self.kinds.setdefault(kind, []).append(rows)

    def note_dropped(self, kind: str, count: int) -> None:
        self.dropped[kind] += count

    def note_refused(self, kind: str, pool: str, refused: Refused) -> None:
        self.refused += Counter(refused.as_dict())

    def close(self, watermark_ms: int) -> Iterator[Frame]:
        return iter(())


class Scraping:
    """Rounds of some targets, and what comes of them."""

    def __init__(self, rounds: Rounds, heard: Heard, clock: Clock, registry: CollectorRegistry, on: Exporters) -> None:
        self.rounds, self.heard, self.clock, self.registry, self.on = rounds, heard, clock, registry, on

    async def round(self) -> None:
        await self.rounds.next_end_ms()
        await self.rounds.ask()

    def counted(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"turnwatch_scrape_{name}", labels) or 0.0

    def depths(self) -> list[int]:
        return [depth for rows in self.heard.kinds.get("queues", []) for depth in rows["depth"]]


@asynccontextmanager
async def scraping(paths: tuple[str, ...] = ("well",), **fields: Any) -> AsyncIterator[Scraping]:
    """Targets of kind vllm, one for each path of a server."""
    heard, clock, registry = Heard(), Clock(), CollectorRegistry()
    async with serving() as exporters, session(TIMEOUT_S) as asking:
        exporters.texts["well"] = shows.vllm([0.2], waiting=3)
        targets = [
            target(url=path if "://" in path else exporters.url(path), host=f"host-{place}", **fields)
            for place, path in enumerate(paths)
        ]
        config = Config(producer="scrape-1", region="eu-west-1", timeout_s=TIMEOUT_S, targets=tuple(targets))
        rounds = Rounds(config, heard, clock, asking, ScrapeMetrics(registry))
        yield Scraping(rounds, heard, clock, registry, exporters)


@pytest.mark.parametrize(
    ("path", "outcome"),
    [
        ("html", "malformed"),
        ("half_a_line", "malformed"),
        ("breaks_off", "malformed"),
        ("compressed", "malformed"),
        ("huge", "too_large"),
        ("huge_and_says_so", "too_large"),
        ("silent", "timeout"),
        ("drips", "timeout"),
        ("broken", "status"),
        ("elsewhere", "redirect"),
        ("http://127.0.0.1:1/metrics", "away"),
    ],
)
async def test_an_exporter_that_misbehaves_fails_alone(
    path: str, outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with scraping((path, "well")) as run:
            await run.round()
            await run.round()
    assert run.counted("scrapes_total", kind="vllm", outcome=outcome) == 2
    assert run.counted("scrapes_total", kind="vllm", outcome="taken") == 2
    assert run.depths() == [3, 3]
    assert run.heard.dropped == {"queues": 2}
    assert run.counted("targets_away") == 1
    assert len([record for record in caplog.records if "target_gives_nothing" in record.message]) == 1
    assert SECRET not in caplog.text
    assert run.on.sent_bytes < 80_000_000
    assert run.on.asked["well"] == 2, "a redirect was followed"


async def test_a_target_that_comes_back_goes_on_from_where_it_was() -> None:
    async with scraping(("flapping",)) as run:
        for text in (shows.vllm([0.2]), None, None, shows.vllm([0.2] * 11)):
            run.on.texts.pop("flapping", None)
            run.on.texts |= {"flapping": text} if text else {"flapping": "nothing of vLLM\n"}
            await run.round()
    assert sum(rows["served"].sum() for rows in run.heard.kinds["queues"]) == 10
    assert run.counted("gaps_total", kind="vllm") == 1
    assert run.counted("targets_away") == 0


async def test_a_restart_is_counted_and_is_no_negative_increase() -> None:
    async with scraping(("well",)) as run:
        await run.round()
        run.on.texts["well"] = shows.vllm([0.2] * 50)
        await run.round()
        run.on.texts["well"] = shows.vllm([0.2] * 20, started_s=1_700_009_000.0)
        await run.round()
    assert [rows["served"].sum() for rows in run.heard.kinds["queues"]] == [0, 49, 20]
    assert run.counted("counter_resets_total", kind="vllm") == 1


async def test_nothing_is_asked_while_the_clock_is_behind() -> None:
    async with scraping(("well",)) as run:
        await run.round()
        run.clock.at_ms -= 3_600_000
        await run.round()
        assert run.on.asked["well"] == 1
        assert run.heard.refused == {"clock_backwards": 1}
        assert run.heard.dropped == {"queues": 1}
        run.clock.at_ms += 3_700_000
        await run.round()
    assert run.on.asked["well"] == 2


async def test_rounds_end_with_their_interval_and_begin_before_it() -> None:
    async with scraping(("well",)) as run:
        assert await run.rounds.next_end_ms() == 1_700_000_010_000
        assert run.clock.now_ms() == 1_700_000_009_500
        await run.rounds.ask()
        assert await run.rounds.next_end_ms() == 1_700_000_020_000
    (rows,) = run.heard.kinds["queues"]
    assert rows["at_ms"].to_list() == [1_700_000_009_500]


async def test_refusals_are_counted_by_reason() -> None:
    async with scraping(("well",)) as run:
        run.on.texts["well"] += f'vllm:num_requests_waiting{{engine="1",user="{SECRET}"}} NaN\n'
        await run.round()
        run.on.texts["well"] += 'vllm:num_requests_running{engine="1",lora="adapter-3"} 2\n'
        await run.round()
    assert run.heard.refused == {"email": 2, "not_finite": 2}, "a label that is nobody's secret is no refusal"
    assert run.counted("refused_total", reason="not_finite") == 2
    assert (
        run.counted("labels_dropped_total", reason="email"),
        run.counted("labels_dropped_total", reason="unknown_field"),
    ) == (2, 1)
