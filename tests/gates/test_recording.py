"""A verdict is on the record before anybody is told: the newest of a release in Kafka, every one and each judgement as rows."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.kafka import KafkaAddress
from schemas.topics import VERDICTS
from schemas.verdict_rows import rows
from schemas.verdicts import VERDICT_FORMAT, decode
from tests.gates.verdicts import AT_MS, FAR_FIELD, THIN, judgement, verdict
from tests.landed import landed
from tests.topics import delete_topics
from turnwatch import statements
from turnwatch.gates import recording
from turnwatch.gates.recording import NotRecorded, read_verdicts, record


def test_a_verdict_is_a_row_of_its_own_and_one_for_each_judgement() -> None:
    head, far_field, thin = rows(verdict("rollback")).to_pylist()
    assert (head["metric"], head["slice"], head["cut"]) == ("", "bundle=v42", "bundle")
    assert head["blockers"] == f"{FAR_FIELD}: quality" and head["insufficient"] == THIN.slice
    assert (head["way_back"], head["asked"]) == ("pin_artifact asr asr-6", "SELECT 1")
    assert (far_field["slice"], far_field["cut"], far_field["outcome"]) == (FAR_FIELD, "pool,noise_class", "worse")
    assert (far_field["baseline_value"], far_field["candidate_value"], far_field["low"]) == (0.11, 0.16, 0.03)
    assert (far_field["is_protected"], far_field["candidate_samples"], far_field["windows"]) == (1, 4_000, 60)
    unknown = [thin[name] for name in ("baseline_value", "allowed", "low", "alpha")]
    assert (unknown, thin["because"]) == ([None] * 4, "12 of 200 words")
    assert (far_field["allowed"], far_field["alpha"], head["allowed"], head["alpha"]) == (0.015, 0.001, None, 0.05)


def test_every_row_says_of_which_verdict_it_is() -> None:
    whole = rows(verdict("pause")).to_pylist()
    at = datetime.fromtimestamp(AT_MS / 1_000, UTC)
    shared = ("release", "baseline", "decision", "policy", "policy_version", "who", "at", "version")
    assert {tuple(row[name] for name in shared) for row in whole} == {
        ("v42", "v41", "pause", "canary", "0123456789abcdef", "ana", at, AT_MS)
    }
    assert len({(row["slice"], row["metric"]) for row in whole}) == len(whole) == 3


def test_a_verdict_on_nothing_is_a_row_too() -> None:
    (row,) = rows(verdict("pause", judged=(), insufficient=())).to_pylist()
    assert (row["decision"], row["metric"], row["baseline_value"]) == ("pause", "", None)


async def test_the_newest_of_a_release_is_read_and_every_one_lands(
    kafka: KafkaAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "ROWS_A_MESSAGE", 2)
    later = verdict("rollback", at_ms=AT_MS + 1)
    for each in (verdict("pause"), verdict("continue", release="v43"), later):
        await record(kafka, each)
    assert await read_verdicts(kafka) == ({"v42": later, "v43": verdict("continue", release="v43")}, 0)
    assert sorted((row["release"], row["at"].timestamp() * 1_000 - AT_MS, row["metric"]) for row in await landed(kafka, "verdicts")) == [
        ("v42", 0, ""), ("v42", 0, "wer"), ("v42", 0, "wer"), ("v42", 1, ""), ("v42", 1, "wer"), ("v42", 1, "wer"),
        ("v43", 0, ""), ("v43", 0, "wer"),
    ]  # fmt: skip


async def test_of_two_that_were_judged_at_once_the_later_look_is_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    later, older = verdict("rollback", at_ms=AT_MS + 1), verdict("continue")

    class Reader:
        async def records(self, _topic: str) -> AsyncIterator[Any]:
            for each in (later, older):
                yield SimpleNamespace(value=each.encode())

    @asynccontextmanager
    async def reader_of(_: KafkaAddress) -> AsyncIterator[Reader]:
        yield Reader()

    monkeypatch.setattr(statements, "reader_of", reader_of)
    assert await read_verdicts(KafkaAddress("127.0.0.1:1")) == ({"v42": later}, 0)


async def test_what_kafka_does_not_have_is_no_verdict() -> None:
    began = time.monotonic()
    with pytest.raises(
        NotRecorded, match=r"The verdict on v42 is not recorded, so there is none: Kafka at .*127\.0\.0\.1"
    ):
        await record(KafkaAddress("127.0.0.1:1"), verdict("continue"))
    assert time.monotonic() - began < 10


def test_a_record_of_the_first_format_is_read_and_lands_as_it_was_told() -> None:
    """Recorded before what is allowed could be unknown: then it told 0 of it, and the policy's whole alpha."""
    older = decode((Path(__file__).parent / "recorded" / "verdict_format_1.json").read_bytes())
    assert (older.format, older.decision, older.way_back is not None) == (1, "rollback", True)
    _, worse, alone = rows(older).to_pylist()
    assert (worse["low"], worse["allowed"], worse["alpha"]) == (0.03, 0.015, 0.001)
    assert (alone["because"][:19], alone["allowed"], alone["alpha"]) == ("Only the candidate ", 0.0, 0.05)
    assert decode(older.encode()) == older


def test_a_verdict_is_told_in_the_oldest_format_that_can_say_it() -> None:
    """Or readers of an older version would pass over a verdict that they understand."""
    assert decode(verdict("continue").encode()).format == 1
    for unknown in ({"allowed": None}, {"alpha": None}):
        told = decode(verdict("continue", judged=(judgement(**unknown),)).encode())
        assert told.format == VERDICT_FORMAT == 2 and told.judged == (judgement(**unknown),)


def test_a_record_that_would_be_too_long_counts_what_it_leaves_out() -> None:
    many = tuple(judgement(slice=f"pool=realtime,tenant=t{number}", because="x" * 500) for number in range(2_000))
    told = decode(verdict("continue", judged=many).encode())
    assert 0 < len(told.judged) < 2_000 and len(told.judged) + told.unlisted == 2_000
    assert rows(verdict("continue", judged=many)).num_rows == 2_001


async def test_a_topic_that_is_missing_is_a_sentence_that_says_how_to_make_it(kafka: KafkaAddress) -> None:
    await delete_topics(kafka, [VERDICTS])
    with pytest.raises(NotRecorded, match="`turnwatch prepare` makes it"):
        await record(kafka, verdict("continue"), within_s=1.0)
