"""Stages address what they save: state of a source partition goes to that partition of the changelog and no other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.compute as pc
import pytest
from aiokafka import TopicPartition as TP
from prometheus_client import CollectorRegistry

from alerts.alertmanager import Alertmanagers
from alerts.explanations import Links, Paging
from schemas import spend
from schemas.families import COSTS, TURNS
from schemas.kafka import KafkaAddress
from schemas.metrics import WorkerMetrics
from schemas.partials import encode as partial_encode
from schemas.prices import Price, PriceList
from schemas.topics import CHANGELOGS, SPEND, aggregates, partials
from stream_jobs.agents import worker as workers
from stream_jobs.agents.application import ApplicationSettings, build
from stream_jobs.agents.exact import Outgoing, StageSettings
from stream_jobs.agents.intake import IntakeStage
from stream_jobs.agents.pager import Pager
from stream_jobs.agents.pulse import StageFailure
from stream_jobs.agents.worker import WorkerSettings, _stages
from stream_jobs.operators.totals.blocks import Block, body, unpack_rows
from stream_jobs.operators.totals.intake import Intake
from stream_jobs.operators.totals.opening import Record
from tests.operators.family_worlds import frame
from tests.operators.worlds import world

PARTITIONS = 3


def event_of(record: Record, topic: str = aggregates(TURNS.name)) -> Any:
    message = SimpleNamespace(
        topic=topic,
        partition=0,
        offset=record.offset,
        timestamp=record.append_ms / 1_000,
        headers=list(record.headers.items()),
        value=record.payload,
    )
    return SimpleNamespace(message=message)


def intake_stage(folder: Path) -> IntakeStage:
    app = build(ApplicationSettings(KafkaAddress("127.0.0.1:1"), PARTITIONS, data_dir=folder))
    stage = IntakeStage(app, PARTITIONS, StageSettings(), WorkerMetrics(CollectorRegistry()))
    stage.take_over({partition: {} for partition in range(PARTITIONS)})
    return stage


def apply(stage: IntakeStage, partition: int, records: Sequence[Record]) -> None:
    events = [event_of(record) for record in records]
    stage.prepared = asyncio.run(stage.prepare({(aggregates(TURNS.name), partition): events}))
    list(stage.apply(aggregates(TURNS.name), partition, events))


def test_every_block_of_intake_goes_to_the_changelog_of_its_own_partition(tmp_path: Path) -> None:
    """What one partition has applied, another must never restore."""
    stage, wanted = intake_stage(tmp_path), dict[int, dict[bytes, bytes | None]]()
    for partition in range(PARTITIONS):
        records = world(seed=partition).records
        apply(stage, partition, records)
        alone = Intake(TURNS, partition, PARTITIONS)
        alone.apply(records)
        wanted[partition] = {block.key: block.value for block in (*alone.unsaved_blocks(), *alone.marker())}

    phases = [
        [item for item in phase if item is not None and not isinstance(item, Outgoing)] for phase in stage.phases()
    ]
    sent = [item for phase in phases for item in phase]
    kinds = [{block.key.split(b"|")[1] for _, block in phase} for phase in phases]
    assert [each for each in kinds if each] == [{b"totals"}, {b"slices", b"fences", b"reach"}, {b"marker"}]
    for partition in range(PARTITIONS):
        of_turns = [block for to, block in sent if to == partition and block.key.startswith(b"turns|")]
        assert {block.key for block in of_turns} == set(wanted[partition])
        assert {block.key: rows_of(block) for block in of_turns if is_totals(block)} == {
            key: rows_of(Block(key, value)) for key, value in wanted[partition].items() if is_totals(Block(key, value))
        }


def test_what_intake_saves_and_tells_is_made_as_it_is_taken(tmp_path: Path) -> None:
    """Others of the loop have their turns between the items of a phase: once the first is made, the last partition's are not."""
    stage, records = intake_stage(tmp_path), world(seed=1).records
    for partition in (0, PARTITIONS - 1):
        apply(stage, partition, records)
    first, last = (stage._intakes[TURNS.name, partition] for partition in (0, PARTITIONS - 1))
    seen = set[str]()
    still_to_do = {
        "totals": last.unsaved_blocks,
        "fences": lambda: last.admissions.unsaved_pages(last.marked),
        "partials": last.telling,
    }
    for phase in stage.phases():
        for item in phase:
            kind = item.topic if isinstance(item, Outgoing) else item[1].key.decode().split("|")[1] if item else ""
            kind = "partials" if kind == partials(TURNS.name) else kind
            if kind in still_to_do and kind not in seen:
                seen.add(kind)
                assert list(still_to_do[kind]()), f"all {kind} were made before the first was taken"
                assert kind != "partials" or first.admissions.is_reach_changed, "the first partition's were all made"
    assert seen == set(still_to_do)


