"""The collector's process between recorders and a real Kafka: killed at random instants, it loses and doubles nothing."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import polars as pl

from producers.collecting.durable import DurableCollector, Limits
from producers.collector import Frame
from producers.observation_batches import PATH, BatchHeader, encode_batch, read_answer
from schemas.families import FAMILIES
from schemas.frames import decode_header
from schemas.kafka import KafkaAddress
from schemas.rejections import Rejected
from schemas.topics import aggregates
from stream_jobs.agents.reading import reading
from tests.integration.commands import begun, surrounded
from tests.integration.fast_collector import PRODUCER, REGION, FastClock
from tests.producers.worlds import duplex_world, rows_of, stream_changes, turns_world

SPEED = 30.0
"""A window of 10 s is closed every third of a second, and one of 300 s within 10 s."""
KILLS, RECORDERS, TURNS = 3, 4, 60
REPOSITORY = Path(__file__).parents[2]


@dataclass(slots=True)
class Process:
    """The collector that is running now."""

    folder: Path
    kafka: KafkaAddress
    clock: FastClock
    port: int
    running: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Returns once it listens."""
        arguments = [
            str(self.folder / "state"),
            str(self.port),
            self.kafka.bootstrap,
            str(SPEED),
            str(self.clock.began_ms),
        ]
        with (self.folder / "output.txt").open("ab") as output:
            command = [sys.executable, "-m", "tests.integration.fast_collector", *arguments]
            self.running = subprocess.Popen(command, cwd=REPOSITORY, env=surrounded({}), stdout=output, stderr=output)
        async with asyncio.timeout(30):
            while not await self.listens():
                assert self.running.poll() is None, self.said()
                await asyncio.sleep(0.05)

    async def listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    def kill(self) -> None:
        assert self.running is not None
        self.running.kill()
        self.running.wait()

    async def ended(self) -> int:
        assert self.running is not None
        self.running.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.running.wait, 30)

    def said(self) -> str:
        return (self.folder / "output.txt").read_text(encoding="utf-8")


@asynccontextmanager
async def process(folder: Path, kafka: KafkaAddress) -> AsyncIterator[Process]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = Process(folder, kafka, FastClock(SPEED, int(time.time() * 1_000)), port)
    await process.start()
    try:
        yield process
    finally:
        process.kill()


