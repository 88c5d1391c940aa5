"""Session keys and tenant pseudonyms: HMAC-SHA256 under keys that rotate, so that nobody can be followed or looked up.

A session is a number of 64 bits, under a key that changes often; it is only there to count distinct sessions. A tenant is
`t-` and 16 hexadecimal digits, under a key that lasts at least as long as rows with tenants are kept. Both keys change on the
hour, which is a border of every k-window, and no sooner than an hour after the rotation, by when every host has the new ring.

**A session keeps the key it began with**: the one in force when a process first saw it, or at `began_ms` where the caller
knows when it began, for as long as the process remembers it. A session that several processes first see on both sides of
a change, or that outlives `SESSION_LIFE_MS`, counts as two from there on; nothing else does. No count of turns depends on it.

A secret is never compared with anything, so no comparison can leak it through time; OpenSSL computes the HMACs.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.counted import counted
from schemas.failures import BadInput, Foreseen
from schemas.instants import DAY_MS, HOUR_MS, utc_text

DISTRIBUTION_MS = HOUR_MS
"""How long after a rotation the new key applies at the earliest: until then every host has to have the new ring."""
SESSION_LIFE_MS = DAY_MS
"""So long a session key is kept after the next one applies, for sessions that began under it."""
TENANT_LATENESS_MS = 3 * DAY_MS
"""So long a tenant key is kept after the next one applies, for observations that come late (quality: 3 days)."""
SECRET_BYTES = 32
SESSIONS_REMEMBERED = 100_000
"""A process remembers the keys of about so many sessions that it saw last, and of twice as many at most."""


_LEAKED = "If somebody else may know the ring's keys, `turnwatch keys rotate FILE --tenant --leaked` replaces them all and waits for nothing."


class TooEarly(Foreseen):
    """A key may not be changed yet; the message says when, and what would break."""


@dataclass(frozen=True, slots=True)
class Key:
    """A secret that is in force from `from_ms` until that of the next one. Its `key_id` tells nothing of it."""

    key_id: str
    from_ms: int
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of a region's producers, oldest first. `tenant_kept_d`: how long rows with tenants are kept, in days."""

    session: tuple[Key, ...]
    tenant: tuple[Key, ...]
    tenant_kept_d: int

    def tenant_rotatable_from_ms(self) -> int:
        """Before then rows are kept that the newest tenant key has yet to tell apart."""
        return self.tenant[-1].from_ms + self.tenant_kept_d * DAY_MS


def created(now_ms: int, tenant_kept_d: int, new_key: Callable[[int], Key]) -> KeyRing:
    """A ring whose keys apply from the hour that has begun."""
    begins_ms = now_ms // HOUR_MS * HOUR_MS
    return KeyRing((new_key(begins_ms),), (new_key(begins_ms),), tenant_kept_d)


