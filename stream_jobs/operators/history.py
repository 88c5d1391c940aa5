"""History: bad and total turns of every slice and indicator, for as long as the longest window looks back.

Counts are kept at four resolutions, 10 s for the short windows up to 1 h for the period. A coarse bucket is always told
from the finer ones (assigned, never incremented), while those are kept far longer than they can change; so late data and
replays after a crash leave no trace of how they came. Arrays are 32 bits wide and widened to 64 where a count needs it.

Memory: slices x indicators x 2 counts x 4 bytes x buckets (90 of 10 s, 370 of 1 min, 450 of 10 min, 745 of 1 h for a
30-day period), 13 KB per slice and indicator at most. A bucket holds only the chunks of slices that it counted, so a slice
that lived for an hour costs nothing at the fine resolutions once they have passed it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stream_jobs.operators.blocks import Block, NewerState, body, stamped

Counts = NDArray[np.int64]
"""Shape (slices, indicators, 2): bad and total turns."""

_CHUNK_SLICES = 2_048
_SLICES_STEP = 64


@dataclass(frozen=True, slots=True)
class Resolution:
    width_ms: int
    keep_ms: int

    def start(self, instant_ms: int) -> int:
        return instant_ms // self.width_ms * self.width_ms


def resolutions(period_s: int) -> tuple[Resolution, ...]:
    """From fine to coarse, each kept for its windows and until nothing below can change it."""
    minute_ms, hour_ms, day_ms = 60_000, 3_600_000, 86_400_000
    return (
        Resolution(10_000, 15 * minute_ms),
        Resolution(minute_ms, 6 * hour_ms + 10 * minute_ms),
        Resolution(10 * minute_ms, 3 * day_ms + 3 * hour_ms),
        Resolution(hour_ms, period_s * 1_000 + day_ms),
    )


class History:
    """Counts by resolution and bucket, for slices and indicators addressed by number."""

    def __init__(self, indicators: int, period_s: int) -> None:
        self.resolutions = resolutions(period_s)
        self._indicators = indicators
        self._buckets: list[dict[int, dict[int, NDArray[np.integer]]]] = [{} for _ in self.resolutions]
        """By resolution, bucket start and chunk of slices."""
        self._unsaved: set[tuple[int, int, int]] = set()
        self._forgotten: list[bytes] = []
        self.slices = 0

    def assign(self, level: int, start_ms: int, numbers: NDArray[np.int64], counts: Counts) -> None:
        """Sets the counts of these slices in one bucket."""
        if len(numbers) == 0:
            return
        self.slices = max(self.slices, int(numbers.max()) + 1)
        wide = bool(counts.max(initial=0) > np.iinfo(np.uint32).max)
        chunks = numbers // _CHUNK_SLICES
        for chunk in map(int, np.unique(chunks)):
            is_of_chunk = chunks == chunk
            places = numbers[is_of_chunk] - chunk * _CHUNK_SLICES
            self._chunk(level, start_ms, chunk, int(places.max()) + 1, wide)[places] = counts[is_of_chunk]
            self._unsaved.add((level, start_ms, chunk))

    def retell(self, level: int, start_ms: int, finer: int, numbers: NDArray[np.int64]) -> None:
        """Tells a coarse bucket of these slices anew from the finer resolution, where that has counted them."""
        end_ms = start_ms + self.resolutions[level].width_ms
        counted = {chunk for _, bucket in self._within(finer, start_ms, end_ms) for chunk in bucket}
        numbers = numbers[np.isin(numbers // _CHUNK_SLICES, list(counted))]
        self.assign(level, start_ms, numbers, self.between(finer, start_ms, end_ms)[numbers])

    def between(self, level: int, from_ms: int, to_ms: int) -> Counts:
        """Sums over the buckets that start in [from, to)."""
        total = np.zeros((self.slices, self._indicators, 2), dtype=np.int64)
        for _, bucket in self._within(level, from_ms, to_ms):
            for chunk, part in bucket.items():
                members = total[chunk * _CHUNK_SLICES :][: len(part)]
                members += part[: len(members)]
        return total

    def window(self, length_ms: int, end_ms: int, finest: int = 0) -> Counts:
        """Sums over the window that ends at `end_ms`; its start is rounded outward to a bucket, its end is exact.

        `finest` is the finest resolution that these slices have: 0, or 1 where their buckets are 1 min wide.
        """
        level = max(finest, self._level_of(length_ms))
        start_ms = self.resolutions[level].start(end_ms - length_ms)
        edge_ms = self.resolutions[level].start(end_ms)
        total = self.between(level, start_ms, edge_ms)
        if level > 1:
            minute_ms = self.resolutions[1].start(end_ms)
            total += self.between(1, edge_ms, minute_ms)
            edge_ms = minute_ms
        if level > 0 and finest == 0:
            total += self.between(0, edge_ms, end_ms)
        return total

    def forget_old(self, newest_ms: int) -> None:
        for level, resolution in enumerate(self.resolutions):
            oldest_ms = newest_ms - resolution.keep_ms - resolution.width_ms
            for start_ms in [start_ms for start_ms in self._buckets[level] if start_ms < oldest_ms]:
                for chunk in self._buckets[level].pop(start_ms):
                    self._unsaved.discard((level, start_ms, chunk))
                    self._forgotten.append(_key(level, start_ms, chunk))

    @property
    def nbytes(self) -> int:
        return sum(self.nbytes_of(level) for level in range(len(self.resolutions)))

    def nbytes_of(self, level: int) -> int:
        return sum(part.nbytes for bucket in self._buckets[level].values() for part in bucket.values())

    def unsaved_blocks(self, applied_offset: int) -> Iterator[Block]:
        for level, start_ms, chunk in sorted(self._unsaved):
            part = self._buckets[level][start_ms][chunk][: self.slices - chunk * _CHUNK_SLICES]
            yield Block(_key(level, start_ms, chunk), stamped(applied_offset, _pack(part)))
        yield from (Block(key, None) for key in self._forgotten)
        self._unsaved.clear()
        self._forgotten.clear()

    def restore(self, key: bytes, value: bytes) -> None:
        _, level, start_ms, chunk = key.decode().split("|")
        part = _unpack(body(value), self._indicators)
        self._buckets[int(level)].setdefault(int(start_ms), {})[int(chunk)] = part
        self.slices = max(self.slices, int(chunk) * _CHUNK_SLICES + len(part))

    def _within(self, level: int, from_ms: int, to_ms: int) -> Iterator[tuple[int, dict[int, NDArray[np.integer]]]]:
        """The buckets that start in [from, to), whichever way is shorter to find them."""
        buckets, resolution = self._buckets[level], self.resolutions[level]
        if (to_ms - from_ms) // resolution.width_ms < len(buckets):
            starts: Iterable[int] = range(resolution.start(from_ms), to_ms, resolution.width_ms)
        else:
            starts = buckets
        for start_ms in starts:
            if from_ms <= start_ms < to_ms and start_ms in buckets:
                yield start_ms, buckets[start_ms]

    def _level_of(self, length_ms: int) -> int:
        longest_ms = (600_000, 6 * 3_600_000, 3 * 86_400_000)
        return next((level for level, longest in enumerate(longest_ms) if length_ms <= longest), 3)

    def _chunk(self, level: int, start_ms: int, chunk: int, size: int, wide: bool) -> NDArray[np.integer]:
        """The counts of a chunk in one bucket, with room for `size` slices, 64 bits wide where asked for."""
        bucket = self._buckets[level].setdefault(start_ms, {})
        part = bucket.get(chunk, np.zeros((0, self._indicators, 2), dtype=np.uint32))
        if len(part) < size:
            more = min(-(-size // _SLICES_STEP) * _SLICES_STEP, _CHUNK_SLICES) - len(part)
            part = np.concatenate([part, np.zeros((more, self._indicators, 2), dtype=part.dtype)])
        if wide and part.dtype == np.uint32:
            part = part.astype(np.int64)
        bucket[chunk] = part
        return part


def _key(level: int, start_ms: int, chunk: int) -> bytes:
    return f"history|{level}|{start_ms}|{chunk}".encode()


def _pack(part: NDArray[np.integer]) -> bytes:
    raw = np.ascontiguousarray(part).tobytes()
    compressed: bytes = pa.compress(raw, codec="zstd", asbytes=True)
    return bytes([part.itemsize, part.shape[1]]) + len(raw).to_bytes(8, "big") + compressed


def _unpack(packed: bytes, indicators: int) -> NDArray[np.integer]:
    """Counts by position; where the contract has other indicators now, positions mean something else."""
    if packed[1] != indicators:
        raise NewerState(
            f"The history in Kafka counts {packed[1]} indicators and this worker {indicators}: "
            "deploy the version that wrote it, or let the worker begin anew with an empty changelog."
        )
    size = int.from_bytes(packed[2:10], "big")
    raw = pa.decompress(packed[10:], decompressed_size=size, codec="zstd", asbytes=True)
    counts: NDArray[np.integer] = np.frombuffer(raw, dtype=np.uint32 if packed[0] == 4 else np.int64)
    return counts.reshape(-1, indicators, 2).copy()
