"""What a log promises, kept by the logs in memory of `tests.worlds` and `tests.operators` and by a real broker alike."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import MessageSizeTooLargeError

from schemas.topics import TopicSpec, aggregates
from stack.kafka import KafkaBroker
from stream_jobs.operators.totals.blocks import Block, stamped
from tests.contracts.logs import COMPACTS_SOON, KafkaLogs, Logs, MemoryLogs, Stored, Write, recovered
from tests.operators.worlds import Changelog
from tests.worlds.logs import Cluster
from tests.worlds.plant import run
from tests.worlds.sendings import Disturbance, Fault, World

SEED = 20_261_121
PARTITIONS = 3
AGGREGATES = TopicSpec(aggregates("turns"), "as every topic of frames", timestamps="LogAppendTime").config()

Open = Callable[..., Awaitable[Logs]]


@pytest.fixture(params=["memory", "kafka"])
def open_logs(request: pytest.FixtureRequest) -> Open:
    """Opens a new topic, with a broker's settings for it."""
    if request.param == "memory":

        async def remember(partitions: int = 1, **_: str) -> Logs:
            return MemoryLogs(partitions)

        return remember
    broker: KafkaBroker = request.getfixturevalue("kafka_broker")

    async def create(partitions: int = 1, **configs: str) -> Logs:
        logs = KafkaLogs(broker.bootstrap)
        await logs.create(partitions, **configs)
        return logs

    return create


def numbered(count: int, partition: int = 0) -> list[Write]:
    return [Write(b"host-1", b"%d" % number, partition=partition) for number in range(count)]


async def test_offsets_count_from_zero_without_gaps_in_every_partition(open_logs: Open) -> None:
    logs = await open_logs(PARTITIONS)
    dice = random.Random(SEED)
    for _ in range(3):
        await logs.send([Write(value=b"x", partition=dice.randrange(PARTITIONS)) for _ in range(20)])
    found = [[record.offset for record in await logs.read(partition)] for partition in range(PARTITIONS)]
    assert found == [list(range(len(offsets))) for offsets in found]
    assert sum(map(len, found)) == 60 and all(found)


async def test_what_one_sender_sends_lands_in_its_order_though_it_waits_for_nothing(open_logs: Open) -> None:
    logs = await open_logs(PARTITIONS)
    dice = random.Random(SEED)
    writes = [Write(value=b"%d" % number, partition=dice.randrange(PARTITIONS)) for number in range(300)]
    await logs.send(writes)
    for partition in range(PARTITIONS):
        sent = [each.value for each in writes if each.partition == partition]
        assert [record.value for record in await logs.read(partition)] == sent


async def test_a_log_can_be_read_again_from_any_offset(open_logs: Open) -> None:
    logs = await open_logs()
    await logs.send(numbered(9))
    whole = await logs.read()
    assert [await logs.read(first=first) for first in range(10)] == [whole[first:] for first in range(10)]


async def test_keys_values_and_headers_come_back_byte_by_byte(open_logs: Open) -> None:
    """A tombstone is no empty value, no key no empty key; a header may come twice, be empty, or be no text."""
    headers = (("tw-family", b"turns"), ("odd", bytes(range(256))), ("tw-family", b""), ("", b"\x00"))
    writes = [
        Write(b"key", b"value", headers),
        Write(b"", b"", ()),
        Write(b"key", None, headers[::-1]),
        Write(None, bytes(range(256)), ()),
    ]
    logs = await open_logs()
    await logs.send(writes)
    assert [(one.key, one.value, one.headers) for one in await logs.read()] == [
        (each.key, each.value, each.headers) for each in writes
    ]


async def test_frames_have_the_time_at_which_the_log_took_them_in_whatever_their_sender_claims(open_logs: Open) -> None:
    logs = await open_logs(**AGGREGATES)
    before_ms = logs.clock_ms()
    for claimed_ms in (before_ms + 3_600_000, before_ms - 3_600_000, 1):
        await logs.send([Write(value=b"frame", claimed_ms=claimed_ms)])
    taken_ms = [record.append_ms for record in await logs.read()]
    assert len(taken_ms) == 3 and taken_ms == sorted(taken_ms)
    assert before_ms <= taken_ms[0] and taken_ms[-1] <= logs.clock_ms()


