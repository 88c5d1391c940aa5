"""Releases: without owner, lineage, report, rollback target or way back none is declared; each artifact is a row once."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiokafka import AIOKafkaProducer

from alerts.release_document import load_release
from schemas.failures import BadInput, Undecodable
from schemas.kafka import KafkaAddress
from schemas.releases import RELEASE_FORMAT, Release, decode, rows
from schemas.topics import RELEASE_DOCUMENTS
from stream_jobs.agents.reading import ReadFailure
from tests.landed import landed
from tests.stack_fixtures import PARTITIONS
from tests.topics import delete_topics
from turnwatch.declared_releases import DeclaredReleases
from turnwatch.prepare import create_topics
from turnwatch.release import run_release_declare, run_release_list

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
    """Whoever asks again hears what was declared meanwhile, and goes through that alone."""
    gone_through: list[int] = []
    take = DeclaredReleases._take

    def noted(of: DeclaredReleases, record: Any) -> None:
        gone_through.append(record.offset)
        take(of, record)

    monkeypatch.setattr(DeclaredReleases, "_take", noted)
    asked = DeclaredReleases(kafka)

    async def versions() -> list[str]:
        gone_through.clear()
        told = await asyncio.to_thread(asked, ["v42", "v43"])
        return [each.artifacts[0].version for each in told.values() if isinstance(each, Release)]

    assert (await versions(), gone_through) == (["asr-8"], [0, 1])
    assert (await versions(), gone_through) == (["asr-8"], []), "v43 is nowhere, and nothing came"
    await declare(SHOWN.replace("asr-7", "asr-9"), "ben")
    assert (await versions(), gone_through) == (["asr-9"], [2])


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
    await what_is_asked_again_is_read_once(kafka, declare, monkeypatch)
    assert await asyncio.to_thread(run_release_list, "table") == 0
    assert "speech-team" in capsys.readouterr().out
    with pytest.raises(BadInput, match="--who has to be one line"):
        run_release_declare(file, " ")


@asynccontextmanager
async def telling(kafka: KafkaAddress) -> AsyncIterator[Callable[[str, bytes | None], Awaitable[object]]]:
    """Puts records under a bundle onto the topic of releases."""
    async with AIOKafkaProducer(**kafka.aiokafka_options()) as producer:

        async def tell(bundle: str, value: bytes | None) -> None:
            await producer.send_and_wait(RELEASE_DOCUMENTS, value, key=bundle.encode(), partition=0)

        yield tell


async def test_a_declaration_that_cannot_be_read_is_told_of_its_bundle_and_one_that_was_taken_back_is_none(
    kafka: KafkaAddress, tmp_path: Path
) -> None:
    release = loaded(tmp_path)
    newer = json.dumps(release.model_dump() | {"bundle": "v50", "format": RELEASE_FORMAT + 1}).encode()
    foreign = release.model_copy(update={"bundle": "v60"}).encode()
    told = [("v42", release.encode()), ("v50", newer), ("v51", release.encode()), ("v51", b"none"), ("v61", foreign)]
    async with telling(kafka) as tell:
        for bundle, value in (*told, ("v70", release.encode()), ("v70", None)):
            await tell(bundle, value)
    asked = dict(await asyncio.to_thread(DeclaredReleases(kafka), ["v42", "v43", "v50", "v51", "v61", "v70"]))
    assert asked.pop("v42") == release
    assert {name: str(why) for name, why in asked.items()} == {
        "v50": "Release v50 was declared by a newer version of turnwatch, which this gate cannot read: deploy the newer gate.",
        "v51": "What topic releases has of release v51 is no release: declare it anew.",
        "v61": "What topic releases has of release v61 is no release: declare it anew.",
    }


async def test_a_topic_that_is_made_anew_is_gone_through_again_however_long_it_is(
    kafka: KafkaAddress, tmp_path: Path
) -> None:
    asked, at_ms = DeclaredReleases(kafka), itertools.count(NOW_MS)

    async def known_once_there_are(*bundles: str) -> dict[str, int]:
        """By bundle, when it was declared; each time is another."""
        async with telling(kafka) as tell:
            for bundle in bundles:
                declared = loaded(tmp_path).model_copy(update={"bundle": bundle, "at_ms": next(at_ms)})
                await tell(bundle, declared.encode())
        told = await asyncio.to_thread(asked, ["v1", "v2", "v3", "v4"])
        assert all(isinstance(each, Release) and each.bundle == name for name, each in told.items())
        return {name: each.at_ms - NOW_MS for name, each in told.items() if isinstance(each, Release)}

    assert await known_once_there_are("v1", "v2") == {"v1": 0, "v2": 1}
    await make_anew(kafka, RELEASE_DOCUMENTS)
    assert await known_once_there_are("v3", "v1") == {"v3": 2, "v1": 3}, "as long as it was"
    await make_anew(kafka, RELEASE_DOCUMENTS)
    assert await known_once_there_are("v4") == {"v4": 4}, "shorter"
    await make_anew(kafka, RELEASE_DOCUMENTS)
    assert await known_once_there_are("v1", "v4", "v2") == {"v1": 5, "v4": 6, "v2": 7}, "longer"


async def make_anew(kafka: KafkaAddress, topic: str) -> None:
    await delete_topics(kafka, [topic])
    await create_topics(kafka, PARTITIONS)


def test_a_kafka_that_says_nothing_is_waited_for_once_by_all_that_ask_and_asked_again_later(
    kafka: KafkaAddress,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor() as threads:  # Takes connections only.
        asked = DeclaredReleases(KafkaAddress(f"127.0.0.1:{silent.getsockname()[1]}"), within_s=0.5)
        begun = [threads.submit(asked, ["v42"]) for _ in range(4)]
        for each in begun:
            with pytest.raises(ReadFailure, match=r"did not tell within 0\.5 s what was declared \(topic releases\)"):
                each.result()
        silent.settimeout(0.0)
        silent.accept()
        with pytest.raises(BlockingIOError):
            silent.accept()
    asked.address = kafka
    deadline = time.monotonic() + 60
    while not _answers(asked):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _answers(asked: DeclaredReleases) -> bool:
    try:
        return asked(["v42"]) == {}
    except ReadFailure:
        return False
