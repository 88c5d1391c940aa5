"""The cost stage between two saves: what it says, what it passes over, and what a successor takes up."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from schemas.failures import Foreseen
from schemas.findings import Findings, decode
from schemas.instants import HOUR_MS
from schemas.kafka import KafkaAddress
from schemas.metrics import WorkerMetrics
from schemas.spend import SPEND_FORMAT, SPEND_HEADER, Spend, encode
from schemas.topics import CHANGELOGS, DEAD_LETTERS, FINDINGS, SPEND, changelog
from stream_jobs.agents.application import ApplicationSettings, build
from stream_jobs.agents.cost import CostStage
from stream_jobs.agents.exact import Outgoing, StageSettings
from stream_jobs.operators.cost.spend_hours import OPEN_MS
from stream_jobs.operators.totals.blocks import key_kind
from tests.operators.spend_worlds import MONDAY_MS, POLICY, Row, hour_of, hours, spend


class Desk:
    """The stage on an application that leads nowhere, and its changelog as somebody would find it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.changelog: dict[bytes, bytes] = {}
        self.offset = 0
        self.start()

    def start(self) -> None:
        """A process that takes over what is saved."""
        self.registry = CollectorRegistry()
        app = build(ApplicationSettings(KafkaAddress("127.0.0.1:1"), 1, data_dir=self.folder))
        self.stage = CostStage(app, 1, StageSettings(), WorkerMetrics(self.registry), POLICY)
        self.stage.take_over({0: dict(self.changelog)})

    def hear(self, *said: Spend) -> None:
        for each in said:
            for headers, payload in encode(each):
                self.take_in(headers, payload)

    def take_in(self, headers: Iterable[tuple[str, bytes]], payload: bytes) -> None:
        message = SimpleNamespace(topic=SPEND, partition=0, offset=self.offset, headers=list(headers), value=payload)
        self.offset += 1
        event: Any = SimpleNamespace(message=message)
        list(self.stage.apply(SPEND, 0, [event]))

    def save(self, phases: int = 3) -> list[Outgoing]:
        """One save, of which so many phases land; what it sent."""
        sent = []
        for _, phase in zip(range(phases), self.stage.phases(), strict=False):
            for item in phase:
                if isinstance(item, Outgoing):
                    sent.append(item)
                elif item[1].value is None:
                    self.changelog.pop(item[1].key, None)
                else:
                    self.changelog[item[1].key] = item[1].value
        return sent

    def said(self, phases: int = 3) -> list[Findings]:
        return [decode(item.value or b"") for item in self.save(phases) if item.topic == FINDINGS]

    def counter(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def failing(row: Row) -> Row:
    return row | {"successes": 0} if row["route"] == "sales" else row


def test_what_holds_is_said_with_every_decided_bucket_and_again_by_a_successor(desk: Desk) -> None:
    desk.hear(*hours(MONDAY_MS, 3, failing))
    first = desk.said()
    assert [[found.alert for found in each.findings] for each in first] == [[], [], ["CostWithoutSuccess"]]
    assert desk.said() == []
    desk.start()
    desk.hear(spend(MONDAY_MS + 3 * HOUR_MS + 600_000, []))
    (again,) = desk.said()
    assert again.findings == first[-1].findings
    assert again.decided_ms == MONDAY_MS + 3 * HOUR_MS + 600_000
    assert desk.counter("turnwatch_watermark_timestamp_seconds", question="cost", shard="0") == again.decided_ms / 1_000


def test_a_crash_before_state_is_saved_says_it_again(desk: Desk) -> None:
    desk.hear(*hours(MONDAY_MS, 3, failing))
    said = desk.said(phases=1)
    desk.start()
    desk.hear(*hours(MONDAY_MS, 3, failing))
    assert desk.said() == said


def test_what_is_no_statement_goes_to_the_dead_letters_and_the_others_count(desk: Desk) -> None:
    ((headers, payload),) = encode(spend(MONDAY_MS + HOUR_MS, hour_of(MONDAY_MS)))
    ((of_nobody, _),) = encode(spend(MONDAY_MS + HOUR_MS, [], shard=7))
    for wrong in ((headers, b"{"), ((), payload), (of_nobody, payload)):
        desk.take_in(*wrong)
    desk.hear(*hours(MONDAY_MS, 1))
    sent = desk.save()
    letters = [json.loads(item.value or b"") for item in sent if item.topic == DEAD_LETTERS]
    assert [(letter["topic"], letter["reason"], letter["offset"]) for letter in letters] == [
        (SPEND, "undecodable", place) for place in range(3)
    ]
    assert [item.topic for item in sent if item.topic == FINDINGS] == [FINDINGS]


def test_a_newer_format_ends_the_worker(desk: Desk) -> None:
    ((headers, payload),) = encode(spend(MONDAY_MS + HOUR_MS, []))
    newer = json.loads(dict(headers)[SPEND_HEADER]) | {"format": SPEND_FORMAT + 1}
    with pytest.raises(Foreseen, match="deploy the newer"):
        desk.take_in([(SPEND_HEADER, json.dumps(newer).encode())], payload)


def test_what_comes_too_late_is_counted(desk: Desk) -> None:
    desk.hear(*hours(MONDAY_MS, OPEN_MS // HOUR_MS + 2))
    desk.hear(spend(MONDAY_MS + HOUR_MS, [row | {"version": 9} for row in hour_of(MONDAY_MS)]))
    assert desk.counter("turnwatch_rows_too_late_total", question="cost", family="costs") == 3


def test_its_changelog_is_made_before_a_worker_starts_and_its_blocks_say_what_they_hold(desk: Desk) -> None:
    assert {each.name: each.partitions for each in CHANGELOGS}[changelog("cost")] == 1
    desk.hear(*hours(MONDAY_MS, OPEN_MS // HOUR_MS + 2))
    desk.save()
    assert {key_kind(key) for key in desk.changelog} == {"bucket", "hour", "day", "judged"}
