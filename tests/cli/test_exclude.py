"""Exclusions: what cannot be meant is a sentence, every event is kept, and each is a row once."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.exclusions import Exclusion, decode, newest, rows
from schemas.failures import BadInput, Foreseen, Undecodable
from schemas.kafka import KafkaAddress
from schemas.topics import EXCLUSIONS
from tests.landed import landed
from turnwatch.exclude import run_exclude_add, run_exclude_list, run_exclude_withdraw
from turnwatch.exclusion_words import declared, known_id, withdrawn

NOW_MS = 1_790_000_040_000
"""2026-09-21T14:14:00Z."""
MEANT = {
    "slo": "turn-4000ms-realtime",
    "slice_text": "pool=realtime,region=eu-west-1",
    "begins": "2026-09-20T12:00Z",
    "ends": "2026-09-20T14:30:00+02:00",
    "who": "ana",
    "why": "failover drill",
}


def event(**changed: str) -> Exclusion:
    meant: dict[str, Any] = MEANT | changed
    return declared(**meant, now_ms=NOW_MS)


def test_what_is_meant_becomes_an_event() -> None:
    told = event()
    assert (told.to_ms - told.from_ms, told.action, told.at_ms) == (30 * 60_000, "declared", NOW_MS)
    assert decode(told.encode()) == told


def test_a_window_has_one_identity_however_it_is_written() -> None:
    other = event(slice_text="region=eu-west-1,pool=realtime", begins="2026-09-20T14:00:00+02:00", who="ben")
    assert (other.id, other.slice) == (event().id, event().slice)
    assert event(slo="all").id != event().id != event(ends="2026-09-20T14:31:00+02:00").id


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"slo": "turn-4000ms-realtim"}, "There is no SLO 'turn-4000ms-realtim': did you mean turn-4000ms-realtime?"),
        ({"slice_text": "eu-west-1"}, "'eu-west-1' is no slice"),
        ({"slice_text": "pool=realtime,pool=batch"}, "names a dimension twice"),
        ({"slice_text": "pool=realtime,regoin=eu-west-1"}, "There is no dimension 'regoin': did you mean region?"),
        ({"slice_text": "region=Europe"}, "'Europe' is no region"),
        ({"slice_text": "pool=batch"}, "No turn of pool batch is charged to turn-4000ms-realtime"),
        ({"slice_text": "region=eu-west-1,language=de"}, "Nothing is counted by region, language together"),
        ({"begins": "2026-09-20T12:00"}, "--from '2026-09-20T12:00' is no time with a zone"),
        ({"ends": "tomorrow"}, "--to 'tomorrow' is no time with a zone"),
        ({"begins": "2026-09-20T12:00:30Z"}, "is no whole minute"),
        ({"ends": "2026-09-20T12:00Z"}, "The window ends before it begins"),
        ({"ends": "2026-09-19T12:00Z"}, "The window ends before it begins"),
        ({"begins": "2026-05-01T00:00Z"}, "The window is 143 days long"),
        ({"begins": "2026-05-01T00:00Z", "ends": "2026-05-02T00:00Z"}, "ended more than 95 days ago"),
        ({"begins": "2027-09-01T00:00Z", "ends": "2027-09-02T00:00Z"}, "ends more than 305 days ahead"),
        ({"who": " "}, "--who is empty"),
        ({"why": ""}, "--why is empty"),
        ({"why": "two\nlines"}, "--why has to be one line"),
        ({"who": "a" * 101}, "--who has to be one line of at most 100 characters"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence(changed: dict[str, str], told: str) -> None:
    with pytest.raises(BadInput) as refused:
        event(**changed)
    assert told in str(refused.value)
    assert str(refused.value).endswith((".", "?"))


def test_the_newest_event_of_an_id_counts() -> None:
    first, other = event(), event(slo="all")
    back = withdrawn(first, "ben", "wrong region", NOW_MS + 1)
    again = first.model_copy(update={"at_ms": NOW_MS + 2})
    assert newest([first, other]) == {first.id: first, other.id: other}
    assert newest([first, other, back]) == {first.id: back, other.id: other}
    assert newest([back, first, other]) == {first.id: back, other.id: other}, "the latest, not the last told"
    assert newest([first, other, back, again]) == {first.id: again, other.id: other}
    with pytest.raises(BadInput, match=f"did you mean {first.id}"):
        known_id(first.id[:-1] + "x", newest([first]))
    with pytest.raises(BadInput, match="--why is empty"):
        withdrawn(first, "ben", "", NOW_MS)


@pytest.mark.parametrize(
    "changed",
    [{"to_ms": 30_000}, {"from_ms": 2**60}, {"who": ""}, {"why": "a\x1b[2J"}, {"action": "undone"}, {"slice": "eu"}],
)
def test_what_is_no_event_is_not_read(changed: dict[str, Any]) -> None:
    with pytest.raises(Undecodable):
        decode(json.dumps(event().model_dump() | changed).encode())


def test_an_event_of_a_newer_format_stops_whoever_reads_it() -> None:
    with pytest.raises(Foreseen, match="format 2") as refused:
        decode(json.dumps(event().model_dump() | {"format": 2}).encode())
    assert not isinstance(refused.value, Undecodable)


def test_every_event_is_a_row() -> None:
    told = [event(), withdrawn(event(), "ben", "wrong region", NOW_MS + 1)]
    table = rows(told).to_pylist()
    assert [(row["action"], row["who"], row["version"]) for row in table] == [
        ("declared", "ana", NOW_MS),
        ("withdrawn", "ben", NOW_MS + 1),
    ]
    assert {row["cut"] for row in table} == {"pool,region"}


@pytest.fixture
def kafka(kafka: KafkaAddress, monkeypatch: pytest.MonkeyPatch) -> KafkaAddress:
    """The same Kafka, as the settings have it."""
    monkeypatch.setenv("TURNWATCH_KAFKA__BOOTSTRAP", kafka.bootstrap)
    return kafka


async def test_events_are_told_listed_and_withdrawn(kafka: KafkaAddress, capsys: pytest.CaptureFixture[str]) -> None:
    today = datetime.now(UTC).date().isoformat()
    window = ("all", "pool=batch", f"{today}T12:00Z", f"{today}T13:00Z")

    async def said(run: Any, *arguments: str) -> str:
        assert await asyncio.to_thread(run, *arguments) == 0
        return capsys.readouterr().out.strip()

    first = await said(run_exclude_add, *window, "ana", "drill")
    assert await said(run_exclude_add, *window, "cleo", "the same drill") == first
    assert await said(run_exclude_withdraw, first, "ben", "wrong pool") == first
    listed = json.loads(await said(run_exclude_list, "json"))
    assert [(each["id"], each["action"], each["who"]) for each in listed] == [
        (first, "declared", "ana"),
        (first, "withdrawn", "ben"),
    ]
    assert [
        (row["id"], row["action"], row["who"])
        for row in sorted(await landed(kafka, EXCLUSIONS), key=lambda row: row["at"])
    ] == [
        (first, "declared", "ana"),
        (first, "withdrawn", "ben"),
    ]
    assert first in await said(run_exclude_list, "table")
    with pytest.raises(BadInput, match="There is no exclusion 'none'"):
        await asyncio.to_thread(run_exclude_withdraw, "none", "ben", "why")
