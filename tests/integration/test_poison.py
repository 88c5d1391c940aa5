"""Any bytes in any topic are a dead letter and nothing more; too many of them stop the worker, which loses nothing.

On a real Kafka, with a real worker process. What lands is compared with a recomputation, as in `test_flow.py`.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from rich.console import Console

from alerts.diverting import ALERT_NAME
from producers.collector import Frame
from schemas.families import INDICATORS_OF, TURNS
from schemas.rejections import DeadLetter, Position
from schemas.topics import DEAD_LETTERS, aggregates, partials
from stack.failures import StackFailure
from stack.processes import log_tail
from stream_jobs.agents.application import GROUP
from stream_jobs.agents.reading import reading
from tests.integration.bad_frames import SECRET
from tests.integration.commands import turnwatch
from tests.integration.plant import POLL_S, Plant
from tests.integration.poison import PARTIALS, REASONS_OF_NOISE, TOPICS_READ, Garbage, garbage
from tests.integration.runs import AT_ONCE, compared, ends_of, send
from tests.operators.test_header_names import Raw
from turnwatch import redrive
from turnwatch.dead_letters import Choice

READ_BY_TWO = {partials(name) for name in INDICATORS_OF}
"""Both questions refuse what is none of theirs."""

WITHIN_S = 60.0
ROOM_FOR_GARBAGE = 2_000
"""A dozen of each of so many topics in one minute is more than a worker diverts by default before it stops."""
BOUND = 20
FLOOD = 3 * BOUND

OF_ANOTHER_VERSION = """
import sys
import schemas.frames
schemas.frames.SCHEMA_MAJOR += 1
sys.argv = ["turnwatch", "worker", "--accept-refused"]
from turnwatch.cli import main
main()
"""
"""A deploy that refuses every frame there is, and an operator who lets it."""


@pytest.fixture(scope="module")
def partitions() -> int:
    """Two: what is refused in one leaves the other alone."""
    return 2


@pytest.fixture(scope="module", autouse=True)
def patience() -> Iterator[None]:
    """Of every worker here, also of the first, unless a test says otherwise."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TURNWATCH_DIVERTED_PER_MINUTE_MAX", str(ROOM_FOR_GARBAGE))
        yield


async def test_garbage_in_every_topic_is_diverted_and_the_traffic_around_it_lands_exactly(
    plant: Plant, seed: int
) -> None:
    plan = plant.plan(seed, minutes=1, speed=AT_ONCE)
    chance = random.Random(seed)
    begin = await ends_of(plant, DEAD_LETTERS)
    counted_before = await plant.counted("turnwatch_records_diverted_total")
    sent: list[Position] = []

    async def litter(batch: int, frames: list[Frame]) -> list[Frame]:
        if batch == 3:
            for topic in TOPICS_READ:
                sent.extend(await thrown(plant, topic, list(garbage(topic, chance))))
            sent.append(await thrown_with_an_odd_header_name(plant, aggregates(TURNS.name)))
            sent.append(await thrown_with_an_odd_header_name(plant, PARTIALS[0]))
        return frames

    worker = plant.worker
    await send(plant, plan, litter)
    await plant.settled()
    assert worker.process() is not None, log_tail(worker.log)
    refused = Counter(sent) + Counter(position for position in sent if position[0] in READ_BY_TWO)
    letters = await letters_since(plant, begin, refused.total())
    assert Counter(letter.position for letter in letters) == refused
    assert [each for each in letters if each.reason not in REASONS_OF_NOISE[each.topic]] == []
    assert not any(SECRET in letter.model_dump_json() for letter in letters)
    assert SECRET not in worker.log.read_text(errors="replace")
    counted = await plant.counted("turnwatch_records_diverted_total")
    by_topic: Counter[str] = Counter()
    for (reason, topic), count in counted.items():
        by_topic[topic] += round(count - counted_before.get((reason, topic), 0))
    assert by_topic == Counter(topic for topic, _, _ in refused.elements())
    assert compared(plant, plan) == []