def test_what_was_used_leaves_a_worker_priced_by_its_list_before_state_is_saved(tmp_path: Path) -> None:
    sent = frame(COSTS, COSTS.partitions[0], 0, 0)
    bought = {(row["gpu_type"], row["purchase"]) for row in sent.rows}
    prices = PriceList(
        "test", tuple(Price("gpu_hour", Decimal(36), 0, gpu_type=gpu, purchase=how) for gpu, how in bought)
    )
    application = ApplicationSettings(KafkaAddress("127.0.0.1:1"), 1, data_dir=tmp_path)
    settings = WorkerSettings(application, StageSettings(), (), pager_of_nobody(), prices=prices)
    stages = _stages(build(application), settings, WorkerMetrics(CollectorRegistry()))
    (traffic,) = [each for each in stages if each.name == "traffic"]
    traffic.take_over({0: {}})
    intake = Intake(COSTS, 0, 1)
    intake.apply([sent.record])
    told = [partial_encode(partial) for _, partial in intake.unsent_partials()]
    topic = partials(COSTS.name)
    records = [Record(offset, 0, dict(headers), payload) for offset, (headers, payload) in enumerate(told)]
    list(traffic.apply(topic, 0, [event_of(record, topic) for record in records]))

    first, *later = [list(phase) for phase in traffic.phases()]
    outgoing = [item for item in first if isinstance(item, Outgoing)]
    (said,) = [spend.decode(dict(each.headers), each.value or b"") for each in outgoing if each.topic == SPEND]
    used_ms = sum(row["gpu_used_ms"] for row in sent.rows)
    assert pc.sum(said.cells["used_nusd"]).as_py() == used_ms * 10_000 > 0, "36 dollars an hour are 10 millionths a ms"
    (rows,) = [each for each in outgoing if ("tw-table", b"spend_10m") in each.headers]
    assert rows.partition == 0
    saved = [item[1] for phase in later for item in phase if isinstance(item, tuple)]
    assert any(block.key.startswith(b"costs|") for block in saved)


def test_partitions_that_came_without_their_state_are_named(tmp_path: Path) -> None:
    app = build(ApplicationSettings(KafkaAddress("127.0.0.1:1"), PARTITIONS, data_dir=tmp_path))
    stage = IntakeStage(app, PARTITIONS, StageSettings(), WorkerMetrics(CollectorRegistry()))
    stage.take_over({0: {}, 2: {}})
    assigned = {TP(aggregates(TURNS.name), 0), TP(aggregates(TURNS.name), 1), TP(partials(TURNS.name), 1)}
    assert stage.without_state(assigned) == [f"{aggregates(TURNS.name)}[1]"]


def test_every_changelog_is_made_before_a_worker_starts(tmp_path: Path) -> None:
    """A worker that meets Kafka before its changelogs do would own nothing, and say nothing."""
    metrics, pager = WorkerMetrics(CollectorRegistry()), pager_of_nobody()
    application = ApplicationSettings(KafkaAddress("127.0.0.1:1"), PARTITIONS, data_dir=tmp_path)
    app = build(application)
    _stages(app, WorkerSettings(application, StageSettings(), (), pager), metrics)
    tables = {table.changelog_topic.get_topic_name(): table.partitions for table in app.tables.values()}
    assert tables == {spec.name: spec.partitions or PARTITIONS for spec in CHANGELOGS}
    for spec in CHANGELOGS:
        assert spec.config()["cleanup.policy"] == "compact"


def pager_of_nobody() -> Pager:
    links = Links("https://runbooks.example/", "https://boards.example/")
    return Pager(Alertmanagers([]), Paging({}, links), WorkerMetrics(CollectorRegistry()))


def is_totals(block: Block) -> bool:
    return b"|totals|" in block.key


def rows_of(block: Block) -> list[tuple[Any, ...]]:
    assert block.value is not None
    rows = unpack_rows(body(block.value), TURNS.measure_names)
    return sorted(rows.select(sorted(rows.columns)).rows())


async def test_a_worker_that_owns_nothing_of_what_it_was_assigned_ends_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "SILENT_MAX_S", 0.0)
    app = build(ApplicationSettings(KafkaAddress("127.0.0.1:1"), PARTITIONS, data_dir=tmp_path))
    stage = IntakeStage(app, PARTITIONS, StageSettings(), WorkerMetrics(CollectorRegistry()))
    assigned = SimpleNamespace(assignment=lambda: {TP(aggregates(TURNS.name), 1)})
    settled: Any = SimpleNamespace(rebalancing=False, in_recovery=False, consumer=assigned)
    with pytest.raises(StageFailure, match=rf"without their state.*{aggregates(TURNS.name)}\[1\].*turnwatch prepare"):
        await asyncio.wait_for(workers._watch_ownership(settled, [stage]), timeout=30)
