"""History: bad and total turns of every slice, in a column for each indicator, for as long as the longest window looks back.

Counts are kept at four resolutions, 10 s for the short windows up to 1 h for the period. A coarse bucket is always told
from the finer ones (assigned, never incremented), while those are kept far longer than they can change; so late data and
replays after a crash leave no trace of how they came. Arrays are 32 bits wide and widened to 64 where a count needs it.

Memory: slices x indicators x 2 counts x 4 bytes x buckets (90 of 10 s, 370 of 1 min, 450 of 10 min, 745 of 1 h for a
30-day period), 13 KB per slice and indicator at most. A bucket holds only the chunks of slices that it counted, so a slice
that lived for an hour costs nothing at the fine resolutions once they have passed it.

Columns are known by name, and every stored chunk names its own: no order of writes that a crash leaves can give a count to
another column. A column that a chunk does not have counted nothing there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stream_jobs.operators.totals.blocks import Block, NewerState, body, stamped, state_format, unreadable_state

Counts = NDArray[np.int64]
"""Shape (slices, columns, 2): bad and total turns."""

TIME_SLICES = "time_slices|"
"""How names of columns begin that count minutes. One that no objective asks for any more is let go; an indicator never is."""
UNNAMED = (
    "first_partial_500ms", "first_audio_1800ms", "turn_4000ms", "queue_wait_250ms", "turn_error", "abandonment", "retrieval_stale",
)  # fmt: skip
"""The columns of chunks that formats up to 3 wrote, which did not name them."""
_NAME = re.compile(r"[a-z0-9_.|]{1,100}")
_MINUTES, _HOURS = 1, 3
"""Resolutions by their place."""
_FIRST_HOURS_MS = 6 * 3_600_000
_CHUNK_SLICES = 2_048
_SLICES_STEP = 64
_COLUMN_BYTES_MAX = _CHUNK_SLICES * 2 * 8
"""What a column of a chunk may unpack to."""


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
    """Counts by resolution and bucket, of slices addressed by number, in named columns addressed by their place."""

    def __init__(self, columns: Sequence[str], period_s: int) -> None:
        self.resolutions = resolutions(period_s)
        self.columns = tuple(columns)
        self._buckets: list[dict[int, dict[int, NDArray[np.integer]]]] = [{} for _ in self.resolutions]
        """By resolution, bucket start and chunk of slices."""
        self._unsaved: set[tuple[int, int, int]] = set()
        self._forgotten: list[bytes] = []
        self._first_ms: dict[tuple[int, int], int] = {}
        """By resolution, minutes and hours, and column: the first bucket in which any slice counted something."""
        self.slices = 0

    def counted_since_ms(self, column: int, end_ms: int) -> int:
        """Since when a column has counted: to the minute in its first hours and to the hour then; 0 where it never has."""
        hour_ms = self._first_ms.get((_HOURS, column), 0)
        minute_ms = self._first_ms.get((_MINUTES, column), hour_ms)
        is_of_that_hour = 0 <= minute_ms - hour_ms < self.resolutions[_HOURS].width_ms
        return minute_ms if is_of_that_hour and end_ms - minute_ms < _FIRST_HOURS_MS else hour_ms

    def assign(self, level: int, start_ms: int, numbers: NDArray[np.int64], counts: Counts) -> None:
        """Sets the counts of these slices in one bucket."""
        if len(numbers) == 0:
            return
        self.slices = max(self.slices, int(numbers.max()) + 1)
        self._note(level, start_ms, counts)
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
        total = np.zeros((self.slices, len(self.columns), 2), dtype=np.int64)
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
            yield Block(_key(level, start_ms, chunk), stamped(applied_offset, _pack(part, self.columns)))
        yield from (Block(key, None) for key in self._forgotten)
        self._unsaved.clear()
        self._forgotten.clear()

    def restore(self, key: bytes, value: bytes) -> None:
        """Takes up a stored chunk; raises `NewerState` where it counts an indicator that this worker does not know."""
        _, level, start_ms, chunk = key.decode().split("|")
        names, counts = _unpack(value)
        part = counts if names == self.columns else self._by_name(names, counts)
        self._buckets[int(level)].setdefault(int(start_ms), {})[int(chunk)] = part
        self._note(int(level), int(start_ms), part)
        self.slices = max(self.slices, int(chunk) * _CHUNK_SLICES + len(part))

    def _note(self, level: int, start_ms: int, counts: NDArray[np.integer]) -> None:
        if level not in (_MINUTES, _HOURS):
            return
        for column in range(len(self.columns)):
            first_ms = self._first_ms.get((level, column))
            if (first_ms is None or start_ms < first_ms) and counts[:, column, 1].any():
                self._first_ms[level, column] = start_ms

    def _by_name(self, names: tuple[str, ...], counts: NDArray[np.integer]) -> NDArray[np.integer]:
        """Counts in our own columns: nothing in one that was not counted then, and none of minutes nobody asks for."""
        part = np.zeros((len(counts), len(self.columns), 2), dtype=counts.dtype)
        for place, name in enumerate(names):
            if name in self.columns:
                part[:, self.columns.index(name)] = counts[:, place]
            elif not name.startswith(TIME_SLICES):
                raise NewerState(_unknown(name))
        return part

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
        part = bucket.get(chunk, np.zeros((0, len(self.columns), 2), dtype=np.uint32))
        if len(part) < size:
            more = min(-(-size // _SLICES_STEP) * _SLICES_STEP, _CHUNK_SLICES) - len(part)
            part = np.concatenate([part, np.zeros((more, len(self.columns), 2), dtype=part.dtype)])
        if wide and part.dtype == np.uint32:
            part = part.astype(np.int64)
        bucket[chunk] = part
        return part


def _key(level: int, start_ms: int, chunk: int) -> bytes:
    return f"history|{level}|{start_ms}|{chunk}".encode()


def _pack(part: NDArray[np.integer], columns: tuple[str, ...]) -> bytes:
    """Width of a count, 0 (where formats up to 3 had how many columns), names, and the counts compressed."""
    raw, names = np.ascontiguousarray(part).tobytes(), "\n".join(columns).encode()
    compressed: bytes = pa.compress(raw, codec="zstd", asbytes=True)
    return bytes([part.itemsize, 0]) + len(names).to_bytes(2, "big") + names + len(raw).to_bytes(8, "big") + compressed


def _unpack(value: bytes) -> tuple[tuple[str, ...], NDArray[np.integer]]:
    """The names of a stored chunk's columns, and its counts by their place."""
    packed = body(value)
    try:
        names, packed_counts = _named(packed) if state_format(value) > 3 else _unnamed(packed)
        size = int.from_bytes(packed_counts[:8], "big")
        if not 0 < size <= len(names) * _COLUMN_BYTES_MAX:
            raise unreadable_state("It says that it counts nothing, or more than any chunk does.")
        raw = pa.decompress(packed_counts[8:], decompressed_size=size, codec="zstd", asbytes=True)
        counts: NDArray[np.integer] = np.frombuffer(raw, dtype=np.uint32 if packed[0] == 4 else np.int64)
        return names, counts.reshape(-1, len(names), 2).copy()
    except (ValueError, IndexError, OSError):  # What Arrow and numpy raise, too.
        raise unreadable_state("It holds no counts.") from None


def _named(packed: bytes) -> tuple[tuple[str, ...], bytes]:
    end = 4 + int.from_bytes(packed[2:4], "big")
    return _names(packed[4:end]), packed[end:]


@lru_cache(maxsize=64)
def _names(written: bytes) -> tuple[str, ...]:
    names = tuple(written.decode("ascii").split("\n"))
    if len(set(names)) < len(names) or not all(_NAME.fullmatch(name) for name in names):
        raise unreadable_state("It names columns as no version does.")
    return names


def _unnamed(packed: bytes) -> tuple[tuple[str, ...], bytes]:
    if packed[1] != len(UNNAMED):
        raise NewerState(
            f"The history in Kafka counts {packed[1]} indicators without their names, and every version that wrote none had "
            f"{len(UNNAMED)}: restore the changelog topic, or let the worker begin anew with an empty one."
        )
    return UNNAMED, packed[2:]


def _unknown(name: str) -> str:
    return (
        f"The history in Kafka counts the indicator {name!r}, which this worker does not know: "
        "deploy the version that wrote it, or let the worker begin anew with an empty changelog."
    )
