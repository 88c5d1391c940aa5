"""What comes to a stage: the state of its partitions after a rebalance, then their events, each once and in order.

State is taken up whole, or refused with the block that cannot be; so is state that has judged more than Kafka has. Of
events what was seen is passed over, what is of another generation or of a partition not owned is dropped (whoever owns
it gets it), and a gap ends the process. A stage holds so many events, and bytes of them, and no more: then reading waits.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import faust
from faust.streams import Stream
from faust.types import TP, EventT, StreamT

from schemas.failures import Foreseen
from schemas.metrics import WorkerMetrics
from schemas.topics import changelog
from stream_jobs.agents.positions import Beginning, RewindingConsumer
from stream_jobs.agents.pulse import StageFailure
from stream_jobs.agents.surprises import NOT_OURS
from stream_jobs.operators.totals.blocks import key_kind, unreadable_state

log = logging.getLogger("turnwatch.stages")

Event = EventT[Any]
Source = tuple[str, int]
"""Topic and partition."""

BATCH_EVENTS = 500
PENDING_EVENTS_MAX = 2_000
PENDING_BYTES_MAX = 16 * 1024 * 1024
"""So many bytes of events one stage holds, and one event more, until they are applied, or saved where two stages read them."""


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


class Arrivals(ABC):
    """What one stage owns, and has been sent: `_pending` is to be applied, `_applied` to be acknowledged."""

    name: str
    is_told_anew: ClassVar[bool] = False
    """Whether all that its topics say is said again soon, so that nobody needs what retention removed unread."""
    _metrics: WorkerMetrics

    def __init__(self, app: faust.App, topics: Sequence[str], settings: StageSettings) -> None:
        self._app = app
        self._settings = settings
        self._source_topics = frozenset(topics)
        self._pending: list[Event] = []
        self._applied: list[Event] = []
        self._pending_bytes = self._applied_bytes = 0
        self._seen: dict[Source, int] = {}
        self._owned: set[int] = set()
        self._generation = 0
        self._wake, self._room = asyncio.Event(), asyncio.Event()

    @abstractmethod
    def restore(self, partition: int, stored: dict[bytes, bytes]) -> None:
        """Takes up the state of a partition from its blocks."""

    @abstractmethod
    def forget(self) -> None:
        """Lets go of all state in memory."""

    @abstractmethod
    def marked(self, topic: str, partition: int) -> int:
        """The newest offset that the saved state says was judged; -1 where it does not say."""

    # -- state ---------------------------------------------------------------------------------------------------------

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

    # -- events --------------------------------------------------------------------------------------------------------

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
        self._pending_bytes += bytes_of(event)
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


def bytes_of(item: Any) -> int:
    """Bytes of payload that an event holds: 0 once it let go of it, as of anything else that a queue of events may carry."""
    message = getattr(item, "message", None)
    return 0 if message is None else len(message.value or b"")


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
