"""Releases: without owner, lineage, report, rollback target or way back none is declared; each artifact is a row once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts.release_document import load_release
from schemas.failures import BadInput, Undecodable
from schemas.kafka import KafkaAddress
from schemas.releases import Release, decode, rows
from tests.landed import landed
from turnwatch import declared_releases
from turnwatch.declared_releases import DeclaredReleases
from turnwatch.release import run_release_declare, run_release_list
from turnwatch.statements import take_statements

PAGE = Path(__file__).resolve().parents[2] / "docs" / "releases.md"
SHOWN = PAGE.read_text().partition("```yaml\n")[2].partition("```")[0]
"""The document that the page shows."""
NOW_MS = 1_790_000_040_000


def loaded(tmp_path: Path, text: str = SHOWN) -> Release:
    file = tmp_path / "v42.yaml"
    file.write_text(text)
    return load_release(file, "ana", NOW_MS)


def artifact(document: Any) -> Any:
    return document["spec"]["artifacts"][0]


def test_what_the_page_shows_is_a_release(tmp_path: Path) -> None:
    release = loaded(tmp_path)
    assert (release.bundle, release.artifacts[0].owner, len(release.ways_back)) == ("v42", "speech-team", 4)
    assert decode(release.encode()) == release


@pytest.mark.parametrize("field", ["version", "owner", "lineage", "evaluation", "rollbackTo", "kind", "name"])
def test_an_artifact_without_any_of_these_is_refused_by_name_and_line(tmp_path: Path, field: str) -> None:
    document = yaml.safe_load(SHOWN)
    del artifact(document)[field]
    with pytest.raises(BadInput) as refused:
        loaded(tmp_path, yaml.safe_dump(document))
    (sentence,) = str(refused.value).splitlines()
    assert f"The field is missing: add `{field}` to `spec.artifacts[0]`." in sentence and "v42.yaml:" in sentence


WRONG: list[tuple[str, Callable[[Any], object]]] = [
    ("The list is empty", lambda document: artifact(document).update(lineage=[])),
    ("The field is missing: add `waysBack` to `spec`.", lambda document: document["spec"].pop("waysBack")),
    ("The list is empty", lambda document: document["spec"].update(waysBack=[])),
    ("The list is empty", lambda document: document["spec"].update(artifacts=[])),
    ("No kind of artifact is named 'asr_modell'; did you mean `asr_model`?", lambda document: artifact(document).update(kind="asr_modell")),
    ("No way back is named 'hope'", lambda document: document["spec"]["waysBack"][0].update(kind="hope")),
    ("'Speech Team' is no name", lambda document: artifact(document).update(owner="Speech Team")),
    ("is no reference", lambda document: artifact(document).update(lineage=["calls of September"])),
    ("Artifact asr would roll back to itself", lambda document: artifact(document).update(rollbackTo="asr-7")),
    ("Artifact asr is there twice", lambda document: document["spec"]["artifacts"].append(dict(artifact(document), lineage=["x"]))),
    ("A way back pins tts, which is no artifact", lambda document: document["spec"]["waysBack"][0].update(artifact="tts")),
    ("`pin_artifact` names the `artifact`", lambda document: document["spec"]["waysBack"][0].pop("artifact")),
    ("Restoring bundle v42 is no way back from it", lambda document: document["spec"]["waysBack"][1].update(target="v42")),
    ("There is no such field; did you mean `owner`?", lambda document: artifact(document).update(ownr="x")),
]  # fmt: skip


@pytest.mark.parametrize(("sentence", "change"), WRONG, ids=[sentence for sentence, _ in WRONG])
def test_what_is_missing_or_cannot_be_meant_is_a_sentence(
    tmp_path: Path, sentence: str, change: Callable[[Any], object]
) -> None:
    document = deepcopy(yaml.safe_load(SHOWN))
    change(document)
    with pytest.raises(BadInput) as refused:
        loaded(tmp_path, yaml.safe_dump(document))
    assert sentence in str(refused.value)


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    document = yaml.safe_load(SHOWN)
    del artifact(document)["owner"], artifact(document)["evaluation"]
    with pytest.raises(BadInput) as refused:
        loaded(tmp_path, yaml.safe_dump(document))
    assert len(str(refused.value).splitlines()) == 2


def test_a_file_that_is_none_and_two_releases_in_one_are_refused(tmp_path: Path) -> None:
    for text, sentence in (
        (f"{SHOWN}---\n{SHOWN}", "There are 2 releases"),
        ("", "The file is empty: write a release"),
    ):
        with pytest.raises(BadInput, match=sentence):
            loaded(tmp_path, text)
    with pytest.raises(BadInput, match="cannot be read"):
        load_release(tmp_path / "none.yaml", "ana", NOW_MS)


def test_each_artifact_is_a_row(tmp_path: Path) -> None:
    (row,) = rows([loaded(tmp_path)]).to_pylist()
    assert (row["bundle"], row["artifact"], row["artifact_version"], row["slice"]) == (
        "v42",
        "asr",
        "asr-7",
        "bundle=v42",
    )
    assert row["lineage"] == "dataset:calls-2026-09 commit:4be1c07"
    assert row["ways_back"].startswith("pin_artifact asr asr-6; restore_bundle v41; ")


@pytest.mark.parametrize("changed", [{"artifacts": []}, {"ways_back": []}, {"bundle": "V 42"}, {"at_ms": -1}])
def test_what_is_no_release_is_not_read(tmp_path: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(Undecodable):
        decode(json.dumps(loaded(tmp_path).model_dump() | changed).encode())


async def what_is_asked_again_is_read_once(
    kafka: KafkaAddress, declare: Callable[[str, str], Awaitable[tuple[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks again hears what was declared meanwhile, and reads that alone; what there was no room for is looked for anew."""
    read: list[str] = []

    def noted(payload: bytes) -> Release:
        release = decode(payload)
        read.append(release.artifacts[0].version)
        return release

    monkeypatch.setattr(declared_releases, "take_statements", noting(noted))
    roomy, tight = DeclaredReleases(kafka), DeclaredReleases(kafka, bytes_max=1)

    async def versions(asked: DeclaredReleases) -> list[str]:
        read.clear()
        return [each.artifacts[0].version for each in (await asyncio.to_thread(asked, ["v42", "v43"])).values()]

    assert (await versions(roomy), read) == (["asr-8"], ["asr-7", "asr-8"])
    assert (await versions(roomy), read) == (["asr-8"], [])
    assert (await versions(tight), read) == (["asr-8"], ["asr-7", "asr-8"] * 2)
    await declare(SHOWN.replace("asr-7", "asr-9"), "ben")
    assert (await versions(roomy), read) == (["asr-9"], ["asr-9"])
    assert (await versions(tight), read) == (["asr-9"], ["asr-9", "asr-7", "asr-8", "asr-9"])