@dataclass(slots=True)
class Recorder:
    """Posts batches, each until it is told that it was taken, whatever happens meanwhile."""

    name: str
    url: str
    clock: FastClock
    rng: random.Random
    sequences: Counter[str] = field(default_factory=Counter)
    tries: int = 0

    async def report(self, stop: asyncio.Event) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as session:
            while not stop.is_set():
                now_ms, seed = self.clock.now_ms(), self.rng.randrange(2**30)
                await self._post(session, "turns", turns_world(seed, TURNS, TURNS, 30_000, now_ms - 40_000))
                await self._post(session, "duplex", duplex_world(seed, 10, 10_000, now_ms - 20_000))
                call = [(-20_000, seed, True), (-10_000, seed, False)]
                await self._post(session, "streams", stream_changes(call, now_ms))
                await asyncio.sleep(self.rng.random() * 0.1)

    async def _post(self, session: aiohttp.ClientSession, kind: str, rows: pl.DataFrame) -> None:
        header = BatchHeader(kind, self.name, 1, self.sequences[kind], 0, 0)
        headers, body = encode_batch(header, rows)
        while not await self._is_taken(session, headers, body):
            await asyncio.sleep(0.05)
        self.sequences[kind] += 1

    async def _is_taken(self, session: aiohttp.ClientSession, headers: dict[str, str], body: bytes) -> bool:
        self.tries += 1
        try:
            async with session.post(self.url, data=body, headers=headers) as response:
                answer = read_answer(response.status, response.headers, await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False
        assert not answer.refused and (answer.is_taken or answer.status in (429, 503)), answer
        return answer.is_taken


async def fenced(kafka: KafkaAddress) -> list[Frame]:
    """What Kafka holds, each number once. A number that comes again is the same frame."""
    known: dict[tuple[int, str, int], Frame] = {}
    async with reading(kafka) as reader:
        for family in FAMILIES:
            async for record in reader.records(aggregates(family)):
                headers = list(record.headers)
                header = decode_header(family, headers)
                assert not isinstance(header, Rejected), header
                frame = Frame(header, headers, record.value or b"", 0)
                place = (header.incarnation, family, header.sequence)
                assert known.setdefault(place, frame) == frame
    numbers = Counter((incarnation, family) for incarnation, family, _ in known)
    assert all((*source, number) in known for source, count in numbers.items() for number in range(count))
    assert len({incarnation for incarnation, _, _ in known}) == 1
    return list(known.values())


async def test_kills_at_random_instants_neither_lose_nor_double_an_observation(
    kafka: KafkaAddress, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    async with process(tmp_path, kafka) as collector:
        stop, url = asyncio.Event(), f"http://127.0.0.1:{collector.port}{PATH}"
        recorders = [Recorder(f"host-{n}", url, collector.clock, random.Random(rng.random())) for n in range(RECORDERS)]
        reporting = [asyncio.create_task(recorder.report(stop)) for recorder in recorders]
        for _ in range(KILLS):
            await asyncio.sleep(rng.uniform(0.2, 2.0))
            collector.kill()
            await collector.start()
        while sum(recorder.sequences["turns"] for recorder in recorders) <= 3 * KILLS:
            await asyncio.sleep(0.1)
        stop.set()
        await asyncio.gather(*reporting)
        # Past the end of every window that is open, the longest among them.
        await collector.clock.sleep_until((collector.clock.now_ms() // 300_000 + 1) * 300_000 + 15_000)
        assert await collector.ended() == 0, collector.said()
        assert "Traceback" not in collector.said()
    core = DurableCollector.opened(tmp_path / "state", PRODUCER, REGION, collector.clock.now_ms(), Limits())
    held, is_unsent = core.collector.held_turns, bool(core.store.unsent)
    core.shut()
    batches = sum(recorder.sequences["turns"] for recorder in recorders)
    assert not is_unsent
    assert sum(recorder.tries for recorder in recorders) > sum(
        sum(recorder.sequences.values()) for recorder in recorders
    )
    frames = await fenced(kafka)
    assert rows_of(frames, "turns")["turns"].sum() == batches * TURNS
    assert rows_of(frames, "turns", "audience")["turns"].sum() + held == batches * TURNS
    assert rows_of(frames, "stages").filter(stage="turn")["observations"].sum() == batches * TURNS
    assert rows_of(frames, "outcomes")["outcomes"].sum() == batches * TURNS
    assert rows_of(frames, "duplex")["events"].sum() == sum(each.sequences["duplex"] for each in recorders) * 10
    calls = sum(each.sequences["streams"] for each in recorders)
    streams = rows_of(frames, "streams")
    # Whoever was on a call when the collector opened is active then, and never started for it.
    already = streams.filter(pl.col("window_start_ms") == pl.col("window_start_ms").min())["active_at_start"].sum()
    assert (int(streams["starts"].sum()) + int(already), int(streams["ends"].sum())) == (calls, calls)
    seen = rows_of(frames, "heartbeats").filter(reported_family="turns")
    assert seen.select("observations_seen", "observations_dropped").sum().row(0) == (batches * TURNS, 0)


async def test_the_command_collects_and_ends_when_it_is_asked_to(kafka: KafkaAddress, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    arguments = ["collector", "--name", "eu-0", "--region", "eu-west-1", "--port", port]
    command = begun(tmp_path, *arguments, TURNWATCH_KAFKA__BOOTSTRAP=kafka.bootstrap)
    try:
        now_ms = int(time.time() * 1_000)
        headers, body = encode_batch(
            BatchHeader("turns", "host-1", 1, 0, 40, 0), turns_world(1, 40, 40, 5_000, now_ms - 9_000)
        )
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session, asyncio.timeout(60):
            while not (tmp_path / "output.txt").read_text(encoding="utf-8").count("listening"):
                assert command.poll() is None
                await asyncio.sleep(0.1)
            async with session.post(PATH, data=body, headers=headers) as response:
                assert await response.json() == {"taken": 40, "refused": {}}
            async with session.get("/readyz") as response:
                assert response.status == 200
        command.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(command.wait, 30) == 0
    finally:
        command.kill()
        command.wait()
    said = (tmp_path / "output.txt").read_text(encoding="utf-8")
    assert "Traceback" not in said and "session" not in said, said
