"""Dead letters are listed by reason, and what they are about is put through again as it was, once: on a real Kafka."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from schemas.kafka import KafkaAddress
from schemas.rejections import DeadLetter, Reason
from schemas.topics import BURNS, DEAD_LETTERS, REDRIVEN
from tests.cli.test_failures import BAD_INPUT, sentence
from tests.topics import delete_topics
from tests.warm import turnwatch
from turnwatch.dead_letters import PIPED_WIDTH
from turnwatch.redrive import REDRIVEN_FROM

TURNS, STAGES = "aggregates.turns", "aggregates.stages"


async def said(kafka: KafkaAddress, folder: Path, *arguments: str) -> str:
    """What the command printed, having succeeded."""
    ended = await asyncio.to_thread(turnwatch, folder, *arguments, TURNWATCH_KAFKA__BOOTSTRAP=kafka.bootstrap)
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    return ended.stdout


async def sent(kafka: KafkaAddress, records: Sequence[dict[str, Any]]) -> list[tuple[str, int, int]]:
    """Where each record came to lie."""
    async with AIOKafkaProducer(**kafka.aiokafka_options()) as producer:
        places = [await producer.send_and_wait(**record) for record in records]
    return [(place.topic, place.partition, place.offset) for place in places]


async def refused(
    kafka: KafkaAddress, positions: Sequence[tuple[str, int, int]], reason: Reason, producer: str | None = "host-7"
) -> None:
    """Letters as a worker writes them."""
    letters = [
        DeadLetter(
            reason=reason.value, detail="No.", producer=producer, topic=topic, partition=partition, offset=offset
        )
        for topic, partition, offset in positions
    ]
    await sent(kafka, [{"topic": DEAD_LETTERS, "value": each.encode(), "key": each.key} for each in letters])


async def held(kafka: KafkaAddress, topic: str) -> list[Any]:
    """Everything in a topic, partition by partition."""
    partitions = [TopicPartition(topic, 0)]
    async with AIOKafkaConsumer(topic, **kafka.aiokafka_options()) as consumer:
        partitions = sorted(consumer.assignment())
        ends = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning(*partitions)
        found: list[Any] = []
        while any([await consumer.position(each) < ends[each] for each in partitions]):
            polled = await consumer.getmany(timeout_ms=500)
            found += [record for records in polled.values() for record in records]
    return sorted(found, key=lambda record: (record.partition, record.offset))


async def test_without_dead_letters_it_is_said_that_there_are_none(kafka: KafkaAddress, tmp_path: Path) -> None:
    assert await said(kafka, tmp_path, "dead-letters") == "Nothing was refused: there are no dead letters.\n"
    assert await said(kafka, tmp_path, "dead-letters", "--format", "json") == "[]\n"
    nothing = await said(kafka, tmp_path, "dead-letters", "--since", "1h", "--reason", "empty_frame")
    assert nothing.startswith("Nothing was refused for reason empty_frame since 2")
    assert await said(kafka, tmp_path, "redrive") == "0 records were put through again.\n"


async def test_letters_are_counted_by_reason_topic_and_producer_each_position_once(
    kafka: KafkaAddress, tmp_path: Path
) -> None:
    await refused(kafka, [(TURNS, 1, offset) for offset in range(5)], Reason.CHECKSUM_MISMATCH)
    await refused(kafka, [(TURNS, 1, 4)], Reason.CHECKSUM_MISMATCH)  # Once more, as after a crash.
    await refused(kafka, [(TURNS, 0, 9)], Reason.CHECKSUM_MISMATCH, "host-8")
    await refused(kafka, [(BURNS, 0, 3)], Reason.UNDECODABLE, None)
    await sent(kafka, [{"topic": DEAD_LETTERS, "value": b"\xff\x1b[2J"}, {"topic": DEAD_LETTERS, "key": b"tombstone"}])
    listed = json.loads(await said(kafka, tmp_path, "dead-letters", "--format", "json"))
    groups = [(group["reason"], group["topic"], group["producer"], group["count"]) for group in listed]
    assert groups == [
        ("checksum_mismatch", TURNS, "host-7", 5),
        ("checksum_mismatch", TURNS, "host-8", 1),
        ("undecodable", BURNS, None, 1),
    ]
    assert listed[0]["examples"] == [f"{TURNS}:1:{offset}" for offset in range(3)]
    assert listed[0]["first"] <= listed[0]["last"]
    table = await said(kafka, tmp_path, "dead-letters", "--reason", "undecodable", "--since", "2d")
    assert len(table.splitlines()) == 3 and "unknown" in table and "0:3" in table
    assert "1 dead letter for reason undecodable since" in table


async def test_what_is_no_letter_is_counted_on_standard_error(kafka: KafkaAddress, tmp_path: Path) -> None:
    await sent(kafka, [{"topic": DEAD_LETTERS, "value": b"\xff\x1b[2J"}])
    ended = await asyncio.to_thread(turnwatch, tmp_path, "dead-letters", TURNWATCH_KAFKA__BOOTSTRAP=kafka.bootstrap)
    assert (ended.returncode, ended.stderr) == (
        0,
        "turnwatch: topic dead_letters has 1 record that is no dead letter.\n",
    )


async def test_a_letter_cannot_move_the_terminal_s_cursor(kafka: KafkaAddress, tmp_path: Path) -> None:
    await refused(kafka, [(TURNS, 0, 0)], Reason.EMPTY_FRAME, "\x1b[2J[red]host\n")
    table = await said(kafka, tmp_path, "dead-letters")
    assert "\x1b" not in table and r"\x1b[2J[red]host\n" in table
    assert max(map(len, table.splitlines())) < PIPED_WIDTH


async def test_a_record_is_put_through_as_it_was_into_its_own_partition_and_only_once(
    kafka: KafkaAddress, tmp_path: Path
) -> None:
    headers = [("tw-family", b"turns"), ("odd", None), ("odd", b"\x00twice")]
    records = [
        {"topic": TURNS, "partition": 1, "key": b"host-7", "value": b"\x00\xff" * 9, "headers": headers},
        {"topic": TURNS, "partition": 1, "key": None, "value": b"not refused", "headers": []},
        {"topic": TURNS, "partition": 0, "key": None, "value": b"", "headers": []},
        {"topic": STAGES, "partition": 0, "key": b"host-8", "value": None, "headers": []},
    ]
    places = await sent(kafka, records)
    await refused(kafka, [places[0], *places[2:]], Reason.CHECKSUM_MISMATCH)
    would = await said(kafka, tmp_path, "redrive", "--dry-run")
    assert would == f"3 records would be put through again ({STAGES} 1, {TURNS} 2).\n"
    assert len(await held(kafka, TURNS)) == 3
    done = await said(kafka, tmp_path, "redrive", "--topic", TURNS)
    assert done == f"2 records were put through again in topic {TURNS} ({TURNS} 2).\n"
    turns = await held(kafka, TURNS)
    again = [record for record in turns if REDRIVEN_FROM in dict(record.headers)]
    assert [(each.partition, each.key, each.value) for each in again] == [
        (0, None, b""),
        (1, b"host-7", b"\x00\xff" * 9),
    ]
    assert list(again[1].headers) == [*headers, (REDRIVEN_FROM, f"{TURNS}:1:{places[0][2]}".encode())]
    assert (await said(kafka, tmp_path, "redrive")).splitlines() == [
        f"1 record was put through again ({STAGES} 1).",
        "2 had been before.",
    ]
    assert len(await held(kafka, TURNS)) == len(turns)
    entries = [json.loads(record.value) for record in await held(kafka, REDRIVEN)]
    assert {entry["from"] for entry in entries} == {":".join(map(str, place)) for place in (places[0], *places[2:])}


async def test_one_that_is_refused_again_can_be_put_through_again_and_says_from_where_it_came_last(
    kafka: KafkaAddress, tmp_path: Path
) -> None:
    (place,) = await sent(kafka, [{"topic": TURNS, "partition": 0, "value": b"frame"}])
    await refused(kafka, [place], Reason.UNSUPPORTED_VERSION)
    await said(kafka, tmp_path, "redrive")
    second = (TURNS, 0, place[2] + 1)
    await refused(kafka, [second], Reason.UNSUPPORTED_VERSION)
    assert "1 had been before." in await said(kafka, tmp_path, "redrive")
    newest = (await held(kafka, TURNS))[-1]
    assert list(newest.headers) == [(REDRIVEN_FROM, f"{TURNS}:0:{second[2]}".encode())]
    assert newest.offset == second[2] + 1


async def test_what_retention_removed_is_counted_and_the_rest_is_put_through(
    kafka: KafkaAddress, tmp_path: Path
) -> None:
    places = await sent(kafka, [{"topic": TURNS, "partition": 0, "value": b"%d" % number} for number in range(5)])
    await refused(kafka, [*places, (TURNS, 1, 40), (TURNS, 77, 0)], Reason.EMPTY_FRAME)
    admin = AIOKafkaAdminClient(**kafka.aiokafka_options())
    await admin.start()
    await admin.delete_records({TopicPartition(TURNS, 0): RecordsToDelete(before_offset=3)})
    await admin.close()
    assert (await said(kafka, tmp_path, "redrive")).splitlines() == [
        f"2 records were put through again ({TURNS} 2).",
        f"5 are gone from {TURNS}: retention has removed them.",
    ]
    assert [record.value for record in await held(kafka, TURNS)] == [b"3", b"4", b"3", b"4"]


async def test_what_no_fix_mends_stays_where_it_is_and_it_is_said_why(kafka: KafkaAddress, tmp_path: Path) -> None:
    places = await sent(kafka, [{"topic": TURNS, "partition": 0, "value": b"%d" % number} for number in range(4)])
    reasons = (Reason.WINDOW_TOO_OLD, Reason.FENCE_EXPIRED)
    for place, reason in zip(places, reasons, strict=False):
        await refused(kafka, [place], reason)
    await refused(kafka, [("__consumer_offsets", 0, 0), (DEAD_LETTERS, 0, 0)], Reason.EMPTY_FRAME)
    lines = (await said(kafka, tmp_path, "redrive")).splitlines()
    assert lines[0] == "0 records were put through again."
    assert lines[1].startswith("2 are about topics that no stage reads")
    assert [line.partition(":")[0] for line in lines[2:]] == ["1 were left out"] * 2
    named = await said(kafka, tmp_path, "redrive", "--reason", "window_too_old")
    assert named.startswith("1 record was put through again for reason window_too_old")
    ended = await asyncio.to_thread(
        turnwatch, tmp_path, "redrive", "--reason", "fence_expired", TURNWATCH_KAFKA__BOOTSTRAP=kafka.bootstrap
    )
    assert "cannot be told from a repeat" in sentence(ended, BAD_INPUT)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["dead-letters", "--since", "yesterday"], "such as 30m"),
        (["dead-letters", "--reason", "checksum"], "did you mean checksum_mismatch?"),
        (["redrive", "--topic", "aggregates.turn"], "did you mean aggregates.turns?"),
        (["redrive", "--topic", "dead_letters"], "No stage reads"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, arguments: list[str], told: str) -> None:
    nobody = {"TURNWATCH_KAFKA__BOOTSTRAP": "127.0.0.1:1"}
    assert told in sentence(turnwatch(tmp_path, *arguments, **nobody), BAD_INPUT)


@pytest.mark.parametrize("command", ["dead-letters", "redrive"])
def test_without_kafka_it_is_said_that_it_is_away(tmp_path: Path, command: str) -> None:
    assert "127.0.0.1:1" in sentence(turnwatch(tmp_path, command, TURNWATCH_KAFKA__BOOTSTRAP="127.0.0.1:1"), 1)


async def test_topics_that_are_missing_are_told_with_the_command_that_makes_them(
    kafka: KafkaAddress, tmp_path: Path
) -> None:
    await delete_topics(kafka, [DEAD_LETTERS])
    ended = await asyncio.to_thread(turnwatch, tmp_path, "dead-letters", TURNWATCH_KAFKA__BOOTSTRAP=kafka.bootstrap)
    assert "turnwatch prepare" in sentence(ended, 1)
