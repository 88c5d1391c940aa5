"""A worker: the stages as they are, with their own loop, on an application that leads to logs in memory.

Nothing of a stage is imitated. Its events are handed to it, its saves run as they do (phase by phase, each waiting until
all of the one before has landed), its state comes back through its own store. What is simulated is only what Faust and
Kafka do around it: fetching, generations, commits, recovery up to where the changelog ended, and the process itself.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

from faust.types import TP
from prometheus_client import CollectorRegistry

from schemas.families import FAMILIES
from schemas.metrics import WorkerMetrics
from schemas.topics import aggregates, changelog, partials
from stream_jobs.agents.block_tables import BlockStore, BlockTable
from stream_jobs.agents.burn_rate import BurnRateStage
from stream_jobs.agents.diversion import DiversionBound
from stream_jobs.agents.exact import Stage, StageSettings
from stream_jobs.agents.intake import IntakeStage
from stream_jobs.agents.pulse import Pulse, StageFailure
from stream_jobs.agents.traffic import TrafficStage
from stream_jobs.operators.totals.reach import LIVE, REPLAYED
from tests.worlds.logs import Cluster, InTheAir, Logged, Place
from tests.worlds.objectives import CAPACITY, WATCHED
from tests.worlds.sendings import World

METRICS = WorkerMetrics(CollectorRegistry())
TOPICS_OF: dict[str, tuple[str, ...]] = {
    "intake": tuple(aggregates(name) for name in FAMILIES),
    "traffic": tuple(partials(name) for name in FAMILIES),
    "burn_rate": (partials("turns"),),
}

GIVES_WAY = 0.05
"""How many of the items of a save are followed by turns of others."""
_WORKER: ContextVar[Worker] = ContextVar("worker")


async def to_thread(work: Callable[[], Any]) -> Any:
    """Stands for `asyncio.to_thread`: the scheduler says when the thread returns."""
    done = work()
    returned = asyncio.get_running_loop().create_future()
    _WORKER.get().threads.append(returned)
    await returned
    return done


async def give_way() -> None:
    """Stands for a turn of others amid a save: the scheduler says when it ends, and what happens until then."""
    worker = _WORKER.get()
    if worker.gives_way():
        await to_thread(lambda: None)


Life = Literal["waiting", "recovering", "running", "frozen", "stale", "dead"]
"""A `stale` worker was frozen for so long that its partitions were given away: it ends at its next look at the clock."""


@dataclass(slots=True)
class Heartbeat(Pulse):
    """A pulse that the scheduler stops: it passes `spare` more checks, and fails from then on."""

    spare: int | None = None

    def check(self) -> None:
        if self.spare == 0:
            raise StageFailure("The worker stood still; its partitions may have been given away.")
        if self.spare is not None:
            self.spare -= 1


@dataclass(frozen=True, slots=True)
class Message:
    topic: str
    partition: int
    offset: int
    timestamp: float
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    generation_id: int


@dataclass(frozen=True, slots=True)
class Heard:
    """An event as a stage gets it."""

    message: Message
    worker: Worker
    stage: str

    def ack(self) -> None:
        place = (self.message.topic, self.message.partition)
        acked = self.worker.acked[self.stage]
        assert self.message.generation_id == self.worker.app.consumer_generation_id
        assert acked[place] == self.message.offset, f"{self.stage} acknowledged {place} out of order"
        acked[place] += 1


class MemoryTable(BlockTable):
    """A table whose changelog is a log in memory."""

    app: Any  # A `MemoryApp`, where Faust wants its own.

    def __init__(self, app: MemoryApp, name: str) -> None:  # No `super()`: it would want Faust's application.
        self.app, self.name, self.loop = app, name, None

    def __hash__(self) -> int:
        return id(self)

    def send_changelog(
        self, partition: int | None, key: Any, value: Any, key_serializer: Any = None, value_serializer: Any = None
    ) -> Any:
        assert partition is not None, "the changelog of a block is that of its partition"
        return self.app.worker.send((changelog(self.name), partition), key, value, ())


@dataclass(frozen=True, slots=True)
class MemoryTopic:
    app: MemoryApp
    name: str

    def send_soon(
        self, key: bytes | None, value: bytes, partition: int | None, headers: Mapping[str, bytes]
    ) -> asyncio.Future[None]:
        return self.app.worker.send((self.name, partition or 0), key, value, tuple(headers.items()))


class MemoryApp:
    """What a stage and its store ask of Faust's application."""

    consumer_generation_id = 0

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.consumer = self

    def stop_flow(self) -> None:
        """Nothing flows but what the scheduler hands over."""

    def assignment(self) -> set[TP]:
        return {TP(*place) for positions in self.worker.position.values() for place in positions}

    def highwater(self, partition: TP) -> int:
        return len(self.worker.cluster.logs[partition.topic, partition.partition])

    def Table(self, name: str, **_: object) -> MemoryTable:
        return MemoryTable(self, name)

    def topic(self, *names: str, **_: object) -> MemoryTopic:
        return MemoryTopic(self, names[0])

    def agent(self, source: object, name: str) -> Any:
        return lambda listener: listener


