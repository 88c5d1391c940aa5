"""Sessions: opaque, the same on every host of a region, and each with one collector."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from producers.key_ring_file import REREAD_MS, RingOnDisk, create, rotate
from producers.recorder.sessions import Hashes, SessionHashes, chosen, seed_of
from producers.session_keys import tenant_pseudonym
from schemas.failures import BadInput
from schemas.instants import HOUR_MS
from tests.recorder.hosts import KEY, START_S, FakeCollector, HeldClock, Host

THREE = ("http://a:9471", "http://b:9471", "http://c:9471")


def test_hashes_are_the_same_with_the_same_key_and_others_with_another() -> None:
    names = ["call-1", b"call-1", "call-2", 7, "7"]
    hashes = SessionHashes(KEY).of(names)
    assert SessionHashes(KEY).of(names).tolist() == hashes.tolist()
    assert not set(SessionHashes(KEY + b"!").of(names).tolist()) & set(hashes.tolist())
    assert len(set(hashes.tolist())) == 3, "text, its bytes and its number name the same session"


def test_a_key_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(BadInput, match="16 to 64 bytes"):
        SessionHashes(b"short")


def test_sessions_spread_evenly_and_only_those_of_a_lost_collector_move() -> None:
    sessions = SessionHashes(KEY).of([f"call-{number}" for number in range(30_000)])
    before = chosen(sessions, THREE)
    assert np.all(np.abs(np.bincount(before) - 10_000) < 500)
    after = chosen(sessions, THREE[:2])
    stayed = before < 2
    assert np.array_equal(after[stayed], before[stayed])


def test_the_order_in_which_collectors_are_named_does_not_matter() -> None:
    sessions = SessionHashes(KEY).of(list(range(1_000)))
    there = [THREE[place] for place in chosen(sessions, THREE)]
    assert [THREE[::-1][place] for place in chosen(sessions, THREE[::-1])] == there


def test_all_of_a_session_comes_to_one_collector_and_samples_to_the_recorders_own() -> None:
    host = Host(None, FakeCollector(), addresses=THREE)
    for _ in range(3):
        host.turns(60)
        host.event("queues", queue="retrieval", depth=3)
        for number in range(60):
            host.event("streams", f"call-{number}", is_start=True)
        host.cycle()
    places: dict[int, set[str]] = {}
    samples = set()
    for (address, _, _, kind, _), batch in host.collector.taken.items():
        if kind == "queues":
            samples.add(address)
            continue
        for session in batch.rows["session"]:
            places.setdefault(session, set()).add(address)
    assert len(places) == 60
    assert {len(addresses) for addresses in places.values()} == {1}
    assert {address for (address,) in places.values()} == set(THREE)
    assert len(samples) == 1
    assert all(host.collector.sequences(1, address) == [0, 1, 2] for address in THREE)


def test_one_observation_without_a_session_moves_no_other() -> None:
    place = {"model_version": "m-7b", "gpu_type": "h100", "purchase": "spot"}

    def places(session: object) -> dict[int | None, str]:
        host = Host(None, FakeCollector(), addresses=THREE)
        for named in [*(f"call-{number}" for number in range(30)), session]:
            host.event("costs", named, gpu_used_ms=3, **place)
        host.cycle()
        taken = host.collector.taken.items()
        return {each: known[0] for known, batch in taken for each in batch.rows["session"]}

    with_all, with_one_unnamed = places("call-0"), places(None)
    assert len(with_all) == 30 and None in with_one_unnamed
    assert with_one_unnamed.items() >= with_all.items()


class Ring:
    """Keys that change, and name tenants."""

    generation = 0

    def of(self, sessions: Sequence[Any]) -> Hashes:
        return SessionHashes(KEY + bytes([self.generation])).of(sessions)

    def pseudonym(self, tenant: str) -> str:
        return f"t-{seed_of(f'{self.generation} {tenant}'):016x}"


def test_keys_of_others_number_sessions_and_name_tenants_and_may_change_on_the_hour() -> None:
    ring = Ring()
    host = Host(None, FakeCollector(), keys=ring)
    for generation in (0, 0, 1):
        ring.generation = generation
        with host.turn("call-1", tenant="Acme Inc."), host.turn("call-1", tenant="t-0123456789abcdef"):
            pass
        host.cycle(3_600)
    told = host.collector.rows()
    assert told["tenant"].to_list()[::2] == ["t-0123456789abcdef"] * 3
    first, again, changed = told["tenant"].to_list()[1::2]
    assert first == again == Ring().pseudonym("Acme Inc.")
    assert changed != first
    assert told["session"].n_unique() == 2
    assert "Acme" not in str(told.to_dicts())


def test_the_regions_ring_numbers_sessions_and_names_tenants(tmp_path: Path) -> None:
    """As every other producer of the region does."""
    path, time = tmp_path / "ring", HeldClock()
    create(path, int(time.wall_s * 1_000), tenant_kept_d=400)
    ring = RingOnDisk(path, lambda: int(time.wall_s * 1_000))
    host = Host(None, FakeCollector(), time, keys=ring)
    with host.turn("call-1", tenant="Acme Inc."):
        pass
    host.cycle()
    (told,) = host.collector.rows().to_dicts()
    assert told["session"] == ring.of(["call-1"])[0]
    assert told["tenant"] == ring.pseudonym("Acme Inc.")


def test_a_ring_that_reaches_a_host_late_names_tenants_from_when_it_is_read(tmp_path: Path) -> None:
    """And not from the next hour: the key applies already, and all others use it."""
    path, time = tmp_path / "ring", HeldClock(wall_s=START_S // 3_600 * 3_600)
    create(path, int(time.wall_s * 1_000) - 5 * HOUR_MS, tenant_kept_d=1)
    host = Host(None, FakeCollector(), time, keys=RingOnDisk(path, lambda: int(time.wall_s * 1_000)))
    host.cycle()
    rotated = rotate(path, int(time.wall_s * 1_000) - 2 * HOUR_MS, with_tenant=True, is_leaked=True)
    assert rotated.tenant[-1].from_ms <= int(time.wall_s * 1_000)
    for waits_s in (0.0, REREAD_MS / 1_000):
        time.pass_s(waits_s)
        with host.turn("call-1", tenant="Acme Inc."):
            pass
        host.cycle()
    before, since = host.collector.rows()["tenant"]
    assert before == tenant_pseudonym(rotated.tenant[0], "Acme Inc.")
    assert since == tenant_pseudonym(rotated.tenant[-1], "Acme Inc.")


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_tenant_is_no_name(blank: str) -> None:
    """All whose tenant nobody knew would be one customer."""
    host = Host(None, FakeCollector(), keys=Ring())
    with host.turn("call-1", tenant=blank):
        pass
    host.cycle()
    assert host.dropped() == {"outside_vocabulary": 1}


def test_without_such_keys_the_name_of_a_tenant_is_refused() -> None:
    host = Host(None, FakeCollector())
    with host.turn(tenant="Acme Inc."):
        pass
    host.cycle()
    assert host.dropped() == {"outside_vocabulary": 1}
