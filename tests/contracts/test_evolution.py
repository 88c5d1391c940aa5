"""The contract changes in ways that both sides survive; what they would not survive needs a new major version and an upgrade.

Older and newer readers are made of what each version recorded of itself (`frames/v*/contract.json`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from schemas import frame_columns, frame_ndjson, frame_rows, frames, upgrades
from schemas.declarations import Family, Key, Measure, PrivacyPartition, Purpose
from schemas.evolution import Described, described, incompatible
from schemas.families import FAMILIES, STAGE_LATENCIES, TURNS
from schemas.frame_rows import decode_rows
from schemas.frames import SCHEMA_MAJOR, SCHEMA_MINOR, decode_header
from schemas.refusals import Refusal
from schemas.rejections import Reason, Rejected
from stream_jobs.operators.totals.intake import Intake
from stream_jobs.operators.totals.opening import Record

FRAMES = Path(__file__).parent / "frames"
RECORDED: dict[str, Described] = {
    path.parent.name: json.loads(path.read_text()) for path in FRAMES.glob("v*/contract.json")
}
NOW = described((SCHEMA_MAJOR, SCHEMA_MINOR), FAMILIES.values())
SOMEBODY = Purpose("nobody", "to try", date(2100, 1, 1))


def record_of(version: str, name: str, suffix: str = "arrow") -> Record:
    headers = json.loads((FRAMES / version / f"{name}.{suffix}.headers.json").read_text())
    end_ms = int(headers["tw-window-start-ms"]) + 1_000 * int(headers["tw-k-window-s"])
    encoded = {key: value.encode() for key, value in headers.items()}
    return Record(0, end_ms + 500, encoded, (FRAMES / version / f"{name}.{suffix}").read_bytes())


def rows_of(version: str, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((FRAMES / version / f"{name}.rows.json").read_text())
    return rows


def family_of(version: str, name: str) -> Family:
    """The family as a reader of that version has it."""
    said = RECORDED[version]["families"][name]
    keys = (
        Key(key, "", tuple(of["vocabulary"]), tuple(of["integer_range"]), of["marker"])
        for key, of in said["keys"].items()
    )
    measures = (
        Measure(each, of["unit"], "", of["merge"], of["part_of"], of["since_minor"])
        for each, of in said["measures"].items()
    )
    partitions = (
        PrivacyPartition(each, tuple(of["dimensions"]), of["k_window_s"]) for each, of in said["partitions"].items()
    )
    cuts = tuple(cut for cut in FAMILIES[name].cuts if cut.partition in said["partitions"])
    return Family(name, "", tuple(partitions), tuple(measures), cuts, SOMEBODY, "", tuple(keys))


def as_reader(monkeypatch: pytest.MonkeyPatch, families: Mapping[str, Family], minor: int) -> None:
    monkeypatch.setattr(frames, "FAMILIES", dict(families))
    for module in (frames, frame_columns, frame_ndjson, frame_rows):
        monkeypatch.setattr(module, "SCHEMA_MINOR", minor)


def read(record: Record, name: str) -> tuple[pa.Table, tuple[Refusal, ...]] | Rejected:
    header = decode_header(name, record.headers)
    return header if isinstance(header, Rejected) else decode_rows(header, record.headers, record.payload)


# -- what is compatible ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", RECORDED)
def test_nothing_has_changed_that_a_recorded_version_would_not_survive(version: str) -> None:
    if RECORDED[version]["version"][0] == SCHEMA_MAJOR:
        assert incompatible(RECORDED[version], NOW) == [], (
            "raise SCHEMA_MAJOR and write an upgrade (schemas/upgrades.py)"
        )
    else:
        assert RECORDED[version]["version"][0] in upgrades.UPGRADES


def test_what_this_version_says_is_recorded() -> None:
    newest = f"v{SCHEMA_MAJOR}.{SCHEMA_MINOR}"
    assert RECORDED[newest] == json.loads(json.dumps(NOW)), (
        "run `python -m tests.contracts.record_frames`; raise the version first if it is released"
    )


def _measures(contract: Described) -> dict[str, Any]:
    measures: dict[str, Any] = contract["families"]["turns"]["measures"]
    return measures


_SAID = {"unit": "turns", "merge": "counter", "part_of": None}
CHANGES: list[tuple[str, Callable[[Described], object]]] = [
    ("Measure tokens_in of family turns is gone.", lambda now: _measures(now).pop("tokens_in")),
    ("Measure turns of family turns has another unit: calls", lambda now: _measures(now)["turns"].update(unit="calls")),
    ("has another merge: gauge", lambda now: _measures(now)["turns"].update(merge="gauge")),
    ("has another part_of: turns", lambda now: _measures(now)["tokens_in"].update(part_of="turns")),
    ("Measure sighs of family turns is new, and says it is of version 2 or before", lambda now: _measures(now).update(sighs=_SAID | {"since_minor": 2})),
    ("Family sighs is new, and says", lambda now: now["families"].update(sighs=now["families"]["turns"])),
    ("Family queues is gone.", lambda now: now["families"].pop("queues")),
    ("Partition audience of family turns is gone", lambda now: now["families"]["turns"]["partitions"].pop("audience")),
    ("or has other dimensions or another window", lambda now: now["families"]["turns"]["partitions"]["audience"].update(k_window_s=300)),
    ("Partition tongues of family turns is new: a worker", lambda now: now["families"]["turns"]["partitions"].update(tongues={"dimensions": ["pool", "language"], "k_window_s": 60})),
    ("are cut by other dimensions", lambda now: now["families"]["turns"]["partitions"].update(voices={"dimensions": ["voice"], "k_window_s": 60})),
    ("are told apart by other keys", lambda now: now["families"]["stages"]["keys"].pop("scale")),
    ("or has new ones elsewhere than at the end", lambda now: now["families"]["stages"]["keys"]["stage"]["vocabulary"].insert(0, "sigh")),
    ("lays out stored state by 9 values instead of 7", lambda now: now["families"]["stages"]["keys"]["stage"].update(first_values=9)),
    ("no longer allows all numbers", lambda now: now["families"]["stages"]["keys"]["scale"].update(integer_range=[0, 6])),
    ("Dimension pool no longer allows batch.", lambda now: now["dimensions"]["pool"].update(vocabulary=["realtime"])),
    ("Dimension route has another pattern", lambda now: now["dimensions"]["route"].update(pattern="[a-z]")),
    ("Dimension codec has another is_identifying", lambda now: now["dimensions"]["codec"].update(is_identifying=False)),
    ("Dimension codec is gone.", lambda now: now["dimensions"].pop("codec")),
]  # fmt: skip


@pytest.mark.parametrize(("sentence", "change"), CHANGES, ids=[sentence for sentence, _ in CHANGES])
def test_an_incompatible_change_is_told(sentence: str, change: Callable[[Described], object]) -> None:
    changed: Described = deepcopy(json.loads(json.dumps(NOW)))
    change(changed)
    assert any(sentence in problem for problem in incompatible(NOW, changed))


def test_what_is_added_properly_is_compatible() -> None:
    changed: Described = json.loads(json.dumps(NOW))
    _measures(changed)["sighs"] = _SAID | {"since_minor": SCHEMA_MINOR + 1}
    changed["families"]["sighs"] = changed["families"]["turns"] | {"since_minor": SCHEMA_MINOR + 1}
    changed["families"]["stages"]["keys"]["stage"]["vocabulary"].append("sigh")
    changed["dimensions"]["pool"]["vocabulary"].append("standby")
    assert incompatible(json.loads(json.dumps(NOW)), changed) == []


# -- frames of one version, read by another ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECORDED["v1.1"]["families"])
def test_the_version_before_reads_frames_of_this_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them but those with a value that it does not know: those it refuses whole, and they can be redriven."""
    older = {each: family_of("v1.1", each) for each in RECORDED["v1.1"]["families"]}
    as_reader(monkeypatch, older, minor=1)
    record = record_of("v1.2", name)
    found = read(record, name)
    assert not isinstance(found, Rejected)
    assert found[0].to_pylist() == [
        {column: row[column] for column in found[0].column_names} for row in rows_of("v1.2", name)
    ]
    later = any(
        row[key] not in of["vocabulary"]
        for key, of in RECORDED["v1.1"]["families"][name]["keys"].items()
        for row in rows_of("v1.2", name)
        if of["vocabulary"]
    )
    outcome = Intake(older[name], 0, 1).apply([record])
    refused = [refusal.rejected.reason for refusal in outcome.refusals]
    assert refused == ([Reason.OUTSIDE_VOCABULARY] if later else [])
    assert outcome.frames_applied == (0 if later else 1)


