"""`turnwatch keys`: the ring of session and tenant keys, made, shown and rotated. Ids and times are told, never a secret."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from producers import key_ring_file
from producers.session_keys import SESSION_LIFE_MS, TENANT_LATENESS_MS, Key, KeyRing, known_days
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
        kept = _shown(rotated.tenant[-1].from_ms + TENANT_LATENESS_MS)
        gone = _shown(rotated.tenant_rotatable_from_ms())
        print(f"From {applies} on every tenant has another pseudonym: comparisons over time begin anew there.")
        print(
            f"The old pseudonyms are used until then, and until {kept} for what comes late from before; the next rotation after that "
            f"forgets their key. Rows with them are kept until {gone}."
        )
    if leaked:
        print(
            f"Until {applies} hosts go on with the keys that leaked: whoever has them can link what is told until then, "
            "and sessions that began until then."
        )
    return 0


def _tell(ring: KeyRing, now_ms: int) -> None:
    for what, keys, overlap_ms in (
        ("session", ring.session, SESSION_LIFE_MS),
        ("tenant", ring.tenant, TENANT_LATENESS_MS),
    ):
        for key, later in zip(keys, [*keys[1:], None], strict=True):
            print(f"{what:8}{key.key_id}  {_state(key, later, now_ms, overlap_ms)}")
    print(f"The tenant key may be changed from {_shown(ring.tenant_rotatable_from_ms())} on.")


def _state(key: Key, later: Key | None, now_ms: int, overlap_ms: int) -> str:
    """Since when a key applies, until when, and until when it is needed for what was before that."""
    since = _shown(key.from_ms)
    if key.from_ms > now_ms:
        return f"applies from {since}"
    if later is None:
        return f"in force, since {since}"
    ends, kept = _shown(later.from_ms), _shown(later.from_ms + overlap_ms)
    if later.from_ms > now_ms:
        return f"in force, since {since}, until {ends}; for what began until then until {kept}"
    return f"for what began under it, since {since}, until {ends}; kept until {kept}"


def _shown(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%dT%H:%MZ")


def _now_ms() -> int:
    return int(time.time() * 1_000)
