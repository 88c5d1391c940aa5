"""What is declared of bundles by the record, the compacted topic `releases`, for whoever asks about a few of them again and again.

The topic is read once; later questions read what came since, and nothing where its ends are as they were. What is kept is
bounded: beyond it the oldest declarations are let go, and a bundle that may be among those is looked for in the whole topic.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock

from schemas.kafka import KafkaAddress
from schemas.releases import Release, decode
from schemas.topics import RELEASE_DOCUMENTS
from turnwatch.reading import reader_of
from turnwatch.statements import take_statements

KEPT_BYTES_MAX = 16_000_000
"""Some thousands of releases, as they were written."""


@dataclass(slots=True)
class DeclaredReleases:
    """The newest declaration of each bundle by this Kafka, where one counts from the moment on that it was confirmed.

    May be asked by several threads. Raises `Foreseen` where Kafka is away.
    """

    address: KafkaAddress
    bytes_max: int = KEPT_BYTES_MAX
    _kept: dict[str, bytes] = field(default_factory=dict)
    _kept_bytes: int = 0
    _is_whole: bool = True
    _read_to: dict[int, int] = field(default_factory=dict)
    _asking: Lock = field(default_factory=Lock)

    def __call__(self, bundles: Sequence[str]) -> Mapping[str, Release]:
        """Of these bundles those that were declared."""
        with self._asking:
            return asyncio.run(self._declared(bundles))

    async def _declared(self, bundles: Sequence[str]) -> dict[str, Release]:
        await self._read(self._keep)
        found = {name: decode(self._kept[name]) for name in bundles if name in self._kept}
        missing = set(bundles).difference(found)
        if missing and not self._is_whole:
            await self._read(lambda release: _take(found, release, missing), is_anew=True)
        return found

    async def _read(self, take: Callable[[Release], object], is_anew: bool = False) -> None:
        """What came since the last time, or all of it; a topic that is shorter than it was is another one."""
        async with reader_of(self.address) as reader:
            ends = await reader.ends(RELEASE_DOCUMENTS)
            if ends == self._read_to and not is_anew:
                return
            if any(ends.get(partition, 0) < offset for partition, offset in self._read_to.items()):
                self._kept, self._kept_bytes, self._is_whole, self._read_to = {}, 0, True, {}
            await take_statements(reader, RELEASE_DOCUMENTS, decode, take, {} if is_anew else self._read_to)
        if not is_anew:
            self._read_to = ends

    def _keep(self, release: Release) -> None:
        written = release.encode()
        self._kept_bytes += len(written) - len(self._kept.pop(release.bundle, b""))
        self._kept[release.bundle] = written
        while self._kept_bytes > self.bytes_max:
            self._kept_bytes -= len(self._kept.pop(next(iter(self._kept))))
            self._is_whole = False


def _take(found: dict[str, Release], release: Release, named: set[str]) -> None:
    if release.bundle in named:
        found[release.bundle] = release
