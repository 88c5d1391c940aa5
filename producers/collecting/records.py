"""Files of the collector's folder: records one after the other, and files that are there whole or not at all.

A record is a head (JSON), a body and a checksum over both. A process that is killed while it writes leaves a record that
is cut off at the end of a file; reading ends before it, and says how many bytes it did not understand. What was told to
be on disk has been synced, so such a tail was never told.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Any

from xxhash import xxh3_64_intdigest

_PREFIX = Struct("<IIQ")
"""Bytes of the head, bytes of the body, checksum of both."""
_UNFINISHED = ".unfinished"


@dataclass(frozen=True, slots=True)
class DiskRecord:
    head: dict[str, Any]
    body: bytes


def packed(head: Mapping[str, Any], body: bytes) -> bytes:
    text = json.dumps(head, separators=(",", ":")).encode()
    return _PREFIX.pack(len(text), len(body), xxh3_64_intdigest(text + body)) + text + body


def unpacked(data: bytes) -> tuple[list[DiskRecord], int]:
    """The records, up to the first that is cut off or damaged, and how many bytes are left from there on."""
    found = list(_records(data))
    read = sum(length for _, length in found)
    return [record for record, _ in found], len(data) - read


def _records(data: bytes) -> Iterator[tuple[DiskRecord, int]]:
    place = 0
    while place + _PREFIX.size <= len(data):
        head_bytes, body_bytes, checksum = _PREFIX.unpack_from(data, place)
        begin, length = place + _PREFIX.size, _PREFIX.size + head_bytes + body_bytes
        content = data[begin : place + length]
        if len(content) < head_bytes + body_bytes or xxh3_64_intdigest(content) != checksum:
            return
        yield DiskRecord(json.loads(content[:head_bytes]), content[head_bytes:]), length
        place += length


def write_whole(path: Path, parts: Iterable[bytes]) -> int:
    """Writes a file that is there with all of its bytes, on disk, or not at all; returns how many they are."""
    unfinished = path.with_name(path.name + _UNFINISHED)
    # What waits holds keyed hashes of sessions, which are for nobody else.
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        size = sum(file.write(part) for part in parts)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    sync_folder(path.parent)
    return size


def sync_folder(folder: Path) -> None:
    """Makes names of files that were added or removed last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_unfinished(folder: Path) -> None:
    """What a killed process was writing: nobody was told of it."""
    for path in folder.glob(f"*{_UNFINISHED}"):
        path.unlink()


def numbered(folder: Path, ending: str) -> dict[int, Path]:
    """The files `<number>.<ending>` of a folder, in order of their numbers."""
    paths = [path for path in folder.glob(f"*.{ending}") if path.stem.isdecimal()]
    return {int(path.stem): path for path in sorted(paths, key=lambda path: int(path.stem))}


def name_of(number: int, ending: str) -> str:
    return f"{number:012}.{ending}"
