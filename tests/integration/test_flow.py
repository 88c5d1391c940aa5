"""What lands in ClickHouse is what happened: real Kafka, a real worker process and the real engine against a batch.

Each test sends a small simulated fleet through one shared plant, in event time of its own, and compares every row of
every operational cut with a recomputation over all raw observations (`oracle.py`).
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from random import Random

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from producers.collector import Frame
from producers.drive import Progress
from schemas.burns import Decision
from schemas.families import AUDIENCE, FAMILIES, OPERATIONAL, TURNS
from schemas.frames import NDJSON
from schemas.rejections import Reason
from schemas.topics import BURNS, DEAD_LETTERS, aggregates
from tests.integration.bad_frames import SECRET, BadFrame, bad_frames
from tests.integration.oracle import AUDIENCE_CUTS, CUTS, DUPLEX_CUTS
from tests.integration.plant import Plant
from tests.integration.runs import AT_ONCE, compared, ends_of, happened, send


async def test_every_table_equals_a_batch_over_all_observations(plant: Plant, seed: int) -> None:
    plan = plant.plan(seed, minutes=3, speed=AT_ONCE)
    progress = await send(plant, plan)
    await plant.settled()
    world = happened(plan)
    assert progress.turns == len(world.turns) > 2_000
    assert compared(plant, plan) == []
    at = {"start": world.start_ms / 1_000, "end": world.end_ms / 1_000}
    within = "bucket_start >= {start:Float64} AND bucket_start < {end:Float64}"
    for cut in AUDIENCE_CUTS:
        sql = f"SELECT sum(turns) FROM traffic_1m FINAL WHERE cut = {{cut:String}} AND {within}"
        assert plant.value(sql, **at, cut=",".join(cut)) == progress.turns - progress.held_turns
    sql = (
        f"SELECT sum(observations_seen) FROM heartbeats_1m FINAL WHERE reported_family = {{family:String}} AND {within}"
    )
    assert plant.value(sql, **at, family="turns") == len(world.turns)
    assert plant.value(sql, **at, family="streams") == len(world.streams)
    assert plant.value(sql, **at, family="duplex") == len(world.duplex) > 200


async def test_producers_without_arrow_give_the_same_rows(plant: Plant, seed: int) -> None:
    plan = plant.plan(seed, minutes=2, speed=AT_ONCE)
    await send(plant, plan, content_type=NDJSON)
    await plant.settled()
    assert compared(plant, plan) == []


async def test_one_frame_that_never_reached_kafka_is_noticed(plant: Plant, seed: int) -> None:
    """The comparison would be worthless otherwise: it names exactly the tables that the frame feeds."""
    plan = plant.plan(seed, minutes=2, speed=AT_ONCE)
    unlucky = Random(seed).randrange(2, 10)
    dropped: list[Frame] = []

    async def drop_one(batch: int, frames: list[Frame]) -> list[Frame]:
        if batch == unlucky:
            of_turns = [each for each in frames if each.header.family is TURNS and each.header.partition is OPERATIONAL]
            dropped.append(Random(seed).choice(of_turns))
        return [frame for frame in frames if frame not in dropped]

    await send(plant, plan, drop_one)
    await plant.settled()
    assert len(dropped) == 1
    lines = compared(plant, plan)
    assert [line.split(":")[0] for line in lines] == ["traffic_10s", "burn_rate_10s", "traffic_1m", "burn_rate_1m"]


async def test_repeats_and_disorder_change_nothing_and_are_counted(plant: Plant, seed: int) -> None:
    plan = plant.plan(seed, minutes=2, speed=AT_ONCE)
    chance = Random(seed)
    sent: list[Frame] = []
    repeats: Counter[str] = Counter()

    async def disturb(_: int, frames: list[Frame]) -> list[Frame]:
        again = chance.sample(sent, k=len(sent) // 4)
        sent.extend(frames)
        repeats.update(frame.header.family.name for frame in again)
        return chance.sample(frames + again, k=len(frames) + len(again))

    before = await plant.counted("turnwatch_frames_repeated_total")
    await send(plant, plan, disturb)
    await plant.settled()
    after = await plant.counted("turnwatch_frames_repeated_total")
    assert repeats
    assert {family: after[(family,)] - before.get((family,), 0) for family in repeats} == dict(repeats)
    assert compared(plant, plan) == []


async def test_bad_frames_are_told_apart_counted_and_harm_nobody(plant: Plant, seed: int) -> None:
    plan = plant.plan(seed, minutes=2, speed=AT_ONCE)
    letters_begin = await ends_of(plant, DEAD_LETTERS)
    refused_before = await plant.counted("turnwatch_frames_refused_total")
    sent: dict[tuple[str, int, int], Reason] = {}

    async def intrude(batch: int, frames: list[Frame]) -> list[Frame]:
        if batch == 5:
            # Their partition has heard of this run's windows: they came before this batch.
            partition = await partition_of(plant, next(frame for frame in frames if frame.header.family is TURNS))
            minute_ms = plan.start_ms // 60_000 * 60_000
            sent.update(await send_bad(plant, list(bad_frames(minute_ms)), partition))
            sent.update(await send_garbled(plant, frames))
        return frames

    await send(plant, plan, intrude)
    await plant.settled()
    letters = await read_from(plant, DEAD_LETTERS, letters_begin)
    told = {
        (letter["topic"], letter["partition"], letter["offset"]): letter["reason"]
        for letter in map(json.loads, letters)
    }
    assert told == sent
    assert len(letters) == len(sent)
    assert not any(SECRET.encode() in letter for letter in letters)
    refused = await plant.counted("turnwatch_frames_refused_total")
    grown = {
        key: refused[key] - refused_before.get(key, 0) for key in refused if refused[key] != refused_before.get(key, 0)
    }
    assert grown == Counter((topic.removeprefix("aggregates."), reason.value) for (topic, _, _), reason in sent.items())
    assert compared(plant, plan) == []


async def test_a_worker_killed_twice_loses_nothing_and_doubles_nothing(plant: Plant, seed: int) -> None:
    plan = plant.plan(seed, minutes=5, speed=18)
    chance = Random(seed)
    shares = [chance.uniform(0.2, 0.4), chance.uniform(0.6, 0.8)]
    moments = {plan.start_ms + share * plan.duration_ms: asyncio.Event() for share in shares}

    def note(progress: Progress) -> None:
        for moment_ms, reached in moments.items():
            if progress.event_ms >= moment_ms:
                reached.set()

    sending = asyncio.create_task(send(plant, plan, on_progress=note))
    for reached in moments.values():
        await reached.wait()
        plant.kill_worker()
        await plant.start_worker()
    await sending
    await plant.settled()
    assert compared(plant, plan) == []


async def test_a_worker_that_was_away_takes_in_its_backlog_whole_even_when_killed_over_it(
    plant: Plant, seed: int
) -> None:
    """The backlog is longer than buckets are kept open, and comes in few large batches."""
    plan = plant.plan(seed, minutes=3, speed=AT_ONCE)
    plant.stop_worker()
    progress = await send(plant, plan)
    await plant.start_worker()
    enough = Random(seed).uniform(0.1, 0.7) * sum(progress.frames.values())
    while sum((await plant.counted("turnwatch_frames_applied_total")).values()) < enough:
        await asyncio.sleep(0.02)
    plant.kill_worker()
    await plant.start_worker()
    await plant.settled()
    assert compared(plant, plan) == []


async def test_decisions_go_on_without_clickhouse_and_its_rows_come_late_but_come(plant: Plant, seed: int) -> None:
    plan = plant.plan(seed, minutes=3, speed=20)
    gone = asyncio.Event()
    halfway_ms = plan.start_ms + plan.duration_ms // 2

    def note(progress: Progress) -> None:
        if progress.event_ms >= plan.start_ms + plan.duration_ms // 6:
            gone.set()

    worker = plant.worker
    begin = await ends_of(plant, BURNS)
    sending = asyncio.create_task(send(plant, plan, on_progress=note))
    await gone.wait()
    plant.stop_clickhouse()
    try:
        decided = await decision_from(plant, begin, halfway_ms)
        assert not plant.stack.clickhouse.is_healthy()
        assert decided.completeness > 0.5
        await sending
    finally:
        plant.start_clickhouse()
    await plant.settled()
    assert worker.process() is not None, "the worker did not outlive the outage"
    assert compared(plant, plan) == []


async def send_bad(plant: Plant, frames: list[BadFrame], partition: int) -> dict[tuple[str, int, int], Reason]:
    """Sends them as they are; where each came to lie, and why it must be refused."""
    producer = AIOKafkaProducer(**plant.kafka.aiokafka_options())
    await producer.start()
    try:
        places = [
            await producer.send_and_wait(
                aggregates(TURNS.name), frame.payload, key=b"intruder", partition=partition, headers=frame.headers
            )
            for frame in frames
        ]
    finally:
        await producer.stop()
    return {
        (place.topic, place.partition, place.offset): frame.reason for place, frame in zip(places, frames, strict=True)
    }


async def send_garbled(plant: Plant, frames: list[Frame]) -> dict[tuple[str, int, int], Reason]:
    """One frame of each family that the world has, damaged on its way. The same frame comes whole afterwards, and must be taken then."""
    producer = AIOKafkaProducer(**plant.kafka.aiokafka_options())
    await producer.start()
    sent = {}
    try:
        first = {frame.header.family.name: frame for frame in reversed(frames)}
        assert first.keys() >= {"turns", "stages", "streams", "heartbeats"}
        for name, frame in first.items():
            damaged = frame.payload[:-1] + bytes([frame.payload[-1] ^ 0xFF])
            place = await producer.send_and_wait(
                aggregates(name), damaged, key=frame.header.producer.encode(), headers=frame.headers
            )
            sent[place.topic, place.partition, place.offset] = Reason.CHECKSUM_MISMATCH
    finally:
        await producer.stop()
    return sent


async def partition_of(plant: Plant, frame: Frame) -> int:
    """Where the frames of this one's producer go."""
    producer = AIOKafkaProducer(**plant.kafka.aiokafka_options())
    await producer.start()
    try:
        topic = aggregates(frame.header.family.name)
        await producer.partitions_for(topic)
        return int(producer._partition(topic, None, None, None, frame.header.producer.encode(), None))
    finally:
        await producer.stop()


