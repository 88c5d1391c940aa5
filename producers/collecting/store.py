"""The collector's folder: what closing windows made of it, as frames to send and the state that goes with them.

A commit is a number and three files: tables of the state that were not on disk yet, frames, and the state. The state
comes last and makes it valid; it is there whole or not at all, so frames without it were never made, and nobody sends
them. Frames are removed once Kafka has them, the state once there is a newer one.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl

from producers.collecting.packing import Place, Tables, pack, table_bytes, table_of, unpack
from producers.collecting.records import (
    DiskRecord,
    name_of,
    numbered,
    packed,
    remove_unfinished,
    sync_folder,
    unpacked,
    write_whole,
)
from producers.collector import Frame
from schemas.failures import Foreseen
from schemas.frames import decode_header
from schemas.rejections import Rejected

FRAMES, STATE, TABLES = "frames", "state", "tables"
LOCK = "lock"
_TRIES_MAX = 100


class Damaged(Foreseen):
    """What the folder holds is not what was written. The message is a sentence for the user."""


class NotWritten(Foreseen):
    """A commit is not on disk. The message is a sentence for the user."""


class FolderTaken(Foreseen):
    """Another process has the folder, or it cannot be written."""


class Store:
    """Owns a folder for as long as it is open. `unsent` are the commits whose frames wait, with their bytes."""

    def __init__(self, folder: Path, set_by: str = "TURNWATCH_COLLECTOR__FOLDER") -> None:
        """`set_by` is what the user calls the setting of the folder."""
        self.folder = folder
        self._made = [path for path in (folder, *folder.parents) if not path.exists()]
        self._lock = _locked(folder, set_by)
        self._known: dict[int, tuple[pl.DataFrame, Place]] = {}
        try:
            remove_unfinished(folder)
            self.number = max(numbered(folder, STATE), default=-1)
            self._remove_uncommitted()
        except BaseException:
            self.close()
            raise
        self._was_new = self.is_new
        self.unsent = {number: path.stat().st_size for number, path in numbered(folder, FRAMES).items()}

    @property
    def is_new(self) -> bool:
        """Whether nothing was ever committed here."""
        return self.number < 0

    def read_head(self) -> dict[str, Any]:
        """What was said of the newest state: whoever reads it looks at that first."""
        return self._read(self.number, STATE)[0].head

    def read_state(self) -> dict[str, Any]:
        """The newest state, with its values as they were."""
        (record,) = self._read(self.number, STATE)
        files: dict[int, list[DiskRecord]] = {}

        def table_at(place: Place) -> pl.DataFrame:
            if place[0] not in files:
                files[place[0]] = self._read(place[0], TABLES)
            table = table_of(files[place[0]][place[1]].body)
            self._known[id(table)] = table, place
            return table

        state = json.loads(record.body)
        return {name: unpack(value, table_at) for name, value in state.items()}

    def commit(self, frames: Sequence[Frame], head: Mapping[str, object], state: Mapping[str, object]) -> None:
        """Returns when frames and state are on disk, together. `head` is what JSON can hold.

        Raises `NotWritten` where the disk does not take them: then whoever closed the windows has to begin anew.
        """
        try:
            self._commit(frames, head, state)
        except OSError as error:
            raise NotWritten(
                f"{self.folder}: the disk does not take the collector's state ({error.strerror}). "
                "What was answered is in its journal: make room, and start it again."
            ) from error

    def _commit(self, frames: Sequence[Frame], head: Mapping[str, object], state: Mapping[str, object]) -> None:
        number = self.number + 1
        tables = Tables(number, self._known)
        body = json.dumps({name: pack(value, tables) for name, value in state.items()}).encode()
        if tables.new:
            self._write(number, TABLES, (packed({}, table_bytes(table)) for table in tables.new))
        if frames:
            size = self._write(number, FRAMES, (_packed_frame(frame) for frame in frames))
        self._write(number, STATE, [packed(head, body)])
        self.number, self._known = number, tables.used
        if frames:
            self.unsent[number] = size
        self._remove_outdated()

    def read_frames(self, number: int) -> list[Frame]:
        return [_frame(record) for record in self._read(number, FRAMES)]

    def note_sent(self, number: int) -> None:
        """Kafka has them."""
        (self.folder / name_of(number, FRAMES)).unlink()
        del self.unsent[number]

    def remove_if_new(self) -> None:
        """Removes what beginning here has left, if nothing came after it: folders that were there before stay."""
        if not self._was_new or self.number > 0:
            return
        for path in (*(self.folder / name_of(0, ending) for ending in (STATE, TABLES, FRAMES)), self.folder / LOCK):
            path.unlink(missing_ok=True)
        with suppress(OSError):  # Somebody else has put something there.
            for made in self._made:
                made.rmdir()

    def close(self) -> None:
        os.close(self._lock)

    def _write(self, number: int, ending: str, parts: Iterable[bytes]) -> int:
        return write_whole(self.folder / name_of(number, ending), parts)

    def _read(self, number: int, ending: str) -> list[DiskRecord]:
        path = self.folder / name_of(number, ending)
        try:
            records, unread = unpacked(path.read_bytes())
        except OSError as error:
            raise Damaged(f"{path}: a file of the collector's state cannot be read ({error.strerror}).") from error
        if unread or not records:
            raise Damaged(
                f"{path}: the file is damaged. Restore the folder, or move it away: the collector then begins anew, "
                "and what was taken and not yet sent is lost."
            )
        return records

    def _remove_uncommitted(self) -> None:
        for ending in (FRAMES, TABLES):
            for number, path in numbered(self.folder, ending).items():
                if number > self.number:
                    path.unlink()
        sync_folder(self.folder)

    def _remove_outdated(self) -> None:
        referred = {place[0] for _, place in self._known.values()}
        for number, path in numbered(self.folder, STATE).items():
            if number < self.number:
                path.unlink()
        for number, path in numbered(self.folder, TABLES).items():
            if number not in referred:
                path.unlink()


def _packed_frame(frame: Frame) -> bytes:
    head = {
        "family": frame.header.family.name,
        "rows": frame.rows,
        "headers": [[name, value.decode()] for name, value in frame.headers],
    }
    return packed(head, frame.payload)


def _frame(record: DiskRecord) -> Frame:
    headers = [(name, value.encode()) for name, value in record.head["headers"]]
    header = decode_header(record.head["family"], headers)
    if isinstance(header, Rejected):
        raise Damaged(f"A frame that waits to be sent is none of this version: {header.detail}")
    return Frame(header, headers, record.body, record.head["rows"])


def _locked(folder: Path, set_by: str) -> int:
    """The lock of a folder, which is made where it is not there; the end of the process lets go of it.

    Whoever gave the folder up may have removed it between our opening the lock and our holding it. Then it is nobody's lock any
    more, and we begin again.
    """
    for _ in range(_TRIES_MAX):
        lock = _opened(folder)
        if lock is None:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise FolderTaken(
                f"{folder}: another collector is running there; give each one a folder of its own ({set_by})."
            ) from None
        if _is_there(folder, lock):
            return lock
        os.close(lock)
    raise FolderTaken(f"{folder}: the collector's folder is removed again and again while it is opened.")


def _opened(folder: Path) -> int | None:
    """The lock, held or not; none where the folder was removed as soon as it was made."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FolderTaken(f"{folder}: the collector's folder cannot be used ({error.strerror}).") from error


def _is_there(folder: Path, lock: int) -> bool:
    """Whether the lock that we hold is the one that others find."""
    try:
        return os.path.samestat(os.fstat(lock), (folder / LOCK).stat())
    except FileNotFoundError:
        return False