# -- groups ------------------------------------------------------------------------------------------------------------


async def test_a_group_that_has_committed_nothing_begins_at_the_first_record(open_logs: Open) -> None:
    logs = await open_logs()
    await logs.send(numbered(4))
    member = await logs.join()
    assert await member.unread() == [0, 1, 2, 3]
    await member.leave()


async def test_the_next_one_reads_from_what_was_committed_also_where_that_went_back(open_logs: Open) -> None:
    """What was read and not committed comes again; the last word counts, and not the largest."""
    logs = await open_logs()
    await logs.send(numbered(5))
    for offset in (3, 5, 1):
        member = await logs.join()
        await member.unread()
        await member.commit(offset)
        await member.leave()
        following = await logs.join()
        assert await logs.committed() == offset
        assert await following.unread() == list(range(offset, 5))
        await following.leave()


async def test_who_is_of_an_older_generation_commits_nothing(open_logs: Open) -> None:
    logs = await open_logs()
    await logs.send(numbered(5))
    async with AsyncExitStack() as leaving:
        older = await logs.join()
        leaving.push_async_callback(older.leave)
        await older.commit(2)
        newer = await logs.join()
        leaving.push_async_callback(newer.leave)
        await older.commit(4)
        assert await logs.committed() == 2
        await newer.commit(3)
        assert await logs.committed() == 3


# -- changelogs --------------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def busy_cleaner(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """The shared broker's cleaner looks for work all the time, and as seldom as before after the test."""
    if "kafka" not in request.node.callspec.params.values():
        yield
        return
    broker: KafkaBroker = request.getfixturevalue("kafka_broker")
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        for configs in ({"log.cleaner.backoff.ms": "100"}, {}):
            (_, *altered) = await admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, "1", configs)])
            assert [code for answer in altered for code, *_ in answer.resources] == [0]
            if configs:
                yield
    finally:
        await admin.close()


@pytest.mark.usefixtures("busy_cleaner")
async def test_compaction_keeps_the_last_write_of_each_key_with_its_offset_tombstones_included(open_logs: Open) -> None:
    """The last in the log, whatever it says; and never by what is too young to be compacted itself."""
    logs = await open_logs(**COMPACTS_SOON)
    blocks = [Block(b"expired", stamped(0, b"")), Block(b"expired", None), *told(SEED)]
    writes = [written(block, claimed_ms=logs.clock_ms() + 10 * at) for at, block in enumerate(blocks)]
    for each in writes:
        await logs.send([each])
    *old, young = await logs.read()
    last = {record.key: record.offset for record in old}
    wanted = [record for record in old if last[record.key] == record.offset]
    found = await logs.compacted(count=len(wanted) + 1)
    assert [without_time(one) for one in found] == [without_time(one) for one in (*wanted, young)]
    assert (b"expired", None) in [(one.key, one.value) for one in wanted] and len(found) < len(writes)


@pytest.mark.usefixtures("busy_cleaner")
async def test_what_grew_in_the_order_of_the_log_is_recovered_alike_before_and_after_compaction(
    open_logs: Open,
) -> None:
    logs = await open_logs(**COMPACTS_SOON)
    blocks = told(SEED, late_share=0.0)
    for at, block in enumerate(blocks):
        await logs.send([written(block, claimed_ms=logs.clock_ms() + 10 * at)])
    before = recovered(await logs.read())
    keys = {block.key for block in blocks[:-1]}
    assert recovered(await logs.compacted(count=len(keys) + 1)) == before == kept(blocks)


