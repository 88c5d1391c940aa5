"""After a rebalance reading begins where it has to, also where nobody has committed; a gap right there is seen.

So is one that retention made, and a log that ends before what was judged of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from prometheus_client import CollectorRegistry

from schemas.families import TURNS
from schemas.kafka import KafkaAddress
from schemas.metrics import WorkerMetrics
from schemas.topics import partials
from stream_jobs.agents.application import ApplicationSettings, build
from stream_jobs.agents.block_tables import BlockStore
from stream_jobs.agents.exact import StageSettings
from stream_jobs.agents.positions import Beginning, RewindingConsumer
from stream_jobs.agents.pulse import StageFailure
from stream_jobs.agents.traffic import TrafficStage

TOPIC = partials(TURNS.name)
COMMITTED, NEW, TRUNCATED = TP(TOPIC, 0), TP(TOPIC, 1), TP(TOPIC, 2)
END = 100
CHANGELOG = TP("turnwatch-traffic-changelog", 0)


class Broker:
    """What the consumer's thread would ask of Kafka, and what it was told to seek."""

    def __init__(self) -> None:
        self.sought: dict[TP, int] = {}
        self.asked_ends: set[TP] = set()

    async def seek_to_committed(self) -> Mapping[TP, int | None]:
        return {COMMITTED: 40, NEW: None, TRUNCATED: 5, CHANGELOG: None}

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        return {tp: 9 if tp is TRUNCATED else 0 for tp in partitions}

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        self.asked_ends |= set(partitions)
        return dict.fromkeys(partitions, END)

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        self.sought |= partitions


@pytest.fixture
def stage(tmp_path: Path) -> TrafficStage:
    return made(tmp_path)


def made(folder: Path, accept_gaps: bool = False) -> TrafficStage:
    app = build(ApplicationSettings(KafkaAddress("127.0.0.1:1"), 3, data_dir=folder))
    settings = StageSettings(accept_gaps=accept_gaps)
    stage = TrafficStage(app, 3, settings, WorkerMetrics(CollectorRegistry()), capacity=None)
    app.consumer._thread = Broker()  # type: ignore[attr-defined]  # Faust's own name
    app.consumer.stop_flow()
    stage.take_over({0: {}, 1: {}, 2: {}})
    return stage


async def recovered(stage: TrafficStage, marked: int) -> None:
    """A stage that has read its changelog to the end, and whose state has judged partition 0 up to `marked`."""
    stage.marked = lambda topic, partition: marked if partition == 0 else -1  # type: ignore[method-assign]
    store: Any = BlockStore(
        "memory://", stage._app, stage._table, table_name=stage.name, key_type=bytes, value_type=bytes
    )
    await store.on_recovery_completed({CHANGELOG}, set())


def gone(stage: TrafficStage, topic: str) -> float:
    return float(stage._metrics.records_gone.labels(stage.name, topic)._value.get())


def consumer_of(stage: TrafficStage) -> RewindingConsumer:
    consumer = stage._app.consumer
    assert isinstance(consumer, RewindingConsumer)
    return consumer


def hear(stage: TrafficStage, tp: TP, offset: int) -> None:
    generation = stage._app.consumer_generation_id
    message = SimpleNamespace(
        topic=tp.topic, partition=tp.partition, offset=offset, generation_id=generation, value=b""
    )
    event: Any = SimpleNamespace(message=message)
    stage._accept(event)


def heard(stage: TrafficStage) -> list[tuple[int, int]]:
    return [(event.message.partition, event.message.offset) for event in stage._pending]


async def test_a_partition_that_nobody_has_committed_is_read_from_its_beginning(stage: TrafficStage) -> None:
    """Faust would go on from wherever it was when it dropped what it had fetched."""
    consumer = consumer_of(stage)
    await consumer.seek_to_committed()
    thread: Any = consumer._thread
    assert thread.sought == {NEW: 0}
    begins = [Beginning(40, 0), Beginning(0, 0), Beginning(5, 9)]
    assert [consumer.begins(tp) for tp in (COMMITTED, NEW, TRUNCATED)] == begins


