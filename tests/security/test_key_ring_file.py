"""The file of the key ring: whole or not at all, readable by nobody else, and never repeated."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest

from producers import key_ring_file
from producers.key_ring_file import REREAD_MS, RingOnDisk
from producers.recorder.cells import is_allowed
from producers.recorder.sessions import Keys, pseudonym_of
from producers.session_keys import TooEarly, known_days, session_number
from schemas.failures import BadInput, Foreseen
from schemas.families import FAMILIES
from schemas.instants import DAY_MS, HOUR_MS, utc_text
from turnwatch.keys import run_keys_create, run_keys_rotate, run_keys_show

NOW_MS = 1_700_000_000_000


def secrets_in(ring: Path) -> set[str]:
    """Every spelling of a secret that somebody could have printed."""
    keys = [key for which in ("session", "tenant") for key in json.loads(ring.read_text())[which]]
    raw = [base64.b64decode(key["secret"]) for key in keys]
    return {key["secret"] for key in keys} | {each.hex() for each in raw} | {repr(each)[2:-1] for each in raw}


def test_a_ring_comes_back_as_it_was_written_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "ring.json"
    made = key_ring_file.create(path, NOW_MS, 95)
    assert key_ring_file.read(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["ring.json"]
    assert len({key.secret for key in (*made.session, *made.tenant)}) == 2


def test_a_ring_is_never_overwritten_by_another(tmp_path: Path) -> None:
    path = tmp_path / "ring.json"
    made = key_ring_file.create(path, NOW_MS, 95)
    with pytest.raises(BadInput, match="exists already"):
        key_ring_file.create(path, NOW_MS, 95)
    assert key_ring_file.read(path) == made and len(list(tmp_path.iterdir())) == 1


def test_a_rotation_replaces_the_ring_or_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ring.json"
    key_ring_file.create(path, NOW_MS, 95)
    path.chmod(0o640)
    after = key_ring_file.rotate(path, NOW_MS, with_tenant=False, is_leaked=False)
    assert key_ring_file.read(path) == after and stat.S_IMODE(path.stat().st_mode) == 0o640
    with pytest.raises(TooEarly):
        key_ring_file.rotate(path, NOW_MS + HOUR_MS // 2, with_tenant=False, is_leaked=False)
    assert key_ring_file.read(path) == after and len(list(tmp_path.iterdir())) == 1


def test_a_rotation_changes_the_file_that_a_link_leads_to(tmp_path: Path) -> None:
    path, link = tmp_path / "ring.json", tmp_path / "link.json"
    key_ring_file.create(path, NOW_MS, 95)
    link.symlink_to(path)
    changed = key_ring_file.rotate(link, NOW_MS, with_tenant=True, is_leaked=True)
    assert link.is_symlink() and key_ring_file.read(path) == key_ring_file.read(link) == changed


def test_a_rotation_says_from_when_its_keys_apply_and_what_that_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ring.json"
    run_keys_create(path)
    run_keys_rotate(path, tenant=False, leaked=False)
    plain = capsys.readouterr().out
    assert "has to have this ring before" in plain and "pseudonym" not in plain and "leaked" not in plain
    with pytest.raises(TooEarly, match="rotate FILE --tenant --leaked"):
        run_keys_rotate(path, tenant=True, leaked=False)
    run_keys_rotate(path, tenant=True, leaked=True)
    ring, said = key_ring_file.read(path), capsys.readouterr().out
    assert ring.session[-1].from_ms == ring.tenant[-1].from_ms
    assert "every tenant has another pseudonym" in said and "hosts go on with the keys that leaked" in said
    assert "sessions that began until then" in said
    began_ms = ring.tenant[-1].from_ms
    applies, late, gone = (utc_text(began_ms + days * DAY_MS)[:16] for days in (0, 3, 400))
    assert f"From {applies}Z on every tenant has another pseudonym" in said
    assert f"used until then, and until {late}Z for what comes late" in said
    assert f"Rows with them are kept until {gone}Z." in said
    (old,) = (line for line in said.splitlines() if line.startswith(f"tenant  {ring.tenant[0].key_id}"))
    assert "in force, since " in old and f"until {applies}Z; for what began until then until {late}Z" in old
    assert not any(secret in plain + said for secret in secrets_in(path))


def test_two_rotations_at_once_are_one(tmp_path: Path) -> None:
    path = tmp_path / "ring.json"
    key_ring_file.create(path, NOW_MS, 95)
    (tmp_path / "ring.json.new").touch()
    with pytest.raises(Foreseen, match="under way"):
        key_ring_file.rotate(path, NOW_MS, with_tenant=False, is_leaked=False)
    assert (tmp_path / "ring.json.new").exists()


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o660, 0o601])
def test_a_ring_that_others_can_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "ring.json"
    key_ring_file.create(path, NOW_MS, 95)
    path.chmod(mode)
    with pytest.raises(BadInput, match=f"mode {mode:04o}"):
        key_ring_file.read(path)


DAMAGED = [
    "",
    "CANARY",
    "[]",
    '{"format": 1}',
    '{"format": 2, "tenant_kept_d": 95, "session": [], "tenant": []}',
    '{"format": 1, "tenant_kept_d": 95, "session": [], "tenant": []}',
    '{"format": 1, "tenant_kept_d": 95, "session": [{"id": "a", "from_ms": 0, "secret": "CANARY"}], "tenant": []}',
    '{"format": 1, "tenant_kept_d": 95, "session": [{"id": "a", "from_ms": "CANARY", "secret": ""}], "tenant": []}',
    '{"format": 1, "tenant_kept_d": 95, "session": ["CANARY"], "tenant": "CANARY"}',
]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_ring_is_told_in_a_sentence_that_repeats_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ring.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(BadInput, match="damaged") as refused:
        key_ring_file.read(path)
    assert "CANARY" not in str(refused.value) and refused.value.__cause__ is None


def test_an_absent_ring_and_an_impossible_retention_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="turnwatch keys create"):
        key_ring_file.rotate(tmp_path / "none.json", NOW_MS, with_tenant=False, is_leaked=False)
    assert list(tmp_path.iterdir()) == []
    nowhere = tmp_path / "no folder" / "ring.json"
    with pytest.raises(BadInput, match=f"^{nowhere} cannot be written: No such file or directory.$"):
        key_ring_file.create(nowhere, NOW_MS, 95)
    for days in (0, 401):
        with pytest.raises(BadInput, match="1 to 400"):
            known_days(days, 400)


def test_a_process_takes_a_rotated_ring_within_a_minute_and_goes_on_without_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, at_ms = tmp_path / "ring.json", [NOW_MS]
    first = key_ring_file.create(path, NOW_MS, 95)
    keys = RingOnDisk(path, lambda: at_ms[0])
    keys.of(["before"])
    rotated = key_ring_file.rotate(path, NOW_MS, with_tenant=False, is_leaked=False)
    at_ms[0] = rotated.session[-1].from_ms
    assert keys.of(["after"]).tolist() == [session_number(rotated.session[-1], "after")]
    assert keys.of(["before"]).tolist() == [session_number(first.session[0], "before")]
    path.write_text("CANARY")
    for _ in range(2):
        at_ms[0] += REREAD_MS
        assert keys.of(["later"]).tolist() == [session_number(rotated.session[-1], "later")]
    path.unlink()
    at_ms[0] += REREAD_MS
    keys.of(["later"])
    assert keys.failures == 3 and caplog.text.count("key_ring_unreadable") == 1 and "CANARY" not in caplog.text


def test_a_ring_is_what_a_recorder_asks_for(tmp_path: Path) -> None:
    key_ring_file.create(tmp_path / "ring.json", NOW_MS, 95)
    keys: Keys = RingOnDisk(tmp_path / "ring.json", lambda: NOW_MS)
    name = pseudonym_of(keys)
    assert name is not None and is_allowed("tenant", name("acme")) and not is_allowed("tenant", "acme")
    assert keys.of(["call-1", "call-1"]).tolist() == [int(keys.of(["call-1"])[0])] * 2


def test_a_ring_lasts_as_long_as_any_rows_with_tenants_unless_told_otherwise(tmp_path: Path) -> None:
    run_keys_create(tmp_path / "ring.json")
    with_tenants = [family for family in FAMILIES.values() if any("tenant" in cut.dimensions for cut in family.cuts)]
    assert key_ring_file.read(tmp_path / "ring.json").tenant_kept_d == max(each.retention_d for each in with_tenants)
    run_keys_create(tmp_path / "shorter.json", 30)
    assert key_ring_file.read(tmp_path / "shorter.json").tenant_kept_d == 30


def test_commands_tell_ids_and_times_and_no_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ring.json"
    assert run_keys_create(path) == run_keys_rotate(path, tenant=True, leaked=True) == run_keys_show(path) == 0
    told = "".join(capsys.readouterr())
    assert all(secret not in told for secret in secrets_in(path))
    ids = {key.key_id for key in (*key_ring_file.read(path).session, *key_ring_file.read(path).tenant)}
    assert len(ids) == 4 and all(each in told for each in ids)
