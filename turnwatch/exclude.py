"""`turnwatch exclude`: what a budget is not charged for, declared, withdrawn and listed.

Events go to the topic `exclusions`, which is the record of who did what, and from there every one of them as a row to
ClickHouse, each time something is declared or withdrawn: rows are absolutes, so telling them again changes nothing, and
what got lost on the way, or a new database, has them all again.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.exclusions import Exclusion, decode, newest, rows
from schemas.failures import Foreseen
from schemas.instants import utc_text
from schemas.kafka import KafkaAddress
from schemas.rollups import encode
from schemas.topics import EXCLUSIONS, ROLLUPS
from turnwatch.exclusion_words import declared, known_id, withdrawn
from turnwatch.places import kafka
from turnwatch.printable import printable
from turnwatch.settings import load
from turnwatch.statements import read_statements, say_unreadable

PIPED_WIDTH = 10_000
ROWS_A_MESSAGE = 500


class NotTold(Foreseen):
    """Kafka did not confirm an event or its row; the message says what to do."""


def run_exclude_add(slo: str, slice_text: str, begins: str, ends: str, who: str, why: str) -> int:
    """Declares an exclusion, prints its id once Kafka has it, and returns the exit code."""
    event = declared(slo, slice_text, begins, ends, who, why, _now_ms())
    told = asyncio.run(_tell(kafka(load()), event))
    if told.is_known:
        print(f"turnwatch: {told.event.who} had declared it already: nothing was added.", file=sys.stderr)
    print(told.event.id)
    return 0


def run_exclude_withdraw(written_id: str, who: str, why: str) -> int:
    """Takes an exclusion back, and returns the exit code."""
    address = kafka(load())
    events, _ = asyncio.run(read_events(address))
    event = withdrawn(known_id(written_id, newest(events)), who, why, _now_ms())
    told = asyncio.run(_tell(address, event))
    if told.is_known:
        print(f"turnwatch: {told.event.who} had withdrawn it already: nothing was added.", file=sys.stderr)
    print(told.event.id)
    return 0


def run_exclude_list(output: Literal["table", "json"]) -> int:
    """Prints every event, the oldest first."""
    events, unreadable = asyncio.run(read_events(kafka(load())))
    say_unreadable(unreadable, EXCLUSIONS, "exclusions")
    if output == "json":
        print(json.dumps([_shown(event) for event in events], indent=1, ensure_ascii=False))
    else:
        _print_table(events)
    return 0


async def read_events(address: KafkaAddress) -> tuple[list[Exclusion], int]:
    """Every event that Kafka holds, in order, and how many records are none."""
    events: list[Exclusion] = []
    unreadable = await read_statements(address, EXCLUSIONS, decode, events.append)
    return events, unreadable


@dataclass(frozen=True, slots=True)
class _Told:
    """What became of an event: itself, or the one before that says the same."""

    event: Exclusion
    is_known: bool


async def _tell(address: KafkaAddress, event: Exclusion) -> _Told:
    """Adds the event unless the newest of its id says the same, and tells ClickHouse's table of all events."""
    events, _ = await read_events(address)
    before = newest(events).get(event.id)
    is_known = before is not None and before.action == event.action
    if before is not None:
        event = before if is_known else event.model_copy(update={"at_ms": max(event.at_ms, before.at_ms + 1)})
    async with producer_of(address) as producer:
        try:
            if not is_known:
                await producer.send_and_wait(EXCLUSIONS, event.encode(), key=event.id.encode(), partition=0)
                events.append(event)
            await _send_rows(producer, events)
        except KafkaError as error:
            raise NotTold(
                f"Kafka did not confirm exclusion {event.id} ({type(error).__name__}): give the same command again, "
                "which adds nothing twice."
            ) from error
    return _Told(event, is_known)


async def _send_rows(producer: AIOKafkaProducer, events: Sequence[Exclusion]) -> None:
    for first in range(0, len(events), ROWS_A_MESSAGE):
        headers, payload = encode("exclusions", rows(events[first : first + ROWS_A_MESSAGE]))
        await producer.send_and_wait(ROLLUPS, payload, headers=headers, partition=0)


@asynccontextmanager
async def producer_of(address: KafkaAddress) -> AsyncIterator[AIOKafkaProducer]:
    """A producer that everything is confirmed to, and that sends nothing twice."""
    producer = AIOKafkaProducer(**address.aiokafka_options(), acks="all", enable_idempotence=True)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


def _print_table(events: Sequence[Exclusion]) -> None:
    if not events:
        print("Nothing was ever excluded.")
        return
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, highlight=False, markup=False)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in _shown(events[0]):
        table.add_column(column, overflow="fold")
    for event in events:
        table.add_row(*(Text(printable(value)) for value in _shown(event).values()))
    console.print(table)


def _shown(event: Exclusion) -> dict[str, str]:
    return {
        "id": event.id,
        "action": event.action,
        "slo": event.slo,
        "slice": event.slice,
        "from": utc_text(event.from_ms),
        "to": utc_text(event.to_ms),
        "who": event.who,
        "why": event.why,
        "at": utc_text(event.at_ms),
    }


def _now_ms() -> int:
    return int(time.time() * 1_000)