def rotated(ring: KeyRing, now_ms: int, new_key: Callable[[int], Key], with_tenant: bool, is_leaked: bool) -> KeyRing:
    """The ring with a new session key, with a new tenant key if asked for, and without the keys that nobody needs any more.

    Raises `TooEarly` while a key that does not apply yet waits, or before rows with the present pseudonyms are gone. Keys that
    leaked wait for neither, for those that wait are in the same file: the new ones follow them, or take their hour.
    """
    begins_ms = -(-(now_ms + DISTRIBUTION_MS) // HOUR_MS) * HOUR_MS
    if not is_leaked:
        _require_none_waits("session", ring.session, now_ms)
    if with_tenant and not is_leaked:
        _require_none_waits("tenant", ring.tenant, now_ms)
        _require_rows_gone(ring, begins_ms)
    tenant = _needed(ring.tenant, now_ms, TENANT_LATENESS_MS)
    return replace(
        ring,
        session=_followed(_needed(ring.session, now_ms, SESSION_LIFE_MS), new_key(begins_ms)),
        tenant=_followed(tenant, new_key(begins_ms)) if with_tenant else tenant,
    )


def _require_none_waits(what: str, keys: Sequence[Key], now_ms: int) -> None:
    if keys[-1].from_ms > now_ms:
        raise TooEarly(
            f"The last rotation added a {what} key that applies from {utc_text(keys[-1].from_ms)} on: rotate again after that. {_LEAKED}"
        )


def _require_rows_gone(ring: KeyRing, begins_ms: int) -> None:
    if ring.tenant_rotatable_from_ms() > begins_ms:
        days = -(-(ring.tenant_rotatable_from_ms() - begins_ms) // DAY_MS)
        raise TooEarly(
            f"Rows with the present tenant pseudonyms are kept for {counted(days, 'more day')}, and new ones could not be compared "
            f"with them: rotate without --tenant, or wait until {utc_text(ring.tenant_rotatable_from_ms())}. {_LEAKED}"
        )


def _followed(keys: Sequence[Key], new: Key) -> tuple[Key, ...]:
    """The keys and a newer one, which takes the hour of any that would begin with it."""
    return (*(key for key in keys if key.from_ms < new.from_ms), new)


def in_force(keys: Sequence[Key], at_ms: int) -> Key:
    """The newest key that applies at that instant; the oldest one there is, for what is older than all."""
    return next((key for key in reversed(keys) if key.from_ms <= at_ms), keys[0])


def _needed(keys: Sequence[Key], now_ms: int, overlap_ms: int) -> tuple[Key, ...]:
    """The keys without those whose successor has applied for that long."""
    successors = [*(key.from_ms for key in keys[1:]), None]
    return tuple(
        key
        for key, superseded_ms in zip(keys, successors, strict=True)
        if superseded_ms is None or superseded_ms + overlap_ms > now_ms
    )


def session_number(key: Key, session: object) -> int:
    """The session as a number of 64 bits; raises `TypeError` where it is no text, bytes or whole number."""
    return int.from_bytes(hmac.digest(key.secret, b"session\0" + _bytes_of(session), "sha256")[:8], "little")


def tenant_pseudonym(key: Key, tenant: str) -> str:
    """The tenant as dimension `tenant` has it."""
    return f"t-{hmac.digest(key.secret, b'tenant' + bytes(1) + _bytes_of(tenant), 'sha256')[:8].hex()}"


def _bytes_of(session: object) -> bytes:
    match session:
        case bool():
            raise TypeError("True and false name no session.")
        case str():
            return session.encode("utf-8", "surrogatepass")
        case bytes():
            return session
        case int():
            return str(session).encode()
    raise TypeError("A session is named by text, bytes or a whole number.")


class SessionKeys:
    """Sessions and tenants of one process, under the ring's keys. `now_ms` is the clock by which sessions begin."""

    def __init__(self, ring: KeyRing, now_ms: Callable[[], int]) -> None:
        self._ring, self._now_ms = ring, now_ms
        self._recent: dict[object, int] = {}
        self._before: dict[object, int] = {}

    def renew(self, ring: KeyRing) -> None:
        """Takes a rotated ring; sessions that are remembered keep their keys."""
        self._ring = ring

    def of(self, sessions: Sequence[object], began_ms: int | None = None) -> NDArray[np.uint64]:
        """One number each. `began_ms`: when all of these began, where that is known."""
        self._make_room()
        recent = self._recent
        fresh = set(sessions) - recent.keys()
        if fresh:
            key = in_force(self._ring.session, self._now_ms() if began_ms is None else began_ms)
            for session in fresh:
                known = self._before.get(session)
                recent[session] = session_number(key, session) if known is None else known
        return np.fromiter(map(recent.__getitem__, sessions), np.uint64, len(sessions))

    @property
    def tenant_key_id(self) -> str:
        """Under which key tenants are named now: who remembers pseudonyms has to forget them when it changes."""
        return in_force(self._ring.tenant, self._now_ms()).key_id

    def pseudonym(self, tenant: str) -> str:
        """The tenant as dimension `tenant` has it, now."""
        return tenant_pseudonym(in_force(self._ring.tenant, self._now_ms()), tenant)

    def pseudonyms(self, tenants: pl.Series, at_ms: int) -> pl.Series:
        """The tenants of observations of that instant, as pseudonyms; nulls stay."""
        key = in_force(self._ring.tenant, at_ms)
        distinct = tenants.drop_nulls().unique().to_list()
        named = [tenant_pseudonym(key, tenant) for tenant in distinct]
        return tenants.replace_strict(distinct, named, default=None, return_dtype=pl.String)

    def _make_room(self) -> None:
        if len(self._recent) >= SESSIONS_REMEMBERED:
            self._before, self._recent = self._recent, {}


def known_days(days: int, most: int) -> int:
    """Days for which rows with tenants are kept; raises `BadInput` for more than any table keeps them."""
    if not 1 <= days <= most:
        raise BadInput(f"Rows with tenants are kept for 1 to {counted(most, 'day')}; {days} is outside of that.")
    return days