@pytest.mark.parametrize("seed", range(SEED, SEED + 4))
async def test_a_whole_changelog_gives_the_block_with_the_highest_offset_though_a_zombie_wrote_late(
    open_logs: Open, seed: int
) -> None:
    blocks = told(seed)
    logs = await open_logs()
    await logs.send([written(block) for block in blocks])
    assert recovered(await logs.read()) == kept(blocks)


@pytest.mark.parametrize("seed", range(SEED, SEED + 4))
def test_the_changelog_of_the_operators_tests_holds_what_a_stage_would_recover(seed: int) -> None:
    blocks = told(seed)
    changelog = Changelog()
    for block in blocks:
        changelog.write(block)
    assert changelog.stored == kept(blocks)


def told(seed: int, late_share: float = 0.3, count: int = 40) -> list[Block]:
    """Blocks of a few keys, some expired; a share of them older than what was written before."""
    dice = random.Random(seed)
    blocks = []
    for number in range(count):
        key = b"bucket %d" % dice.randrange(6)
        offset = count + number - dice.randrange(1, count) * (dice.random() < late_share)
        body = None if dice.random() < 0.2 else stamped(offset, b"written as %d" % number)
        blocks.append(Block(key, body))
    return blocks


def kept(blocks: Iterable[Block]) -> dict[bytes, bytes]:
    """By key, since its last tombstone the block with the highest offset; the last written of equal ones."""
    lives: dict[bytes, list[bytes]] = {}
    for block in blocks:
        lives[block.key] = [*lives.get(block.key, []), block.value] if block.value is not None else []
    return {key: max(reversed(life), key=offset_of) for key, life in lives.items() if life}


def offset_of(value: bytes) -> int:
    """The offset in front of a block, read without the code that wrote it: after a byte of format, one too high."""
    return int.from_bytes(value[1:9], "big") - 1


def written(block: Block, claimed_ms: int | None = None) -> Write:
    return Write(block.key, block.value, claimed_ms=claimed_ms)


def without_time(record: Stored) -> tuple[object, ...]:
    return record.offset, record.key, record.value, record.headers


# -- limits ------------------------------------------------------------------------------------------------------------


async def test_a_message_above_the_limit_is_refused_and_leaves_no_gap(kafka_broker: KafkaBroker) -> None:
    """Logs in memory refuse nothing. That what workers write there stays below the limit is the next claim."""
    logs = KafkaLogs(kafka_broker.bootstrap)
    await logs.create(1)
    await logs.send(numbered(1))
    with pytest.raises(MessageSizeTooLargeError):
        await logs.send([Write(value=random.Random(SEED).randbytes(1_100_000))])
    await logs.send(numbered(1))
    assert [(record.offset, record.value) for record in await logs.read()] == [(0, b"0"), (1, b"0")]


@pytest.fixture(scope="module")
def lived() -> Cluster:
    """The logs that a world of workers left behind, one of which was killed and one expelled."""
    faults = (Fault("kill", 60), Fault("stall", 150), Fault("join", 200))
    disturbances = (Disturbance("delayed", 1, 9), Disturbance("repeated", 3), Disturbance("corrupted", 5))
    return run(World(SEED, 2, 2, (10, 150, 7_200, 60), disturbances=disturbances, faults=faults, workers=2)).cluster


async def test_whatever_workers_wrote_in_memory_a_broker_takes_and_gives_back(
    kafka_broker: KafkaBroker, lived: Cluster
) -> None:
    topics = sorted({topic for topic, _ in lived.logs})
    assert len(topics) > 8
    for topic in topics:
        logs = KafkaLogs(kafka_broker.bootstrap)
        logs.topic = f"{logs.topic}-{topic}"
        await logs.create(2)
        places = [place for place in sorted(lived.logs) if place[0] == topic]
        writes = [
            Write(one.key, one.value, one.headers, partition)
            for _, partition in places
            for one in lived.logs[topic, partition]
        ]
        await logs.send(writes)
        for place in places:
            found = [(one.offset, one.key, one.value, one.headers) for one in await logs.read(place[1])]
            assert found == [(at, one.key, one.value, one.headers) for at, one in enumerate(lived.logs[place])]