@dataclass(eq=False)
class Worker:
    """One process. `fetched`: what it has read and not yet heard. `air`: what it has sent, by Kafka partition."""

    world: World
    cluster: Cluster
    life: Life = "waiting"
    owned: tuple[int, ...] = ()
    is_expelled: bool = False
    fetched: defaultdict[str, deque[Heard]] = field(default_factory=lambda: defaultdict(deque))
    position: dict[str, dict[Place, int]] = field(default_factory=dict)
    acked: dict[str, dict[Place, int]] = field(default_factory=dict)
    air: dict[Place, deque[InTheAir]] = field(default_factory=dict)
    landed: list[InTheAir] = field(default_factory=list)
    """What landed while the process was frozen, and which it has not been told."""
    unread: list[tuple[str, int, list[Logged]]] = field(default_factory=list)
    """(stage, partition, records) of the changelogs that are left to recover."""

    def __post_init__(self) -> None:
        self.pulse = Heartbeat(stall_max_s=float("inf"))
        self.app = MemoryApp(self)
        app: Any = self.app
        settings, bound = StageSettings(), DiversionBound(per_minute_max=None)
        size, patience = self.world.partitions, LIVE if self.world.is_live else REPLAYED
        stages: tuple[Stage, ...] = (
            IntakeStage(app, size, settings, METRICS, self.world.slices_max, bound=bound, patience=patience),
            TrafficStage(app, size, settings, METRICS, CAPACITY, bound=bound),
            BurnRateStage(app, size, settings, METRICS, WATCHED, patience, bound=bound),
        )
        self.stages = {stage.name: stage for stage in stages}
        self.stores = {name: _store(app, stage) for name, stage in self.stages.items()}
        self.rounds: dict[str, asyncio.Task[None]] = {}
        self.threads: list[asyncio.Future[None]] = []
        turns = self.world.dice("turns")
        self.gives_way: Callable[[], bool] = lambda: turns.random() < GIVES_WAY

    # -- sending -------------------------------------------------------------------------------------------------------

    def send(
        self, place: Place, key: bytes | None, value: bytes | None, headers: tuple[tuple[str, bytes], ...]
    ) -> asyncio.Future[None]:
        write = InTheAir(place, key, value, headers, asyncio.get_running_loop().create_future())
        self.air.setdefault(place, deque()).append(write)
        return write.confirmed

    def land(self, write: InTheAir) -> None:
        """It is in the log; the process hears of it now, or when it thaws."""
        self.air[write.place].remove(write)
        if not self.air[write.place]:
            del self.air[write.place]
        self.cluster.land(write)
        if self.life == "frozen":
            self.landed.append(write)
        elif not write.confirmed.done():
            write.confirmed.set_result(None)

    # -- a rebalance, and recovering after it --------------------------------------------------------------------------

    async def take_assignment(self, partitions: Sequence[int], generation: int) -> None:
        """Lets go of everything, and begins to read the changelogs of what it was given, as they are now."""
        self.app.consumer_generation_id = generation
        for store in self.stores.values():
            await store.on_rebalance(set(), set(), set(), generation)
        self.owned = tuple(sorted(partitions))
        self.unread = [
            (name, partition, self.cluster.changelog((changelog(name), partition), self.world.compacts))
            for name in self.stages
            for partition in self.owned
        ]
        self.position, self.acked = {}, {}
        self.life = "recovering"

    async def recover(self, most: int) -> None:
        """Reads the next records of a changelog; with the last one the stages take over."""
        if self.unread:
            name, partition, records = self.unread[0]
            batch, left = records[:most], records[most:]
            self.stores[name].apply_changelog_batch(_events(changelog(name), partition, batch), None, None)
            self.stages[name].surprise.check()
            self.unread[:1] = [(name, partition, left)] if left else []
            return
        for name, store in self.stores.items():
            await store.on_recovery_completed({TP(changelog(name), partition) for partition in self.owned}, set())
            self.stages[name].surprise.check()
            places = [(topic, partition) for topic in TOPICS_OF[name] for partition in self.owned]
            self.position[name] = {place: self.cluster.committed[place] for place in places}
            self.acked[name] = dict(self.position[name])
        self.life = "running"

    # -- the loop ------------------------------------------------------------------------------------------------------

    def unread_places(self) -> Iterator[tuple[str, Place]]:
        for name, positions in self.position.items():
            for place, position in positions.items():
                if position < len(self.cluster.logs[place]):
                    yield name, place

    def fetch(self, name: str, place: Place, most: int) -> None:
        topic, partition = place
        first = self.position[name][place]
        records = self.cluster.logs[place][first : first + most]
        for offset, one in enumerate(records, start=first):
            generation = self.app.consumer_generation_id
            message = Message(
                topic, partition, offset, one.append_ms / 1_000, one.key, one.value, one.headers, generation
            )
            self.fetched[name].append(Heard(message, self, name))
        self.position[name][place] += len(records)

    def hear(self, name: str, most: int) -> None:
        stage: Any = self.stages[name]
        for _ in range(min(most, len(self.fetched[name]))):
            stage._accept(self.fetched[name].popleft())

    def begin(self, name: str, saves: bool) -> None:
        """Begins a round of the stage's loop: it applies what it has heard, and saves where that is due."""
        self.rounds[name] = asyncio.create_task(self._round(self.stages[name], saves))

    async def _round(self, stage: Any, saves: bool) -> None:
        _WORKER.set(self)
        await stage._apply_pending()
        if saves and stage.owns_partitions:
            await stage._save(self.pulse)

    def commit(self) -> None:
        """Makes known how far every stage acknowledged; the broker takes it from whoever is of its generation."""
        if self.app.consumer_generation_id != self.cluster.generation:
            return
        for place in {place for acked in self.acked.values() for place in acked}:
            self.cluster.committed[place] = min(acked[place] for acked in self.acked.values() if place in acked)

    def is_idle(self, name: str) -> bool:
        return self.life == "running" and name not in self.rounds and self.stages[name].owns_partitions

    def return_from_thread(self) -> None:
        """What was done beside the event loop is done."""
        returned = self.threads.pop(0)
        if not returned.done():
            returned.set_result(None)

    async def step(self) -> None:
        """Lets rounds go on as far as they can; one that fails is the end of the process."""
        for _ in range(5):
            await asyncio.sleep(0)
        for name, ended in [(name, task) for name, task in self.rounds.items() if task.done()]:
            del self.rounds[name]
            failure = None if ended.cancelled() else ended.exception()
            if isinstance(failure, StageFailure) and self.pulse.spare == 0:
                self.life = "dead"
            elif failure is not None:
                raise failure

    async def end(self) -> None:
        """The process is gone: nothing of it runs on."""
        self.life = "dead"
        for task in self.rounds.values():
            task.cancel()
        await asyncio.gather(*self.rounds.values(), return_exceptions=True)
        self.rounds.clear()
        self.threads.clear()


def _store(app: Any, stage: Any) -> BlockStore:
    return BlockStore("memory://", app, stage._table, table_name=stage.name, key_type=bytes, value_type=bytes)


def _events(topic: str, partition: int, records: Sequence[Logged]) -> list[Any]:
    messages = [Message(topic, partition, 0, 0.0, one.key, one.value, one.headers, 0) for one in records]
    return [_Recovered(message) for message in messages]


@dataclass(frozen=True, slots=True)
class _Recovered:
    message: Message
