"""Exactness under failure: the loop and the order of writes that every stage shares.

A stage takes events in batches, changes its state in memory, and saves once or twice a second: changed blocks go to the
changelog of a Faust table, then its marker, then what follows from them, and only when the broker has confirmed all of
it are the events acknowledged. After a crash or a rebalance everything in memory is thrown away and read again from the
changelog, and events above the acknowledged offset come once more. Any surprise ends the process: a supervisor starts it
anew, and what is on disk is right. That includes state that cannot be read, here or yet (`surprises.py`).

The recipe was found by killing workers (`docs/decisions/0001-exactness-on-faust.md`); what each line here and in `arrivals.py` is for:

- `BlockStore` (`block_tables.py`) keeps, while recovering, the write with the highest embedded offset, not the last one (a zombie may write late).
- the flow is stopped before partitions resume, or the last event of a partition can come twice or one can be skipped.
- offsets already seen are passed over, and a gap stops the process; so does state that has judged more than there is.
- events of another generation, or of a partition not owned, are dropped: whoever owns it gets them.
- what a save sends is made bit by bit, with turns of others in between, and sent once a phase is whole: who loses its partitions amid one sends none of it.
- a batch is applied bit by bit alike, and what follows from it begins once it is whole: nobody saves, tells or acknowledges half of one, for that is the same
  task's next step. Who loses its partitions amid one has forgotten what it applied with all other state, takes nothing of the rest into the state that comes then,
  and acknowledges nothing of it: all of it comes once more, to whoever has them. What comes to this stage meanwhile waits for the next batch.
- a worker whose loop stood still for half the session timeout ends itself (`pulse.py`): its partitions may be somebody else's by now.
"""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import faust

from schemas.topics import STATE_SETTINGS
from stream_jobs.agents.arrivals import Arrivals, Event, Source, StageSettings, bytes_of
from stream_jobs.agents.block_tables import BlockTable
from stream_jobs.agents.pulse import Pulse
from stream_jobs.agents.surprises import Surprise
from stream_jobs.operators.totals.blocks import Block

__all__ = ["Event", "Outgoing", "Source", "Stage", "StageSettings"]

AHEAD_EVENTS = 100
"""So many events that came while a batch was prepared are a backlog: the next batch is prepared while this one is applied."""
BATCH_S = 0.05
TURN_S = 0.02
"""So long a save, or a batch that is applied, keeps the loop before others, pages among them, have their turn."""
MANY_EVENTS = 300
"""So many events between two saves are more than live traffic brings to one stage of one worker."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to send. `partition` of `None` leaves the choice to the key; a `value` of `None` takes a compacted key away."""

    topic: str
    value: bytes | None
    headers: list[tuple[str, bytes]]
    key: bytes | None = None
    partition: int | None = None


Sent = Outgoing | tuple[int, Block]
Item = TypeVar("Item")


