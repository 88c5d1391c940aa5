"""Halts: where workers stopped because they had diverted too much, kept in Kafka so that a new start knows.

A halt stands until its consumer group has read past the record: a fix took it in, or an operator let it be diverted
(`turnwatch worker --accept-refused`), or retention removed it. While one stands, a worker that starts diverts nothing
from that topic; the page stays, is told again by every worker that runs, and is resolved by whichever sees that it is
over.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from alerts.alertmanager import Alertmanagers
from alerts.diverting import DivertingAlert, firing, resolved
from alerts.explanations import Links
from alerts.telling import ENDS_RESENT_MS
from schemas.failures import Undecodable
from schemas.kafka import KafkaAddress
from schemas.rejections import Halt, Position, shown
from schemas.topics import HALTS, ROLLUPS
from stream_jobs.agents.application import GROUP
from stream_jobs.agents.diversion import DiversionBound
from stream_jobs.agents.pulse import Pulse, StageFailure
from stream_jobs.agents.reading import Reader, ReadFailure, reading
from stream_jobs.sinks.rollups import GROUP as SINK_GROUP

log = logging.getLogger("turnwatch.halts")

LOOK_S = 10.0
"""How often a worker looks whether halts have come or are over."""
TELL_S = 30.0
"""How long the last words of a worker may take."""
STALE_S = 300.0
"""What was read from Kafka longer ago is not told: the worker stood still, and another may have told the end since. Ends
are told for three times as long."""


@dataclass(slots=True)
class Halts:
    """The halts of all workers, as one of them knows them."""

    _kafka: KafkaAddress
    _reader: Reader
    _alertmanagers: Alertmanagers
    _links: Links
    _told: dict[str, DivertingAlert] = field(default_factory=dict)
    _heard: set[Position] = field(default_factory=set)
    _ended: dict[str, DivertingAlert] = field(default_factory=dict)
    _problems: list[str] = field(default_factory=list)
    _is_blind: bool = False

    async def standing(self) -> dict[str, list[Halt]]:
        """Halts that nobody has read past yet, oldest first, by topic."""
        known: dict[Position, Halt] = {}
        async for record in self._reader.records(HALTS):
            try:
                halt = Halt.decode(record.value)
            except Undecodable as error:
                log.warning("halt_unreadable: %s", error)
                continue
            known.setdefault(halt.position, halt)
        by_topic: defaultdict[str, list[Halt]] = defaultdict(list)
        for halt in known.values():
            by_topic[halt.topic].append(halt)
        found = {topic: await self._not_passed(topic, halts) for topic, halts in by_topic.items()}
        self._remember(by_topic)
        return {topic: halts for topic, halts in found.items() if halts}

    async def by_topic(self) -> dict[str, Halt]:
        """The oldest halt that stands in each topic."""
        try:
            return {topic: halts[0] for topic, halts in (await self.standing()).items()}
        except KafkaError as error:
            raise ReadFailure(
                f"Kafka did not say where workers have halted ({type(error).__name__}): it may be restarting, try again."
            ) from error

    async def tell(self, halt: Halt) -> None:
        """The last words of a worker: the halt to Kafka, the page to every Alertmanager. What fails is logged."""
        log.error("worker_halted: %s", halt.why)
        looked = Pulse(STALE_S)
        try:
            async with asyncio.timeout(TELL_S):
                standing = (await self.standing()).get(halt.topic, [])
                if halt.position not in {each.position for each in standing}:
                    await self._keep(halt)
        except (KafkaError, OSError, TimeoutError, ReadFailure) as error:
            standing = []
            log.error("halt_not_kept: %s (%s); a restart may divert again.", shown(halt.position), error)
        await self._page([firing([*standing, halt], self._links, _now_ms())], looked)

    async def watch(self, stop: asyncio.Event, bound: DiversionBound) -> None:
        """Until `stop`: tells again what stands, resolves what is over, and lifts it from `bound`."""
        while not stop.is_set():
            try:
                await self._look(bound)
                self._is_blind = False
            except (KafkaError, OSError, ReadFailure) as error:
                if not self._is_blind:
                    log.warning("halts_unread: %s (%s); looking every %.0f s.", error, type(error).__name__, LOOK_S)
                self._is_blind = True
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_S)

    async def _look(self, bound: DiversionBound) -> None:
        looked = Pulse(STALE_S)
        standing = await self.standing()
        bound.halted = {topic: halt for topic, halt in bound.halted.items() if topic in standing}
        now_ms = _now_ms()
        over = {topic: alert for topic, alert in self._told.items() if topic not in standing}
        self._ended |= {topic: resolved(alert, now_ms) for topic, alert in over.items()}
        self._told = {topic: firing(halts, self._links, now_ms) for topic, halts in standing.items()}
        ended = [alert for topic, alert in self._ended.items() if topic not in standing]
        is_heard = await self._page([*self._told.values(), *ended], looked)
        self._ended = {
            alert.labels["topic"]: alert
            for alert in ended
            if not (is_heard and now_ms - alert.ends_ms >= ENDS_RESENT_MS)
        }

    def _remember(self, by_topic: dict[str, list[Halt]]) -> None:
        """Every halt that is news here was told of by somebody, and may have to be resolved."""
        for topic, halts in by_topic.items():
            unheard = [halt for halt in halts if halt.position not in self._heard]
            if unheard:
                self._told.setdefault(topic, firing(unheard, self._links, _now_ms()))
            self._heard.update(halt.position for halt in unheard)

    async def _not_passed(self, topic: str, halts: list[Halt]) -> list[Halt]:
        group = SINK_GROUP if topic == ROLLUPS else GROUP
        try:
            kept_from = await self._reader.kept_from(topic)
        except ReadFailure:
            return []  # A topic that is gone holds nobody up.
        partitions = {TopicPartition(topic, halt.partition) for halt in halts if halt.partition in kept_from}
        committed = await self._reader.committed(group, partitions) if partitions else {}
        reached = {each.partition: max(offset, kept_from[each.partition]) for each, offset in committed.items()}
        return [halt for halt in halts if halt.offset >= reached.get(halt.partition, halt.offset + 1)]

    async def _keep(self, halt: Halt) -> None:
        producer = AIOKafkaProducer(**self._kafka.aiokafka_options(), acks="all", enable_idempotence=True)
        await producer.start()
        try:
            key = shown(halt.position).encode()
            await producer.send_and_wait(HALTS, halt.model_dump_json().encode(), key=key, partition=0)
        finally:
            await producer.stop()

    async def _page(self, alerts: Sequence[DivertingAlert], looked: Pulse) -> bool:
        """Whether every Alertmanager took all of them; nothing is told once it is too long since we `looked`."""
        try:
            outcomes = await self._alertmanagers.send(alerts, _now_ms(), looked.check) if alerts else ()
        except StageFailure:
            log.warning("page_stale: the worker stood still; what it knew of halts is not told, it looks again.")
            return False
        problems = [outcome.problem for outcome in outcomes if not outcome.is_complete]
        if problems and problems != self._problems:
            log.warning("page_undelivered: %s", "; ".join(problems))
        self._problems = problems
        return not problems


@asynccontextmanager
async def halting(kafka: KafkaAddress, alertmanagers: Alertmanagers, links: Links) -> AsyncIterator[Halts]:
    async with reading(kafka) as reader, alertmanagers:
        yield Halts(kafka, reader, alertmanagers, links)


def _now_ms() -> int:
    return int(time.time() * 1_000)
