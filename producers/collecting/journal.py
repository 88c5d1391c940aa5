"""The journal: batches that were taken, on disk before anybody is told so.

It is a row of segments. When windows are closed a new segment begins; once what was closed is on disk, with the state
that goes with it, the segments before are forgotten. What the disk does not take is taken back, as if it had not come.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from producers.collecting.records import DiskRecord, name_of, numbered, sync_folder, unpacked

_ENDING = "journal"


class Journal:
    """Appends to the newest segment of a folder. `size` counts the bytes of all segments that are there."""

    def __init__(self, folder: Path, first: int) -> None:
        """A new segment begins, behind every one that is there and at least with number `first`."""
        self._folder = folder
        sizes = {number: path.stat().st_size for number, path in numbered(folder, _ENDING).items()}
        self._sizes = sizes
        self._number = max([first, *(number + 1 for number in sizes)])
        self._file: int | None = None

    @property
    def size(self) -> int:
        return sum(self._sizes.values())

    def append(self, records: Sequence[bytes]) -> None:
        """Returns when all records are on disk; raises `OSError` when none of them is."""
        if not records:
            return
        file = self._opened()
        before = self._sizes[self._number]
        try:
            _write_all(file, b"".join(records))
            os.fsync(file)
        except OSError:
            os.ftruncate(file, before)
            os.lseek(file, before, os.SEEK_SET)
            raise
        self._sizes[self._number] = before + sum(map(len, records))

    def begin_segment(self) -> int:
        """The number of the segment that everything from now on is written to."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
            self._number += 1
        return self._number

    def forget_before(self, number: int) -> None:
        for earlier in [each for each in self._sizes if each < number]:
            (self._folder / name_of(earlier, _ENDING)).unlink(missing_ok=True)
            del self._sizes[earlier]

    def close(self) -> None:
        self.begin_segment()

    def _opened(self) -> int:
        if self._file is None:
            path = self._folder / name_of(self._number, _ENDING)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._sizes[self._number] = 0
            sync_folder(self._folder)
        return self._file


def read_journal(folder: Path, first: int) -> Iterator[tuple[list[DiskRecord], int]]:
    """The records of each segment from number `first` on, in order, and how many bytes at its end are none."""
    for number, path in numbered(folder, _ENDING).items():
        if number >= first:
            yield unpacked(path.read_bytes())


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