async def give_way() -> None:
    """Lets others of the event loop have their turns."""
    await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Events of one generation on their way to be applied, and what was prepared of them."""

    generation: int
    events: list[Event]
    by_source: Mapping[Source, list[Event]]
    prepared: Mapping[Source, Any]


class Stage(Arrivals):
    """One stage of the flow: topics in, state in a table, records out. `restore`, `forget` and `marked` are its own, too."""

    def __init__(self, app: faust.App, topics: Sequence[str], partitions: int, settings: StageSettings) -> None:
        super().__init__(app, topics, settings)
        self._ahead: asyncio.Task[_Batch] | None = None
        self.prepared: Mapping[Source, Any] = {}
        self._topics: dict[str, faust.TopicT] = {}
        self.surprise = Surprise()
        table = app.Table(
            self.name,
            key_type=bytes,
            value_type=bytes,
            partitions=partitions,
            extra_topic_configs=STATE_SETTINGS,
        )
        assert isinstance(table, BlockTable)
        table.stage = self
        self._table = table
        source = app.topic(*topics, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
        app.agent(source, name=f"turnwatch.{self.name}")(self._listen)

    # -- what a stage is -----------------------------------------------------------------------------------------------

    async def prepare(self, by_source: Mapping[Source, list[Event]]) -> Mapping[Source, Any]:
        """What can be made of events beside the event loop; `apply` finds it in `prepared`. State must not change here."""
        return {}

    @abstractmethod
    def apply(self, topic: str, partition: int, events: list[Event]) -> Iterable[None]:
        """Takes events of one source partition, in offset order, into state; all of them once its items are taken.

        Between two items others may have their turn, who change no state of this stage, unless its partitions go elsewhere: then
        no further item is taken.
        """

    @abstractmethod
    def phases(self) -> Iterable[Iterable[Sent | None]]:
        """What to send since the last save: each phase is confirmed before the next begins. (partition, block) are changelog.

        Between two items of a phase others may have their turn, who change no state of this stage; `None` is only such a place.
        """

    # -- what all stages share -----------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event, pulse: Pulse) -> None:
        """Applies and saves until `stop` is set, and once more then; any exception is the end of the process."""
        saved_at = time.monotonic()
        try:
            while not stop.is_set():
                await self._nap()
                pulse.check()
                await self._apply_pending()
                pulse.check()
                if time.monotonic() - saved_at >= self._pace_s() and self._owned:
                    await self._save(pulse)
                    saved_at = time.monotonic()
            if self._owned:
                await self._apply_pending(looks_ahead=False)
                await self._apply_pending(looks_ahead=False)  # What came while those before it were prepared.
                await self._save(pulse)
        finally:
            if self._ahead is not None:
                self._ahead.cancel()

    def _pace_s(self) -> float:
        """While a backlog is worked off, saves are rarer: then throughput counts, and not the delay.

        One that fills the stage up with what only a save lets go of is saved at once.
        """
        if self._applied_bytes >= self._settings.pending_bytes_max // 2:
            return 0.0
        if self._ahead is not None:
            return self._settings.save_interval_s * 4
        return self._settings.save_interval_s * (2 if len(self._applied) >= MANY_EVENTS else 1)

    async def _nap(self) -> None:
        if self._ahead is not None:
            return
        try:
            await asyncio.wait_for(self._wake.wait(), BATCH_S)
        except TimeoutError:
            pass
        self._wake.clear()

    async def _apply_pending(self, looks_ahead: bool = True) -> None:
        """Applies what has come. Of a backlog the next batch is prepared meanwhile: threads and loop each have work then."""
        batch = await (self._ahead or self._next_batch())
        self._ahead = None
        if looks_ahead and len(self._pending) >= AHEAD_EVENTS:
            self._ahead = asyncio.create_task(self._next_batch())
            await asyncio.sleep(0)  # So that it begins.
        if batch.generation != self._generation:
            return  # The partitions went elsewhere meanwhile, with these events.
        self.prepared = batch.prepared
        is_whole = await self._bit_by_bit(self._applying(batch)) is not None
        self.prepared = {}
        if not is_whole:
            return  # They went elsewhere amid it.
        self._applied += batch.events
        self._let_go_of_payloads(batch.events)

    def _applying(self, batch: _Batch) -> Iterator[None]:
        for (topic, partition), of_source in batch.by_source.items():
            yield from self.apply(topic, partition, of_source)
            yield None

    async def _next_batch(self) -> _Batch:
        generation, events = self._generation, self._taken()
        self._room.set()
        by_source: defaultdict[Source, list[Event]] = defaultdict(list)
        for event in events:
            by_source[event.message.topic, event.message.partition].append(event)
        return _Batch(generation, events, by_source, await self.prepare(by_source))

    def _taken(self) -> list[Event]:
        """What has come, up to half of what the stage may hold: the other half comes while this one is prepared."""
        taken_bytes = 0
        for place, event in enumerate(self._pending):
            taken_bytes += bytes_of(event)
            if place and taken_bytes > self._settings.pending_bytes_max // 2:
                taken, self._pending = self._pending[:place], self._pending[place:]
                return taken
        taken, self._pending = self._pending, []
        return taken

    def _let_go_of_payloads(self, events: list[Event]) -> None:
        """What is applied is kept only to be acknowledged, unless another stage, which has not yet, reads it as well."""
        for event in events:
            size = bytes_of(event)
            self._pending_bytes -= size
            if isinstance(event, faust.Event) and event.message.refcount <= 1:
                event.value = event.message.value = None
            else:
                self._applied_bytes += size
        self._room.set()

    async def _save(self, pulse: Pulse) -> None:
        generation, events = self._generation, self._applied
        self._applied = []
        for phase in self.phases():
            items: list[Sent] | None = await self._bit_by_bit(phase)
            if items is None:
                return
            state_bytes = sum(len(item[1].value or b"") for item in items if isinstance(item, tuple))
            self._metrics.state_bytes.labels(self.name).inc(state_bytes)
            sent = [self._send(item) for item in items]
            if self._settings.is_fenced:
                await asyncio.shield(asyncio.gather(*sent))  # Cancelled, each would be an error once it is confirmed.
            pulse.check()
            if generation != self._generation:
                return  # The partitions went elsewhere meanwhile; whoever has them reads these events again.
        for event in events:
            event.ack()
        self._applied_bytes = 0
        self._room.set()

    async def _bit_by_bit(self, work: Iterable[Item | None]) -> list[Item] | None:
        """What is made of work; others of this loop have their turns meanwhile. None where the partitions went elsewhere amid it."""
        generation, began_at, items = self._generation, time.monotonic(), list[Item]()
        for item in work:
            if item is not None:
                items.append(item)
            if time.monotonic() - began_at >= TURN_S:
                await give_way()
                began_at = time.monotonic()
                if generation != self._generation:
                    return None
        return items

    def _send(self, item: Sent) -> asyncio.Future[Any]:
        if isinstance(item, tuple):
            partition, block = item
            return self._table.send_changelog(
                partition, block.key, block.value, key_serializer="raw", value_serializer="raw"
            )
        topic = self._topics.get(item.topic)
        if topic is None:
            topic = self._topics[item.topic] = self._app.topic(
                item.topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
            )
        return topic.send_soon(key=item.key, value=item.value, partition=item.partition, headers=dict(item.headers))
