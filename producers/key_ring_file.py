"""The key ring as a file: whoever can read it can find out who a pseudonym is, so nobody else may.

It is written whole or not at all, with mode 0600, and not read while others can. A rotation keeps a second one out by the file
that it writes first. No message repeats what the file holds.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import os
import secrets
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from producers.session_keys import SECRET_BYTES, Key, KeyRing, SessionKeys, created, rotated
from schemas.failures import BadInput, Foreseen

FORMAT = 1
RING_BYTES_MAX = 1_000_000
REREAD_MS = 60_000
"""How often a process looks whether the file was changed."""
log = logging.getLogger("turnwatch.keys")

OTHERS = stat.S_IRWXO | stat.S_IWGRP
"""Permissions that a ring may not grant. Its group may read it, as secrets that are mounted into containers need."""


class RingOnDisk(SessionKeys):
    """The keys of a process that goes on for longer than they do: a ring that was changed is read within a minute.

    One that cannot be read any more leaves the keys as they are; `failures` counts that, and the log says it once. Raises
    `BadInput` where there is no ring to begin with.
    """

    def __init__(self, path: Path, now_ms: Callable[[], int]) -> None:
        super().__init__(read(path), now_ms)
        self.failures = 0
        self._path, self._clock_ms = path, now_ms
        self._seen, self._look_again_ms = _version(path), now_ms() + REREAD_MS

    def of(self, sessions: Sequence[object], began_ms: int | None = None) -> NDArray[np.uint64]:
        self._look_again()
        return super().of(sessions, began_ms)

    @property
    def tenant_key_id(self) -> str:
        self._look_again()
        return super().tenant_key_id

    def _look_again(self) -> None:
        """Reads the ring anew where it was changed; looks every minute."""
        if self._clock_ms() < self._look_again_ms:
            return
        self._look_again_ms = self._clock_ms() + REREAD_MS
        version = _version(self._path)
        if version == self._seen:
            return
        try:
            self.renew(read(self._path))
            self._seen = version
        except BadInput as error:
            self.failures += 1
            if self.failures == 1:
                log.warning("key_ring_unreadable: %s The keys that were read before stay in force.", error)


def _version(path: Path) -> tuple[int, int] | None:
    """What changes when the file is replaced; none where it is not there."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_ino, about.st_mtime_ns


def new_key(from_ms: int) -> Key:
    return Key(secrets.token_hex(4), from_ms, secrets.token_bytes(SECRET_BYTES))


def read(path: Path) -> KeyRing:
    """The ring; raises `BadInput` where there is none, where others can read it, or where it is damaged."""
    try:
        with path.open("rb") as file:
            _require_private(path, os.fstat(file.fileno()).st_mode)
            payload = file.read(RING_BYTES_MAX)
    except FileNotFoundError:
        raise BadInput(f"There is no key ring {path}; make one with `turnwatch keys create`.") from None
    except OSError as error:
        raise BadInput(f"The key ring {path} cannot be read: {error.strerror}.") from None
    try:
        return _decoded(payload)
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        raise BadInput(
            f"The key ring {path} is damaged or of another version; restore it from where you keep it."
        ) from None


def create(path: Path, now_ms: int, tenant_kept_d: int) -> KeyRing:
    """Makes a ring where there is none; raises `BadInput` where there is a file already."""
    ring = created(now_ms, tenant_kept_d, new_key)
    new = _written(path, ring)
    try:
        os.link(new, path)  # Unlike a rename, a link never replaces.
    except FileExistsError:
        raise BadInput(f"{path} exists already; rotate its keys, or give another file.") from None
    finally:
        new.unlink()
    _flush_folder(path)
    return ring


def rotate(path: Path, now_ms: int, with_tenant: bool, is_leaked: bool) -> KeyRing:
    """Changes the keys of a ring, or nothing: raises `BadInput` for the file, `TooEarly` for the keys."""
    return _replaced(path, lambda ring: rotated(ring, now_ms, new_key, with_tenant, is_leaked))


def _replaced(path: Path, change: Callable[[KeyRing], KeyRing]) -> KeyRing:
    path = path.resolve()  # What a link leads to is what processes read: the link itself stays one.
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o600
    new = _reserved(path)
    try:
        ring = change(read(path))
        _write(new, ring)
        new.chmod(mode)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    _flush_folder(path)
    return ring


def _written(path: Path, ring: KeyRing) -> Path:
    new = _reserved(path)
    _write(new, ring)
    return new


def _reserved(path: Path) -> Path:
    """An empty file beside the ring that nobody else can have, nor read."""
    new = path.with_name(f"{path.name}.new")
    try:
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise Foreseen(f"Another rotation of {path} is under way, or one was cut off: then remove {new}.") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}.") from None
    return new


def _write(new: Path, ring: KeyRing) -> None:
    with new.open("wb") as file:
        file.write(_encoded(ring))
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _require_private(path: Path, mode: int) -> None:
    if mode & OTHERS:
        raise BadInput(
            f"Others can read or change the key ring {path} (mode {stat.S_IMODE(mode):04o}): `chmod 600 {path}`, then "
            f"`turnwatch keys rotate {path} --tenant --leaked`, for they may know its keys."
        )


def _encoded(ring: KeyRing) -> bytes:
    def told(keys: tuple[Key, ...]) -> list[dict[str, Any]]:
        return [
            {"id": key.key_id, "from_ms": key.from_ms, "secret": base64.b64encode(key.secret).decode()} for key in keys
        ]

    facts = {
        "format": FORMAT,
        "tenant_kept_d": ring.tenant_kept_d,
        "session": told(ring.session),
        "tenant": told(ring.tenant),
    }
    return json.dumps(facts, indent=1).encode()


def _decoded(payload: bytes) -> KeyRing:
    facts = json.loads(payload)
    ring = KeyRing(_keys(facts["session"]), _keys(facts["tenant"]), int(facts["tenant_kept_d"]))
    if facts["format"] != FORMAT or not ring.session or not ring.tenant:
        raise ValueError
    return ring


def _keys(told: list[dict[str, Any]]) -> tuple[Key, ...]:
    keys = [Key(str(key["id"]), int(key["from_ms"]), base64.b64decode(key["secret"], validate=True)) for key in told]
    if any(len(key.secret) != SECRET_BYTES for key in keys):
        raise ValueError
    return tuple(sorted(keys, key=lambda key: key.from_ms))
