"""What lands in ClickHouse is what happened: real Kafka, a real worker process and the real engine against a batch.

Each run sends a small simulated fleet through one shared plant, in event time of its own, and compares every row of
every operational cut with a recomputation over all raw observations (`oracle.py`). Several tests may look at one run.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from random import Random

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from producers.collector import Frame
from producers.drive import Progress
from producers.simulation import Plan
from producers.transport import KafkaTransport
from schemas.burns import Decision
from schemas.families import AUDIENCE, FAMILIES, OPERATIONAL, TURNS
from schemas.rejections import Reason
from schemas.topics import BURNS, DEAD_LETTERS
from tests.integration.bad_frames import SECRET, bad_frames, partition_of, send_bad, send_garbled
from tests.integration.oracle import AUDIENCE_CUTS, CUTS, DUPLEX_CUTS
from tests.integration.plant import Plant
from tests.integration.runs import AT_ONCE, compared, drawn_seed, ends_of, happened, read_from, say_seed, send


@dataclass(frozen=True, slots=True)
class Landed:
    """What ClickHouse has of a run, compared with the batch: at first without one frame, then with it."""

    plan: Plan
    progress: Progress
    without_it: list[str]
    with_it: list[str]


@pytest.fixture(scope="module")
def landing(plant: Plant) -> Landed:
    """Three minutes of the fleet, of which one frame is withheld until everything else has landed.

    One region's collector has no Arrow.
    """
    return asyncio.run(_land(plant, plant.plan(drawn_seed(), minutes=3, speed=AT_ONCE)))


@pytest.fixture
def landed(landing: Landed) -> Landed:
    say_seed(landing.plan.seed)
    return landing


async def _land(plant: Plant, plan: Plan) -> Landed:
    chance = Random(plan.seed)
    unlucky = chance.randrange(8, 16)  # Its partition hears of nothing that is two minutes newer.
    withheld: list[Frame] = []

    async def withhold_one(batch: int, frames: list[Frame]) -> list[Frame]:
        if batch == unlucky:
            withheld.append(chance.choice([each for each in frames if _is_operational_turns(each)]))
        return [frame for frame in frames if frame not in withheld]

    progress = await send(plant, plan, withhold_one, without_arrow=["eu-west-1"])
    await plant.settled()
    assert len(withheld) == 1
    without_it = compared(plant, plan)
    async with KafkaTransport(plant.kafka) as transport:
        await transport.send(withheld)
    await plant.settled()
    return Landed(plan, progress, without_it, compared(plant, plan))


def _is_operational_turns(frame: Frame) -> bool:
    return frame.header.family is TURNS and frame.header.partition is OPERATIONAL


def test_every_table_equals_a_batch_over_all_observations(plant: Plant, landed: Landed) -> None:
    """Whether producers tell their rows in Arrow or as JSON."""
    world, progress = happened(landed.plan), landed.progress
    assert progress.turns == len(world.turns) > 2_000
    assert landed.with_it == []
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


def test_one_frame_that_has_not_reached_kafka_is_noticed(landed: Landed) -> None:
    """The comparison would be worthless otherwise: it names exactly the tables that the frame feeds, until it comes."""
    tables = [line.split(":")[0] for line in landed.without_it]
    assert tables == ["traffic_10s", "burn_rate_10s", "traffic_1m", "burn_rate_1m"]


@dataclass(frozen=True, slots=True)
class Disturbed:
    """A run with frames that came again and in disorder, and with bad ones among them.

    `repeats`: by family. `bad`: where each bad frame lies, and why it must be refused. `letters`: dead letters since it
    began. `counted`: how much the worker's counters grew.
    """

    plan: Plan
    repeats: Counter[str]
    bad: dict[tuple[str, int, int], Reason]
    letters: list[bytes]
    counted: dict[str, dict[tuple[str, ...], float]]
    wrong: list[str]


COUNTERS = ("turnwatch_frames_repeated_total", "turnwatch_frames_refused_total")


@pytest.fixture(scope="module")
def disturbance(plant: Plant) -> Disturbed:
    return asyncio.run(_disturb(plant, plant.plan(drawn_seed(), minutes=2, speed=AT_ONCE)))


@pytest.fixture
def disturbed(disturbance: Disturbed) -> Disturbed:
    say_seed(disturbance.plan.seed)
    return disturbance


async def _disturb(plant: Plant, plan: Plan) -> Disturbed:
    chance = Random(plan.seed)
    sent: list[Frame] = []
    repeats: Counter[str] = Counter()
    bad: dict[tuple[str, int, int], Reason] = {}

    async def disturb(batch: int, frames: list[Frame]) -> list[Frame]:
        if batch == 5:
            # Their partition has heard of this run's windows: they came before this batch.
            partition = await partition_of(plant.kafka, next(frame for frame in frames if frame.header.family is TURNS))
            bad.update(await send_bad(plant.kafka, list(bad_frames(plan.start_ms)), partition))
            bad.update(await send_garbled(plant.kafka, frames))
        again = chance.sample(sent, k=len(sent) // 4)
        sent.extend(frames)
        repeats.update(frame.header.family.name for frame in again)
        return chance.sample(frames + again, k=len(frames) + len(again))

    letters_begin = await ends_of(plant, DEAD_LETTERS)
    before = {name: await plant.counted(name) for name in COUNTERS}
    await send(plant, plan, disturb)
    await plant.settled()
    after = {name: await plant.counted(name) for name in COUNTERS}
    counted = {
        name: {labels: grown for labels in after[name] if (grown := after[name][labels] - before[name].get(labels, 0))}
        for name in COUNTERS
    }
    letters = await read_from(plant, DEAD_LETTERS, letters_begin)
    return Disturbed(plan, repeats, bad, letters, counted, compared(plant, plan))


def test_repeats_and_disorder_change_nothing_and_are_counted(disturbed: Disturbed) -> None:
    counted = disturbed.counted["turnwatch_frames_repeated_total"]
    assert disturbed.repeats
    assert counted == {(family,): count for family, count in disturbed.repeats.items()}
    assert disturbed.wrong == []


def test_bad_frames_are_told_apart_counted_and_harm_nobody(disturbed: Disturbed) -> None:
    told = {
        (letter["topic"], letter["partition"], letter["offset"]): letter["reason"]
        for letter in map(json.loads, disturbed.letters)
    }
    assert told == disturbed.bad
    assert len(disturbed.letters) == len(disturbed.bad)
    assert not any(SECRET.encode() in letter for letter in disturbed.letters)
    assert disturbed.counted["turnwatch_frames_refused_total"] == Counter(
        (topic.removeprefix("aggregates."), reason.value) for (topic, _, _), reason in disturbed.bad.items()
    )
    assert disturbed.wrong == []


async def test_a_worker_killed_twice_then_without_clickhouse_loses_nothing_and_doubles_nothing(
    plant: Plant, seed: int
) -> None:
    """The worker is killed twice. Then ClickHouse is gone: decisions go on without it, and its rows come late but come.

    What is decided without ClickHouse is about traffic that waits until it is gone.
    """
    plan = plant.plan(seed, minutes=4, speed=18)
    chance = Random(seed)
    shares = [chance.uniform(0.1, 0.3), chance.uniform(0.3, 0.5)]
    moments = {plan.start_ms + share * plan.duration_ms: asyncio.Event() for share in shares}
    has_gone, held_from = asyncio.Event(), 15

    def note(progress: Progress) -> None:
        for moment_ms, reached in moments.items():
            if progress.event_ms >= moment_ms:
                reached.set()

    async def hold(batch: int, frames: list[Frame]) -> list[Frame]:
        if batch == held_from:
            await has_gone.wait()
        return frames

    sending = asyncio.create_task(send(plant, plan, hold, on_progress=note))
    for reached in moments.values():
        await reached.wait()
        plant.kill_worker()
        await plant.start_worker()
    worker, begin = plant.worker, await ends_of(plant, BURNS)
    plant.stop_clickhouse()
    try:
        has_gone.set()
        decided = await decision_from(plant, begin, plan.start_ms + (held_from + 2) * 10_000)
        assert not plant.stack.clickhouse.is_healthy()
        assert decided.completeness > 0.5
        await sending
    finally:
        plant.start_clickhouse()
    await plant.settled()
    assert worker.process() is not None, "the worker did not outlive the outage"
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
