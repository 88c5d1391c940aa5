"""A collector that is taken away for good sends everything first; one that cannot begin says why."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from producers.collecting.admission import received
from producers.collecting.durable import DurableCollector, Limits
from producers.collecting.process import CollectorSettings, collect, finish
from producers.collecting.store import FolderTaken, Store
from producers.collector import Frame
from producers.observation_batches import BatchHeader, encode_batch
from producers.transport import NotDelivered
from schemas.failures import BadInput
from schemas.metrics import CollectorMetrics
from tests.producers.worlds import START_MS, rows_of, turns_world


@dataclass(slots=True)
class Jumping:
    """A clock that is at once where somebody waits for it to be, and a Kafka that may be away."""

    at_ms: int = START_MS + 4_000
    is_away: bool = False
    sent: list[Frame] = field(default_factory=list)

    def now_ms(self) -> int:
        return self.at_ms

    async def sleep_until(self, at_ms: int) -> None:
        self.at_ms = max(self.at_ms, at_ms)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Jumping]:
        if self.is_away:
            raise NotDelivered("Kafka is away.")
        yield self

    async def send(self, frames: Iterable[Frame]) -> None:
        self.sent += frames


def settings(folder: Path, port: int = 0) -> CollectorSettings:
    return CollectorSettings("eu-0", "eu-west-1", folder, "127.0.0.1", port, stop_within_s=10, limits=Limits())


def taken(folder: Path, count: int) -> None:
    """Leaves turns of the minute that is open in a folder."""
    core = DurableCollector.opened(folder, "eu-0", "eu-west-1", START_MS, Limits())
    _, body = encode_batch(BatchHeader("turns", "host-1", 1, 0, count, 0), turns_world(1, count, count, 4_000))
    assert (
        core.take([received(BatchHeader("turns", "host-1", 1, 0, count, 0), body, START_MS + 4_000)])[0].taken == count
    )
    core.shut()


async def test_finishing_sends_all_that_was_taken_but_what_too_few_share(tmp_path: Path) -> None:
    taken(tmp_path, 120)
    hands = Jumping()
    held = await finish(settings(tmp_path), hands.connect, hands)
    assert rows_of(hands.sent, "turns")["turns"].sum() == 120
    assert rows_of(hands.sent, "turns", "audience")["turns"].sum() + held == 120
    assert rows_of(hands.sent, "heartbeats").filter(reported_family="turns")["observations_seen"].sum() == 120
    assert hands.at_ms <= START_MS + 302_000
    before = len(hands.sent)
    assert await finish(settings(tmp_path), hands.connect, hands) == held
    assert len(hands.sent) == before, "there was nothing left"


async def test_finishing_while_kafka_is_away_may_be_done_again(tmp_path: Path) -> None:
    taken(tmp_path, 40)
    hands = Jumping(is_away=True)
    with pytest.raises(NotDelivered):
        await finish(settings(tmp_path), hands.connect, hands)
    hands.is_away = False
    await finish(settings(tmp_path), hands.connect, hands)
    assert rows_of(hands.sent, "turns")["turns"].sum() == 40


@pytest.mark.parametrize("way", ["collectors/eu-0", "."])
async def test_a_port_that_is_taken_is_one_sentence_and_leaves_no_folder_behind(tmp_path: Path, way: str) -> None:
    hands, metrics = Jumping(), CollectorMetrics(CollectorRegistry())
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        given = settings(tmp_path / way, port)
        given = replace(given, set_by=replace(given.set_by, port="--port"))
        with pytest.raises(BadInput, match=rf"cannot listen on 127\.0\.0\.1:{port} .*__HOST or --port\.$"):
            await collect(given, hands.connect, asyncio.Event(), hands, metrics)
    assert list(tmp_path.iterdir()) == []
    DurableCollector.opened(tmp_path / way, "eu-1", "eu-west-1", START_MS, Limits()).shut()


_OTHER = """
import sys
from pathlib import Path
from producers.collecting import store

opened = store._opened

def waiting(folder):
    lock = opened(folder)
    print(flush=True)
    sys.stdin.readline()
    return lock

store._opened = waiting
store.Store(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.readline()
"""


def test_a_folder_that_is_given_up_while_others_wait_for_it_has_one_lock(tmp_path: Path) -> None:
    """Another process has opened the lock when we remove it: it does not hold what nobody else would find."""
    folder = tmp_path / "collectors" / "eu-0"
    ours = Store(folder)
    command = [sys.executable, "-c", _OTHER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as other:
        assert other.stdin and other.stdout
        try:
            assert other.stdout.readline() == "\n"  # It has opened our lock.
            ours.remove_if_new()
            ours.close()
            assert list(tmp_path.iterdir()) == []
            other.stdin.write("\n")
            assert other.stdout.readline() == "\n"  # It found that this is nobody's any more, and begins again.
            other.stdin.write("\n")
            assert other.stdout.readline() == "held\n"
            with pytest.raises(FolderTaken, match="another collector is running there"):
                Store(folder)
        finally:
            other.kill()


async def test_a_port_that_is_taken_costs_a_folder_nothing_that_it_held(tmp_path: Path) -> None:
    taken(tmp_path, 40)
    hands, metrics = Jumping(), CollectorMetrics(CollectorRegistry())
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(BadInput, match="TURNWATCH_COLLECTOR__PORT"):
        await collect(settings(tmp_path, other.getsockname()[1]), hands.connect, asyncio.Event(), hands, metrics)
    await finish(settings(tmp_path), hands.connect, hands)
    assert rows_of(hands.sent, "turns")["turns"].sum() == 40


async def test_a_collector_that_is_told_to_adds_noise_and_shows_what_it_spent(tmp_path: Path) -> None:
    taken(tmp_path, 120)
    noisy = replace(settings(tmp_path), sampler=lambda noise, count: [1_000_000] * count)
    hands, metrics, stop = Jumping(), CollectorMetrics(CollectorRegistry()), asyncio.Event()
    working = asyncio.create_task(collect(noisy, hands.connect, stop, hands, metrics))
    spent = "turnwatch_collector_noise_windows_spent"
    place = {"family": "tenants", "partition": "tenancy", "measure": "tenant_handoffs"}
    async with asyncio.timeout(20):
        while metrics.registry.get_sample_value(spent, place) is None and not working.done():
            await asyncio.sleep(0.01)
    stop.set()
    await working
    assert metrics.registry.get_sample_value(spent, place) == 1
    assert (rows_of(hands.sent, "tenants", "tenancy")["tenant_handoffs"] >= 1_000_000).all()
