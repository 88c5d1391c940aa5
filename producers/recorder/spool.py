"""Batches that no collector has taken yet, on disk: a file each, oldest first, within a bound.

Every process writes to a folder of its own below the spool, and holds a lock on it that ends with the process, however it
ends. A process that starts takes over the folders that nobody holds: what a killed one left is sent by the next, under the
identity that it had. A file is written aside and renamed, so one that is there is whole; what its bytes say is compared
all the same. Above the bound the oldest batches are lost. What is lost after it was numbered is counted by stream, on disk as well,
and told with the next batch of its stream.

This survives the process. It does not wait for the disk, so a machine that loses power may lose the newest batches.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import xxhash

from producers.observation_batches import HEADER_FIELDS, BatchHeader, header_as_json
from producers.recorder.spool_flow import Came, Left, SpoolFlow

_LOST, _LOCK = "lost.json", "lock"
_SUFFIX = ".batch"
_OURS = re.compile(r"[a-z0-9].*-[0-9]+")
"""What a recorder calls its folder, `<recorder>-<incarnation>`; with a lock in it, it is one of a recorder."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A batch on its way to one collector. `lost` is what its header's `dropped` already counts of lost batches."""

    address: str
    header: BatchHeader
    rows: int
    lost: int
    payload: bytes

    @property
    def stream(self) -> str:
        """Batches of one stream are numbered together."""
        header = self.header
        return f"{header.recorder} {header.incarnation} {header.kind} {self.address}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A batch in the spool, without its payload."""

    path: Path
    batch: Outgoing
    bytes: int


class SpoolDamaged(Exception):
    """A file of the spool is not what was written."""


class SpoolUnwritable(OSError):
    """A batch could not be kept. `gone` are those that were lost to make room for it all the same."""

    def __init__(self, gone: list[Outgoing]) -> None:
        super().__init__("the spool cannot be written")
        self.gone = gone


class NoSpool:
    """Where there is no disk to write to: what cannot be sent at once is lost, counted."""

    damaged = 0
    newer = 0
    """Batches of a newer version: they go on without what only that one knows."""

    def __init__(self) -> None:
        self._lost: Counter[str] = Counter()
        self.flow = SpoolFlow()

    def lost(self, stream: str) -> int:
        """Rows of the stream that were lost after they were numbered, ever."""
        return self._lost[stream]

    def lose(self, batch: Outgoing) -> None:
        """Counts a batch that will never be sent."""
        self._lost[batch.stream] += batch.rows

    def keep(self, batch: Outgoing) -> list[Outgoing]:
        """Keeps a batch; returns those that were lost for it, or that it was lost itself."""
        return self._too_large(batch, len(batch.payload))

    def waiting(self, address: str) -> list[Entry]:
        """The batches for a collector, oldest first."""
        return []

    def addresses(self) -> set[str]:
        return set()

    def read(self, entry: Entry) -> Outgoing:
        raise SpoolDamaged

    def forget(self, entry: Entry, why: Left) -> None:
        raise SpoolDamaged

    def _too_large(self, batch: Outgoing, size: int) -> list[Outgoing]:
        """A batch that there is no room for at all: it comes and is dropped."""
        self.lose(batch)
        self.flow.count("kept", batch.rows, size)
        self.flow.count("dropped_full", batch.rows, size)
        return [batch]

    def close(self) -> None:
        """Leaves what waits for the next process."""

    def disown(self) -> None:
        """In a forked child: the folders are the parent's, and its locks must end with it."""


