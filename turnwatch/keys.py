"""`turnwatch keys`: the ring of session and tenant keys, made, shown and rotated. Ids and times are told, never a secret."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from producers import key_ring_file
from producers.session_keys import Key, KeyRing, in_force, known_days
from schemas.families import FAMILIES

TENANT_KEPT_D = max(family.retention_d for family in FAMILIES.values() if "tenant" in family.dimensions)
"""How long rows with tenants are kept: so long one tenant has to have one pseudonym."""


def run_keys_create(ring: Path, tenant_kept_d: int | None = None) -> int:
    """Makes a ring where there is none, tells its keys, and returns the exit code."""
    now_ms = _now_ms()
    kept_d = TENANT_KEPT_D if tenant_kept_d is None else known_days(tenant_kept_d, TENANT_KEPT_D)
    _tell(key_ring_file.create(ring, now_ms, kept_d), now_ms)
    return 0


def run_keys_show(ring: Path) -> int:
    """Tells the keys of a ring, and returns the exit code."""
    _tell(key_ring_file.read(ring), _now_ms())
    return 0


def run_keys_rotate(ring: Path, tenant: bool, leaked: bool) -> int:
    """Adds new keys to a ring, tells when they apply, and returns the exit code."""
    now_ms = _now_ms()
    rotated = key_ring_file.rotate(ring, now_ms, tenant, leaked)
    _tell(rotated, now_ms)
    applies = _shown(rotated.session[-1].from_ms)
    print(f"Every host of the region has to have this ring before {applies}.")
    if tenant:
        print(f"From {applies} on every tenant has another pseudonym: comparisons over time begin anew there.")
    if leaked:
        print(
            f"Until {applies} hosts go on with the keys that leaked: whoever has them can link what is told until then, "
            "and sessions that began until then."
        )
    return 0


def _tell(ring: KeyRing, now_ms: int) -> None:
    for what, keys in (("session", ring.session), ("tenant", ring.tenant)):
        for key in keys:
            print(f"{what:8}{key.key_id}  {_state(key, keys, now_ms)}")
    print(f"The tenant key may be changed from {_shown(ring.tenant_rotatable_from_ms())} on.")


def _state(key: Key, keys: tuple[Key, ...], now_ms: int) -> str:
    if key.from_ms > now_ms:
        return f"applies from {_shown(key.from_ms)}"
    state = "in force" if key is in_force(keys, now_ms) else "for what began under it"
    return f"{state}, since {_shown(key.from_ms)}"


def _shown(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%dT%H:%MZ")


def _now_ms() -> int:
    return int(time.time() * 1_000)