def noting(noted: Callable[[bytes], Release]) -> Callable[..., Awaitable[int]]:
    async def take(reader: Any, topic: str, _: object, *rest: Any) -> int:
        return await take_statements(reader, topic, noted, *rest)

    return take


async def test_a_release_is_declared_once_and_what_changes_replaces_it(
    kafka: KafkaAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TURNWATCH_KAFKA__BOOTSTRAP", kafka.bootstrap)
    file = tmp_path / "v42.yaml"

    async def declare(text: str, who: str) -> tuple[str, str]:
        file.write_text(text)
        assert await asyncio.to_thread(run_release_declare, file, who) == 0
        told = capsys.readouterr()
        return told.out.strip(), told.err

    assert await declare(SHOWN, "ana") == ("v42", "")
    assert "ana had declared the same already" in (await declare(SHOWN, "ben"))[1]
    assert await declare(SHOWN.replace("asr-7", "asr-8"), "ben") == ("v42", "")
    assert await asyncio.to_thread(run_release_list, "json") == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["bundle"], listed["who"], listed["artifacts"][0]["version"]) == ("v42", "ben", "asr-8")
    assert [
        (row["artifact_version"], row["who"])
        for row in sorted(await landed(kafka, "releases"), key=lambda row: row["at"])
    ] == [
        ("asr-7", "ana"),
        ("asr-8", "ben"),
    ]
    known = await asyncio.to_thread(DeclaredReleases(kafka), ["v42", "v43"])
    assert [(name, release.artifacts[0].version) for name, release in known.items()] == [("v42", "asr-8")]
    await what_is_asked_again_is_read_once(kafka, declare, monkeypatch)
    assert await asyncio.to_thread(run_release_list, "table") == 0
    assert "speech-team" in capsys.readouterr().out
    with pytest.raises(BadInput, match="--who has to be one line"):
        run_release_declare(file, " ")