class Spool(NoSpool):
    """The spool of one process, in `root / name`; `OSError` where the disk does not do what it should."""

    def __init__(self, root: Path, name: str, bytes_max: int) -> None:
        super().__init__()
        self._bytes_max, self._own = bytes_max, root / name
        self._entries: deque[Entry] = deque()
        self._locks: dict[Path, IO[bytes]] = {}
        self._written = 0
        self.bytes = 0
        root.mkdir(parents=True, exist_ok=True)
        for folder in sorted(path for path in root.iterdir() if _is_a_recorders(path)):
            self._take_over(folder)
        is_ours = self._lock(self._own)
        assert is_ours, "two recorders of one name and start"

    def lose(self, batch: Outgoing) -> None:
        super().lose(batch)
        name = f"{batch.header.recorder}-{batch.header.incarnation}"
        folder = next((path for path in self._locks if path.name == name), self._own)
        _write(folder / _LOST, json.dumps(dict(self._lost)).encode())

    def keep(self, batch: Outgoing) -> list[Outgoing]:
        content = _written(batch)
        if len(content) > self._bytes_max or (batch.rows == 0 and self.bytes + len(content) > self._bytes_max):
            return self._too_large(batch, len(content))  # What only tells of drops is not worth dropping something for.
        gone = self._make_room(len(content))
        path = self._own / f"{self._written:012d}{_SUFFIX}"
        self._written += 1
        try:
            _write(path, content)
        except OSError as error:
            raise SpoolUnwritable(gone) from error
        self._add(path, batch, len(content), "kept")
        return gone

    def waiting(self, address: str) -> list[Entry]:
        return [entry for entry in self._entries if entry.batch.address == address]

    def addresses(self) -> set[str]:
        return {entry.batch.address for entry in self._entries}

    def read(self, entry: Entry) -> Outgoing:
        """The whole batch, with what its stream has lost since; raises `SpoolDamaged`.

        No more than it can have dropped of what it has seen: what came after it and is lost, the batches behind it tell.
        """
        batch, _ = _read(entry.path)
        more = min(self.lost(batch.stream) - batch.lost, batch.header.seen - batch.header.dropped)
        header = replace(batch.header, dropped=batch.header.dropped + more)
        return replace(batch, header=header, lost=batch.lost + more)

    def forget(self, entry: Entry, why: Left) -> None:
        """The batch is done with."""
        self.flow.count(why, entry.batch.rows, entry.bytes)
        self._entries.remove(entry)
        self.bytes -= entry.bytes
        entry.path.unlink(missing_ok=True)
        folder = entry.path.parent
        if folder != self._own and not self._is_used(folder):
            self._leave(folder)

    def close(self) -> None:
        for folder in list(self._locks):
            self._leave(folder)
        self._entries.clear()

    def disown(self) -> None:
        for lock in self._locks.values():
            lock.close()

    def _make_room(self, size: int) -> list[Outgoing]:
        gone = []
        while self._entries and self.bytes + size > self._bytes_max:
            entry = self._entries[0]
            with suppress(OSError):  # On a full disk only the next process does not know of it.
                self.lose(entry.batch)
            gone.append(entry.batch)
            self.forget(entry, "dropped_full")
        return gone

    def _take_over(self, folder: Path) -> None:
        if not self._lock(folder):
            return
        # Lost rows of a stream only grow, and each file has all that its process knew.
        for stream, rows in _counts(folder / _LOST).items():
            self._lost[stream] = max(self._lost[stream], rows)
        for part in folder.glob(f"*{_SUFFIX}.part"):
            part.unlink()
            self.damaged += 1
        for file in sorted(folder.glob(f"*{_SUFFIX}")):
            try:
                batch, is_newer = _read(file)
                self.newer += is_newer
                self._add(file, batch, file.stat().st_size, "found")
            except SpoolDamaged:
                file.unlink()
                self.damaged += 1
        if not self._is_used(folder):
            self._leave(folder)

    def _add(self, path: Path, batch: Outgoing, size: int, how: Came) -> None:
        self.flow.count(how, batch.rows, size)
        self._entries.append(Entry(path, replace(batch, payload=b""), size))
        self.bytes += size

    def _is_used(self, folder: Path) -> bool:
        return any(entry.path.parent == folder for entry in self._entries)

    def _lock(self, folder: Path) -> bool:
        """Whether the folder is ours now; another process that holds it is alive."""
        folder.mkdir(exist_ok=True)
        lock = (folder / _LOCK).open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return False
        self._locks[folder] = lock
        return True

    def _leave(self, folder: Path) -> None:
        """Lets go of the folder, and removes it if nothing waits in it: with our own files, and no other's."""
        if not self._is_used(folder):
            with suppress(OSError):
                for name in (_LOST, f"{_LOST}.part", _LOCK):
                    (folder / name).unlink(missing_ok=True)
                folder.rmdir()
        self._locks.pop(folder).close()


def _is_a_recorders(folder: Path) -> bool:
    """Whether it is one of a recorder that we may open: the spool may be in a folder that holds other things, too."""
    lock = folder / _LOCK
    return (
        _OURS.fullmatch(folder.name) is not None and os.access(folder, os.W_OK | os.X_OK) and os.access(lock, os.W_OK)
    )


def _written(batch: Outgoing) -> bytes:
    facts = {"address": batch.address, "rows": batch.rows, "lost": batch.lost, **header_as_json(batch.header)}
    facts["checksum"] = xxhash.xxh3_64_hexdigest(batch.payload)
    return json.dumps(facts).encode() + b"\n" + batch.payload


def _write(path: Path, content: bytes) -> None:
    """All of it or nothing."""
    aside = path.with_name(f"{path.name}.part")
    aside.write_bytes(content)
    aside.replace(path)


def _read(path: Path) -> tuple[Outgoing, bool]:
    """The batch, and whether a newer version says more of it than this one knows; raises `SpoolDamaged`."""
    try:
        line, _, payload = path.read_bytes().partition(b"\n")
        facts = json.loads(line)
        is_whole = facts.pop("checksum") == xxhash.xxh3_64_hexdigest(payload)
        address, rows, lost = facts.pop("address"), facts.pop("rows"), facts.pop("lost")
        known = {name: facts[name] for name in facts if name in HEADER_FIELDS}
        if is_whole:
            return Outgoing(address, BatchHeader(**known), rows, lost, payload), known.keys() < facts.keys()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise SpoolDamaged(path.name)


def _counts(path: Path) -> Counter[str]:
    try:
        return Counter({str(stream): int(rows) for stream, rows in json.loads(path.read_bytes()).items()})
    except (OSError, ValueError, TypeError, AttributeError):
        return Counter()