async def read_from(plant: Plant, topic: str, begin: dict[TopicPartition, int]) -> list[bytes]:
    """Everything that came to the topic since `begin`."""
    ends = await ends_of(plant, topic)
    consumer = AIOKafkaConsumer(**plant.kafka.aiokafka_options())
    await consumer.start()
    try:
        consumer.assign(list(begin))
        for partition, offset in begin.items():
            consumer.seek(partition, offset)
        found: list[bytes] = []
        while len(found) < sum(ends.values()) - sum(begin.values()):
            polled = await consumer.getmany(timeout_ms=500)
            found += [record.value for records in polled.values() for record in records]
        return found
    finally:
        await consumer.stop()


async def decision_from(plant: Plant, begin: dict[TopicPartition, int], decided_ms: int) -> Decision:
    """The first decision about `decided_ms` or later."""
    consumer = AIOKafkaConsumer(**plant.kafka.aiokafka_options())
    await consumer.start()
    try:
        consumer.assign(list(begin))
        for partition, offset in begin.items():
            consumer.seek(partition, offset)
        async for record in consumer:
            decision = Decision.model_validate_json(record.value)
            if decision.decided_ms >= decided_ms:
                return decision
    finally:
        await consumer.stop()
    raise AssertionError("a consumer ends only when it is stopped")


def test_the_oracle_recomputes_every_cut_of_the_families_that_are_judged() -> None:
    """Of heartbeats only what producers saw can be recomputed; the others have `tests/operators/test_family_rollups.py`."""
    declared = {
        (cut.partition == AUDIENCE.name, cut.dimensions)
        for name in ("turns", "stages", "streams")
        for cut in FAMILIES[name].cuts
    }
    assert declared == {(False, cut) for cut in CUTS} | {(True, cut) for cut in AUDIENCE_CUTS}
    assert {cut.dimensions for cut in FAMILIES["duplex"].cuts} == set(DUPLEX_CUTS)
