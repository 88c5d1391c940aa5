"""Exactness under failure: the loop, the store and the order of writes that every stage shares.

A stage takes events in batches, changes its state in memory, and saves once or twice a second: changed blocks go to the
changelog of a Faust table, then its marker, then what follows from them, and only when the broker has confirmed all of
it are the events acknowledged. After a crash or a rebalance everything in memory is thrown away and read again from the
changelog, and events above the acknowledged offset come once more. Any surprise ends the process: a supervisor starts it
anew, and what is on disk is right. That includes state that cannot be read, here or yet (`surprises.py`).

The recipe was found by killing workers (`docs/decisions/0001-exactness-on-faust.md`); what each line below is for:

- `BlockStore` (`block_tables.py`) keeps, while recovering, the write with the highest embedded offset, not the last one (a zombie may write late).
- the flow is stopped before partitions resume, or the last event of a partition can come twice or one can be skipped.
- offsets already seen are passed over, and a gap stops the process; so does state that has judged more than there is.
- events of another generation, or of a partition not owned, are dropped: whoever owns it gets them.
- a worker whose loop stood still for half the session timeout ends itself (`pulse.py`): its partitions may be somebody else's by now.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import faust
from faust.streams import Stream
from faust.types import TP, EventT, StreamT

from schemas.failures import Foreseen
from schemas.metrics import WorkerMetrics
from schemas.topics import STATE_SETTINGS, changelog
from stream_jobs.agents.block_tables import BlockTable
from stream_jobs.agents.positions import Beginning, RewindingConsumer
from stream_jobs.agents.pulse import Pulse, StageFailure
from stream_jobs.agents.surprises import NOT_OURS, Surprise
from stream_jobs.operators.blocks import Block, key_kind, unreadable_state

log = logging.getLogger("turnwatch.stages")

Event = EventT[Any]
Source = tuple[str, int]
"""Topic and partition."""

BATCH_EVENTS = 500
AHEAD_EVENTS = 100
"""So many events that came while a batch was prepared are a backlog: the next batch is prepared while this one is applied."""
BATCH_S = 0.05
PENDING_EVENTS_MAX = 2_000
PENDING_BYTES_MAX = 16 * 1024 * 1024
"""So many bytes of events one stage holds, and one event more, until they are applied, or saved where two stages read them."""
MANY_EVENTS = 300
"""So many events between two saves are more than live traffic brings to one stage of one worker."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to send. `partition` of `None` leaves the choice to the key."""

    topic: str
    value: bytes
    headers: list[tuple[str, bytes]]
    key: bytes | None = None
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class StageSettings:
    """`stall_max_s`: half the session timeout. `accept_gaps`: go on where records are missing (once, by an operator).

    `pending_bytes_max`: of events that one stage holds; before it takes more it applies and saves these.

    Without `is_fenced` nothing waits for a confirmation: that is not exact, and is there to measure what exactness costs.
    """

    save_interval_s: float = 0.5
    stall_max_s: float = 15.0
    accept_gaps: bool = False
    pending_bytes_max: int = PENDING_BYTES_MAX
    is_fenced: bool = True


@dataclass(frozen=True, slots=True)
class _Batch:
    """Events of one generation on their way to be applied, and what was prepared of them."""

    generation: int
    events: list[Event]
    by_source: Mapping[Source, list[Event]]
    prepared: Mapping[Source, Any]


