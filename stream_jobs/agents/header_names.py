"""Header names that are not UTF-8 must not stop anybody.

A broker takes any bytes for the name of a header, and Kafka's own client replaces what it cannot decode. aiokafka raises
inside of its fetcher instead: one such record, from whoever may write to a topic, would end every worker that comes to
it, one after the other, for good. So a batch that holds one is read a second time, slowly, with the odd bytes of the
name written out (`\\xff`). Such a header is one that nobody asks for; the record is then judged like any other.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

_LENGTH = struct.Struct(">i")
_LENGTH_AT, _OVERHEAD = 8, 12
"""A batch is its first offset (8 bytes), its length (4 bytes), and so many bytes more."""


def accept_any_header_name() -> None:
    """From now on, for every consumer of this process."""
    fetcher.MemoryRecords = AnyNameRecords


class AnyNameRecords:
    """The batches of one answer to a fetch, as aiokafka's own class hands them out."""

    def __init__(self, data: bytes) -> None:
        self._records = MemoryRecords(data)
        self._data = memoryview(data)

    def size_in_bytes(self) -> int:
        return int(self._records.size_in_bytes())

    def has_next(self) -> bool:
        return bool(self._records.has_next())

    def next_batch(self) -> Any:
        batch = self._records.next_batch()
        if batch is None:
            return None
        end = _OVERHEAD + _LENGTH.unpack_from(self._data, _LENGTH_AT)[0]
        bytes_of_batch, self._data = self._data[:end], self._data[end:]
        return AnyNameBatch(batch, bytes_of_batch)


class AnyNameBatch:
    """A batch whose records have header names that can be read."""

    def __init__(self, batch: Any, bytes_of_batch: memoryview) -> None:
        self._batch, self._bytes = batch, bytes_of_batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            return iter(list(self._batch))
        except UnicodeDecodeError:
            return iter(_read_slowly(self._bytes))


def _read_slowly(bytes_of_batch: memoryview) -> list[Any]:
    batch = _DefaultRecordBatchPy(bytes_of_batch)
    iter(batch)  # Decompresses.
    batch._buffer = _Tolerant(batch._buffer)
    return list(batch)


class _Tolerant(bytearray):
    """Bytes whose parts become text whatever they are."""

    def __getitem__(self, place: Any) -> Any:
        part = super().__getitem__(place)
        return _Tolerant(part) if isinstance(part, bytearray) else part

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)
