"""What is declared of bundles by the record, the compacted topic `releases`, for whoever asks about a few of them again and again.

The topic is gone through once; later questions read what came since. What is kept is where the newest declaration of each
bundle stands, and no declaration: those that are asked for are read there. A topic that was made anew is gone through again:
the record that was read last is looked at before each answer, and would be another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic
from typing import Any

from schemas.failures import Foreseen, Undecodable
from schemas.kafka import KafkaAddress
from schemas.releases import Release, decode
from schemas.topics import RELEASE_DOCUMENTS
from stream_jobs.agents.reading import Reader, ReadFailure
from turnwatch.reading import reader_of
from turnwatch.statements import say_unreadable

WITHIN_S = 30.0


@dataclass(slots=True)
class DeclaredReleases:
    """The newest declaration of each bundle by this Kafka, where one counts from the moment on that it was confirmed.

    Several threads may ask; one at a time is answered. Raises `ReadFailure` where Kafka is away, where it has not answered
    within `within_s` seconds (for as long after, others are told so at once), and where a newer version declared one of them.
    """

    address: KafkaAddress
    within_s: float = WITHIN_S
    _places: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of each bundle the partition and the offset of its newest declaration; some 250 bytes each."""
    _last: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Of each partition the offset of the record that was read last, and its `_mark`."""
    _silent_until: float = 0.0
    _asking: Lock = field(default_factory=Lock)

    def __call__(self, bundles: Sequence[str]) -> Mapping[str, Release]:
        """Of these bundles those that were declared."""
        if not self._asking.acquire(timeout=self.within_s):
            raise self._silence()
        try:
            if monotonic() < self._silent_until:
                raise self._silence()
            return asyncio.run(self._declared(bundles))
        finally:
            self._asking.release()

    async def _declared(self, bundles: Sequence[str]) -> dict[str, Release]:
        try:
            async with asyncio.timeout(self.within_s), reader_of(self.address) as reader:
                await self._read_on(reader)
                return await self._read(reader, bundles)
        except TimeoutError:  # What was read until now is kept: the next question goes on there.
            self._silent_until = monotonic() + self.within_s
            raise self._silence() from None

    def _silence(self) -> ReadFailure:
        return ReadFailure(
            f"Kafka at {self.address.bootstrap} did not tell within {self.within_s:g} s what was declared "
            f"(topic {RELEASE_DOCUMENTS}): is it healthy? Ask again."
        )

    async def _read_on(self, reader: Reader) -> None:
        """Notes where declarations stand that came since the last time."""
        if not await self._is_what_was_read(reader):
            self._places.clear()
            self._last.clear()
        begins = {partition: offset + 1 for partition, (offset, _) in self._last.items()}
        unreadable = 0
        try:
            async for record in reader.records(RELEASE_DOCUMENTS, begins=begins):
                self._last[record.partition] = record.offset, _mark(record)
                try:
                    bundle = _bundle(record)
                except Undecodable:
                    unreadable += 1
                else:
                    self._places[bundle] = record.partition, record.offset
        finally:
            say_unreadable(unreadable, RELEASE_DOCUMENTS, "release")

    async def _is_what_was_read(self, reader: Reader) -> bool:
        """Whether each partition still has the record that was read last. One that was replaced since and is gone counts as another."""
        for partition, (offset, mark) in self._last.items():
            async for _, record in reader.records_at(RELEASE_DOCUMENTS, partition, [offset]):
                if record is None or _mark(record) != mark:
                    return False
        return True

    async def _read(self, reader: Reader, bundles: Iterable[str]) -> dict[str, Release]:
        named: dict[int, dict[int, str]] = {}
        for bundle in bundles:
            if place := self._places.get(bundle):
                named.setdefault(place[0], {})[place[1]] = bundle
        return {
            at[offset]: _release(at[offset], record.value)
            for partition, at in named.items()
            async for offset, record in reader.records_at(RELEASE_DOCUMENTS, partition, sorted(at))
            if record is not None
        }


def _mark(record: Any) -> int:
    return hash((record.timestamp, record.key, record.value))


def _bundle(record: Any) -> str:
    """Which bundle is declared; by its key where a newer version declared it, which is said to whoever asks for it."""
    try:
        return decode(record.value or b"").bundle
    except Undecodable:
        raise
    except Foreseen:
        return str((record.key or b"").decode(errors="replace"))


def _release(bundle: str, payload: bytes) -> Release:
    try:
        return decode(payload)
    except Foreseen:
        raise ReadFailure(
            f"Release {bundle} was declared by a newer version of turnwatch, which this gate cannot read: deploy the newer gate."
        ) from None