async def test_what_comes_before_the_seek_is_left_for_after_it(stage: TrafficStage) -> None:
    hear(stage, COMMITTED, 43)
    assert heard(stage) == []
    await consumer_of(stage).seek_to_committed()
    for offset in (40, 41, 42, 43):
        hear(stage, COMMITTED, offset)
    assert heard(stage) == [(0, offset) for offset in (40, 41, 42, 43)]


@pytest.mark.parametrize(("tp", "first"), [(COMMITTED, 41), (NEW, 1), (TRUNCATED, 6)])
async def test_a_gap_right_at_the_beginning_ends_the_worker(stage: TrafficStage, tp: TP, first: int) -> None:
    await consumer_of(stage).seek_to_committed()
    with pytest.raises(StageFailure, match=f"went from offset {first - 2} to {first}"):
        hear(stage, tp, first)


async def test_what_retention_removed_unread_ends_the_worker(stage: TrafficStage) -> None:
    """Partials of buckets that intake has closed are never stated anew."""
    await consumer_of(stage).seek_to_committed()
    with pytest.raises(StageFailure, match=r"went from offset 4 to 9: .*--accept-gap"):
        hear(stage, TRUNCATED, 9)


async def test_a_gap_that_an_operator_accepts_is_said_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stage = made(tmp_path, accept_gaps=True)
    await consumer_of(stage).seek_to_committed()
    for offset in (9, 10, 14):
        hear(stage, TRUNCATED, offset)
    assert heard(stage) == [(2, 9), (2, 10), (2, 14)]
    assert gone(stage, TOPIC) == (9 - 5) + (14 - 11)
    assert "traffic goes on at partials.turns[2] offset 9 without the 4 before it" in caplog.text


async def test_what_is_told_anew_needs_nothing_that_retention_removed_and_counts_it(tmp_path: Path) -> None:
    stage = made(tmp_path)
    stage.is_told_anew = True  # type: ignore[misc]  # As incidents are.
    await consumer_of(stage).seek_to_committed()
    hear(stage, TRUNCATED, 9)
    assert heard(stage) == [(2, 9)]
    assert gone(stage, TOPIC) == 9 - 5
    with pytest.raises(StageFailure, match="went from offset 9 to 11"):
        hear(stage, TRUNCATED, 11)


@pytest.mark.parametrize("marked", [-1, 0, END - 1])
async def test_state_that_has_judged_what_kafka_has_goes_on(stage: TrafficStage, marked: int) -> None:
    await recovered(stage, marked)
    stage.surprise.check()
    asked: Any = consumer_of(stage)._thread
    assert (COMMITTED in asked.asked_ends) == (marked >= 0), "where nothing is judged there is nothing to ask"


@pytest.mark.parametrize("marked", [END, END + 400])
async def test_state_that_has_judged_more_than_kafka_has_ends_the_worker(stage: TrafficStage, marked: int) -> None:
    """The topic was made anew: what comes below the marker would be taken for judged, without a word."""
    await recovered(stage, marked)
    with pytest.raises(StageFailure, match=rf"\[0\] ends before offset {END}, .* up to {marked}: .*turnwatch prepare"):
        stage.surprise.check()


async def test_a_seek_of_an_earlier_generation_says_nothing(stage: TrafficStage) -> None:
    await consumer_of(stage).seek_to_committed()
    stage._app.consumer_generation_id += 1
    assert consumer_of(stage).begins(COMMITTED) is None


async def test_records_that_flow_without_a_seek_end_the_worker(stage: TrafficStage) -> None:
    consumer_of(stage).resume_flow()
    with pytest.raises(StageFailure, match=f"{TOPIC}.0. flows without having been sought"):
        hear(stage, COMMITTED, 40)