class Stage(ABC):
    """One stage of the flow: topics in, state in a table, records out."""

    name: str
    is_told_anew: ClassVar[bool] = False
    """Whether all that its topics say is said again soon, so that nobody needs what retention removed unread."""
    _metrics: WorkerMetrics

    def __init__(self, app: faust.App, topics: Sequence[str], partitions: int, settings: StageSettings) -> None:
        self._app = app
        self._settings = settings
        self._source_topics = frozenset(topics)
        self._pending: list[Event] = []
        self._ahead: asyncio.Task[_Batch] | None = None
        self._pending_bytes = self._applied_bytes = 0
        self.prepared: Mapping[Source, Any] = {}
        self._applied: list[Event] = []
        self._seen: dict[Source, int] = {}
        self._owned: set[int] = set()
        self._generation = 0
        self._wake, self._room = asyncio.Event(), asyncio.Event()
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

    @abstractmethod
    def restore(self, partition: int, stored: dict[bytes, bytes]) -> None:
        """Takes up the state of a partition from its blocks."""

    @abstractmethod
    def forget(self) -> None:
        """Lets go of all state in memory."""

    @abstractmethod
    def marked(self, topic: str, partition: int) -> int:
        """The newest offset that the saved state says was judged; -1 where it does not say."""

    async def prepare(self, by_source: Mapping[Source, list[Event]]) -> Mapping[Source, Any]:
        """What can be made of events beside the event loop; `apply` finds it in `prepared`. State must not change here."""
        return {}

    @abstractmethod
    def apply(self, topic: str, partition: int, events: list[Event]) -> None:
        """Takes events of one source partition, in offset order, into state."""

    @abstractmethod
    def phases(self) -> Iterable[Iterable[Outgoing | tuple[int, Block]]]:
        """What to send since the last save: each phase is confirmed before the next begins. (partition, block) are changelog."""

    # -- what all stages share -----------------------------------------------------------------------------------------

    def let_go(self) -> None:
        self._generation += 1
        self._owned.clear()
        self._pending.clear()
        self._pending_bytes = self._applied_bytes = 0
        self._applied.clear()
        self._seen.clear()
        self._room.set()
        self.forget()

    def take_over(self, owned: dict[int, dict[bytes, bytes]]) -> None:
        self.let_go()
        for partition, stored in sorted(owned.items()):
            self._take_up(partition, stored)
        self._owned = set(owned)

    def _take_up(self, partition: int, stored: dict[bytes, bytes]) -> None:
        """Restores a partition; raises `NewerState` or `UnreadableState`, which say in which of its blocks."""
        try:
            self.restore(partition, stored)
        except NOT_OURS:
            raise
        except AssertionError:
            raise  # A defect of ours, which needs its traceback.
        except BaseException as error:
            raise self.refused(partition, self._refused_key(partition, stored), error) from error

    def _refused_key(self, partition: int, stored: dict[bytes, bytes]) -> bytes | None:
        """The block that cannot be taken up, found by halving; none where each of them can be."""
        while len(stored) > 1 and self._is_refused(partition, stored):
            keys = sorted(stored)
            halves = (keys[: len(keys) // 2], keys[len(keys) // 2 :])
            parts = [{key: stored[key] for key in half} for half in halves]
            stored = next((part for part in parts if self._is_refused(partition, part)), {})
        is_found = len(stored) == 1 and self._is_refused(partition, stored)
        self.forget()
        return next(iter(stored)) if is_found else None

    def _is_refused(self, partition: int, stored: dict[bytes, bytes]) -> bool:
        self.forget()
        try:
            self.restore(partition, stored)
        except NOT_OURS:
            raise
        except BaseException:
            return True
        return False

    def refused(self, partition: int, key: bytes | None, error: BaseException) -> Foreseen:
        """`error` as one sentence that says where the state is that cannot be taken up."""
        where = f"{changelog(self.name)}[{partition}], block of kind {key_kind(key)}"
        if isinstance(error, Foreseen):
            return type(error)(f"{where}: {error}")
        return unreadable_state(f"It is in {where} ({type(error).__name__}).")

    async def check_judged(self) -> None:
        """Raises where the state has judged records that Kafka does not have: others would be taken for them."""
        generation = self._generation
        places = [TP(topic, partition) for topic in sorted(self._source_topics) for partition in sorted(self._owned)]
        judged = {tp: marked for tp in places if (marked := self.marked(tp.topic, tp.partition)) >= 0}
        if not (judged and isinstance(self._app.consumer, RewindingConsumer)):
            return
        ends = await self._app.consumer.highwaters(*judged)
        if generation != self._generation:
            return  # The partitions went elsewhere meanwhile, and so did their state.
        for tp, marked in judged.items():
            if marked >= (ends[tp] or 0):
                raise StageFailure(_made_anew((tp.topic, tp.partition), marked, ends[tp] or 0))

    @property
    def owns_partitions(self) -> bool:
        return bool(self._owned)

    def without_state(self, assigned: Iterable[TP]) -> list[str]:
        """Source partitions that came without their state: their events are passed over, here and everywhere."""
        ours = sorted(tp for tp in assigned if tp.topic in self._source_topics)
        return [f"{tp.topic}[{tp.partition}]" for tp in ours if tp.partition not in self._owned]

    async def _listen(self, stream: StreamT[bytes]) -> None:
        assert isinstance(stream, Stream)
        async for event in stream.noack().events():
            self._accept(event)
            while self._is_full():
                self._room.clear()
                await self._room.wait()

    def _is_full(self) -> bool:
        held_bytes = self._pending_bytes + self._applied_bytes
        return len(self._pending) >= PENDING_EVENTS_MAX or held_bytes >= self._settings.pending_bytes_max

    def _accept(self, event: Event) -> None:
        message = event.message
        if message.partition not in self._owned or message.generation_id != self._app.consumer_generation_id:
            return
        source = (message.topic, message.partition)
        seen = self._seen.get(source)
        if seen is None:
            seen = self._seen_before(source, message.offset)
        if seen is None or message.offset <= seen:
            return
        if message.offset > seen + 1:
            if not self._settings.accept_gaps:
                raise StageFailure(_gap(source, seen, message.offset))
            self._pass_over(source, seen + 1, message.offset)
        self._seen[source] = message.offset
        self._pending.append(event)
        self._pending_bytes += _bytes_of(event)
        if len(self._pending) >= BATCH_EVENTS or self._is_full():
            self._wake.set()

    def _pass_over(self, source: Source, first: int, next_offset: int) -> None:
        """Says and counts that records are gone which were never read."""
        topic, partition = source
        self._metrics.records_gone.labels(self.name, topic).inc(next_offset - first)
        log.warning(
            "records_gone: %s goes on at %s[%d] offset %d without the %d before it, which were never read.",
            self.name, topic, partition, next_offset, next_offset - first,
        )  # fmt: skip

    def _seen_before(self, source: Source, offset: int) -> int | None:
        """The newest offset that need not come any more; nothing while what comes is from before the seek.

        Such a record comes once more, after those that were dropped before it: taken now, it would pass over them.
        """
        consumer: Any = self._app.consumer
        is_ours = isinstance(consumer, RewindingConsumer)
        begins = consumer.begins(TP(*source)) if is_ours else Beginning(offset, offset)
        if begins is None:
            if consumer.flow_active:
                raise StageFailure(f"{source[0]}[{source[1]}] flows without having been sought to what comes next.")
            return None
        marked = self.marked(*source)
        if 0 <= marked < offset:
            return marked
        if self.is_told_anew and begins.removed:
            self._pass_over(source, begins.offset, begins.kept_from)
            return min(begins.kept_from, offset) - 1
        return min(begins.offset, offset) - 1

    async def run(self, stop: asyncio.Event, pulse: Pulse) -> None:
        """Applies and saves until `stop` is set, and once more then; any exception is the end of the process."""
        saved_at = time.monotonic()
        try:
            while not stop.is_set():
                await self._nap()
                pulse.check()
                await self._apply_pending()
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
        for (topic, partition), of_source in batch.by_source.items():
            self.apply(topic, partition, of_source)
        self.prepared = {}
        self._applied += batch.events
        self._let_go_of_payloads(batch.events)

    async def _next_batch(self) -> _Batch:
        generation, events = self._generation, self._pending
        self._pending = []
        self._room.set()
        by_source: defaultdict[Source, list[Event]] = defaultdict(list)
        for event in events:
            by_source[event.message.topic, event.message.partition].append(event)
        return _Batch(generation, events, by_source, await self.prepare(by_source))

    def _let_go_of_payloads(self, events: list[Event]) -> None:
        """What is applied is kept only to be acknowledged, unless another stage, which has not yet, reads it as well."""
        for event in events:
            size = _bytes_of(event)
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
            sent = [self._send(item) for item in phase]
            if self._settings.is_fenced:
                await asyncio.gather(*sent)
            pulse.check()
            if generation != self._generation:
                return  # The partitions went elsewhere meanwhile; whoever has them reads these events again.
        for event in events:
            event.ack()
        self._applied_bytes = 0
        self._room.set()

    def _send(self, item: Outgoing | tuple[int, Block]) -> asyncio.Future[Any]:
        if isinstance(item, tuple):
            partition, block = item
            self._metrics.state_bytes.labels(self.name).inc(len(block.value or b""))
            return self._table.send_changelog(
                partition, block.key, block.value, key_serializer="raw", value_serializer="raw"
            )
        topic = self._topics.get(item.topic)
        if topic is None:
            topic = self._topics[item.topic] = self._app.topic(
                item.topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
            )
        return topic.send_soon(key=item.key, value=item.value, partition=item.partition, headers=dict(item.headers))


def _bytes_of(event: Event) -> int:
    return len(event.message.value or b"")


def _gap(source: Source, seen: int, offset: int) -> str:
    topic, partition = source
    return (
        f"{topic}[{partition}] went from offset {seen} to {offset}: records between them are missing. "
        "If retention removed them while the worker was away, run `turnwatch worker --accept-gap` once; otherwise restart it."
    )


def _made_anew(source: Source, marked: int, end: int) -> str:
    topic, partition = source
    return (
        f"{topic}[{partition}] ends before offset {end}, and its state has judged records up to {marked}: the topic was "
        "made anew or lost its end, and what comes would be taken for known. Restore the topic, or begin anew: stop all "
        "workers, delete the topics partials.* and turnwatch-*-changelog, run `turnwatch prepare`, start the workers."
    )
