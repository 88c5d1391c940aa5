"""Sessions and tenants under rotating keys: a rotation changes no count, and what is older than retention stays unlinkable."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from itertools import count

import numpy as np
import polars as pl
import pytest

from producers.collector import Collector, Frame
from producers.session_keys import (
    SECRET_BYTES,
    SESSION_LIFE_MS,
    TENANT_LATENESS_MS,
    Key,
    KeyRing,
    SessionKeys,
    TooEarly,
    created,
    in_force,
    rotated,
    session_number,
    tenant_pseudonym,
)
from schemas.dimensions import DIMENSIONS
from schemas.instants import DAY_MS, HOUR_MS, utc_text
from tests.producers.worlds import rows_of, turns_world

NOW_MS = 1_700_000_000_000 // HOUR_MS * HOUR_MS + 600_000
KEPT_D = 95
REMEMBERED = 1_000


class Secrets:
    """Keys that tests can tell apart: the first is all 0, the second all 1, and so on."""

    def __init__(self) -> None:
        self.numbers = count()

    def __call__(self, from_ms: int) -> Key:
        number = next(self.numbers)
        return Key(f"{number:08x}", from_ms, bytes([number]) * SECRET_BYTES)


def ring_and_secrets() -> tuple[KeyRing, Secrets]:
    secrets = Secrets()
    return created(NOW_MS, KEPT_D, secrets), secrets


def test_a_session_is_the_beginning_of_its_hmac_sha256() -> None:
    key = Key("a", 0, b"k" * SECRET_BYTES)
    expected = hmac.new(b"k" * SECRET_BYTES, b"session\0call-7", hashlib.sha256).digest()[:8]
    assert session_number(key, "call-7") == int.from_bytes(expected, "little")
    assert len({session_number(key, each) for each in ("7", b"8", 9)}) == 3
    with pytest.raises(TypeError):
        session_number(key, 7.5)


def test_a_tenant_is_what_its_dimension_allows_and_no_sessions_number() -> None:
    key = Key("a", 0, b"k" * SECRET_BYTES)
    pseudonym = tenant_pseudonym(key, "acme")
    assert pl.Series([pseudonym]).str.contains(DIMENSIONS["tenant"].full_pattern).item()
    assert SessionKeys(KeyRing((key,), (key,), 1), lambda: 0).pseudonym("acme") == pseudonym
    assert pseudonym[2:] != session_number(key, "acme").to_bytes(8, "little").hex()


def test_a_new_session_key_applies_on_an_hour_when_every_host_can_have_it() -> None:
    ring, secrets = ring_and_secrets()
    assert ring.session[0].from_ms % HOUR_MS == 0
    after = rotated(ring, NOW_MS, secrets, with_tenant=False, is_leaked=False)
    begins_ms = after.session[-1].from_ms
    assert begins_ms % HOUR_MS == 0 and HOUR_MS <= begins_ms - NOW_MS <= 2 * HOUR_MS
    assert in_force(after.session, begins_ms - 1) == ring.session[0]
    assert in_force(after.session, begins_ms) == after.session[-1]
    assert after.tenant == ring.tenant
    for now_ms in (NOW_MS, begins_ms - 1):
        with pytest.raises(
            TooEarly, match=rf"session key that applies from {utc_text(begins_ms)} on.* --tenant --leaked"
        ):
            rotated(after, now_ms, secrets, with_tenant=False, is_leaked=False)
    assert len(rotated(after, begins_ms, secrets, with_tenant=False, is_leaked=False).session) == 3


def test_a_session_key_is_forgotten_when_no_session_can_need_it() -> None:
    ring, secrets = ring_and_secrets()
    after = rotated(ring, NOW_MS, secrets, with_tenant=False, is_leaked=False)
    begins_ms = after.session[-1].from_ms
    kept = rotated(after, begins_ms + SESSION_LIFE_MS - 1, secrets, with_tenant=False, is_leaked=False)
    gone = rotated(after, begins_ms + SESSION_LIFE_MS, secrets, with_tenant=False, is_leaked=False)
    assert ring.session[0] in kept.session and ring.session[0] not in gone.session


def test_tenants_keep_their_pseudonyms_for_the_retention_of_their_rows() -> None:
    ring, secrets = ring_and_secrets()
    pseudonym = SessionKeys(ring, lambda: NOW_MS).pseudonyms(pl.Series(["acme"]), NOW_MS)
    later = ring
    for day in range(1, KEPT_D):
        later = rotated(later, NOW_MS + day * DAY_MS, secrets, with_tenant=False, is_leaked=False)
        with pytest.raises(TooEarly, match=r"for \d+ more days?"):
            rotated(replace(later, session=later.session[:1]), NOW_MS + day * DAY_MS, secrets, True, False)
    last_ms = NOW_MS + KEPT_D * DAY_MS - 1
    assert SessionKeys(later, lambda: last_ms).pseudonyms(pl.Series(["acme"]), last_ms).equals(pseudonym)


def test_after_retention_the_tenant_key_changes_and_nobody_can_link_old_rows() -> None:
    ring, secrets = ring_and_secrets()
    at_ms = NOW_MS + KEPT_D * DAY_MS
    after = rotated(ring, at_ms, secrets, with_tenant=True, is_leaked=False)
    begins_ms = after.tenant[-1].from_ms
    keys = SessionKeys(after, lambda: at_ms)
    before, since = (keys.pseudonyms(pl.Series(["acme", None]), moment) for moment in (begins_ms - 1, begins_ms))
    assert before[0] != since[0] and before[1] is None and since[1] is None
    late = rotated(after, begins_ms + TENANT_LATENESS_MS, secrets, with_tenant=False, is_leaked=False)
    assert [key.secret for key in late.tenant] == [after.tenant[-1].secret]


def test_a_leaked_tenant_key_need_not_wait() -> None:
    ring, secrets = ring_and_secrets()
    assert len(rotated(ring, NOW_MS, secrets, with_tenant=True, is_leaked=True).tenant) == 2


@pytest.mark.parametrize("later_ms", [1, HOUR_MS - 1])
def test_keys_that_leaked_are_replaced_whatever_waits(later_ms: int) -> None:
    """Whoever has just rotated, as they do every day, can still get rid of them: the one that waits was in the same file."""
    ring, secrets = ring_and_secrets()
    daily = rotated(ring, NOW_MS, secrets, with_tenant=False, is_leaked=False)
    known = {key.secret for key in (*daily.session, *daily.tenant)}
    at_ms = NOW_MS + later_ms
    with pytest.raises(TooEarly, match=r"session key that applies from .* --tenant --leaked"):
        rotated(daily, at_ms, secrets, with_tenant=True, is_leaked=False)
    after = rotated(daily, at_ms, secrets, with_tenant=True, is_leaked=True)
    again = rotated(after, at_ms, secrets, with_tenant=True, is_leaked=True)
    for keys in (after, again):
        begins_ms = keys.session[-1].from_ms
        assert begins_ms == keys.tenant[-1].from_ms and HOUR_MS <= begins_ms - at_ms <= 2 * HOUR_MS
        assert not {in_force(each, begins_ms).secret for each in (keys.session, keys.tenant)} & known
        assert in_force(keys.session, begins_ms - 1) in daily.session, "until then hosts have what they had"
    assert [key.from_ms for key in again.session] == [key.from_ms for key in after.session]
    assert again.session[-1] != after.session[-1] and len(again.tenant) == 2


def test_a_tenant_key_that_waits_is_told_with_its_time() -> None:
    ring, secrets = ring_and_secrets()
    at_ms = NOW_MS + KEPT_D * DAY_MS
    after = rotated(ring, at_ms, secrets, with_tenant=True, is_leaked=False)
    waits = replace(after, session=after.session[:1])
    with pytest.raises(TooEarly, match=f"tenant key that applies from {utc_text(after.tenant[-1].from_ms)} on"):
        rotated(waits, at_ms, secrets, with_tenant=True, is_leaked=False)


def test_nothing_shows_a_secret() -> None:
    ring, _ = ring_and_secrets()
    ring = replace(ring, session=(Key("a", 0, b"SECRET" * 6),))
    assert "SECRET" not in repr(ring) + str(ring) + repr(ring.session) + repr(SessionKeys(ring, lambda: 0))


class Clock:
    def __init__(self, at_ms: int) -> None:
        self.at_ms = at_ms

    def __call__(self) -> int:
        return self.at_ms


def test_a_session_keeps_the_key_that_it_began_with() -> None:
    ring, secrets = ring_and_secrets()
    after = rotated(ring, NOW_MS, secrets, with_tenant=False, is_leaked=False)
    border_ms = after.session[-1].from_ms
    clock = Clock(border_ms - 1)
    keys = SessionKeys(ring, clock)
    (began,) = keys.of(["spans"])
    keys.renew(after)
    clock.at_ms = border_ms
    spans, starts, known = keys.of(["spans", "starts"]).tolist() + keys.of(["told"], began_ms=border_ms - 1).tolist()
    assert spans == began == session_number(after.session[0], "spans")
    assert starts == session_number(after.session[1], "starts")
    assert known == session_number(after.session[0], "told")


def test_a_process_remembers_sessions_within_a_bound_and_the_newest_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("producers.session_keys.SESSIONS_REMEMBERED", REMEMBERED)
    ring, _ = ring_and_secrets()
    keys = SessionKeys(ring, lambda: NOW_MS)
    for start in range(0, 4 * REMEMBERED, REMEMBERED // 2):
        keys.of([*range(start, start + REMEMBERED // 2), "always"])
        assert len(keys._recent) + len(keys._before) <= 3 * REMEMBERED
    assert "always" in keys._recent


def _frames(numbers: np.ndarray, turns: pl.DataFrame, start_ms: int) -> list[Frame]:
    collector = Collector("collector-0", "eu-west-1", 1, start_ms)
    collector.observe_turns(turns.with_columns(pl.Series("session", numbers)))
    return [*collector.close(start_ms + 60_000), *collector.flush(start_ms + 120_000)]


def test_a_rotation_breaks_no_budget() -> None:
    """Whole windows before and after the border are the same with and without the rotation, row by row."""
    ring, secrets = ring_and_secrets()
    after = rotated(ring, NOW_MS, secrets, with_tenant=False, is_leaked=False)
    border_ms = after.session[-1].from_ms
    start_ms = border_ms - 60_000
    turns = turns_world(11, count=2_000, span_ms=120_000, start_ms=start_ms).sort("ended_at_ms")
    starts_later = pl.col("ended_at_ms") >= border_ms + 20_000
    turns = turns.with_columns(pl.when(starts_later).then(pl.col("session") % 60 * 1_000).otherwise("session"))
    sessions, ended = turns["session"].to_list(), turns["ended_at_ms"].to_list()
    clock = Clock(0)

    def numbers(before: KeyRing, since: KeyRing) -> np.ndarray:
        keys, told = SessionKeys(before, clock), []
        for session, at_ms in zip(sessions, ended, strict=True):
            clock.at_ms = at_ms
            if at_ms >= border_ms:
                keys.renew(since)
            told.append(int(keys.of([session])[0]))
        return np.array(told, np.uint64)

    spared, changed = numbers(ring, ring), numbers(ring, after)
    assert len(set(changed.tolist())) == len(set(sessions)), "a session was counted as two"
    assert set(spared.tolist()) != set(changed.tolist()), "no session began under the new key"
    same = [_frames(each, turns, start_ms) for each in (spared, changed)]
    for family, partition in (("turns", "operational"), ("turns", "audience")):
        without, with_rotation = (rows_of(frames, family, partition) for frames in same)
        assert len(without) and without.equals(with_rotation)