async def test_what_a_broken_deploy_refused_is_applied_once_after_the_fix_however_often_it_is_redriven(
    plant: Plant, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plant.plan(seed, minutes=1, speed=AT_ONCE)
    begin = await ends_of(plant, DEAD_LETTERS)
    plant.stop_worker()
    await plant.start_worker("-c", OF_ANOTHER_VERSION)
    progress = await send(plant, plan)
    await plant.settled()
    frames = sum(progress.frames.values())
    assert compared(plant, plan) != []
    assert Counter(letter.reason for letter in await letters_since(plant, begin)) == {"unsupported_version": frames}
    plant.stop_worker()
    await plant.start_worker()

    chosen = ("--reason", "unsupported_version")
    first = await said(plant, tmp_path, "redrive", *chosen)
    assert first.startswith(f"{frames:,} records were put through again for reason unsupported_version (")
    await plant.settled()
    assert compared(plant, plan) == []
    assert sum((await plant.counted("turnwatch_frames_applied_total")).values()) == frames

    second = await said(plant, tmp_path, "redrive", *chosen)
    assert second.splitlines()[1:] == [f"{frames:,} had been before."]
    monkeypatch.setattr(redrive, "_put_through_before", nothing)
    tally = await redrive.redrive(plant.kafka, Choice(reason="unsupported_version"), False, Console(quiet=True))
    assert tally.sent.total() == frames
    await plant.settled()
    assert sum((await plant.counted("turnwatch_frames_repeated_total")).values()) == frames
    assert sum((await plant.counted("turnwatch_frames_applied_total")).values()) == frames
    assert compared(plant, plan) == []


@pytest.mark.needs("prometheus-alertmanager")
async def test_too_much_stops_the_worker_pages_and_diverts_no_more_however_often_it_is_started(
    plant: Plant, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plant.plan(seed, minutes=1, speed=AT_ONCE)
    begin = await ends_of(plant, DEAD_LETTERS)
    topic = aggregates(TURNS.name)
    plant.stop_worker()
    monkeypatch.setenv("TURNWATCH_DIVERTED_PER_MINUTE_MAX", str(BOUND))
    await plant.start_worker()

    few = await thrown(plant, topic, [Garbage(b"junk", [])] * (BOUND // 2), partition=1)
    await letters_since(plant, begin, len(few))
    flood = few + await thrown(plant, topic, [Garbage(b"junk", [])] * FLOOD, partition=1)
    words = await last_words(plant)
    assert words.startswith(f"turnwatch: More than {BOUND} records") and words.endswith("this once.")
    diverted = {letter.position for letter in await letters_since(plant, begin)}
    assert set(few) <= diverted and len(diverted) <= BOUND
    assert await committed(plant, topic, 1) <= min(offset for *_, offset in set(flood) - diverted)
    (alert,) = await alerts(plant)
    assert (alert["labels"]["severity"], alert["labels"]["topic"]) == ("page", topic)
    assert alert["annotations"]["runbook_url"].endswith("docs/runbooks/dead-letters.md")

    await send(plant, plan)  # Good frames, behind and beside the flood.
    for _ in range(2):
        with suppress(StackFailure):  # It may end before it has said that it is ready, or after.
            await plant.start_worker()
        assert "was halted at" in await last_words(plant)
        assert {letter.position for letter in await letters_since(plant, begin)} == diverted
    assert len(await alerts(plant)) == 1

    await plant.start_worker("-m", "turnwatch", "worker", "--accept-refused")
    await plant.settled()
    assert {letter.position for letter in await letters_since(plant, begin)} == set(flood)
    assert compared(plant, plan) == []
    async with asyncio.timeout(WITHIN_S):
        while await alerts(plant):
            await asyncio.sleep(POLL_S)
    plant.stop_worker()
    await plant.start_worker()  # Nothing stands any more: it goes on as usual.
    await thrown(plant, topic, [Garbage(b"junk", [])], partition=1)
    await plant.settled()
    assert plant.worker.process() is not None


async def thrown(plant: Plant, topic: str, records: Sequence[Garbage], partition: int | None = None) -> list[Position]:
    """Where each came to lie."""
    async with AIOKafkaProducer(**plant.kafka.aiokafka_options()) as producer:
        futures = [
            await producer.send(topic, each.value, key=each.key, headers=each.headers, partition=partition)
            for each in records
        ]
        places = await asyncio.gather(*futures)
    return [(place.topic, place.partition, place.offset) for place in places]


async def thrown_with_an_odd_header_name(plant: Plant, topic: str) -> Position:
    """A record that aiokafka itself would neither write nor read."""
    async with AIOKafkaProducer(**plant.kafka.aiokafka_options()) as producer:
        batch = producer.create_batch()
        batch._builder = _DefaultRecordBatchBuilderPy(2, 0, False, -1, -1, -1, 1 << 16)
        batch.append(timestamp=None, key=None, value=SECRET.encode(), headers=[(Raw("odd"), b"\xff")])
        place = await (await producer.send_batch(batch, topic, partition=0))
    return place.topic, place.partition, place.offset


async def letters_since(plant: Plant, begin: dict[TopicPartition, int], count: int = 0) -> list[DeadLetter]:
    """The dead letters since `begin`, once there are at least `count`."""
    async with asyncio.timeout(WITHIN_S), reading(plant.kafka) as reader:
        while True:
            records = [record async for record in reader.records(DEAD_LETTERS)]
            new = [each for each in records if each.offset >= begin[TopicPartition(each.topic, each.partition)]]
            if len(new) >= count:
                return [DeadLetter.decode(record.value) for record in new]
            await asyncio.sleep(POLL_S)


async def last_words(plant: Plant) -> str:
    """What the worker said last, once it has ended."""
    async with asyncio.timeout(WITHIN_S):
        while plant.worker.process() is not None:
            await asyncio.sleep(POLL_S)
    return log_tail(plant.worker.log).splitlines()[-1]


async def committed(plant: Plant, topic: str, partition: int) -> int:
    place = TopicPartition(topic, partition)
    admin = AIOKafkaAdminClient(**plant.kafka.aiokafka_options())
    await admin.start()
    try:
        found = await admin.list_consumer_group_offsets(GROUP, partitions=[place])
        return int(found[place].offset)
    finally:
        await admin.close()


async def alerts(plant: Plant) -> list[dict[str, Any]]:
    """What fires because a worker stopped."""
    assert plant.stack.alertmanager is not None
    url = f"{plant.stack.alertmanager.url}/api/v2/alerts"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return [each for each in await answer.json() if each["labels"]["alertname"] == ALERT_NAME]


async def said(plant: Plant, folder: Path, *arguments: str) -> str:
    """What the command printed, having succeeded."""
    ended = await asyncio.to_thread(turnwatch, folder, *arguments, TURNWATCH_KAFKA__BOOTSTRAP=plant.kafka.bootstrap)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


async def nothing(_: Any) -> set[Position]:
    """A redrive log that was lost."""
    return set()
