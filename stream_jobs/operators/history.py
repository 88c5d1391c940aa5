"""History: bad and total turns of every slice and indicator, for as long as the longest window looks back.

Counts are kept at four resolutions, 10 s for the short windows up to 1 h for the period. A coarse bucket is always told
from the finer ones (assigned, never incremented), while those are kept far longer than they can change; so late data and
replays after a crash leave no trace of how they came. Arrays are 32 bits wide and widened to 64 where a count needs it.

Memory: slices x indicators x 2 counts x 4 bytes x buckets (90 of 10 s, 370 of 1 min, 450 of 10 min, 745 of 1 h for a
30-day period), 13 KB per slice and indicator.
"""

from __future__ import annotations

from collections.abc import Iterator
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
        self._buckets: list[dict[int, NDArray[np.integer]]] = [{} for _ in self.resolutions]
        self._unsaved: set[tuple[int, int]] = set()
        self._forgotten: list[bytes] = []
        self.slices = 0

    def assign(self, level: int, start_ms: int, numbers: NDArray[np.int64], counts: Counts) -> None:
        """Sets the counts of these slices in one bucket."""
        if len(numbers) == 0:
            return
        self.slices = max(self.slices, int(numbers.max()) + 1)
        bucket = self._bucket(level, start_ms, wide=bool(counts.max(initial=0) > np.iinfo(np.uint32).max))
        bucket[numbers] = counts
        self._unsaved.add((level, start_ms))

    def retell(self, level: int, start_ms: int, finer: int, numbers: NDArray[np.int64]) -> None:
        """Tells a coarse bucket of these slices anew from the finer resolution."""
        width_ms = self.resolutions[level].width_ms
        self.assign(level, start_ms, numbers, self.between(finer, start_ms, start_ms + width_ms)[numbers])

    def between(self, level: int, from_ms: int, to_ms: int) -> Counts:
        """Sums over the buckets that start in [from, to)."""
        total = np.zeros((self.slices, self._indicators, 2), dtype=np.int64)
        width_ms = self.resolutions[level].width_ms
        buckets = self._buckets[level]
        for start_ms in (
            range(self.resolutions[level].start(from_ms), to_ms, width_ms)
            if (to_ms - from_ms) // width_ms < len(buckets)
            else sorted(buckets)
        ):
            bucket = buckets.get(start_ms)
            if bucket is not None and from_ms <= start_ms < to_ms:
                rows = min(len(bucket), self.slices)
                total[:rows] += bucket[:rows]
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
            for start_ms in [
                start_ms
                for start_ms in self._buckets[level]
                if start_ms + resolution.width_ms < newest_ms - resolution.keep_ms
            ]:
                rows = len(self._buckets[level].pop(start_ms))
                self._unsaved.discard((level, start_ms))
                self._forgotten += [_key(level, start_ms, chunk) for chunk in range(-(-rows // _CHUNK_SLICES))]

    @property
    def nbytes(self) -> int:
        return sum(bucket.nbytes for buckets in self._buckets for bucket in buckets.values())

    def unsaved_blocks(self, applied_offset: int) -> Iterator[Block]:
        for level, start_ms in sorted(self._unsaved):
            bucket = self._buckets[level][start_ms][: self.slices]
            for chunk in range(-(-len(bucket) // _CHUNK_SLICES)):
                part = bucket[chunk * _CHUNK_SLICES : (chunk + 1) * _CHUNK_SLICES]
                yield Block(_key(level, start_ms, chunk), stamped(applied_offset, _pack(part)))
        yield from (Block(key, None) for key in self._forgotten)
        self._unsaved.clear()
        self._forgotten.clear()

    def restore(self, key: bytes, value: bytes) -> None:
        _, level, start_ms, chunk = key.decode().split("|")
        part = _unpack(body(value), self._indicators)
        first = int(chunk) * _CHUNK_SLICES
        self.assign(int(level), int(start_ms), np.arange(first, first + len(part)), part)
        self._unsaved.clear()

    def _level_of(self, length_ms: int) -> int:
        longest_ms = (600_000, 6 * 3_600_000, 3 * 86_400_000)
        return next((level for level, longest in enumerate(longest_ms) if length_ms <= longest), 3)

    def _bucket(self, level: int, start_ms: int, wide: bool) -> NDArray[np.integer]:
        bucket = self._buckets[level].get(start_ms)
        rows = -(-self.slices // _SLICES_STEP) * _SLICES_STEP
        if bucket is None:
            bucket = np.zeros((rows, self._indicators, 2), dtype=np.int64 if wide else np.uint32)
        elif len(bucket) < self.slices:
            bucket = np.concatenate([bucket, np.zeros((rows - len(bucket), self._indicators, 2), dtype=bucket.dtype)])
        if wide and bucket.dtype == np.uint32:
            bucket = bucket.astype(np.int64)
        self._buckets[level][start_ms] = bucket
        return bucket


def _key(level: int, start_ms: int, chunk: int) -> bytes:
    return f"history|{level}|{start_ms}|{chunk}".encode()


def _pack(part: NDArray[np.integer]) -> bytes:
    raw = np.ascontiguousarray(part).tobytes()
    compressed: bytes = pa.compress(raw, codec="zstd", asbytes=True)
    return bytes([part.itemsize, part.shape[1]]) + len(raw).to_bytes(8, "big") + compressed


def _unpack(packed: bytes, indicators: int) -> Counts:
    """Counts by position; where the contract has other indicators now, positions mean something else."""
    if packed[1] != indicators:
        raise NewerState(
            f"The history in Kafka counts {packed[1]} indicators and this worker {indicators}: "
            "deploy the version that wrote it, or let the worker begin anew with an empty changelog."
        )
    size = int.from_bytes(packed[2:10], "big")
    raw = pa.decompress(packed[10:], decompressed_size=size, codec="zstd", asbytes=True)
    return np.frombuffer(raw, dtype=f"u{packed[0]}").reshape(-1, indicators, 2).astype(np.int64)