def test_the_version_before_knows_no_family_of_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    as_reader(monkeypatch, {each: family_of("v1.1", each) for each in RECORDED["v1.1"]["families"]}, minor=1)
    for name in FAMILIES.keys() - RECORDED["v1.1"]["families"].keys():
        found = read(record_of("v1.2", name), name)
        assert isinstance(found, Rejected) and found.reason is Reason.UNKNOWN_FAMILY


@pytest.mark.parametrize("suffix", ["arrow", "ndjson"])
@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_a_measure_that_the_next_version_adds_is_zero_of_this_one(
    family: Family, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to do anything for it: a worker of the next version reads this one's frames."""
    added = Measure("sighs", "sighs", "sighs heard", since_minor=SCHEMA_MINOR + 1)
    newer = replace(family, measures=(*family.measures, added))
    as_reader(monkeypatch, FAMILIES | {family.name: newer}, SCHEMA_MINOR + 1)
    found = read(record_of(f"v{SCHEMA_MAJOR}.{SCHEMA_MINOR}", family.name, suffix), family.name)
    assert not isinstance(found, Rejected), found
    assert found[0]["sighs"].to_pylist() == [0] * found[0].num_rows
    assert found[0].drop_columns(["sighs"]).num_rows == len(rows_of(f"v{SCHEMA_MAJOR}.{SCHEMA_MINOR}", family.name))


# -- another major version ---------------------------------------------------------------------------------------------


def _renamed(family: str, rows: pa.Table) -> pa.Table:
    """The upgrade to an imagined version 2, in which turns count seconds of audio heard instead of milliseconds received."""
    if family != TURNS.name:
        return rows
    seconds = pa.array([ms // 1_000 for ms in rows["audio_in_ms"].to_pylist()], pa.int64())
    return rows.append_column("audio_heard_s", seconds).drop_columns(["audio_in_ms"])


@pytest.fixture
def version_2(monkeypatch: pytest.MonkeyPatch) -> Family:
    seconds = Measure("audio_heard_s", "s", "audio heard")
    measures = tuple(seconds if each.name == "audio_in_ms" else replace(each, since_minor=0) for each in TURNS.measures)
    turns = replace(TURNS, measures=measures)
    as_reader(monkeypatch, FAMILIES | {TURNS.name: turns}, minor=0)
    for module in (frames, frame_columns, frame_rows):
        monkeypatch.setattr(module, "SCHEMA_MAJOR", 2)
    return turns


def test_without_an_upgrade_frames_of_another_major_version_are_refused(version_2: Family) -> None:
    found = read(record_of("v1.2", version_2.name), version_2.name)
    assert isinstance(found, Rejected) and found.reason is Reason.UNSUPPORTED_VERSION


def test_an_upgrade_takes_in_frames_that_the_version_before_recorded(
    version_2: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(upgrades.UPGRADES, 1, _renamed)
    for version in ("v1.1", "v1.2"):
        record = record_of(version, version_2.name)
        found = read(record, version_2.name)
        assert not isinstance(found, Rejected), found
        wanted = [row["audio_in_ms"] // 1_000 for row in rows_of(version, version_2.name)]
        assert found[0]["audio_heard_s"].to_pylist() == wanted and "audio_in_ms" not in found[0].column_names
        assert Intake(version_2, 0, 1).apply([record]).frames_applied == 1
    found = read(record_of("v1.2", version_2.name, "ndjson"), version_2.name)
    assert isinstance(found, Rejected) and found.reason is Reason.UNSUPPORTED_VERSION


def test_an_upgrade_that_leaves_a_column_out_refuses_the_frame_and_not_the_worker(
    version_2: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(upgrades.UPGRADES, 1, lambda family, rows: rows)
    found = read(record_of("v1.2", version_2.name), version_2.name)
    assert isinstance(found, Rejected) and found.reason is Reason.MISSING_COLUMN
    monkeypatch.setitem(upgrades.UPGRADES, 1, lambda family, rows: rows.select(["sighs"]))
    found = read(record_of("v1.2", version_2.name), version_2.name)
    assert isinstance(found, Rejected) and found.reason is Reason.MALFORMED_PAYLOAD


def test_values_that_a_vocabulary_got_later_keep_stored_state_where_it_is() -> None:
    (stage,) = (key for key in STAGE_LATENCIES.keys if key.vocabulary)
    before = RECORDED["v1.1"]["families"]["stages"]["keys"]["stage"]["vocabulary"]
    assert list(stage.vocabulary[: stage.first_values]) == before
