"""Sessions as opaque numbers, and which collector each of them belongs to.

What a host calls a session never leaves this process: a keyed hash of it does, so that a collector can count distinct
sessions. Recorders of a region share the key, or one call on two hosts would count as two. Collectors are chosen by
rendezvous hash (Thaler and Ravishankar, 1998): every recorder chooses the same one for a session, without asking anybody,
and when a collector is added or taken away only the sessions that it gains or loses move.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from producers.refusing import is_blank
from schemas.failures import BadInput

KEY_BYTES_MIN = 16
SESSIONS_REMEMBERED = 50_000

Hashes = NDArray[np.uint64]

_GOLDEN, _MIX_1, _MIX_2 = (np.uint64(each) for each in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


class Keys(Protocol):
    """Who makes numbers of sessions, under keys that it may change. Called by the sending thread alone."""

    def of(self, sessions: Sequence[Any], /) -> Hashes:
        """One number each; raises `TypeError` where something is no text, bytes or whole number."""
        ...


def is_nobody(session: object) -> bool:
    """Whether it names no session: `None`, and a text of which nothing is to be seen, which would make one session of many callers.

    >>> [is_nobody(session) for session in (None, "", b" ", "\\u200b", "call-1", 0)]
    [True, True, True, True, False, False]
    """
    if session is None:
        return True
    if not issubclass(type(session), str | bytes):  # What an object says it is may raise.
        return False
    return is_blank(session.decode("utf-8", "replace") if isinstance(session, bytes) else str(session))


def names_a_session(session: object) -> bool:
    """Whether it is text, bytes or a whole number; `True` is none, though Python counts with it."""
    return _names_one(type(session))


def require_names(sessions: Sequence[object]) -> None:
    """Raises `TypeError` where one names no session. By type: `True` and `1.0` would be found where 1 is remembered."""
    if not all(map(_names_one, set(map(type, sessions)))):
        raise TypeError("a session is named by text, bytes or a whole number")


def _names_one(kind: type) -> bool:
    return issubclass(kind, str | bytes | int) and kind is not bool


def tenant_key_of(keys: Keys) -> object:
    """What becomes another when tenants get other pseudonyms, where these keys name tenants; to be asked before they do."""
    return getattr(keys, "tenant_key_id", None)


def pseudonym_of(keys: Keys) -> Callable[[str], str] | None:
    """How these keys name tenants, now, if they do: as dimension `tenant` has them."""
    return getattr(keys, "pseudonym", None)


class SessionHashes:
    """Keyed 64-bit hashes of sessions (BLAKE2b with a key), remembered while a call is likely to go on."""

    def __init__(self, key: bytes) -> None:
        if not KEY_BYTES_MIN <= len(key) <= blake2b.MAX_KEY_SIZE:
            raise BadInput(f"The session key has to have {KEY_BYTES_MIN} to {blake2b.MAX_KEY_SIZE} bytes.")
        self._key = key
        self._known: dict[object, int] = {}

    def of(self, sessions: Sequence[Any]) -> Hashes:
        """One hash each; raises `TypeError` where something is no text, bytes or number."""
        if len(self._known) > SESSIONS_REMEMBERED:
            self._known.clear()
        known = self._known
        for session in set(sessions) - known.keys():
            known[session] = self._hash(session)
        return np.fromiter(map(known.__getitem__, sessions), np.uint64, len(sessions))

    def _hash(self, session: object) -> int:
        match session:
            case bool():
                raise TypeError("true and false name no session")
            case str():
                text = session.encode("utf-8", "surrogatepass")
            case bytes():
                text = session
            case int():
                text = str(session).encode()
            case _:
                raise TypeError("a session is named by text, bytes or a whole number")
        return int.from_bytes(blake2b(text, digest_size=8, key=self._key).digest(), "little")


def seed_of(text: str) -> int:
    """A number that stands for an address or a name, the same in every process."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def chosen(sessions: Hashes, collectors: Sequence[str]) -> NDArray[np.int64]:
    """The place of each session's collector: the one with the highest score; equal ones do not happen."""
    scores = np.stack([_mixed(sessions ^ np.uint64(seed_of(address))) for address in collectors])
    return np.asarray(np.argmax(scores, axis=0), np.int64)


def _mixed(values: Hashes) -> Hashes:
    """SplitMix64's finaliser (Steele, Lea and Flood, 2014): every bit of the input changes half of the output's."""
    mixed = values + _GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), np.uint64)
