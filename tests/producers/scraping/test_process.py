"""A scraper from end to end: real HTTP in, and frames out whose rows are what engines did."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import polars as pl
import pytest
from prometheus_client import CollectorRegistry

from producers.collector import Frame
from producers.scraping.process import scrape
from producers.scraping.sending import Overflowing, Sending
from producers.scraping.targets import Config
from producers.transport import NotDelivered
from schemas.scrape_metrics import ScrapeMetrics
from tests.producers.scraping import expositions as shows
from tests.producers.scraping.engines import target
from tests.producers.scraping.exporters import Exporters, serving
from tests.producers.scraping.test_rounds import Clock
from tests.producers.worlds import rows_of

START_MS = 1_700_000_001_000


class Kafka:
    """Takes frames; `refuses` says how often it does not."""

    def __init__(self, refuses: int = 0) -> None:
        self.frames: list[Frame] = []
        self.refuses = refuses

    async def send(self, frames: Iterable[Frame]) -> None:
        if self.refuses > 0:
            self.refuses -= 1
            raise NotDelivered("Kafka is away.")
        self.frames += frames

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Kafka]:
        yield self

    def rows(self, family: str) -> pl.DataFrame:
        return rows_of(self.frames, family)


class Story(Clock):
    """A clock that changes what exporters show as time passes, and stops the scraper when the story is over."""

    def __init__(self, exporters: Exporters, stop: asyncio.Event, texts: dict[str, list[str]]) -> None:
        super().__init__(START_MS)
        self.exporters, self.stop, self.texts, self.rounds = exporters, stop, texts, 0
        self.ends: set[int] = set()

    async def sleep_until(self, at_ms: int) -> None:
        await super().sleep_until(at_ms)
        if at_ms in self.ends:
            return  # The end of an interval: nothing changes.
        self.ends.add(at_ms + 1_000)
        if self.rounds == max(map(len, self.texts.values())):
            self.stop.set()
            await asyncio.sleep(3_600)
        for path, texts in self.texts.items():
            self.exporters.texts[path] = texts[min(self.rounds, len(texts) - 1)]
        self.rounds += 1
        await asyncio.sleep(0)


async def told(texts: dict[str, list[str]], kafka: Kafka, interval_s: int = 10) -> None:
    """Scrapes a vLLM engine and the GPUs below it as they go through a story."""
    stop = asyncio.Event()
    async with serving() as exporters:
        paths = {kind: exporters.url(kind) for kind in texts}
        families = {"vllm": ("queues", "stages", "turns"), "dcgm": ("queues", "costs")}
        targets = tuple(target(kind, url=url, families=families[kind]) for kind, url in paths.items())
        config = Config(producer="scrape-1", region="eu-west-1", timeout_s=1.0, interval_s=interval_s, targets=targets)
        await scrape(config, kafka.connect, Story(exporters, stop, texts), stop, ScrapeMetrics(CollectorRegistry()))


def served(count: int) -> str:
    return shows.vllm([0.2] * count, waiting=count % 7, running=2, usage=0.5)


async def test_what_engines_did_is_in_the_frames_once() -> None:
    kafka = Kafka()
    story = [served(1_000), served(1_010), served(1_031), "nothing of vLLM\n", served(1_060), served(1_060)]
    await told({"vllm": story, "dcgm": [shows.dcgm([50, 100])]}, kafka)
    queues = kafka.rows("queues")
    assert queues["served"].sum() == 60
    assert queues["depth"].to_list() == [1_000 % 7, 1_010 % 7, 1_031 % 7, 0, 1_060 % 7, 1_060 % 7]
    assert queues["busy_ms"].sum() == 5 * 15_000 and queues["available_ms"].sum() == 5 * 20_000
    stages, turns = kafka.rows("stages"), kafka.rows("turns")
    assert (stages["observations"].sum(), stages["latency_ms_sum"].sum()) == (60, 12_000)
    assert (turns["tokens_in"].sum(), turns["turns"].sum()) == (18_000, 0)
    heartbeats = kafka.rows("heartbeats").filter(pl.col("reported_family") == "queues")
    # Six of the engine, one of which was none; five of the GPUs, whose first says nothing of time that passed.
    assert (heartbeats["observations_seen"].sum(), heartbeats["observations_dropped"].sum()) == (11, 1)
    refused = kafka.rows("privacy").filter(pl.col("fate") == "refused")
    assert refused.select("reported_family", "because", "observations").rows() == [("queues", "malformed", 1)]


async def test_growth_is_that_of_depth_from_window_to_window() -> None:
    kafka = Kafka()
    await told({"vllm": [shows.vllm(waiting=depth) for depth in (5, 30, 80)]}, kafka)
    grown = kafka.rows("queues").select("depth_from", "depth_to").rows()
    assert grown == [(0, 0), (5, 30), (30, 80)]


async def test_a_window_that_is_not_over_when_the_scraper_stops_is_told() -> None:
    kafka = Kafka()
    await told({"vllm": [served(10), served(17)]}, kafka, interval_s=3)
    assert kafka.rows("queues")["served"].sum() == 7
    assert {frame.header.window_start_ms for frame in kafka.frames} == {1_700_000_000_000}


async def test_frames_that_kafka_did_not_take_are_sent_again_under_their_numbers() -> None:
    kafka = Kafka(refuses=2)
    sending = Sending(kafka.connect, ScrapeMetrics(CollectorRegistry()), again_s=0.01)
    background = asyncio.create_task(sending.run())
    calm = Kafka()
    await told({"vllm": [served(1), served(2)]}, calm)
    sending.put(calm.frames)
    while len(kafka.frames) < len(calm.frames):
        await asyncio.sleep(0.01)
    sending.end()
    await background
    assert [frame.headers for frame in kafka.frames] == [frame.headers for frame in calm.frames]


async def test_a_scraper_ends_with_a_sentence_when_too_much_waits() -> None:
    calm = Kafka()
    await told({"vllm": [served(1), served(2)]}, calm)
    sending = Sending(Kafka(refuses=99).connect, ScrapeMetrics(CollectorRegistry()), frames_max=2)
    with pytest.raises(Overflowing, match="wait for Kafka"):
        sending.put(calm.frames)


async def test_a_kafka_that_is_away_from_the_start_is_told_before_anything_is_asked() -> None:
    @asynccontextmanager
    async def away() -> AsyncIterator[Kafka]:
        raise NotDelivered("Kafka is away.")
        yield Kafka()

    config = Config(producer="scrape-1", region="eu-west-1", targets=(target(),))
    with pytest.raises(NotDelivered):
        await scrape(config, away, Clock(), asyncio.Event(), ScrapeMetrics(CollectorRegistry()))
