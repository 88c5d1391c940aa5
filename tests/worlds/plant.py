"""A plant: workers, the logs between them, and a scheduler that decides what happens next.

Every effect is a step of its own: one record that lands, one stretch of a changelog that is read, one commit. Between
any two of them a worker may be killed, frozen, thawed, or lose its partitions to another. Which step comes next is drawn
from the world's seed, so a world always runs in the same way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from unittest.mock import patch

from schemas.topics import aggregates
from stream_jobs.agents import burn_rate as burn_rate_agent
from stream_jobs.agents import exact
from stream_jobs.agents import intake as intake_agent
from stream_jobs.operators.burn_rate import history
from stream_jobs.operators.totals import fence, intake, open_totals, slice_numbers, slice_register
from tests.worlds.logs import Cluster, InTheAir, Place
from tests.worlds.sendings import Fault, Sending, World, sendings
from tests.worlds.workers import TOPICS_OF, Worker, give_way, to_thread

STRAYS_LAND_WITHIN_MS = 30_000
"""What dead or frozen workers have in the air lands or is lost before the time moves on by more."""

BATCHES = (1, 2, 5, 20, 20)
"""How many records are read, or heard, at once."""

SETTLES_WITHIN_TURNS = 20_000

Step = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Ran:
    """What a world left behind, and how many effects it took."""

    cluster: Cluster
    beats: int


SMALL_PIECES: tuple[tuple[ModuleType, str, object], ...] = (
    (slice_register, "PAGE_SLICES", 2),
    (slice_register, "_CHUNK_SLICES", {}),
    (slice_register, "_CHUNK_SLICES_DEFAULT", 2),
    (slice_numbers, "_PAGE_SLICES", 2),
    (history, "_CHUNK_SLICES", 2),
    (intake, "_PARTIAL_ROWS", 3),
    (open_totals, "PIECE_ROWS_MAX", 3),
    (open_totals, "PIECES_MAX", 4),
    (fence, "AHEAD_MAX", 2),
    (fence, "GAP_NUMBERS", 3),
)
"""How large the pieces of state and messages are in a split world."""


def run(world: World, sent: Sequence[Sending] | None = None) -> Ran:
    """Runs a world to its end. `sent`: something else than what its producers send."""
    plant = Plant(world, sendings(world) if sent is None else sent)
    clock = SimpleNamespace(time=plant.cluster.now_s, monotonic=plant.cluster.now_s)
    with ExitStack() as stack:
        for agent in (intake_agent, burn_rate_agent):
            stack.enter_context(patch.object(agent, "time", clock))
        stack.enter_context(patch.object(asyncio, "to_thread", to_thread))
        stack.enter_context(patch.object(exact, "TURN_S", 0.0))
        stack.enter_context(patch.object(exact, "give_way", give_way))
        for module, name, size in SMALL_PIECES if world.is_split else ():
            stack.enter_context(patch.object(module, name, size))
        asyncio.run(plant.run())
    return Ran(plant.cluster, plant.beats)


class Plant:
    def __init__(self, world: World, sent: Sequence[Sending]) -> None:
        self.world, self.cluster, self.beats = world, Cluster(), 0
        self._sent = deque(sent)
        self._dice = world.dice("schedule")
        self._faults = deque(sorted(world.faults, key=lambda fault: fault.at))
        self._workers: list[Worker] = []
        self._joining = world.workers
        self._dirty: dict[Worker, set[str]] = {}

    async def run(self) -> None:
        while self._sent:
            if self._sent[0].settles_first:
                await self._settle()
            if self._sent[0].append_ms > self.cluster.now_ms + STRAYS_LAND_WITHIN_MS:
                await self._calm_the_air()
            await self._turn(may_arrive=True)
        await self._settle()
        for worker in self._workers:
            await worker.end()

    async def _settle(self) -> None:
        """Until everything that is in the logs has been read, told and acknowledged."""
        turns = 0
        while not self._is_settled():
            await self._turn(may_arrive=False)
            turns += 1
            assert turns < SETTLES_WITHIN_TURNS, f"this never comes to rest: {self._unsettled()}"

    def _is_settled(self) -> bool:
        is_calm = not (self._joining or self.cluster.strays or self._is_orphaned())
        if not is_calm or any(worker.life != "running" for worker in self._workers):
            return False
        return not any(
            self._dirty[worker]
            or worker.rounds
            or worker.air
            or worker.threads
            or any(worker.fetched.values())
            or next(worker.unread_places(), None)
            for worker in self._workers
        )

    def _is_orphaned(self) -> bool:
        """Whether some partition is nobody's: its owner is dead, and the others have not been told yet."""
        return {partition for worker in self._workers for partition in worker.owned} != set(
            range(self.world.partitions)
        )

    def _unsettled(self) -> str:
        return "; ".join(
            f"{worker.life} owns {worker.owned}, rounds {sorted(worker.rounds)}, unsaved {sorted(self._dirty[worker])}, "
            f"air {len(worker.air)}, threads {len(worker.threads)}, unread {list(worker.unread_places())}"
            for worker in self._workers
        )

    async def _turn(self, may_arrive: bool) -> None:
        steps, weights = zip(*self._possible(may_arrive), strict=True)
        await self._dice.choices(steps, weights)[0]()

    def _possible(self, may_arrive: bool) -> Iterator[tuple[Step, float]]:
        """What can happen next, and how likely it is."""
        if may_arrive and self._sent[0].append_ms <= self.cluster.now_ms + STRAYS_LAND_WITHIN_MS:
            yield self._arrive, 3
        if self._joining:
            yield self._join, 1
        if self.cluster.strays:
            yield self._land_stray, 1
        if self._is_orphaned():
            yield self._rebalance, 0.3
        for worker in self._workers:
            yield from self._possible_for(worker, may_idle=may_arrive)

    def _possible_for(self, worker: Worker, may_idle: bool) -> Iterator[tuple[Step, float]]:
        if worker.life == "frozen":
            if worker.air:
                yield lambda: self._land(worker), 1
            if worker.is_expelled or not self._dice.randrange(4):
                yield lambda: self._thaw(worker), 1
            yield lambda: asyncio.sleep(0), 0.1
            return
        if worker.air:
            yield lambda: self._land(worker), 12
        if worker.threads:
            yield lambda: self._return_from_thread(worker), 3
        if worker.life == "recovering":
            yield lambda: self._recover(worker), 4
        if worker.life != "running":
            return
        if any(worker.fetched.values()):
            yield lambda: self._hear(worker), 4
        if next(worker.unread_places(), None):
            yield lambda: self._fetch(worker), 4
        if any(worker.is_idle(name) for name in self._dirty[worker]):
            yield lambda: self._save(worker), 0.8
        if may_idle and any(worker.is_idle(name) for name in worker.stages):
            yield lambda: self._save_anyhow(worker), 0.15
        yield lambda: self._commit(worker), 0.5

    # -- what happens --------------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        """After each effect: whatever is due by now breaks."""
        self.beats += 1
        while self._faults and self._faults[0].at <= self.beats:
            await self._break(self._faults.popleft())

    async def _arrive(self) -> None:
        for _ in range(self._dice.randint(1, 6)):
            if not self._sent or self._sent[0].append_ms > self.cluster.now_ms + STRAYS_LAND_WITHIN_MS:
                return
            self._take_in(self._sent.popleft())
            if self._sent and self._sent[0].settles_first:
                return

    def _take_in(self, sending: Sending) -> None:
        self.cluster.now_ms = max(self.cluster.now_ms, sending.append_ms)
        headers, payload = sending.record()
        place = (aggregates(sending.family), sending.source)
        self.cluster.append(place, sending.producer.encode(), payload, tuple(headers))

    async def _fetch(self, worker: Worker) -> None:
        name, place = self._dice.choice(list(worker.unread_places()))
        worker.fetch(name, place, self._dice.choice(BATCHES))

    async def _hear(self, worker: Worker) -> None:
        name = self._dice.choice([name for name, waiting in worker.fetched.items() if waiting])
        worker.hear(name, self._dice.choice(BATCHES))
        if worker.owned:
            self._dirty[worker].add(name)
        if worker.is_idle(name) and not self._dice.randrange(6):
            worker.begin(name, saves=False)
            await self._go_on(worker)

    async def _save(self, worker: Worker) -> None:
        await self._save_one_of(worker, self._dirty[worker])

    async def _save_anyhow(self, worker: Worker) -> None:
        """Saves go on when nothing comes: that is when a partition is found to be idle."""
        await self._save_one_of(worker, worker.stages)

    async def _save_one_of(self, worker: Worker, names: Iterable[str]) -> None:
        name = self._dice.choice(sorted(name for name in names if worker.is_idle(name)))
        self._dirty[worker].discard(name)
        worker.begin(name, saves=True)
        await self._go_on(worker)

    async def _return_from_thread(self, worker: Worker) -> None:
        worker.return_from_thread()
        await self._go_on(worker)
        await self._beat()

    async def _land(self, worker: Worker) -> None:
        """A few of the writes in the air land, one after the other."""
        for _ in range(self._dice.randint(1, 6)):
            if not worker.air or worker.life == "dead":
                return
            write = self._pick(worker.air)
            worker.land(write)
            if write.place[0] in _NEWS and worker.owned:
                self._dirty[worker].add(_NEWS[write.place[0]])
            await self._go_on(worker)
            await self._beat()

    async def _land_stray(self) -> None:
        queue = self._dice.choice(self.cluster.strays)
        self.cluster.land(queue.popleft())
        self.cluster.strays = [queue for queue in self.cluster.strays if queue]
        await self._beat()

    async def _recover(self, worker: Worker) -> None:
        await worker.recover(self._dice.choice([3, 30, 1_000]))
        await self._beat()

    async def _commit(self, worker: Worker) -> None:
        worker.commit()
        await self._beat()

    async def _go_on(self, worker: Worker) -> None:
        if worker.life == "frozen":
            return
        await worker.step()
        if worker.life == "stale" and not worker.rounds:
            worker.life = "dead"
        if worker.life == "dead":
            await self._bury(worker)

    def _pick(self, air: dict[Place, deque[InTheAir]]) -> InTheAir:
        """In one Kafka partition they land in the order in which they were sent."""
        return air[self._dice.choice(sorted(air))][0]

    async def _calm_the_air(self) -> None:
        """Frozen workers thaw, what is in the air lands, and then the time moves on to the next sending."""
        while self.cluster.strays:
            await self._land_stray()
        for worker in list(self._workers):
            if worker.life == "frozen":
                await self._thaw(worker)
        while busy := next((worker for worker in self._workers if worker.air or worker.life == "stale"), None):
            if busy.life == "frozen":
                await self._thaw(busy)
            else:
                await (self._return_from_thread(busy) if busy.threads else self._land(busy))
        self.cluster.now_ms = max(self.cluster.now_ms, self._sent[0].append_ms - STRAYS_LAND_WITHIN_MS)

    # -- what breaks ---------------------------------------------------------------------------------------------------

    async def _break(self, fault: Fault) -> None:
        living = [worker for worker in self._workers if worker.life in ("running", "recovering")]
        if fault.kind == "join":
            self._joining += len(self._workers) < 3
        elif fault.kind == "rebalance":
            await self._rebalance()
        elif living:
            worker = living[fault.who % len(living)]
            if fault.kind == "kill":
                await worker.end()
                await self._bury(worker)
            elif fault.kind == "leave":
                await self._leave(worker)
            else:
                worker.life = "frozen"
                if fault.kind == "stall":
                    await self._rebalance()

    async def _join(self) -> None:
        worker = Worker(self.world, self.cluster)
        self._joining -= 1
        self._workers.append(worker)
        self._dirty[worker] = set()
        await self._rebalance()

    async def _rebalance(self) -> None:
        """Everybody who answers gets some partitions anew; whoever is frozen is expelled."""
        self.cluster.generation += 1
        for worker in self._workers:
            if worker.life == "frozen":
                worker.is_expelled, worker.owned = True, ()
        members = [worker for worker in self._workers if worker.life in ("waiting", "recovering", "running")]
        if not members:
            self._joining = max(1, self._joining)
            return
        owners = [self._dice.choice(members) for _ in range(self.world.partitions)]
        for worker in members:
            partitions = [partition for partition, owner in enumerate(owners) if owner is worker]
            await worker.take_assignment(partitions, self.cluster.generation)
            self._dirty[worker] = set(worker.stages) if partitions else set()

    async def _thaw(self, worker: Worker) -> None:
        worker.life = "running" if worker.position else "recovering"
        if worker.is_expelled:
            worker.life, worker.pulse.spare = "stale", self._dice.choice([0, 1])
        for write in worker.landed:
            if not write.confirmed.done():
                write.confirmed.set_result(None)
        worker.landed.clear()
        await self._go_on(worker)

    async def _leave(self, worker: Worker) -> None:
        """A worker that is asked to stop saves once more, commits, and goes."""
        if worker.life == "running":
            await self._finish_rounds(worker)
            for name in worker.stages:
                worker.begin(name, saves=True)
            await self._finish_rounds(worker)
            worker.commit()
        await worker.end()
        await self._bury(worker)

    async def _finish_rounds(self, worker: Worker) -> None:
        await worker.step()
        while worker.rounds:
            if worker.threads:
                worker.return_from_thread()
            else:
                worker.land(self._pick(worker.air))
            await worker.step()

    async def _bury(self, worker: Worker) -> None:
        """What a dead worker has in the air has landed, is lost, or strays about; another worker takes its place."""
        await worker.end()
        if worker not in self._workers:
            return
        self._workers.remove(worker)
        for queue in worker.air.values():
            stray = self._stray(queue)
            if stray:
                self.cluster.strays.append(stray)
        if self._dice.random() < 0.5 and self._workers:
            await self._rebalance()
        self._joining += len(self._workers) + self._joining < self.world.workers

    def _stray(self, queue: deque[InTheAir]) -> deque[InTheAir]:
        """Of one Kafka partition a first part lands, a second strays, and the rest is lost."""
        landed, kept = sorted(self._dice.randint(0, len(queue)) for _ in range(2))
        writes = list(queue)
        for write in writes[:landed]:
            self.cluster.land(write)
        return deque(writes[landed:kept])


_NEWS = {"rollups": "traffic", "burns": "burn_rate"}
"""Whoever has told something may have more to tell."""

assert set(TOPICS_OF) == {"intake", "traffic", "burn_rate"}
