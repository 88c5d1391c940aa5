"""What is declared of bundles by the record, the compacted topic `releases`, for whoever asks about a few of them again and again.

The topic is gone through once; later questions read what came since, beginning with the record that was read last: where another
one stands there, or none, the topic was made anew, and is gone through again. Declarations are kept as they stand on the topic,
by their key, which is what its compaction goes by too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import aclosing
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

WITHIN_S = 120.0
FETCH_BYTES = 512 * 1024
"""Small: what is read before the limit is kept, and the next question goes on from there, also over a slow link."""


@dataclass(slots=True)
class DeclaredReleases:
    """The newest declaration of each bundle by this Kafka, where one counts from the moment on that it was confirmed.

    Several threads may ask; one at a time is answered. Of a bundle whose newest declaration cannot be read the answer is why.
    Raises `ReadFailure` where Kafka is away, and where it has not told all within `within_s` seconds; where it told nothing in
    that time, others are told so at once for as long again.
    """

    address: KafkaAddress
    within_s: float = WITHIN_S
    _declared: dict[str, bytes] = field(default_factory=dict)
    """By bundle, as many bytes as the topic holds of them: about 1 KB each."""
    _last: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Of each partition the offset of the record that was read last, and its `_mark`."""
    _silent_until: float = 0.0
    _asking: Lock = field(default_factory=Lock)

    def __call__(self, bundles: Sequence[str]) -> Mapping[str, Release | ReadFailure]:
        """Of these bundles those that were declared."""
        if not self._asking.acquire(timeout=self.within_s):
            raise self._silence()
        try:
            if monotonic() < self._silent_until:
                raise self._silence()
            _run(self._read_on())
            return {name: _release(name, self._declared[name]) for name in bundles if name in self._declared}
        finally:
            self._asking.release()

    async def _read_on(self) -> None:
        begun = dict(self._last)
        try:
            async with asyncio.timeout(self.within_s), reader_of(self.address, FETCH_BYTES) as reader:
                if not await self._went_on(reader):
                    self._declared.clear()
                    self._last.clear()
                    await self._went_on(reader)
        except TimeoutError:
            if self._last == begun:
                self._silent_until = monotonic() + self.within_s
            raise self._silence() from None

    def _silence(self) -> ReadFailure:
        return ReadFailure(
            f"Kafka at {self.address.bootstrap} did not tell within {self.within_s:g} s what was declared "
            f"(topic {RELEASE_DOCUMENTS}): is it healthy? Ask again."
        )

    async def _went_on(self, reader: Reader) -> bool:
        """Takes in what came since the last time; False where the record that was read last is not where it was.

        Compaction takes it only where its bundle was declared again since.
        """
        looked_at = dict(self._last)
        begins = {partition: offset for partition, (offset, _) in looked_at.items()}
        async with aclosing(reader.records(RELEASE_DOCUMENTS, begins=begins)) as records:
            async for record in records:
                place = record.offset, _mark(record)
                if (known := looked_at.pop(record.partition, None)) is None:
                    self._take(record)
                    self._last[record.partition] = place
                elif known != place:
                    return False
        return not looked_at

    def _take(self, record: Any) -> None:
        bundle = (record.key or b"").decode(errors="replace")
        if record.value is None:
            self._declared.pop(bundle, None)
        else:
            self._declared[bundle] = record.value


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Without waiting for threads that look names up: that has no limit, and whoever waited would wait for it in vain."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(work)
    finally:
        loop.close()


def _mark(record: Any) -> int:
    return hash((record.timestamp, record.key, record.value))


def _release(bundle: str, payload: bytes) -> Release | ReadFailure:
    try:
        release = decode(payload)
    except Undecodable:
        return _unreadable(bundle)
    except Foreseen:
        return ReadFailure(
            f"Release {bundle} was declared by a newer version of turnwatch, which this gate cannot read: deploy the newer gate."
        )
    return release if release.bundle == bundle else _unreadable(bundle)


def _unreadable(bundle: str) -> ReadFailure:
    return ReadFailure(f"What topic {RELEASE_DOCUMENTS} has of release {bundle} is no release: declare it anew.")
